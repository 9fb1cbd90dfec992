"""What pages of ``experiments/`` tell to run: ``seqlab`` commands are composed or parsed, scripts know their flags."""

import re
import shlex

import pytest

from tests.test_docs import ROOT, VARIABLE, blocks_of, check_command, commands_of, name_of

PAGES = sorted((ROOT / "experiments").rglob("README.md"))
INLINE = re.compile(r"`((?:[A-Z_]+=\S+ )?(?:seqlab|python|make) [^`\n]+)`")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
FLAG = re.compile(r"--[a-z-]+")


def told(page):
    """The command lines of a page, in blocks and within sentences; there two words alone are the name of a command."""
    yield from (words for block in blocks_of(page) if block.language == "sh" for words in commands_of(block))
    for text in INLINE.findall(FENCED.sub("", page.read_text())):
        words = shlex.split(text)
        words = words[1:] if VARIABLE.match(words[0]) else words
        if len(words) > 2 or words[0] != "seqlab":
            yield words


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_of_a_study_are_commands(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in told(page):
        try:
            check_command(words)
            if words[0] == "python" and words[1].endswith(".py"):
                check_flags(*words[1:])
        except BaseException as error:
            raise AssertionError(f"{name_of(page)}: {shlex.join(words)}: {error!r}") from error


def check_flags(script, *words):
    """That the script's source has each of the flags; those after ``--options`` are of ``seqlab bench engine``."""
    if "--options" in words:
        own = words.index("--options") + 1
        check_command(["seqlab", "bench", "engine", *words[own:]])
        words = words[:own]
    source = (ROOT / script).read_text()
    unknown = [word for word in words if FLAG.fullmatch(word) and f'"{word}"' not in source]
    assert not unknown, f"{script} has no {unknown}"


def test_the_pages_of_studies_tell_commands():
    if not PAGES:
        pytest.skip("experiments/ is not beside the package")
    assert sum(len(list(told(page))) for page in PAGES) > 100
