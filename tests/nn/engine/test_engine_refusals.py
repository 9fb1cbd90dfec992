"""What no graph holds runs on ``loop`` under "auto"; by name it is refused, with a reason, before it is computed."""

import copy
import dataclasses
import itertools
import logging
import os
import random
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from seqlab.nn import GRUCell, LinearCell, LSTMCell, Recurrent
from seqlab.nn.engine.scan import execution, readiness, schedule, spellings
from tests.nn.agreement import RAGGED, assert_layer_agrees, batch, small_cell
from tests.nn.covering import covering


@pytest.fixture(autouse=True)
def fresh(compiled_quickly):
    """Each step could be compiled."""


def x_of(steps=3):
    return torch.linspace(-1, 1, 2 * steps * 3, dtype=torch.float64).view(2, steps, 3)


# Each step as a function, and the attributes it needs

REFUSED = {}


def refused(**attributes):
    """Registers a step that only a loop runs right; ``attributes`` are made anew for each cell."""

    def register(function):
        REFUSED[function.__name__] = (function, attributes)
        return function

    return register


@refused()
def python_random(self, gi, gh, state):
    return ((gi + gh).tanh() if random.random() < 0.5 else (gi + gh).sigmoid(),)


@refused()
def python_random_in_arithmetic(self, gi, gh, state):
    return ((gi + gh).tanh() * random.uniform(0.5, 1),)


@refused(draw=lambda: random.Random(3))
def a_generator_of_pythons(self, gi, gh, state):
    return ((gi + gh).tanh() * self.draw.random(),)


@refused()
def numpy_random(self, gi, gh, state):
    return ((gi + gh).tanh() * float(np.random.rand()),)


@refused(draw=lambda: np.random.default_rng(0))
def a_generator_of_numpys(self, gi, gh, state):
    return ((gi + gh).tanh() * float(self.draw.random()),)


@refused()
def dropout(self, gi, gh, state):
    return (functional.dropout((gi + gh).tanh(), 0.5),)


@refused()
def noise(self, gi, gh, state):
    return ((gi + gh).tanh() + torch.randn_like(gi),)


@refused()
def noise_of_a_shape(self, gi, gh, state):
    return ((gi + gh).tanh() * torch.rand(gi.size(1), dtype=gi.dtype),)


@refused()
def a_bernoulli_draw(self, gi, gh, state):
    return ((gi + gh).tanh() * (gi + gh).sigmoid().bernoulli(),)


@refused()
def noise_in_place(self, gi, gh, state):
    return ((gi + gh).tanh() + torch.empty_like(gi).normal_(),)


@refused()
def rrelu(self, gi, gh, state):
    return (functional.rrelu((gi + gh), training=True),)


@refused(count=lambda: 0)
def a_counter(self, gi, gh, state):
    self.count += 1
    return ((gi + gh).tanh() * (self.count % 2),)


@refused(count=lambda: [0])
def a_counter_in_a_list(self, gi, gh, state):
    self.count[0] += 1
    return ((gi + gh).tanh() * (self.count[0] % 3),)


@refused(count=lambda: {"steps": 0})
def a_counter_in_a_dict(self, gi, gh, state):
    self.count["steps"] += 1
    return ((gi + gh).tanh() * (self.count["steps"] % 3),)


@refused(seen=list)
def a_list_that_grows(self, gi, gh, state):
    self.seen.append(1)
    return ((gi + gh).tanh() / len(self.seen),)


@refused(seen=list)
def a_list_of_what_was_seen(self, gi, gh, state):
    self.seen.append(state[0].detach())
    return ((gi + gh).tanh(),)


@refused(last=lambda: None)
def a_probe(self, gi, gh, state):
    self.last = state[0].detach()
    return ((gi + gh).tanh(),)


@refused(steps=itertools.count)
def an_iterator(self, gi, gh, state):
    return ((gi + gh).tanh() * (next(self.steps) % 3),)


@refused(steps=lambda: (k % 3 for k in itertools.count()))
def a_python_generator(self, gi, gh, state):
    return ((gi + gh).tanh() * next(self.steps),)


@refused(steps=lambda: iter([0.5, 1.0, 0.1] * 50))
def an_iterator_of_a_list(self, gi, gh, state):
    return ((gi + gh).tanh() * next(self.steps),)


@refused(count=lambda: torch.zeros((), dtype=torch.float64))
def a_tensor_that_counts(self, gi, gh, state):
    self.count.add_(1)
    return ((gi + gh).tanh() * (self.count % 2),)


@refused(mean=lambda: nn.Buffer(torch.zeros(5, dtype=torch.float64)))
def a_buffer_that_averages(self, gi, gh, state):
    with torch.no_grad():
        self.mean.mul_(0.9).add_(state[0].mean(0), alpha=0.1)
    return ((gi + gh).tanh() + self.mean,)


@refused(mean=lambda: nn.Buffer(torch.zeros(5, dtype=torch.float64)))
def a_buffer_that_is_replaced(self, gi, gh, state):
    self.mean = self.mean * 0.5 + 1
    return ((gi + gh).tanh() * self.mean,)


@refused(norm=lambda: nn.BatchNorm1d(5))
def running_statistics(self, gi, gh, state):
    return (self.norm(gi + gh).tanh(),)


@refused()
def statistics_of_the_batch(self, gi, gh, state):
    z = gi + gh
    return ((z - z.mean(0)).tanh(),)


@refused()
def a_neighbour_in_the_batch(self, gi, gh, state):
    return ((gi + gh.roll(1, 0)).tanh(),)


@refused()
def a_sum_over_all(self, gi, gh, state):
    return ((gi + gh).tanh() * gh.sum().sigmoid(),)


@refused()
def the_size_of_the_batch(self, gi, gh, state):
    return ((gi + gh).tanh() / gi.size(0),)


@refused()
def the_size_of_the_batch_in_a_branch(self, gi, gh, state):
    return ((gi + gh).tanh() if gi.shape[0] > 2 else (gi + gh).sigmoid(),)


@refused()
def the_length_of_the_batch(self, gi, gh, state):
    return ((gi + gh).tanh() * (len(state[0]) % 2),)


@refused()
def the_parity_of_the_batch(self, gi, gh, state):
    return ((gi + gh).tanh() * (gi.size(0) % 2),)


@refused()
def the_parity_of_the_batch_in_a_branch(self, gi, gh, state):
    return ((gi + gh).tanh() if gi.size(0) % 2 else (gi + gh).sigmoid(),)


@refused()
def whether_the_batch_is_a_known_number(self, gi, gh, state):
    return ((gi + gh).tanh() if len(gi) != 2 else (gi + gh).sigmoid(),)


@refused()
def all_the_numbers_of_the_batch(self, gi, gh, state):
    return ((gi + gh).tanh() / gi.numel(),)


@refused()
def a_whole_number_by_chance(self, gi, gh, state):
    return ((gi + gh).tanh() * random.randint(1, 5),)


@refused()
def item(self, gi, gh, state):
    return ((gi + gh).tanh() * gi[0, 0].item(),)


@refused()
def float_of_a_tensor(self, gi, gh, state):
    return ((gi + gh).tanh() * float(gi.detach().max()),)


@refused()
def a_branch_on_values(self, gi, gh, state):
    return ((gi + gh).tanh() if bool((gi > 0).all()) else (gi + gh).sigmoid(),)


@refused()
def a_list_of_values(self, gi, gh, state):
    return ((gi + gh).tanh() * gi[0].tolist()[0],)


@refused()
def through_numpy(self, gi, gh, state):
    return ((gi + gh).tanh() * torch.from_numpy(gi.detach().numpy()),)


@refused()
def boolean_indices(self, gi, gh, state):
    z = (gi + gh).tanh()
    return (z * z[z > 0].sum(),)


@refused()
def whether_its_state_requires_a_gradient(self, gi, gh, state):
    return ((gi + gh).tanh() if state[0].requires_grad else (gi + gh).sigmoid(),)


@refused()
def whether_its_state_requires_a_gradient_by_name(self, gi, gh, state):
    return ((gi + gh).tanh() if getattr(state[0], "requires_grad", False) else (gi + gh).sigmoid(),)


@refused()
def the_environment(self, gi, gh, state):
    return ((gi + gh).tanh() * float(os.environ.get("SEQLAB_TEST_SCALE", "1")),)


@refused()
def the_time(self, gi, gh, state):
    return ((gi + gh).tanh() + 0 * time.perf_counter(),)


@refused()
def printing(self, gi, gh, state):
    print("a step")
    return ((gi + gh).tanh(),)


@refused()
def logging_a_step(self, gi, gh, state):
    logging.getLogger("another").debug("a step")
    return ((gi + gh).tanh(),)


@refused()
def a_file(self, gi, gh, state):
    with open(os.devnull) as stream:
        return ((gi + gh).tanh() * (1 + len(stream.read())),)


MAY_BE_SERVED = {"boolean_indices", "logging_a_step", "the_time", "through_numpy"}  # where it is right
MIXES_ROWS = {"a_neighbour_in_the_batch", "a_sum_over_all", "statistics_of_the_batch"}  # exact, but not to be compiled


def made(name):
    function, attributes = REFUSED[name]
    cell = small_cell(function)
    for attribute, make in attributes.items():
        setattr(cell, attribute, make())
    return cell.double()


def seeded(layer, x, lengths=None):
    """The output, final state and gradients from the same seeds, and what is left of the random states."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    output, final = layer(x, lengths=lengths)
    gradients = torch.autograd.grad(
        output.sin().sum() + final[0].sum(), list(layer.cell.parameters()), allow_unused=True, materialize_grads=True
    )
    return [output, *final, *gradients], (random.random(), np.random.rand(), float(torch.rand(())))


@pytest.mark.parametrize("name", REFUSED)
def test_auto_runs_as_loop_does(capsys, name):
    """Twice, on the same layer: with the same draws, the same side effects and as many."""
    cell = made(name)
    twin = made(name)
    twin.load_state_dict(cell.state_dict())
    layer, loop = Recurrent(cell), Recurrent(twin, "loop")
    for steps, lengths in ((4, None), (3, None), (5, torch.tensor([5, 2]))):
        (found, after), printed = seeded(layer, x_of(steps), lengths), capsys.readouterr().out
        (expected, wanted), expected_print = seeded(loop, x_of(steps), lengths), capsys.readouterr().out
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
        assert after == wanted and printed == expected_print
    assert name in MAY_BE_SERVED or layer.last_run.engine == "loop", layer.last_run
    if layer.last_run.engine == "loop":
        assert layer.last_run.reason and "\n" not in layer.last_run.reason


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - MAY_BE_SERVED - MIXES_ROWS))
def test_by_name_it_is_refused_in_one_line_before_anything_is_computed(name):
    cell = made(name)
    before = copy.deepcopy({key: value for key, value in vars(cell).items() if key in ("count", "seen", "last")})
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    with pytest.raises(ValueError, match=r"^backend: scan can't run this Small: .*; use backend=\"auto\"$") as caught:
        Recurrent(cell, "scan")(x_of())
    assert "\n" not in str(caught.value)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[:2]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert all(vars(cell)[key] == value for key, value in before.items())


@pytest.mark.parametrize("name", sorted(MIXES_ROWS))
def test_by_name_what_mixes_rows_runs_uncompiled_and_right(caplog, monkeypatch, name):
    monkeypatch.setattr(execution, "_warned", set())
    layer = Recurrent(made(name), "scan")
    with caplog.at_level(logging.WARNING, logger="seqlab"):
        for lengths in (None, RAGGED):
            assert_layer_agrees(layer, lengths)
    (message,) = [record.message for record in caplog.records if record.name == "seqlab"]
    assert message.startswith("Small: scan runs its step uncompiled, slower than a loop")


def test_the_environment_is_read_at_each_call(monkeypatch):
    layer = Recurrent(made("the_environment"))
    before = assert_layer_agrees(layer)
    monkeypatch.setenv("SEQLAB_TEST_SCALE", "0.1")
    assert not torch.allclose(before, assert_layer_agrees(layer))


def test_a_step_that_is_chosen_by_chance_differs_from_call_to_call():
    layer = Recurrent(made("python_random"))
    random.seed(0)
    assert len({float(layer(x_of())[0].detach().sum()) for _ in range(20)}) > 1


def test_one_line_is_logged_for_a_layer_and_a_reason(caplog):
    cell = made("a_counter")
    layer = Recurrent(cell)
    with caplog.at_level(logging.WARNING, logger="seqlab"):
        for steps in (3, 4, 5):
            layer(x_of(steps))
            with torch.no_grad():
                layer(x_of(steps))
    messages = [record.message for record in caplog.records if record.name == "seqlab"]
    assert messages == [f"Small can't run on scan, and another engine does it: {layer.last_run.reason}"]
    assert "it changes self" in messages[0] and layer.engine == "loop"


def test_random_states_are_as_they_were_after_the_first_call():
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    layer, x = Recurrent(GRUCell(3, 5).double()), x_of()
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    layer(x)[0].sum().backward()
    assert layer.last_run.engine == "scan"
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[:2]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_a_hook_on_an_argument_is_named():
    def step(self, gi, gh, state):
        if state[0].requires_grad:
            state[0].register_hook(lambda gradient: gradient * 0.5)
        return ((gi + gh).tanh() + state[0],)

    layer = Recurrent(small_cell(step))
    assert_layer_agrees(layer)
    assert layer.last_run == ("loop", "it registers a hook on one of its arguments")


# What autograd offers inside a step is served


def straight_through(self, gi, gh, state):
    a = (gi + gh).tanh()
    return (a + (a.sign() - a).detach(),)


def without_gradients_inside(self, gi, gh, state):
    a = (gi + gh).tanh()
    with torch.no_grad():
        norm = a.abs() + 0.5
    return (a / norm,)


def set_grad_enabled_inside(self, gi, gh, state):
    a = (gi + gh).tanh()
    torch.set_grad_enabled(False)
    norm = a.abs() + 0.5
    torch.set_grad_enabled(True)
    return (a / norm,)


def a_detached_state(self, gi, gh, state):
    return ((gi + gh).tanh() + state[0].detach() * 0.5,)


def a_hook_that_clips(self, gi, gh, state):
    h = (gi + gh).tanh()
    if h.requires_grad:
        h.register_hook(lambda g: g.clamp(-0.1, 0.1))
    return (h,)


def a_hook_that_scales_the_state(self, gi, gh, state):
    h = state[0] * 1.0
    if h.requires_grad:
        h.register_hook(lambda g: g * 0.5)
    return ((gi + gh).tanh() + h,)


class Reversing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def a_function_with_a_gradient_of_its_own(self, gi, gh, state):
    return (Reversing.apply((gi + gh).tanh()),)


def a_gradient_inside(self, gi, gh, state):
    z = (gi + gh).detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(z.tanh().sum(), z)
    return ((gi + gh).tanh() * slope,)


def an_in_place_change_of_a_result(self, gi, gh, state):
    z = gi + gh
    z.mul_(0.5)
    z[:, 0] = 0.5
    return (z.tanh(),)


def an_assertion(self, gi, gh, state):
    assert gi.shape[1] == self.hidden_size, "the gates"
    return ((gi + gh).tanh(),)


@pytest.mark.parametrize(
    "function",
    [
        straight_through,
        without_gradients_inside,
        set_grad_enabled_inside,
        a_detached_state,
        a_hook_that_clips,
        a_hook_that_scales_the_state,
        a_function_with_a_gradient_of_its_own,
        a_gradient_inside,
        an_in_place_change_of_a_result,
        an_assertion,
    ],
    ids=lambda each: each.__name__,
)
def test_what_autograd_offers_inside_a_step_is_as_on_loop(function):
    layer = Recurrent(small_cell(function))
    for lengths in (None, RAGGED):
        assert_layer_agrees(layer, lengths, without_gradients=lengths is None)


def test_large_numbers_are_as_on_loop():
    cell = small_cell(lambda self, gi, gh, state: (functional.softplus(gi + gh) + torch.logaddexp(gi, gh),))
    found = []
    for backend in ("auto", "loop"):
        x = (500 * x_of()).requires_grad_()
        output, _ = Recurrent(cell, backend)(x)
        found.append([output, *torch.autograd.grad(output.sum(), [x, *cell.parameters()])])
    for one, other in zip(*found, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_a_list_is_as_good_as_a_tuple_on_every_engine():
    cell = small_cell(lambda self, gi, gh, state: [(gi + gh).tanh()])
    layer = Recurrent(cell)
    assert_layer_agrees(layer, without_gradients=True)
    with torch.no_grad():
        assert layer(x_of(1))[0].shape == (2, 1, 5)
    assert_layer_agrees(Recurrent(cell, recompute=True))


@pytest.mark.parametrize("result", [lambda z: z, lambda z: (z, z), lambda z: (z[:, :2],), lambda z: None])
def test_a_wrong_result_is_named_on_every_engine(result):
    cell = small_cell(lambda self, gi, gh, state: result((gi + gh).tanh()))
    for backend in ("auto", "loop"):
        with pytest.raises((TypeError, ValueError), match="Small"):
            Recurrent(cell, backend)(x_of())


# Batch statistics and sums over time where they may stand


class NormalizedOutput(LSTMCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.norm = nn.BatchNorm1d(hidden_size, track_running_stats=False)

    def output(self, state):
        return self.norm(state[0])


class CountingOutput(LSTMCell):
    """An output that draws and counts: it runs once a step."""

    calls = 0

    def output(self, state):
        self.calls += 1
        return state[0] * self.calls


class DropoutOutput(LSTMCell):
    def output(self, state):
        return functional.dropout(state[0], 0.5, self.training)


class NormalizedInput(LSTMCell):
    def project(self, x):
        gi = super().project(x)
        return (gi - gi.mean((0, 1))) / (gi.std((0, 1)) + 1)


class SummedInput(LSTMCell):
    def project(self, x):
        return super().project(x).cumsum(1) / 3


class RunningOutput(LSTMCell):
    """Running statistics: a buffer changes at each step."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.norm = nn.BatchNorm1d(hidden_size)

    def output(self, state):
        return self.norm(state[0])


@pytest.mark.parametrize(
    ("make", "lengths", "reverse"),
    covering(
        [NormalizedOutput, CountingOutput, DropoutOutput, NormalizedInput, SummedInput, RunningOutput],
        [None, RAGGED],
        [False, True],
    ),
)
def test_outputs_and_projections_of_any_kind_are_as_on_loop(make, lengths, reverse):
    torch.manual_seed(0)
    cell = make(3, 5).double()
    twin = copy.deepcopy(cell)
    counts, found = None if lengths is None else torch.tensor(lengths), []
    for each, backend in ((cell, "auto"), (twin, "loop")):
        layer = Recurrent(each, backend, reverse)
        for seed in range(2):
            torch.manual_seed(seed)
            x, _ = batch(each, 5, 6)
            output, final = layer(x.requires_grad_(), lengths=counts)
            loss = output.pow(3).sum() + final[1].sum()
            gradients = torch.autograd.grad(loss, [x, *each.parameters()])
        found.append([output, *final, *gradients, *each.buffers(), torch.rand(())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


# The parallel engine


class Linear(LinearCell):
    def coefficients(self, gi):
        return self.rule(gi)


@pytest.mark.parametrize(
    "rule",
    [
        lambda gi: (functional.dropout(gi.chunk(2, -1)[0].sigmoid(), 0.5), gi.chunk(2, -1)[1]),
        lambda gi: (gi.chunk(2, -1)[0].sigmoid() * random.random(), gi.chunk(2, -1)[1]),
        lambda gi: (gi.chunk(2, -1)[0].sigmoid(), gi.chunk(2, -1)[1] - gi.chunk(2, -1)[1].mean(0)),
        lambda gi: (gi.chunk(2, -1)[0].sigmoid(), gi.chunk(2, -1)[1] / gi.size(0)),
        lambda gi: (gi.chunk(2, 1)[0].sigmoid() if gi.dim() == 2 else gi.chunk(2, -1)[0] * 0, gi.chunk(2, -1)[1]),
    ],
    ids=["dropout", "chance", "batch statistics", "batch size", "another rule for many steps"],
)
def test_coefficients_that_are_not_each_rows_and_steps_run_on_loop(rule):
    cell = Linear(3, 5).double()
    cell.rule = rule
    layer, loop = Recurrent(cell), Recurrent(cell, "loop")
    for steps in (4, 6):
        (found, _), (expected, _) = seeded(layer, x_of(steps)), seeded(loop, x_of(steps))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match=r"^backend: parallel can't run this Linear"):
        Recurrent(cell, "parallel")(x_of())


# Checked before it is used


class GRU(GRUCell):
    """A user's own, for which there is no kernel."""


@pytest.fixture
def broken(monkeypatch):
    """Breaks the printer; a layer made within has a wrong step."""

    def apply(what):
        if what == "sigmoid":
            monkeypatch.setitem(spellings.SPELLINGS, "sigmoid", "(sigmoid({0}) * real(1.0001))")
        elif what == "tanh":
            monkeypatch.setitem(spellings.SPELLINGS, "tanh", "(hyperbolic_tangent({0}) + real(1e-5))")
        elif what == "where it is large":
            monkeypatch.setitem(spellings.SPELLINGS, "sigmoid", "choose({0} > real(40), splat(0.9), sigmoid({0}))")
        elif what == "difference":
            monkeypatch.setitem(spellings.SPELLINGS, "sub", "({1} - {0})")

    return apply


@pytest.mark.parametrize(
    ("what", "make", "engine", "dtype"),
    [
        *itertools.product(
            ["sigmoid", "tanh", "where it is large", "difference"], [GRU], ["loop"], [torch.float32, torch.float64]
        ),
        ("sigmoid", GRUCell, "native", torch.float32),
        ("difference", GRUCell, "native", torch.float64),
    ],
)
def test_a_wrong_step_is_not_used(caplog, broken, what, make, engine, dtype):
    broken(what)
    cell = make(3, 7).to(dtype)
    layer = Recurrent(cell)
    with caplog.at_level(logging.WARNING, logger="seqlab"):
        for _ in range(2):
            assert_layer_agrees(layer, tolerance=1e-5 if dtype == torch.float32 else 1e-10)
    assert layer.last_run.engine == engine
    (message,) = [record.message for record in caplog.records if record.name == "seqlab"]
    assert "differs from its own code, in the " in message and " instead of " in message
    with pytest.raises(ValueError, match=rf"^backend: scan can't run this {make.__name__}: its compiled step differs"):
        Recurrent(cell, "scan")(torch.zeros(2, 3, 3, dtype=dtype))


def test_a_wrong_stride_is_noticed(monkeypatch, caplog):
    dense = schedule.dense
    for module in (execution, readiness):
        monkeypatch.setattr(module, "dense", lambda *sizes: dataclasses.replace(dense(*sizes), stride=1))
    layer = Recurrent(GRU(3, 7).double())
    assert_layer_agrees(layer)
    assert layer.last_run.engine == "loop" and "differs from its own code" in layer.last_run.reason


def test_a_captured_graph_that_differs_from_the_cell_is_not_used():
    """What no guard saw: a subclass of tuple that counts what is taken from it."""

    class Reading(tuple):
        taken = 0

        def __getitem__(self, place):
            Reading.taken += 1
            return super().__getitem__(place) * Reading.taken

    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.scales[0],), scales=Reading((0.5,)))
    twin = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.scales[0],), scales=cell.scales)
    twin.load_state_dict(cell.state_dict())
    layer = Recurrent(cell)
    layer(x_of())
    Reading.taken = 0
    found = layer(x_of())[0]
    Reading.taken = 0
    torch.testing.assert_close(found, Recurrent(twin, "loop")(x_of())[0], rtol=1e-10, atol=1e-10)


def test_a_refusal_lasts_as_long_as_the_switch_that_caused_it():
    def step(self, gi, gh, state):
        if self.loud:
            self.seen += 1
        return ((gi + gh).tanh(),)

    cell = small_cell(step, loud=True, seen=0)
    layer, engines = Recurrent(cell), []
    for loud in (True, False, True, False):
        cell.loud = loud
        layer(torch.zeros(2, 3, 3, dtype=torch.float64))
        engines.append(layer.last_run.engine)
        assert not loud or "self.seen" in layer.last_run.reason
    assert engines == ["loop", "scan", "loop", "scan"]
    assert cell.seen == 6


@pytest.mark.parametrize(
    ("read", "frozen"),
    [
        (lambda gi, gh: gi.requires_grad, ("weight_ih", "bias_ih")),
        (lambda gi, gh: gh.requires_grad, ("weight_hh", "bias_hh")),
        (lambda gi, gh: gi.requires_grad and gh.requires_grad, ("weight_ih", "bias_ih")),
    ],
)
def test_weights_that_are_frozen_later_are_heeded_by_what_asks_for_them(compiled_quickly, read, frozen):
    layer = Recurrent(
        small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() if read(gi, gh) else (gi + gh).sigmoid(),))
    )
    x = torch.randn(4, 6, 3).double()

    def engine():
        torch.testing.assert_close(layer(x)[0], Recurrent(layer.cell, "loop")(x)[0], rtol=1e-10, atol=1e-10)
        return layer.last_run.engine

    assert engine() == "scan"
    for name in frozen:
        getattr(layer.cell, name).requires_grad_(False)
    assert engine() == "loop"
