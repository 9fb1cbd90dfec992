"""What differs from what a run was the result of: what decides, what is said, and what is recorded alone."""

import sys

import pytest

from seqlab.commands.evaluate import evaluate
from seqlab.config import build
from seqlab.config.paths import absolute_paths
from seqlab.errors import InputError
from seqlab.run import content, load
from seqlab.run.comparison import Differences, Present, changes_since_training, compare
from seqlab.run.inputs import FileHashes, describe_files
from seqlab.run.supervisor import open_attempt
from tests.conftest import config_of, interrupted_here, run_here
from tests.run.test_data_hash import LINES, QUIET, SMALL, columns, pairs, stories, tables

TEXT = "".join(f"{line}\n" for line in LINES)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """What ``run.json`` says of a run over a text, with a module of the user's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "my_cells.py").write_text("number = 1\n")
    from seqlab.run.loaded import hash_of

    now = Present()
    config = absolute_paths(config_of("data=text", "data.path=text.txt", *SMALL))
    module = {"module": "my_cells", "path": str(tmp_path / "my_cells.py"), "sha256": hash_of("a.py", b"number = 1\n")}
    return {
        "config": config,
        "code": {"hash": "abc", "files": [module]},
        "data_files": describe_files([str(tmp_path / "text.txt")], config, FileHashes()),
        "versions": dict(now.versions),
        "seqlab_git": now.seqlab_git,
        "git": {"commit": "a" * 40, "dirty": False},
        "device": "cpu",
    }


def test_nothing_differs_where_nothing_changed_whatever_the_users_commit_and_the_device(recorded):
    assert compare(recorded, Present()) == Differences([], [])
    other = {**recorded, "git": {"commit": "b" * 40, "dirty": True}, "device": "NVIDIA H100"}
    assert compare(other, Present()) == Differences([], [])
    assert compare({**recorded, "versions": {**recorded["versions"], "python": "3.9"}}, Present()) == Differences()


def test_code_and_data_decide_and_each_is_named(recorded, tmp_path):
    (tmp_path / "my_cells.py").write_text("number = 2\n")
    (tmp_path / "text.txt").write_text(TEXT[::-1])
    assert compare(recorded, Present()) == Differences(["my_cells.py has changed", "text.txt has changed"], [])


def test_versions_and_seqlabs_commit_are_said(recorded):
    before = {**recorded["versions"], "torch": "1.0", "lightning": "1.1", "seqlab": "0.0.1"}
    git = {"commit": "c" * 40, "dirty": False}
    now = Present()
    now.__dict__["seqlab_git"] = {"commit": "c" * 40, "dirty": True}
    found = compare({**recorded, "versions": before, "seqlab_git": git}, now)
    assert found.blocking == []
    assert [text.split(" (now ")[0] for text in found.notices] == [
        "seqlab 0.0.1",
        "torch 1.0",
        "lightning 1.1",
        "seqlab at commit cccccccccc",
    ]
    lines = changes_since_training({**recorded, "versions": before}, Present())
    assert len(lines) == 1 and "torch 1.0" in lines[0]


def test_what_an_older_record_does_not_know_does_not_differ(recorded):
    assert compare({"config": recorded["config"], "versions": {}}, Present()) == Differences([], [])


def test_code_is_looked_up_once_for_all_runs_of_it(recorded, monkeypatch):
    from seqlab.run import comparison

    asked = []
    monkeypatch.setattr(comparison, "code_differences", lambda code: asked.append(code) or [])
    now = Present()
    for _ in range(3):
        compare(recorded, now)
    assert len(asked) == 1


@pytest.mark.parametrize("write", [tables, columns, pairs, stories])
def test_data_read_with_a_runs_own_vocabulary_has_the_hash_that_it_was_trained_with(write, tmp_path):
    config = absolute_paths(config_of(*write(tmp_path, list)))
    trained = build.build_data(config)
    trained.prepare_data()
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    load.save_data(run_dir, trained.vocabularies, trained.spec)
    now = content.data_hash(trained.vocabularies, trained.spec, content.fingerprint_of(trained))
    spec = load._load_spec(run_dir / load.SPEC_NAME, config)
    kept = {"vocabulary": str(run_dir), **spec.data_arguments()}
    again = build.build_data({**config, "data": {**config["data"], **kept}})
    assert content.data_hash(again.vocabularies, again.spec, content.fingerprint_of(again)) == now


def test_evaluating_says_that_the_runs_own_data_has_changed_and_not_that_other_data_was_given(tmp_path, capsys):
    file, other = tmp_path / "text.txt", tmp_path / "other.txt"
    file.write_text(TEXT)
    other.write_text(TEXT[: len(TEXT) // 2])
    run_here(tmp_path / "run", "data=text", f"data.path={file}", *SMALL)

    def said(*overrides: str) -> list[str]:
        evaluate(tmp_path / "run", list(overrides))
        return [line for line in capsys.readouterr().err.splitlines() if line.startswith("seqlab:")]

    assert said() == [] == said("data.batch_size=2") == said(f"data.path={other}")
    file.write_text("".join(f"{line}\n" for line in reversed(LINES)))
    changed, known = said()  # a file that has changed is cut anew
    assert "text.txt has changed" in changed and "rows of its training may be in this test" in known
    assert said(f"data.path={other}") == []


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """The folder and the configuration of an interrupted run over a text that lies beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    config = absolute_paths(config_of("data=text", "data.path=text.txt", *SMALL, *QUIET))
    interrupted_here(tmp_path / "run", config)
    return tmp_path / "run", config


def events_of(run_dir) -> str:
    return (run_dir / "events.jsonl").read_text()


def test_a_run_of_other_data_is_refused_before_its_process_starts_with_the_ways_on(stopped, tmp_path):
    run_dir, config = stopped
    (tmp_path / "text.txt").write_text(TEXT[::-1])
    before = events_of(run_dir)
    with pytest.raises(InputError, match=r"text\.txt has changed.*overwrite=true"):
        open_attempt(run_dir, config, [])
    assert events_of(run_dir) == before
    with open_attempt(run_dir, config, [], overwrite=True) as attempt:
        assert not attempt.is_resumed and attempt.claim.run_dir != run_dir
    assert events_of(run_dir) == before
    (tmp_path / "text.txt").rename(tmp_path / "renamed.txt")
    (tmp_path / "renamed.txt").write_text(TEXT)
    renamed = absolute_paths(config_of("data=text", "data.path=renamed.txt", *SMALL, *QUIET))
    with open_attempt(run_dir, renamed, []) as attempt:
        assert attempt.is_resumed


def test_a_run_that_goes_on_under_other_versions_says_so_and_keeps_both(stopped, capsys):
    run_dir, config = stopped
    text = events_of(run_dir)
    torch = Present().versions["torch"]
    (run_dir / "events.jsonl").write_text(text.replace(f'"torch": "{torch}"', '"torch": "1.0"'))
    with open_attempt(run_dir, config, []) as attempt:
        assert attempt.is_resumed
    assert f"torch 1.0 (now {torch})" in capsys.readouterr().err
    assert [f'"torch": "{version}"' in events_of(run_dir) for version in ("1.0", torch)] == [True, True]


@pytest.mark.parametrize(("status", "error"), [("pruned", "pruned at step 2 of 8"), ("interrupted", None)])
def test_a_run_that_has_not_completed_is_told_where_it_is_used(status, error):
    (line,) = changes_since_training({"status": status, "error": error}, Present())
    assert line == f"this run has not completed its training ({status}{f': {error}' if error else ''})"
    assert not changes_since_training({"status": "completed", "error": None}, Present())
