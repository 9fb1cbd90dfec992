"""A user's own cell, from a class and a YAML in the user's own folder, outside the package."""

import sys

import pytest

from seqlab import cli
from seqlab.config.trust import ALLOW_VARIABLE
from seqlab.run.record import read_record
from seqlab.testing import check_cell
from tests.command import ONE_THREAD, seqlab, shadow_all_modules

CELL = '''\
"""Zhou et al. 2016, the minimal gated unit: the forget gate also resets."""

from seqlab.nn import GatedCell


class MinimalGatedUnit(GatedCell):
    num_gates = 2

    def pointwise(self, gi, gh, state):
        fi, ni = gi.chunk(2, -1)
        fh, nh = gh.chunk(2, -1)
        forget = (fi + fh).sigmoid()
        return ((1 - forget) * state[0] + forget * (ni + forget * nh).tanh(),)
'''
CHOICE = "_target_: my_cells.MinimalGatedUnit\n_partial_: true\nbias: true\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder with a cell, its YAML, and a run of it."""
    folder = tmp_path_factory.mktemp("own")
    shadow_all_modules(folder)
    (folder / "my_cells.py").write_text(CELL)
    (folder / "conf" / "model" / "cell").mkdir(parents=True)
    (folder / "conf" / "model" / "cell" / "my_cell.yaml").write_text(CHOICE)
    own = ("--config-dir", "conf", "model/cell=my_cell", "hydra.run.dir=run")
    done = seqlab("train", *own, "experiment=hello", "trainer.max_epochs=60", *ONE_THREAD, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_it_trains_from_the_folder_that_holds_it_whatever_else_lies_there(folder):
    record = read_record(folder / "run")
    assert record["status"] == "completed"
    assert record["config"]["model"]["cell"]["_target_"] == "my_cells.MinimalGatedUnit"
    assert record["num_parameters"] == 4 * 4 + 2 * 16 * (4 + 16 + 2) + 4 * 17


def test_its_run_is_read_back_only_where_it_is_allowed(folder, monkeypatch, capsys):
    arguments = ("generate", "run", "--prompt", "h", "--max-new-tokens", "4", "--greedy")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(ALLOW_VARIABLE, "")
    assert cli.main([*arguments]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert "my_cells.MinimalGatedUnit" in shown.err and "add --allow my_cells" in shown.err
    allowed = seqlab(*arguments, "--allow", "my_cells", folder=folder)
    assert (allowed.returncode, allowed.stdout, allowed.stderr) == (0, "hello\n", "")


def test_it_passes_the_contract(folder, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    from my_cells import MinimalGatedUnit

    check_cell(MinimalGatedUnit)
    sys.modules.pop("my_cells")


def test_a_cell_that_has_changed_since_is_said_in_one_line_and_the_command_goes_on(folder):
    """Another perplexity than the run's own, and not a word of why."""
    allowed = ("--allow", "my_cells")
    unchanged = seqlab("evaluate", "run", *allowed, "--json", folder=folder)
    assert unchanged.returncode == 0 and "seqlab:" not in unchanged.stderr, unchanged.stderr
    (folder / "my_cells.py").write_text(CELL.replace(".tanh()", ".sigmoid()"))
    try:
        changed = seqlab("evaluate", "run", *allowed, "--json", folder=folder)
    finally:
        (folder / "my_cells.py").write_text(CELL)
    assert changed.returncode == 0
    assert [line for line in changed.stderr.splitlines() if line.startswith("seqlab:")] == [
        "seqlab: since this run was trained: my_cells.py has changed"
    ]
    assert changed.stdout != unchanged.stdout
