"""``seqlab new``: what it writes works as it is, and nothing of the user's is written over."""

import importlib
import inspect
import sys
from pathlib import Path

import pytest

import seqlab
from seqlab import cli
from seqlab.commands.new import KINDS
from seqlab.config import project
from tests.command import prepare_here

NAMES = {"cell": "my_cell", "task": "stars", "dataset": "counting"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    prepare_here(tmp_path, monkeypatch)
    monkeypatch.setattr(project, "_set_here", {})
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) & {*NAMES.values(), *(f"test_{name}" for name in NAMES.values())} - before:
        del sys.modules[name]


def listing(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", NAMES)
def test_its_own_test_passes_and_it_trains(here, monkeypatch, capsys, kind):
    name = NAMES[kind]
    assert cli.main(["new", kind, name]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert listing(here) == {f"{name}.py", f"test_{name}.py", f"conf/{KINDS[kind].group}/{name}.yaml", "seqlab.toml"}
    assert lines[-2] == f"  python -m pytest test_{name}.py" and lines[-1].startswith("  seqlab train ")
    monkeypatch.syspath_prepend(str(here))
    written = importlib.import_module(f"test_{name}")
    tests = [test for test_name, test in inspect.getmembers(written) if test_name.startswith("test_")]
    assert len(tests) >= 2
    for test in tests:
        test()
    overrides = [*lines[-1].split()[2:], "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=2"]
    options = ("logger=none", "runtime.num_threads=1", "runtime.keep_freed_memory=false", "hydra.run.dir=run")
    run = seqlab.train(*overrides, *options, process=False)
    assert run.record["status"] == "completed" and name in str(run.config)


@pytest.mark.parametrize(
    "there", ["my_cell.py", "test_my_cell.py", "conf/model/cell/my_cell.yaml", "my_cell/__init__.py"]
)
def test_what_is_there_stays_and_nothing_is_written(here, capsys, there):
    (here / there).parent.mkdir(parents=True, exist_ok=True)
    (here / there).write_text("mine")
    assert cli.main(["new", "cell", "my_cell"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1) and f"{there}: there already, and nothing is written" in said.err
    assert listing(here) == {there} and (here / there).read_text() == "mine"


def test_a_link_to_nothing_is_something(here, capsys):
    (here / "my_cell.py").symlink_to("elsewhere.py")
    assert cli.main(["new", "cell", "my_cell"]) == 2
    assert "my_cell.py: there already" in capsys.readouterr().err and not (here / "elsewhere.py").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("MyCell", ["'MyCell'", "such as my_cell"]),
        ("../evil", ["'../evil'", "such as evil"]),
        ("2cells", ["'2cells'"]),
        ("my-cell", ["such as my_cell"]),
        ("", ["''"]),
        ("lambda", ["a word of Python"]),
        ("match", ["a word of Python"]),
        ("random", ["a module of Python itself", "my_random"]),
        ("numpy", ["installed, as", "numpy/__init__.py"]),
        ("seqlab", ["installed"]),
        ("conftest", ["pytest"]),
        ("lstm", ["model/cell=lstm comes with seqlab"]),
        ("gated", ["GatedCell is a class of seqlab"]),
    ],
    ids=lambda value: repr(value)[:12],
)
def test_a_name_that_can_not_be_used_is_one_line(here, capsys, name, words):
    assert cli.main(["new", "cell", name]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(word in said for word in words), said
    assert listing(here) == set()


def test_a_wrong_kind_names_the_choices(capsys):
    assert cli.main(["new", "model", "x"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(kind in said for kind in KINDS)


def test_a_project_file_says_where_and_stays(here, capsys):
    (here / "seqlab.toml").write_text('config_dir = "lab/conf"\nallow = ["other"]\n')
    assert cli.main(["new", "cell", "my_cell"]) == 0
    out = capsys.readouterr().out
    files = {"lab/my_cell.py", "lab/test_my_cell.py", "lab/conf/model/cell/my_cell.yaml", "seqlab.toml"}
    assert listing(here) == files and 'allow = ["other"]' in (here / "seqlab.toml").read_text()
    assert "python -m pytest lab/test_my_cell.py" in out and "add my_cell to allow in seqlab.toml" in out
    (here / "seqlab.toml").write_text('runs_dir = "out"\n')
    assert cli.main(["new", "cell", "other_cell"]) == 0
    assert "seqlab train --config-dir conf experiment=hello model/cell=other_cell" in capsys.readouterr().out


def test_where_a_file_can_not_be_written_none_is(here, monkeypatch, capsys):
    (here / "conf").mkdir()
    (here / "conf" / "model").write_text("a file")
    assert cli.main(["new", "cell", "my_cell"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "conf/model" in said and "nothing is written" in said
    assert listing(here) == {"conf/model"}


def test_a_ctrl_c_leaves_nothing_half_written(here, monkeypatch):
    opened = Path.open

    def interrupted(path, *arguments, **options):
        if path.name == "test_my_cell.py":
            raise KeyboardInterrupt
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", interrupted)
    assert cli.main(["new", "cell", "my_cell"]) == 1
    assert listing(here) == set()
