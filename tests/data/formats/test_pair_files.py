"""Files of two languages that a pattern finds: which goes with which."""

import gzip
from pathlib import Path

import pytest

from seqlab.data import ParallelFiles, from_options
from seqlab.errors import InputError


def make_files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        content = f"{name}\n".encode()
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


PAIRED = {
    "folders": ("src/*", "tgt/*", {"src/b": "tgt/b", "src/a": "tgt/a"}),
    "languages": ("*.de", "*.en", {"x.de": "x.en", "a.de": "a.en"}),
    "sorted orders that differ": ("*.x.txt", "*.y.txt", {"a-b.x.txt": "a-b.y.txt", "a.x.txt": "a.y.txt"}),
    "the language first": ("de*.txt", "en*.txt", {"de1.txt": "en1.txt", "de10.txt": "en10.txt", "de2.txt": "en2.txt"}),
    "both": ("de/*", "en/*", {"de/part1.de": "en/part1.en", "de/part2.de": "en/part2.en"}),
    "folders below": ("de/**/*.txt", "en/**/*.txt", {"de/a/1.txt": "en/a/1.txt", "de/b/1.txt": "en/b/1.txt"}),
    "gzip on one side": ("*.de", "*.en.gz", {"x.de": "x.en.gz", "y.de": "y.en.gz"}),
    "a country": ("*.de_DE", "*.en_US", {"x.de_DE": "x.en_US", "y.de_DE": "y.en_US"}),
    "a language pair in the name": ("*de-en.de", "*de-en.en", {"a.de-en.de": "a.de-en.en", "b.de-en.de": "b.de-en.en"}),
}


@pytest.mark.parametrize("case", PAIRED)
def test_files_of_patterns_pair_up_by_their_names_and_each_pair_is_told(tmp_path, caplog, case):
    caplog.set_level("INFO", "seqlab")
    sources, targets, pairs = PAIRED[case]
    make_files(tmp_path, *pairs, *pairs.values())
    given = {"source": str(tmp_path / sources), "target": str(tmp_path / targets)}
    source = from_options(ParallelFiles, given, split=(0.4, 0.3, 0.3))
    found = {pair.source: pair.target for pair in source._read_all()["path"]}
    assert found == pairs
    for one, other in pairs.items():
        assert f"path: {tmp_path / one} with {tmp_path / other}" in caplog.text


UNPAIRED = {
    "other names": (("a.de", "b.de"), ("another.en", "first.en"), "do not tell which file goes with which"),
    "other numbers": (("part1.de", "part2.de"), ("part3.en", "part4.en"), r"no file goes with|do not tell"),
    "numbers that are shifted": (("1.de", "2.de"), ("2.en", "3.en"), r"no file goes with .*1\.de.*3\.en"),
    "a partner missing": (("a.de", "b.de", "c.de"), ("a.en", "b.en"), r"no file goes with .*c\.de"),
    "a partner missing on each side": (("a.de", "b.de"), ("b.en", "c.en"), r"no file goes with .*a\.de.*c\.en"),
    "two of a name": (("a.de", "b.de"), ("a.en", "a.en.gz"), "do not tell|no file goes with"),
}


@pytest.mark.parametrize("case", UNPAIRED)
def test_names_that_do_not_pair_are_refused_unless_they_are_lists(tmp_path, case):
    sources, targets, words = UNPAIRED[case]
    make_files(tmp_path, *sources, *targets)
    with pytest.raises(InputError, match=words) as caught:
        ParallelFiles({"source": str(tmp_path / "*.de"), "target": str(tmp_path / "*.en*")})
    assert "as lists in the same order" in str(caught.value)
    lists = {"source": [tmp_path / name for name in sources], "target": [tmp_path / name for name in targets]}
    if len(sources) == len(targets):
        found = ParallelFiles(lists)._read_all()["path"]
        assert [pair.source for pair in found] == list(sources)


def test_lists_against_the_names_are_refused_and_two_single_files_are_a_list(tmp_path):
    make_files(tmp_path, "a.de", "b.de", "a.en", "b.en", "other.txt")
    with pytest.raises(InputError, match=r"the lists put .*a\.de beside .*b\.en, but by its name it goes with .*a\.en"):
        ParallelFiles({side: [tmp_path / name for name in names] for side, names in
                       (("source", ("a.de", "b.de")), ("target", ("b.en", "a.en")))})  # fmt: skip
    single = ParallelFiles({"source": tmp_path / "a.de", "target": tmp_path / "other.txt"})
    assert single._read_all()["path"][0][:2] == ("a.de", "other.txt")
