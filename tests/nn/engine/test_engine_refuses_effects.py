"""A step that draws, counts or changes anything runs on ``loop`` under "auto"; by name it is refused, with a reason."""

import itertools
import logging
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from seqlab.nn import GRUCell, Recurrent
from tests.nn.agreement import assert_layer_agrees, small_cell
from tests.nn.engine.refusals import Refused, x_of

pytestmark = pytest.mark.usefixtures("compiled_quickly")  # each step could be compiled

REFUSED = Refused()
refused = REFUSED.step


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


@pytest.mark.parametrize("name", REFUSED)
def test_auto_runs_as_loop_does(capsys, name):
    REFUSED.assert_as_on_loop(name, capsys)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_by_name_it_is_refused_in_one_line_before_anything_is_computed(name):
    REFUSED.assert_refused_by_name(name)


def test_a_step_that_is_chosen_by_chance_differs_from_call_to_call():
    layer = Recurrent(REFUSED.made("python_random"))
    random.seed(0)
    assert len({float(layer(x_of())[0].detach().sum()) for _ in range(20)}) > 1


def test_one_line_is_logged_for_a_layer_and_a_reason(caplog):
    cell = REFUSED.made("a_counter")
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
