"""One layer: lengths, direction, states and what it refuses."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from seqlab.nn import Bidirectional, GRUCell, LSTMCell, Recurrent, RNNCell
from seqlab.nn.layers.order import flip_valid
from seqlab.nn.state import reset_rows
from tests.nn.bptt import LearnedStart


@pytest.mark.parametrize("backend", ["loop", "native"])
def test_every_row_is_as_if_it_were_alone_without_padding(backend):
    layer = Recurrent(LSTMCell(3, 5).double(), backend, reverse=True)
    lengths = torch.tensor([2, 6, 0, 4])
    x, state = torch.randn(4, 6, 3).double(), (torch.randn(4, 5).double(), torch.randn(4, 5).double())
    x[torch.arange(6) >= lengths[:, None]] = torch.nan
    output, final = layer(x, state, lengths)
    assert torch.equal(output[2], torch.zeros(6, 5).double())
    assert all(torch.equal(new[2], old[2]) for new, old in zip(final, state, strict=True))
    for row in (0, 1, 3):
        steps = int(lengths[row])
        alone, end = layer(x[row : row + 1, :steps], tuple(part[row : row + 1] for part in state))
        torch.testing.assert_close(output[row, :steps], alone[0], rtol=1e-12, atol=1e-12)
        assert torch.equal(output[row, steps:], torch.zeros(6 - steps, 5).double())
        for new, expected in zip(final, end, strict=True):
            torch.testing.assert_close(new[row], expected[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", ["loop", "native"])
def test_padding_gets_no_gradient_and_gives_none(backend):
    layer, lengths = Recurrent(GRUCell(3, 5), backend), torch.tensor([2, 4])
    x = torch.randn(2, 4, 3)
    x[0, 2:] = torch.inf
    x.requires_grad_()
    layer(x, lengths=lengths)[0].sum().backward()
    assert torch.equal(x.grad[0, 2:], torch.zeros(2, 3))
    assert x.grad[0, :2].abs().min() > 0
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64])
def test_lengths_of_any_integer_type(dtype):
    layer, x = Recurrent(LSTMCell(3, 5)), torch.randn(2, 4, 3)
    expected = layer(x, lengths=torch.tensor([2, 4]))[0]
    assert torch.equal(layer(x, lengths=torch.tensor([2, 4], dtype=dtype))[0], expected)


def test_reverse_runs_from_each_rows_own_end():
    cell = LSTMCell(3, 5)
    x, lengths = torch.randn(3, 5, 3), torch.tensor([5, 3, 1])
    output, (h, _) = Recurrent(cell, reverse=True)(x, lengths=lengths)
    for row, steps in enumerate(lengths.tolist()):
        forward, _ = Recurrent(cell)(x[row : row + 1, :steps].flip(1))
        torch.testing.assert_close(output[row, :steps], forward[0].flip(0))
        torch.testing.assert_close(h[row], forward[0, -1])


def test_flip_valid_turns_the_valid_part_and_leaves_the_rest():
    x = torch.tensor([[1, 2, 3, 9], [1, 9, 9, 9], [8, 9, 9, 9], [1, 2, 3, 4]]).unsqueeze(2)
    lengths = torch.tensor([3, 1, 0, 4])
    flipped = flip_valid(x, lengths)
    assert flipped.squeeze(2).tolist() == [[3, 2, 1, 9], [1, 9, 9, 9], [8, 9, 9, 9], [4, 3, 2, 1]]
    assert torch.equal(flip_valid(flipped, lengths), x)
    assert torch.equal(flip_valid(x, None), x.flip(1))


def test_flip_valid_is_exact_in_its_gradient():
    x = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: flip_valid(x, torch.tensor([3, 4])), (x,))


@pytest.mark.parametrize("backend", ["loop", "native"])
def test_bidirectional_is_two_layers_side_by_side(backend):
    one, two = LSTMCell(3, 4).double(), LSTMCell(3, 5).double()
    layer = Bidirectional(one, two, backend)
    x, lengths = torch.randn(3, 6, 3).double(), torch.tensor([6, 0, 2])
    forward = tuple(torch.randn(3, 4).double() for _ in "hc")
    backward = tuple(torch.randn(3, 5).double() for _ in "hc")
    output, (left, right) = layer(x, (forward, backward), lengths)
    output_left, expected_left = Recurrent(one, "loop")(x, forward, lengths)
    output_right, expected_right = Recurrent(two, "loop", reverse=True)(x, backward, lengths)
    torch.testing.assert_close(output, torch.cat((output_left, output_right), 2))
    torch.testing.assert_close((left, right), (expected_left, expected_right))
    assert layer.output_size == 9
    assert layer.engine == backend


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, torch.tensor([3, 0])])
def test_learned_initial_state_gets_its_gradient(lengths, reverse):
    cell = LearnedStart(3, 4).double()
    layer = Recurrent(cell, reverse=reverse)
    x = torch.randn(2, 3, 3).double()
    (output, (h,)) = layer(x, lengths=lengths)
    (actual,) = torch.autograd.grad(output.sum() + h.sum(), cell.start)
    given = cell.start.detach().expand(2, -1).clone().requires_grad_()
    output, (h,) = layer(x, (given,), lengths)
    (expected,) = torch.autograd.grad(output.sum() + h.sum(), given)
    torch.testing.assert_close(actual, expected.sum(0))
    assert actual.abs().min() > 0


def test_reset_rows_restart_from_the_learned_state_and_train_it():
    layer = Recurrent(LearnedStart(3, 4).double())
    x = torch.randn(3, 2, 3).double()
    carried = (torch.randn(3, 4).double(),)
    state = reset_rows(carried, torch.tensor([False, True, False]), layer.initial_state(3, like=x))
    output, _ = layer(x, state)
    torch.testing.assert_close(output[1], layer(x)[0][1])
    torch.testing.assert_close(output[[0, 2]], layer(x, carried)[0][[0, 2]])
    (gradient,) = torch.autograd.grad(output.sum(), layer.cell.start)
    (expected,) = torch.autograd.grad(layer(x[1:2])[0].sum(), layer.cell.start)
    torch.testing.assert_close(gradient, expected)


def test_layers_copy_and_pickle():
    layer, x = Bidirectional(LSTMCell(3, 4), GRUCell(3, 4)), torch.randn(2, 5, 3)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(twin(x), layer(x))


X = torch.zeros(2, 5, 3)
H = torch.zeros(2, 4)


@pytest.mark.parametrize("backend", ["loop", "native"])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X[0],), ValueError, r"x: expected shape \(B, T, 3\) with no empty axis, got \(5, 3\)"),
        ((X[..., :2],), ValueError, r"x: expected shape \(B, T, 3\).*got \(2, 5, 2\)"),
        ((X[:, :0],), ValueError, r"x: expected .* no empty axis, got \(2, 0, 3\)"),
        ((X[:0],), ValueError, r"x: expected .* no empty axis, got \(0, 5, 3\)"),
        ((X.long(),), TypeError, "x: expected floating-point values, got torch.int64"),
        (([[0.0]],), TypeError, "x: expected a tensor .*got list"),
        ((X, H), ValueError, r"state: expected the tuple \(h \(2, 4\), c \(2, 4\)\), got Tensor\(2, 4\)"),
        ((X, (H,)), ValueError, r"state: expected .* got \(Tensor\(2, 4\),\)"),
        ((X, (H, H[:1])), ValueError, r"state: expected .* got \(Tensor\(2, 4\), Tensor\(1, 4\)\)"),
        ((X, ((H, H),)), ValueError, "state: expected"),
        ((X, (H, H.to("meta"))), ValueError, "state: expected tensors on cpu, where x is, got .*meta"),
        ((X, None, [5, 5]), TypeError, r"lengths: expected a tensor \(2,\), got list; use torch.tensor"),
        (
            (X, None, torch.tensor([5])),
            ValueError,
            r"lengths: expected shape \(2,\), one for each row of x, got \(1,\)",
        ),
        ((X, None, torch.tensor([5, 6])), ValueError, r"lengths: expected values from 0 to T = 5, got \[5, 6\]"),
        ((X, None, torch.tensor([5, -1])), ValueError, r"lengths: expected values from 0 to T = 5, got \[5, -1\]"),
        ((X, None, torch.tensor([5.0, 1.0])), TypeError, "lengths: expected integers, got torch.float32"),
        ((X, None, torch.tensor([True, True])), TypeError, "lengths: expected integers, got torch.bool"),
    ],
)
def test_wrong_arguments_give_one_clear_line(backend, arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        Recurrent(LSTMCell(3, 4), backend)(*arguments)
    assert "\n" not in str(caught.value)


def test_wrong_constructions_are_refused():
    cell = LSTMCell(3, 4)
    with pytest.raises(TypeError, match="cell: expected a RecurrentCell"):
        Recurrent(LSTMCell)
    with pytest.raises(ValueError, match="backward_cell: expected a cell of its own"):
        Bidirectional(cell, cell)
    with pytest.raises(ValueError, match="backward_cell: expected forward_cell's input_size, got cells of 3 and 2"):
        Bidirectional(cell, LSTMCell(2, 4))
    with pytest.raises(ValueError, match=r"state: expected the pair \(forward, backward\) of states, got \(\(Tensor"):
        Bidirectional(cell, LSTMCell(3, 4))(X, ((H, H),))


class Halved(nn.Module):
    def forward(self, weight):
        return weight * 0.5


@pytest.mark.parametrize("copied", [lambda layer: pickle.loads(pickle.dumps(layer)), copy.deepcopy])
def test_a_layer_that_ran_parametrized_is_copied_once_that_is_removed(copied):
    layer = Recurrent(GRUCell(3, 5))
    parametrize.register_parametrization(layer.cell, "weight_ih", Halved())
    x = torch.randn(2, 4, 3)
    layer(x)
    parametrize.remove_parametrizations(layer.cell, "weight_ih")
    assert torch.equal(copied(layer)(x)[0], layer(x)[0])


@pytest.mark.parametrize("lengths", [None, [6, 2, 4]], ids=["whole", "ragged"])
@pytest.mark.parametrize("backend", ["loop", "native", "scan"])
def test_what_is_evaluated_in_bfloat16_does_not_copy_weights_for_each_row(backend, lengths):
    layer, head = Recurrent(LSTMCell(3, 5), backend), nn.Linear(5, 7)
    lengths = None if lengths is None else torch.tensor(lengths)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        output, _ = layer(torch.randn(3, 6, 3), lengths=lengths)
        with torch.profiler.profile() as profile:
            head(output)
    calls = {event.key for event in profile.key_averages()}
    assert "aten::linear" in calls and "aten::bmm" not in calls


@pytest.mark.parametrize("begins", [True, False])
def test_a_complex_state_is_refused_whose_imaginary_part_would_be_lost(begins):
    """As of a linear recurrent unit: it becomes complex at its first step, or begins so."""

    class Rotating(RNNCell):
        def initial_state(self, batch_size, *, like):
            (h,) = super().initial_state(batch_size, like=like)
            return (h.to(torch.complex64) if begins else h,)

        def step(self, gi, state):
            return (gi + state[0] * torch.complex(torch.tensor(0.6), torch.tensor(0.8)),)

        def output(self, state):
            return state[0].real

    layer = Recurrent(Rotating(3, 4), "loop")
    with pytest.raises(TypeError, match=r"Rotating: expected real numbers in h, got torch\.complex64; carry its real"):
        layer(torch.zeros(2, 3, 3))
