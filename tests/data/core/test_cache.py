"""The token cache: one builder among many processes, all or nothing, and a key that follows content and settings."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import seqlab
from seqlab.data import LanguageModelData, TextFiles, from_options
from seqlab.data.core import cache
from seqlab.data.core.cache import build_once, cache_folder
from seqlab.errors import InputError

TEXT = "".join(f"some words number {i}\n" for i in range(300))


# The module alone, without the package around it: importing PyTorch takes seconds in each process.
LOAD = f"""
import importlib.util, sys, time
from pathlib import Path

specification = importlib.util.spec_from_file_location("cache", {cache.__file__!r})
cache = importlib.util.module_from_spec(specification)
specification.loader.exec_module(cache)
parent = Path(sys.argv[1])
"""


def start(parent: Path, script: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(Path(seqlab.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", LOAD + textwrap.dedent(script), str(parent)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})


def test_four_processes_at_once_build_once_and_all_find_it_whole(tmp_path):
    script = """
        def build(folder):
            print("built", end=" ")
            (folder / "half").write_text("one")
            time.sleep(0.3)
            (folder / "whole").write_text("two")

        while not (parent / "go").exists():
            time.sleep(0.001)
        folder = cache.build_once(parent, "key", build)
        print((folder / "half").read_text() + (folder / "whole").read_text())
    """
    jobs = [start(tmp_path, script) for _ in range(4)]
    time.sleep(0.5)  # so that most are up; one that is late finds the lock or the folder
    (tmp_path / "go").touch()
    outputs = sorted(job.communicate(timeout=60)[0] for job in jobs)
    assert outputs == ["built onetwo\n", "onetwo\n", "onetwo\n", "onetwo\n"]


def test_a_build_that_is_killed_leaves_nothing_that_looks_whole(tmp_path):
    script = """
        def build(folder):
            (folder / "train.tokens").write_bytes(b"half")
            print("building", flush=True)
            time.sleep(60)

        cache.build_once(parent, "key", build)
    """
    job = start(tmp_path, script)
    assert job.stdout is not None and job.stdout.readline() == "building\n"
    job.send_signal(signal.SIGKILL)
    job.wait()
    job.stdout.close()
    assert not (tmp_path / "key").exists() and (tmp_path / "key.partial" / "train.tokens").exists()

    folder = build_once(tmp_path, "key", lambda folder: (folder / "new").touch())
    assert {file.name for file in folder.iterdir()} == {"new", "checksums.json"}
    assert not (tmp_path / "key.partial").exists()


def test_a_build_that_fails_leaves_nothing_and_tells_why(tmp_path):
    def build(folder: Path) -> None:
        (folder / "half").touch()
        raise InputError("the text is wrong")

    with pytest.raises(InputError, match="the text is wrong"):
        build_once(tmp_path, "key", build)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_folder_that_is_there_is_not_built_again(tmp_path):
    build_once(tmp_path, "key", lambda folder: (folder / "a").touch())
    build_once(tmp_path, "key", lambda folder: pytest.fail("built twice"))


@pytest.mark.parametrize("damage", [("a", ""), ("a", "wolf"), ("checksums.json", ""), ("checksums.json", "[]")])
def test_a_folder_that_is_not_as_it_was_written_is_built_anew_with_a_log_line(tmp_path, damage, caplog):
    def build(folder: Path) -> None:
        (folder / "a").write_text("whole")

    folder = build_once(tmp_path, "key", build)
    (folder / damage[0]).write_text(damage[1])
    assert (build_once(tmp_path, "key", build) / "a").read_text() == "whole"
    assert "made anew" in caplog.text
    (folder / "a").unlink()
    assert (build_once(tmp_path, "key", build) / "a").read_text() == "whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "key.lock"]


def test_the_cache_folder_is_the_first_that_is_set(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQLAB_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    monkeypatch.setenv("HOME", "/c")
    assert cache_folder(tmp_path) == tmp_path
    assert cache_folder() == Path("/a")
    monkeypatch.delenv("SEQLAB_CACHE")
    assert cache_folder() == Path("/b/seqlab")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/c/.cache/seqlab")


def test_a_cache_that_cannot_be_made_is_one_line_with_the_mend(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"token cache .* cannot be written.*: give data\.cache_dir=FOLDER"):
        build_once(tmp_path / "file" / "cache", "key", lambda folder: None)


def keys(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()}


def test_the_cache_follows_content_and_settings_and_not_batches(tmp_path, token_cache):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)

    def load(**options) -> LanguageModelData:
        data = from_options(LanguageModelData, TextFiles(path), **options)
        data.prepare_data()
        return data

    load()
    one = keys(token_cache)
    assert len(one) == 1
    load(batch_size=3, tbptt_steps=7, eval_batch_size=2, restart_documents=True)
    assert keys(token_cache) == one
    for count, options in enumerate(
        (
            {"lowercase": True},
            {"unit": "word"},
            {"unit": "word", "end_of_line": "<eos>"},
            {"unit": "word", "punctuation": True},
            {"unit": "word", "max_vocab_size": 50},
            {"unit": "word", "min_frequency": 2},
            {"vocabulary": load().vocabulary.save(tmp_path / "saved.json")},
        ),
        start=2,
    ):
        load(**options)
        assert len(keys(token_cache)) == count
    before = load().spec.num_tokens["train"]
    path.write_text(TEXT + TEXT)
    assert load().spec.num_tokens["train"] > 1.9 * before


def test_a_cached_text_is_not_tokenised_again(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    first = LanguageModelData(TextFiles(path))
    assert first.spec == LanguageModelData(TextFiles(path)).spec
    monkeypatch.setattr(TextFiles, "read", lambda *_: pytest.fail("read again"))
    again = LanguageModelData(TextFiles(path))
    assert again.corpus.tokens["train"].tolist() == first.corpus.tokens["train"].tolist()


def test_a_text_that_changes_while_it_is_read_leaves_nothing_in_the_cache(tmp_path, monkeypatch, token_cache):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    source = TextFiles(path)
    data = LanguageModelData(source)
    read = TextFiles.read

    def change_and_read(*arguments):
        path.write_text("other text\n" * 500)
        return read(*arguments)

    monkeypatch.setattr(TextFiles, "read", change_and_read)
    with pytest.raises(InputError, match="written while it was read"):
        data.prepare_data()
    assert keys(token_cache) == set()
    monkeypatch.setattr(TextFiles, "read", read)
    path.write_text(TEXT)
    assert "2" in data.vocabulary.index
    assert data.corpus.digest == LanguageModelData(source, cache_dir=tmp_path / "new").corpus.digest
