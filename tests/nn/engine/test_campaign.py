"""Some cases of the campaign against the engines; `experiments/engine_campaign/run.py` runs any number."""

import sys

import pytest

from seqlab.nn.engine.scan import build
from seqlab.run import loaded
from tests.nn.engine.campaign import history
from tests.nn.engine.campaign.campaign import HISTORIES, Lives, describe
from tests.nn.engine.campaign.family import SHIPPED, family
from tests.shipped import shipped_cells

# The first cases of 24 lives, of eight cases each. Of the lives of the first 33 cells, they are those that cost least
# and together still have every kind of event below, 377 runs on a compiled step, and 27 programs.
LIVES = (
    0, 8, 24, 48, 64, 72, 96, 104, 112, 120, 128, 136, 152,
    176, 192, 240, 328, 392, 440, 448, 464, 472, 504, 528,
)  # fmt: skip
CHANGES = frozenset(
    """\
a bias removed, a cell replaced, a dictionary, a global, a helper method, a parameter's data, a parametrization,
a pre-hook, a property, a string, a submodule replaced, a submodule's hook, a submodule's mode, a submodule's option,
a tensor in a list, a transposed weight, a tuple, an integer, coefficients replaced on the class,
coefficients replaced on the instance, initial_state replaced on the class, initial_state replaced on the instance,
mode, none or a number, output replaced on the instance, pointwise replaced on the class,
pointwise replaced on the instance, precision, project replaced on the class, project replaced on the instance,
pruning, requires_grad, step replaced on the class, step replaced on the instance, the code of pointwise, weights,
weights tied""".replace("\n", " ").split(", ")
)
runs: dict[int, tuple[int, int]] = {}  # of each life, the runs on a compiled step and the programs


@pytest.fixture(autouse=True)
def leaves_no_module(monkeypatch, tmp_path):
    """What a case writes and imports is no code of the runs that later tests of this process train."""
    monkeypatch.setattr(loaded._recorder, "files", dict(loaded._recorder.files))
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("first", LIVES)
def test_every_engine_gives_what_the_written_out_steps_give(compiled_quickly, tmp_path, first):
    lives, before, compiled = Lives(tmp_path, optimize=False), build.compilations, 0
    for case in range(first, first + history.CASES_OF_A_LIFE):
        record = lives.run(case)
        assert not record["faults"], f"{record['faults']}\n{describe(case)}"
        compiled += record["engines"].get("scan", 0)
    runs[first] = compiled, build.compilations - before


def test_every_cell_that_ships_is_drawn():
    missing = {kind.__name__ for kind in shipped_cells()} - set(SHIPPED)
    assert not missing, f"add to the end of SHIPPED in campaign/family.py: {sorted(missing)}"


def test_the_lives_have_every_kind_of_event():
    cases = [first + place for first in LIVES for place in range(history.CASES_OF_A_LIFE)]
    families = {case: family(case // HISTORIES) for case in cases}
    steps = [step for case in cases for step in history.history(families[case], case % HISTORIES)]
    built = [history.life(families[first], first % HISTORIES) for first in LIVES]

    def kinds(name, do):
        return {step[name] for step in steps if step["do"] == do}

    assert {step["do"] for step in steps} == history._STEPS.keys() - {"mode"}  # which is a change
    assert kinds("kind", "change") >= CHANGES
    assert kinds("kind", "derivative") == {*history.DERIVATIVES}
    assert kinds("loss", "run") == {*history.LOSSES}
    assert kinds("how", "copy") == {"deepcopy", "pickle", "deepcopy and back"}
    assert kinds("how", "learn") == {"sgd", "adam"}
    assert kinds("layout", "run") == {"plain", "transposed", "expanded", "strided"}
    assert kinds("mode", "run") == {"train", "no_grad", "inference"}
    assert kinds("scale", "run") == {1.0, 0.01, 30.0, 500.0, 0.0}
    assert kinds("autocast", "run") == kinds("state", "run") == {True, False}
    assert {step["lengths"] is None for step in steps if step["do"] == "run"} == {True, False}
    assert {each["structure"] for each in built} == {"recurrent", "bidirectional", "encoder"}
    for name in ("reverse", "recompute", "explicit", "loop"):
        assert {each[name] for each in built} == {True, False}
    assert {each["grid"] is None for each in built} == {True, False}
    assert {each.dtype for each in families.values()} == {"float32", "float64"}
    assert {each.kind for each in families.values()} >= {
        "gated",
        "linear",
        "stepping",
        "plain",
        "MinLSTMCell",
        "RNNCell",
    }
    special = {name for each in families.values() for name in each.special}
    assert special >= {"dropout module", "no_grad", "stateful", "unregistered tensor"}
    assert {name for each in families.values() for name in each.effects} >= {
        "counter",
        "global counter",
        "growing list",
    }


def test_the_campaign_compiles_few_programs_and_runs_them_often():
    assert sum(programs for _, programs in runs.values()) <= 40
    assert sum(compiled for compiled, _ in runs.values()) >= 370 or len(runs) < len(LIVES)


def test_a_case_is_the_same_each_time():
    assert describe(137) == describe(137)
    assert family(3) != family(4)
