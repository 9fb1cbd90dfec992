"""What README and ``docs/`` show: Python blocks run, page by page; commands are parsed, and ``seqlab train`` composed.

A block after a line that ends in the name of a file (`my_cells.py`:) is that file: it is written into the page's
folder, so that later blocks import it and commands find it. ``<!-- not run: REASON -->`` before a block leaves it out.
"""

import re
import shlex
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser

import seqlab
import seqlab.callbacks
import seqlab.data
import seqlab.nn
import seqlab.tasks
from seqlab import cli
from seqlab.config.build import check_parts
from seqlab.config.command_line import option_values, options_first, take_option
from seqlab.config.compose import plain_config
from seqlab.config.layers import list_overrides
from seqlab.config.own_files import check_own_files
from seqlab.config.project import read_project
from seqlab.config.trust import ALLOW_VARIABLE, allow, check_targets, modules_below
from seqlab.sweep.sweeper import register_sweepers

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md", *sorted(DOCS.rglob("*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts]

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w/]+\.(?:py|yaml|toml))`:$")
NOT_RUN = re.compile(r"<!-- not run: \S.* -->$")
VARIABLE = re.compile(r"[A-Z_]+=\S*$")
OTHERS = ("make", "source", "pip", "tensorboard", "cd", "git")


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        language: what stands behind its opening.
        text: what it holds.
        file: the file that it is, where the line before names one.
        line: where it begins.
        is_run: whether it is to be tried.
    """

    language: str
    text: str
    file: str | None
    line: int
    is_run: bool


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    blocks = []
    for match in BLOCK.finditer(text):
        before = text[: match.start()].rstrip()
        file = FILE.search(before)
        is_run = NOT_RUN.search(before) is None
        line = text.count("\n", 0, match.start()) + 1
        blocks.append(Block(match[1], match[2], file[1] if file else None, line, is_run))
    return blocks


def commands_of(block: Block) -> list[list[str]]:
    """The command lines of a block, as words, without comments and variables in front."""
    commands = []
    for line in block.text.replace("\\\n", " ").splitlines():
        for part in line.split(" && "):
            words = shlex.split(part, comments=True)
            while words and VARIABLE.match(words[0]):
                words.pop(0)
            if words:
                commands.append(words)
    return commands


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def page_folder(tmp_path, monkeypatch):
    """The working folder of a page, whose modules are forgotten with it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv(ALLOW_VARIABLE, "")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


@pytest.fixture
def trains_here(monkeypatch):
    """Spares the runs of a page a process of their own, which tests/commands/test_from_python.py tries."""
    monkeypatch.setattr(seqlab, "train", partial(seqlab.train, process=False))


def write_files(blocks: list[Block], folder: Path) -> None:
    for block in blocks:
        if block.file is not None:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)


WITH_PYTHON = [page for page in PAGES if any(block.language == "python" for block in blocks_of(page))]
WITH_COMMANDS = [page for page in PAGES if any(block.language == "sh" for block in blocks_of(page))]


def test_pages_are_found():
    assert {"README.md", "docs/guides/cell.md"} <= set(map(name_of, WITH_PYTHON))
    assert {"README.md", "docs/tutorial.md", "docs/guides/sweeps.md"} <= set(map(name_of, WITH_COMMANDS))


def test_the_front_page_is_short():
    lines = len((ROOT / "README.md").read_text().splitlines())
    assert lines <= 150, f"README.md has {lines} lines, of 150 at most: name a new use in the line of more uses"


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, page_folder, trains_here):
    write_files(blocks_of(page), page_folder)
    names = {"__name__": "page"}
    for block in blocks_of(page):
        if block.language == "python" and block.is_run:
            code = compile("\n" * block.line + block.text, str(page), "exec")
            exec(code, names)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_the_commands_of_a_page_are_commands(page, page_folder):
    blocks = blocks_of(page)
    write_files(blocks, page_folder)
    for block in blocks:
        if block.language != "sh" or not block.is_run:
            continue
        for words in commands_of(block):
            try:
                check_command(words)
            except BaseException as error:
                raise AssertionError(f"{name_of(page)}, line {block.line}: {shlex.join(words)}: {error!r}") from error


def check_command(words: list[str]) -> None:
    """Parses a command line as the command itself would; what it trains is composed."""
    if "seqlab" in words:
        words = words[words.index("seqlab") + 1 :]
        if words[0] == "train":
            check_train(words[1:])
        else:
            cli._parser().parse_args(words)
    elif words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        unknown = [word for word in words[1:] if "=" not in word and word not in targets]
        assert not unknown, f"no target {unknown}"
    elif words[0] == "python":
        check_python(words[1:])
    else:
        assert words[0] in OTHERS, "not a command that the test knows"


def check_python(words: list[str]) -> None:
    if words[0] == "-c":
        exec(compile(words[1], "-c", "exec"), {})
    else:
        files = [word for word in words if word.endswith(".py") or word.startswith("tests")]
        assert all((ROOT / file).exists() for file in files)


def check_train(argv: list[str]) -> None:
    """Composes what ``seqlab train`` would, the first job of a sweep."""
    argv, allowed = take_option(argv, "--allow")
    project = read_project(Path.cwd())
    folders = option_values(argv, "--config-dir", "-cd") or [*filter(None, [project.config_dir])]
    check_own_files(folders)
    overrides = [word for word in options_first(argv) if ("=" in word and word[0] != "-") or word[0] == "~"]
    overrides = [first_value(override) for override in overrides]
    if folders:
        overrides.append(f"hydra.searchpath=[file://{Path(folders[0]).resolve()}]")
    register_sweepers()
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        config = plain_config(compose("train", overrides=list_overrides(overrides), return_hydra_config=True))
    allow(
        [
            *allowed,
            *project.allow,
            *(name for folder in folders for name in modules_below(config, Path(folder).resolve().parent)),
        ]
    )
    check_targets(config)
    check_parts(config)


def first_value(text: str) -> str:
    override = OverridesParser.create().parse_override(text)
    if not override.is_sweep_override():
        return text
    return f"{override.get_key_element()}={next(override.sweep_string_iterator())}"


@pytest.mark.parametrize("module", [seqlab.nn, seqlab.data, seqlab.tasks, seqlab.callbacks], ids=lambda m: m.__name__)
def test_every_public_name_is_in_the_reference(module):
    page = (DOCS / "reference" / "python" / f"{module.__name__.removeprefix('seqlab.')}.md").read_text()
    documented = set(re.findall(r"^\.\. auto\w+:: (\w+)$", page, re.MULTILINE))
    missing = sorted(set(module.__all__) - documented)
    assert not missing, f"add to docs/reference/python/{module.__name__.removeprefix('seqlab.')}.md: {missing}"


def test_every_configuration_group_is_in_the_reference():
    pages = "\n".join(path.read_text() for path in (DOCS / "reference" / "config").glob("*.md"))
    shown = set(re.findall(r"^```\{seqlab-config\} (\S+)$", pages, re.MULTILINE))
    groups = {path.parent.relative_to(ROOT / "conf").as_posix() for path in (ROOT / "conf").rglob("*.yaml")}
    missing = sorted((groups - {"."} | {"train.yaml"}) - shown)
    assert not missing, f"add a seqlab-config block to a page of docs/reference/config: {missing}"


def test_the_groups_at_a_glance_name_every_choice():
    """Those of ``experiment`` stand in the README's table of tasks, or in their row."""
    page, readme = (ROOT / name for name in ("docs/reference/config/index.md", "README.md"))
    rows = [line.split("|") for line in page.read_text().splitlines() if line.startswith("| [")]
    named = {group: row[2] + row[3] for row in rows for group in re.findall(r"`(\S+?)`", row[1])}
    folders = {path.parent for path in (ROOT / "conf").rglob("*.yaml")} - {ROOT / "conf"}
    choices = {path for folder in folders for path in folder.glob("[!_]*.yaml") if path.stem != "default"}
    missing = []
    for path in sorted(choices):
        group = path.parent.relative_to(ROOT / "conf").as_posix()
        text = named.get(group, "") + (readme.read_text() if group == "experiment" else "")
        missing += [] if f"`{path.stem}`" in text or f"experiment={path.stem}`" in text else [name_of(path)]
    assert not missing, f"name in the row of its group in {name_of(page)}, or a preset in README.md: {missing}"


def test_a_key_is_read_with_its_default_and_its_comment(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    pytest.importorskip("sphinx")
    from config_keys import Key, read_keys

    lines = (
        "a: null    # none",
        "b:          # a group",
        "  c: [1, 2]  # two",
        "             # of them",
        "  d: 'x # y'",
    )
    assert read_keys("\n".join((*lines, "defaults: [e]"))) == [
        Key("a", "null", "none"),
        Key("b", "", "a group"),
        Key("b.c", "[1, 2]", "two of them"),
        Key("b.d", "'x # y'", ""),
    ]


LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    broken = [link for link in links if not (page.parent / link).exists()]
    assert not broken, f"{name_of(page)} links to what is not there: {broken}"
