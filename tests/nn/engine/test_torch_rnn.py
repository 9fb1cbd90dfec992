"""What is asked of torch's own recurrent modules, asked of their encoders on "auto": shapes, states and lengths."""

import itertools

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqlab.nn.interop import state_from_torch, state_to_torch
from tests.nn.engine.torch_twins import FAMILIES, as_parts, borrowed, hidden, lasting_twins, ran_compiled, twins

pytestmark = pytest.mark.usefixtures("compiled_quickly")


# Shapes


SIZES = ((1, 1), (1, 7), (6, 1), (10, 4))


# All pairs of family, number of layers, directions and shape: of each row (a, b), layers by a + b's first bit and
# directions by its second. Each family also makes a first call of one of the shapes, each another.
SHAPES = [
    (family, 1 + ((a ^ b) & 1), bool((a ^ b) & 2), shape)
    for (a, family), (b, shape) in itertools.product(enumerate(FAMILIES), enumerate(SIZES))
]


@pytest.mark.parametrize(("family", "num_layers", "bidirectional", "shape"), SHAPES)
def test_shapes_and_values(family, num_layers, bidirectional, shape):
    module, encoder = lasting_twins(family, num_layers=num_layers, bidirectional=bidirectional)
    assert_gives_torchs(module, encoder, *shape)


@pytest.mark.parametrize(("family", "shape"), list(zip(FAMILIES, SIZES, strict=True)))
def test_a_first_call_may_be_of_any_shape(family, shape):
    assert_gives_torchs(*twins(family), *shape)


def assert_gives_torchs(module, encoder, rows, steps):
    x = torch.randn(rows, steps, 3, dtype=torch.float64)
    output, state = module(x)
    found, new = encoder(x)
    assert found.shape == output.shape == (rows, steps, encoder.output_size)
    torch.testing.assert_close(found, output, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(as_parts(state_to_torch(new)), as_parts(state), rtol=1e-10, atol=1e-10)
    assert ran_compiled(encoder)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("shape", "message"),
    [((4, 5, 2), r"x: expected shape \(B, T, 3\)"), ((5, 3), r"x: expected shape"), ((4, 0, 3), "no empty axis")],
)
def test_an_input_of_a_wrong_shape_is_refused(family, shape, message):
    _, encoder = lasting_twins(family)
    with pytest.raises(ValueError, match=message):
        encoder(torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_initial_state_of_a_wrong_shape_is_refused(family, bidirectional):
    module, encoder = lasting_twins(family, num_layers=2, bidirectional=bidirectional)
    x = torch.zeros(4, 6, 3, dtype=torch.float64)
    for rows, width, entries in ((3, 5, 0), (4, 4, 0), (4, 5, 1)):
        other = FAMILIES[family](3, width, 2 + entries, bidirectional=bidirectional, dtype=torch.float64)
        state = hidden(other, rows)
        with pytest.raises(RuntimeError):
            module(x, state)
        with pytest.raises(ValueError, match="state"):
            encoder(x, state_from_torch(state, bidirectional))


def test_an_lstms_state_for_a_gru_and_the_other_way_round_is_refused():
    x = torch.zeros(4, 6, 3, dtype=torch.float64)
    lstm, gru = twins("lstm"), twins("gru")
    with pytest.raises(ValueError, match="state"):
        lstm[1](x, state_from_torch(hidden(gru[0], 4)))
    with pytest.raises(ValueError, match="state"):
        gru[1](x, state_from_torch(hidden(lstm[0], 4)))


@pytest.mark.parametrize("family", FAMILIES)
def test_integers_and_other_dtypes_are_refused(family):
    _, encoder = lasting_twins(family)
    with pytest.raises(TypeError, match="x: expected floating-point"):
        encoder(torch.zeros(2, 4, 3, dtype=torch.long))
    with pytest.raises((RuntimeError, ValueError)):  # as torch's own: no silent conversion of weights
        encoder(torch.zeros(2, 4, 3, dtype=torch.float32))


# Initial states


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_no_initial_state_is_one_of_zeros(family, bidirectional):
    module, encoder = lasting_twins(family, num_layers=2, bidirectional=bidirectional)
    x = torch.randn(4, 6, 3, dtype=torch.float64)
    state = state_from_torch(hidden(module, 4), bidirectional)
    zeros = torch.utils._pytree.tree_map(torch.zeros_like, state)
    assert torch.equal(encoder(x)[0], encoder(x, zeros)[0])
    assert not torch.allclose(encoder(x)[0], encoder(x, state)[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_an_initial_state_and_its_gradient(family):
    module, encoder = lasting_twins(family, num_layers=2)
    x, found = torch.randn(4, 6, 3, dtype=torch.float64), []
    for mine in (False, True):
        given = [part.clone().requires_grad_() for part in as_parts(hidden(module, 4))]
        state = tuple(given) if len(given) > 1 else given[0]
        output, final = encoder(x, state_from_torch(state)) if mine else module(x, state)
        parts = as_parts(state_to_torch(final) if mine else final)
        loss = output.sin().sum() + sum((part * (k + 1)).cos().sum() for k, part in enumerate(parts))
        found.append([output, *parts, *torch.autograd.grad(loss, given)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sequence_in_two_parts(family):
    module, encoder = lasting_twins(family, num_layers=2)
    x = torch.randn(4, 7, 3, dtype=torch.float64)
    first, state = encoder(x[:, :3])
    second, state = encoder(x[:, 3:], state)
    whole, final = module(x)
    torch.testing.assert_close(torch.cat((first, second), 1), whole, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(as_parts(state_to_torch(state)), as_parts(final), rtol=1e-10, atol=1e-10)


# Lengths


LENGTHS = {"sorted": [6, 5, 3, 1], "unsorted": [1, 6, 3, 5], "equal": [4, 4, 4, 4], "full": [6, 6, 6, 6]}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("given", [False, True])
def test_lengths_are_a_packed_sequence(family, bidirectional, lengths, given):
    module, encoder = lasting_twins(family, num_layers=2, bidirectional=bidirectional)
    counts = torch.tensor(LENGTHS[lengths])
    state, found = hidden(module, 4) if given else None, []
    for mine in (False, True):
        module.zero_grad(), encoder.zero_grad()
        x = torch.linspace(-2, 2, 72, dtype=torch.float64).view(4, 6, 3).sin().requires_grad_()
        if mine:
            output, final = encoder(x, None if state is None else state_from_torch(state, bidirectional), counts)
            parts = as_parts(state_to_torch(final))
        else:
            packed, final = module(pack_padded_sequence(x, counts, True, enforce_sorted=False), state)
            output, parts = pad_packed_sequence(packed, True, total_length=6)[0], as_parts(final)
        loss = output.sin().sum() + sum((part * (k + 1)).cos().sum() for k, part in enumerate(parts))
        loss.backward()
        weights = [each.grad.abs().sum() for each in (encoder if mine else module).parameters()]
        found.append([output, *parts, x.grad, torch.stack(weights).sum()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    assert ran_compiled(encoder)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_alone_is_that_row_of_a_batch(family):
    _, encoder = lasting_twins(family, num_layers=2, bidirectional=True)
    x, counts = torch.randn(4, 6, 3, dtype=torch.float64), torch.tensor([2, 6, 1, 4])
    output, _ = encoder(x, lengths=counts)
    for row, count in enumerate(counts.tolist()):
        alone, _ = encoder(x[row : row + 1, :count])
        torch.testing.assert_close(output[row, :count], alone[0], rtol=1e-10, atol=1e-10)
        assert not output[row, count:].any()


@pytest.mark.parametrize(
    ("lengths", "error"),
    [
        ([7, 6, 1, 4], ValueError),
        ([-1, 6, 1, 4], ValueError),
        ([6, 6, 1], ValueError),
        ([1.0, 2.0, 3.0, 4.0], TypeError),
    ],
)
def test_wrong_lengths_are_refused(lengths, error):
    _, encoder = lasting_twins("gru")
    with pytest.raises(error, match="lengths: expected"):
        encoder(torch.zeros(4, 6, 3, dtype=torch.float64), lengths=torch.tensor(lengths))


# Both directions


@pytest.mark.parametrize("family", FAMILIES)
def test_the_backward_direction_is_the_forward_one_of_the_reversed_sequence(family):
    _, encoder = lasting_twins(family, bidirectional=True)
    layer = encoder.layers[0]
    with borrowed(encoder):
        layer.backward_layer.cell.load_state_dict(layer.forward_layer.cell.state_dict())
        x = torch.randn(4, 6, 3, dtype=torch.float64)
        output, _ = encoder(x)
        mirrored, _ = encoder(x.flip(1))
        torch.testing.assert_close(output[..., :5], mirrored.flip(1)[..., 5:], rtol=1e-10, atol=1e-10)
