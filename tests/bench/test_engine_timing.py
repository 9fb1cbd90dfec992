"""The arithmetic of the engines' benchmark: turns, medians, ratios, and the products' count of operations."""

import gc
import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from seqlab.bench.engine.cases import Case
from seqlab.bench.engine.contenders import Setting, Size
from seqlab.bench.engine.products import Products
from seqlab.bench.engine.rows import geometric_means, make_row, measure
from seqlab.bench.engine.scaling import make_rows
from seqlab.bench.engine.timing import Turns, take_turns
from seqlab.nn import GatedCell, GRUCell, LSTMCell, RecurrentCell, RNNCell


class Machine:
    """A clock that moves only when one of its contenders runs, by as much as that one's next duration."""

    def __init__(self, **durations: list[float]) -> None:
        self.now, self.log, self.collecting = 0.0, [], []
        self.calls = {name: self._call(name, list(values)) for name, values in durations.items()}

    def _call(self, name, values):
        def call():
            self.log.append(name)
            self.collecting.append(gc.isenabled())
            self.now += values.pop(0) if len(values) > 1 else values[0]

        return call

    def clock(self) -> float:
        return self.now


def test_every_round_times_every_contender_once_and_starts_one_further_on():
    machine = Machine(a=[1.0], b=[2.0], c=[3.0])
    take_turns(machine.calls, rounds=4, clock=machine.clock, warm_up=2)
    warm_up, rounds = machine.log[:9], machine.log[9:]
    assert warm_up == list("aaabbbccc")  # two calls to warm up and one that tells how long a call takes
    assert rounds == list("abc" + "bca" + "cab" + "abc")


def test_nothing_is_collected_while_timing_and_collecting_goes_on_afterwards():
    machine = Machine(a=[1.0])
    take_turns(machine.calls, rounds=2, clock=machine.clock, warm_up=1)
    assert machine.collecting == [True, True, False, False] and gc.isenabled()
    machine.calls["broken"] = lambda: 1 / (machine.collecting.count(False) - 3)
    with pytest.raises(ZeroDivisionError):
        take_turns(machine.calls, rounds=2, clock=machine.clock, warm_up=0)
    assert gc.isenabled()


def test_a_short_call_is_repeated_until_a_timing_is_long_enough():
    machine = Machine(short=[0.004], long=[0.5])
    turns = take_turns(machine.calls, rounds=2, clock=machine.clock, warm_up=1, at_least=0.01)
    assert machine.log[4:] == ["short"] * 3 + ["long"] + ["long"] + ["short"] * 3
    assert turns.seconds == {"short": pytest.approx([0.004] * 2), "long": pytest.approx([0.5] * 2)}


def test_a_timing_waits_for_the_device_on_both_sides():
    machine = Machine(a=[1.0])
    turns = take_turns(
        machine.calls,
        rounds=1,
        clock=machine.clock,
        synchronize=lambda: machine.log.append("wait"),
        warm_up=0,
    )
    assert machine.log == ["wait", "a", "wait"] * 2 and turns.seconds == {"a": [1.0]}


def test_a_ratio_is_the_median_of_the_rounds_ratios_and_not_the_ratio_of_medians():
    machine = Machine(ours=[9.0, 9.0, 1.0, 2.0, 5.0], theirs=[9.0, 9.0, 4.0, 3.0, 5.0])
    turns = take_turns(machine.calls, rounds=3, clock=machine.clock, warm_up=1)
    assert turns.seconds == {"ours": [1.0, 2.0, 5.0], "theirs": [4.0, 3.0, 5.0]}
    assert turns.median("ours") == 2.0 and turns.median("theirs") == 4.0
    assert turns.speed_ratio("ours", "theirs") == 1.5  # of 4, 1.5 and 1


def _case(auto: str = "scan", H: int = 4, **others: str) -> Case:
    case = Case("lstm", "layer", Size(2, 3, H), auto, flops={"forward": 7})
    case.engines = dict.fromkeys(("native", "scan"))  # type: ignore[assignment]
    case.baselines = {"stock": "nn.LSTM", **others}
    return case


def test_a_row_holds_medians_and_ratios_to_the_baselines_that_were_timed():
    seconds = {"native": [0.002, 0.002], "scan": [0.001, 0.001], "nn.LSTM": [0.004, 0.006], "products": [0.0005] * 2}
    row = make_row(_case(products="products", loop="loop"), "forward", Turns(seconds)).as_json()
    assert row["milliseconds"] == pytest.approx({"native": 2, "scan": 1, "nn.LSTM": 5, "products": 0.5})
    assert row["ratios"]["native"] == pytest.approx({"stock": 2.5, "products": 0.25})
    assert row["ratios"]["scan"] == pytest.approx({"stock": 5.0, "products": 0.5})
    assert (row["T"], row["B"], row["H"], row["pass"], row["flops"]) == (2, 3, 4, "forward", 7)


def test_each_pass_calls_its_own_half_of_a_contender_and_frees_the_gradients():
    now, released = [0.0], []

    class Contender:
        def __init__(self, forward, both):
            self.durations = {"forward": forward, "both": both}

        def forward(self):
            now[0] += self.durations["forward"]

        def both(self):
            now[0] += self.durations["both"]

        def release(self):
            released.append(self)

    case = _case()
    case.engines, case.others = {"scan": Contender(1.0, 3.0)}, {"nn.LSTM": Contender(2.0, 4.5)}
    forward, both = measure(case, 3, Setting(torch.device("cpu")), clock=lambda: now[0])
    assert (forward.seconds, forward.ratios) == ({"scan": 1.0, "nn.LSTM": 2.0}, {"scan": {"stock": 2.0}})
    assert (both.seconds, both.ratios) == ({"scan": 3.0, "nn.LSTM": 4.5}, {"scan": {"stock": 1.5}})
    assert len(released) == 4


def test_the_geometric_mean_runs_over_the_sizes_and_follows_autos_choice():
    def row(auto: str, H: int, native: float, scan: float, direction: str = "forward"):
        times = {"native": [1 / native], "scan": [1 / scan], "nn.LSTM": [1.0]}
        return make_row(_case(auto, H), direction, Turns(times))

    rows = [row("native", 4, 2.0, 0.5), row("scan", 8, 0.25, 3.0), row("scan", 8, 7.0, 7.0, "forward+backward")]
    means = {(mean.direction, mean.engine): (mean.ratios["stock"], mean.sizes) for mean in geometric_means(rows)}
    assert means["forward", "native"] == (pytest.approx(math.sqrt(2.0 * 0.25)), 2)
    assert means["forward", "scan"] == (pytest.approx(math.sqrt(0.5 * 3.0)), 2)
    assert means["forward", "auto"] == (pytest.approx(math.sqrt(2.0 * 3.0)), 2)
    assert means["forward+backward", "auto"] == (pytest.approx(7.0), 1)


def test_growth_is_the_time_of_a_step_over_that_of_the_fewest_steps():
    two, eight = Size(2, 3, 4), Size(8, 3, 4)
    scan = {("scan", two): [0.2, 0.4], ("scan", eight): [1.6, 1.6]}
    stock = {("nn.LSTM", two): [0.1, 0.1], ("nn.LSTM", eight): [0.4, 0.4]}
    found = make_rows("lstm", ["scan", "nn.LSTM"], [two, eight], Turns(scan | stock))
    rows = {(row.contender, row.T): row for row in found}
    assert [(row.B, row.H) for row in found] == [(3, 4)] * 4
    assert rows["scan", 2].microseconds_per_step == pytest.approx(1e6 * 0.3 / 2)
    assert rows["scan", 8].microseconds_per_step == pytest.approx(1e6 * 1.6 / 8)
    assert rows["scan", 2].growth == 1.0
    assert rows["scan", 8].growth == pytest.approx((8 + 4) / 2 * 2 / 8)  # the median of the rounds' own ratios
    assert rows["nn.LSTM", 8].growth == pytest.approx(1.0)
    assert rows["scan", 8].speed_ratios == {"nn.LSTM": pytest.approx(0.25)}


class Diagonal(GatedCell):
    num_gates, recurrent = 2, False

    def pointwise(self, gi, gh, state):
        return (gi.chunk(2, -1)[0] * state[0],)


@pytest.mark.parametrize(("kind", "gates"), [(RNNCell, 1), (GRUCell, 3), (LSTMCell, 4)])
def test_the_products_do_as_many_operations_as_the_formula_says(kind, gates):
    T, B, I, H = 5, 3, 6, 4  # noqa: E741
    products = Products.of(kind(I, H), T, B)
    assert products.forward_flops == 2 * T * B * gates * H * (I + H)
    assert products.flops == 6 * T * B * gates * H * (I + H)
    _check_counts(products)


def test_a_cell_without_a_recurrent_matrix_has_no_recurrent_products():
    products = Products.of(Diagonal(6, 4), 5, 3)
    assert products.flops == 6 * 5 * 3 * 2 * 4 * 6
    _check_counts(products)


def test_a_cell_without_weights_of_that_kind_has_no_products():
    class Leaky(RecurrentCell):
        def step(self, gi, state):
            return (0.5 * state[0] + gi,)

    assert Products.of(Leaky(3, 3), 5, 3) is None


def _check_counts(products: Products) -> None:
    contender = products.contender(torch.device("cpu"), torch.float32)
    for run, expected in ((contender.forward, products.forward_flops), (contender.both, products.flops)):
        with FlopCounterMode(display=False) as counter:
            run()
        assert counter.get_total_flops() == expected
