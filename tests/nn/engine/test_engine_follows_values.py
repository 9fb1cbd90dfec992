"""A layer that has run follows its cell's numbers, strings and containers; a changed number is no new program."""

import collections

import pytest
import torch

from seqlab.nn import Recurrent
from seqlab.nn.engine.scan import build
from tests.nn.agreement import assert_layer_agrees, small_cell
from tests.nn.engine.following import Flag, Kinds, Mode, Pair, either

pytestmark = pytest.mark.usefixtures("compiled_quickly")  # each step is compiled, the same ones once a session

KINDS = Kinds()
kind = KINDS.kind


@kind()
def a_float():
    return small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.alpha,), alpha=1.0), {"alpha": 0.1}


@kind()
def a_float_that_branches():
    def step(self, gi, gh, state):
        return (either(self.alpha > 0.5, gi + gh),)

    return small_cell(step, alpha=1.0), {"alpha": 0.1}


@kind()
def an_int():
    return small_cell(lambda self, gi, gh, state: (either(self.level > 1, gi + gh),), level=1), {"level": 2}


@kind()
def an_int_in_arithmetic():
    return small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.level,), level=1), {"level": 2}


@kind()
def an_int_as_an_index():
    def step(self, gi, gh, state):
        return (((gi + gh).unflatten(-1, (2, -1))[:, self.place]).tanh(),)

    return small_cell(step, gates=2, place=0), {"place": 1}


@kind()
def a_string():
    return small_cell(lambda self, gi, gh, state: (getattr(torch, self.how)(gi + gh),), how="tanh"), {"how": "sigmoid"}


@kind()
def a_bool():
    return small_cell(lambda self, gi, gh, state: (either(self.flag, gi + gh),), flag=False), {"flag": True}


@kind()
def none_or_a_number():
    def step(self, gi, gh, state):
        return (either(self.bound is not None, gi + gh),)

    return small_cell(step, bound=None), {"bound": 0.3}


@kind()
def a_nested_dict():
    def step(self, gi, gh, state):
        return ((gi + gh).tanh() * self.options["inner"]["alpha"],)

    cell = small_cell(step, options={"inner": {"alpha": 1.0}})
    return cell, lambda: cell.options["inner"].update(alpha=0.1)


@kind()
def a_key_of_a_dict():
    cell = small_cell(lambda self, gi, gh, state: (either("on" in self.options, gi + gh),), options={})
    return cell, lambda: cell.options.update(on=1)


@kind()
def a_list_of_numbers():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.scales[0],), scales=[1.0, 2.0])
    return cell, lambda: cell.scales.__setitem__(0, 0.1)


@kind()
def the_length_of_a_list():
    def step(self, gi, gh, state):
        z = gi + gh
        for scale in self.scales:
            z = z * scale
        return (z.tanh(),)

    cell = small_cell(step, scales=[0.5])
    return cell, lambda: cell.scales.append(0.2)


@kind()
def a_tuple():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.scales[0],), scales=(1.0, 2.0))
    return cell, {"scales": (0.1, 2.0)}


@kind()
def a_set():
    cell = small_cell(lambda self, gi, gh, state: (either("on" in self.marks, gi + gh),), marks={"off"})
    return cell, lambda: cell.marks.add("on")


@kind(engine=None)
def an_ordered_dict():
    def step(self, gi, gh, state):
        z = gi + gh
        for name in self.order:
            z = getattr(torch, name)(z)
        return (z,)

    cell = small_cell(step, order=collections.OrderedDict(tanh=1, sigmoid=1))
    return cell, lambda: cell.order.move_to_end("tanh")


@kind(engine=None)
def a_default_dict():
    cell = small_cell(
        lambda self, gi, gh, state: ((gi + gh).tanh() * self.table["alpha"],),
        table=collections.defaultdict(lambda: 1.0, alpha=1.0),
    )
    return cell, lambda: cell.table.update(alpha=0.1)


@kind()
def a_named_tuple():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.pair.alpha,), pair=Pair(1.0, 2.0))
    return cell, {"pair": Pair(0.1, 2.0)}


@kind()
def an_enum():
    cell = small_cell(lambda self, gi, gh, state: (either(self.mode is Mode.SIGMOID, gi + gh),), mode=Mode.TANH)
    return cell, {"mode": Mode.SIGMOID}


@kind()
def the_value_of_an_enum():
    cell = small_cell(lambda self, gi, gh, state: (getattr(torch, self.mode.value)(gi + gh),), mode=Mode.TANH)
    return cell, {"mode": Mode.SIGMOID}


@kind(engine=None)
def an_int_enum():
    cell = small_cell(lambda self, gi, gh, state: (either(self.mode, gi + gh),), mode=Flag.OFF)
    return cell, {"mode": Flag.ON}


@pytest.mark.parametrize("name", KINDS)
def test_a_layer_follows(monkeypatch, name):
    KINDS.assert_followed(name, monkeypatch)


@pytest.mark.parametrize("alpha", [0.9, 1.0])
def test_a_number_that_is_annealed_is_no_reason_to_compile_again(alpha):
    """But once, at its first change: until then it is a constant."""

    def step(self, gi, gh, state):
        return ((gi + gh).tanh() * self.alpha * (1 + self.beta),)

    cell = small_cell(step, alpha=alpha, beta=0.25)
    layer = Recurrent(cell)
    assert_layer_agrees(layer)
    before = build.compilations
    for step in range(1, 60):
        cell.alpha, cell.beta = 1 / (1 + step), step / 7
        layer(torch.zeros(2, 3, 3).double())
        assert layer.last_run.engine == "scan"
    assert_layer_agrees(layer)
    assert build.compilations <= before + 1


@pytest.mark.parametrize(
    "used",
    [
        # As a divisor, a bound, an exponent, and in whole divisions; and in a branch.
        lambda z, h, k: z / k + h + z.clamp(-k, k) * h + (z.abs() + 0.1) ** k * 0.1 + z * (k // 2) + h * (k % 3),
        lambda z, h, k: z if k > 4 else h * 0.5 + z,
    ],
    ids=["in arithmetic", "in a branch"],
)
def test_so_is_no_whole_number_that_changes(used):
    cell = small_cell(lambda self, gi, gh, state: (used(gi + gh, state[0], self.count).tanh(),), count=2)
    layer, before = Recurrent(cell), build.compilations
    for count in (2, 3, 5, 7, 4, 12, 2):
        cell.count = count
        assert_layer_agrees(layer)
        assert layer.last_run.engine == "scan"
    assert build.compilations <= before + 2


@pytest.mark.parametrize("attribute", [tuple(range(6)), ("tanh", "sigmoid", "relu", "sin", "cos", "abs")])
def test_other_attributes_ask_for_three_programs_and_then_the_layer_runs_on_loop(caplog, attribute):
    def step(self, gi, gh, state):
        names = ("tanh", "sigmoid", "relu", "sin", "cos", "abs")
        return (getattr(torch, self.how if isinstance(self.how, str) else names[self.how])(gi + gh),)

    cell = small_cell(step, how=attribute[0])
    layer, engines, x = Recurrent(cell), [], torch.randn(2, 3, 3).double()
    expected = Recurrent(cell, "loop")
    before = build.compilations
    with caplog.at_level("WARNING", logger="seqlab"):
        for value in (*attribute, *attribute):
            cell.how = value
            torch.testing.assert_close(layer(x), expected(x), rtol=1e-10, atol=1e-10)
            engines.append(layer.last_run.engine)
    assert engines == ["scan"] * 3 + ["loop"] * 9
    assert build.compilations <= before + 3
    (message,) = [record.message for record in caplog.records if record.name == "seqlab"]
    assert message.startswith("Small can't run on scan") and layer.last_run.reason in message
