"""``seqlab bench engine`` on a cell of the user's own, by its class or by its file."""

import json
import sys

import pytest

from seqlab.bench.engine import process
from seqlab.bench.engine import run as engine
from tests.command import prepare_here

CELLS = """\
from torch import nn
from seqlab.nn import GatedCell


class MyCell(GatedCell):
    num_gates = 1

    def __init__(self, input_size, hidden_size, bias=True, slope=1.0):
        super().__init__(input_size, hidden_size, bias)
        self.slope = slope

    def pointwise(self, gi, gh, state):
        return ((self.slope * (gi + gh)).tanh(),)


class Needy(MyCell):
    def __init__(self, input_size, hidden_size, order):
        super().__init__(input_size, hidden_size)


class NoCell(nn.Linear):
    pass
"""
SMALL = ("--part", "main", "--sizes", "4,2,3")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with cells and a YAML of one."""
    prepare_here(tmp_path, monkeypatch)
    (tmp_path / "my_cells.py").write_text(CELLS)
    (tmp_path / "conf" / "model" / "cell").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "cell" / "mine.yaml").write_text("_target_: my_cells.MyCell\nslope: 0.5\n")
    yield tmp_path
    sys.modules.pop("my_cells", None)


@pytest.mark.parametrize(
    ("name", "options"),
    [("my_cells.MyCell", ("--allow", "my_cells")), ("mine", ("--config-dir", "conf"))],
)
def test_it_is_timed_beside_the_loop_and_torchs_lstm(bench, name, options):
    code, results, out, err = bench(*SMALL, "--cells", f"lstm,{name}", *options)
    assert code == 0 and err == "" and results["failures"] == []
    row = next(row for row in results["parts"]["main"]["rows"] if row["cell"] == name)
    assert {"loop", "nn.LSTM"} <= set(row["milliseconds"]) and min(row["milliseconds"].values()) > 0
    assert f"{name}," in out


def test_the_project_file_serves_as_the_options_do(bench, here):
    (here / "seqlab.toml").write_text('config_dir = "conf"\n')
    code, results, _, err = bench(*SMALL, "--cells", "mine")
    assert code == 0 and results["failures"] == [] and "allows the modules those in" in err


def test_a_fresh_process_makes_the_same_cell(bench, monkeypatch, capsys):
    slopes = []
    note = lambda contender, _: slopes.append(getattr(getattr(contender.layer, "cell", None), "slope", None)) or {}  # noqa: E731
    monkeypatch.setattr(process, "_peak", note)
    monkeypatch.setattr(process, "in_fresh_process", lambda task, _: process.main([json.dumps(task)]) or [])
    monkeypatch.setattr(engine, "memory_table", str)
    own = ("--cells", "mine", "--config-dir", "conf")
    assert bench("--part", "memory", *own, "--sizes", "4,2,3", "--engines", "loop")[0] == 0
    assert slopes == [None, 0.5]  # nn.LSTM, then the cell with the value of its file


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("my_cells.MyCell",), ["my_cells.MyCell, which is not on the allow-list", "--allow my_cells"]),
        (("my_cells.MyCel", "--allow", "my_cells"), ["my_cells has no 'MyCel'"]),
        (("my_cell.MyCell", "--allow", "my_cell"), ["there is no module 'my_cell'"]),
        (("my_cells.Needy", "--allow", "my_cells"), ["TypeError", "order", "model/cell"]),
        (("my_cells.NoCell", "--allow", "my_cells"), ["NoCell", "expected a RecurrentCell"]),
        (("torch.hub.load",), ["torch.hub.load, which is not on the allow-list"]),
        (("mime", "--config-dir", "conf"), ["no cell 'mime'", "did you mean mine?"]),
        (("mine", "--config-dir", "nowhere"), ["--config-dir nowhere: there is no such folder"]),
        (("mine",), ["no cell 'mine'", "my_cells.MyCell"]),
    ],
    ids=lambda value: value[0][:40],
)
def test_a_wrong_name_is_one_line_and_nothing_is_measured(bench, arguments, words):
    code, results, out, err = bench(*SMALL, "--cells", *arguments)
    assert (code, results, out) == (2, None, "")
    assert err.startswith("seqlab: --c") and err.count("\n") == 1 and all(word in err for word in words), err
