"""A step that mixes rows, or takes numbers from tensors or the world, runs on ``loop``; by name it is refused."""

import logging
import os
import random
import time

import pytest
import torch

from seqlab.nn import Recurrent
from seqlab.nn.engine.scan import execution
from tests.nn.agreement import RAGGED, assert_layer_agrees, small_cell
from tests.nn.engine.refusals import Refused

pytestmark = pytest.mark.usefixtures("compiled_quickly")  # each step could be compiled

REFUSED = Refused()
refused = REFUSED.step


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


@pytest.mark.parametrize("name", REFUSED)
def test_auto_runs_as_loop_does(capsys, name):
    REFUSED.assert_as_on_loop(name, capsys, may_be_served=name in MAY_BE_SERVED)


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - MAY_BE_SERVED - MIXES_ROWS))
def test_by_name_it_is_refused_in_one_line_before_anything_is_computed(name):
    REFUSED.assert_refused_by_name(name)


@pytest.mark.parametrize("name", sorted(MIXES_ROWS))
def test_by_name_what_mixes_rows_runs_uncompiled_and_right(caplog, monkeypatch, name):
    monkeypatch.setattr(execution, "_warned", set())
    layer = Recurrent(REFUSED.made(name), "scan")
    with caplog.at_level(logging.WARNING, logger="seqlab"):
        for lengths in (None, RAGGED):
            assert_layer_agrees(layer, lengths)
    (message,) = [record.message for record in caplog.records if record.name == "seqlab"]
    assert message.startswith("Small: scan runs its step uncompiled, slower than a loop")


def test_the_environment_is_read_at_each_call(monkeypatch):
    layer = Recurrent(REFUSED.made("the_environment"))
    before = assert_layer_agrees(layer)
    monkeypatch.setenv("SEQLAB_TEST_SCALE", "0.1")
    assert not torch.allclose(before, assert_layer_agrees(layer))


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
