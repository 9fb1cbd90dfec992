"""What is asked of torch's own recurrent modules, asked of their encoders on "auto"."""

import copy
import itertools
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqlab.nn import Recurrent
from seqlab.nn.interop import from_torch, state_from_torch, state_to_torch

FAMILIES = {"tanh": nn.RNN, "relu": partial(nn.RNN, nonlinearity="relu"), "gru": nn.GRU, "lstm": nn.LSTM}


@pytest.fixture(autouse=True)
def fresh(compiled_quickly):
    """Each step is compiled, the same ones once a session."""


def twins(family, input_size=3, hidden_size=5, dtype=torch.float64, **options):
    """A module of torch's and its encoder, seeded."""
    torch.manual_seed(0)
    module = FAMILIES[family](input_size, hidden_size, batch_first=True, dtype=dtype, **options)
    return module, from_torch(module)


_lasting = lru_cache(twins)


def lasting_twins(family, *sizes, **options):
    """The same two for all tests that only run them: each step is looked at and compiled once."""
    pair = _lasting(family, *sizes, **{"num_layers": 1, "bidirectional": False} | options)
    torch.manual_seed(0)
    return pair


@contextmanager
def borrowed(*modules: nn.Module) -> Iterator[None]:
    """Gives the modules their weights back in the end: what is lasting may be changed within."""
    states = [copy.deepcopy(module.state_dict()) for module in modules]
    try:
        yield
    finally:
        for module, state in zip(modules, states, strict=True):
            module.load_state_dict(state)


def ran_compiled(encoder):
    runs = [layer.last_run.engine for layer in encoder.modules() if isinstance(layer, Recurrent)]
    return bool(runs) and set(runs) == {"scan"}


def as_parts(state):
    return list(state) if isinstance(state, tuple) else [state]


def hidden(module, rows, seed=0):
    """An initial state in torch's layout."""
    draw = torch.Generator().manual_seed(seed)
    entries = module.num_layers * (2 if module.bidirectional else 1)
    dtype = module.weight_ih_l0.dtype
    parts = [
        torch.randn(entries, rows, module.hidden_size, dtype=dtype, generator=draw)
        for _ in range(2 if isinstance(module, nn.LSTM) else 1)
    ]
    return tuple(parts) if len(parts) > 1 else parts[0]


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


# Dropout between layers


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_acts_between_layers_in_training_alone(monkeypatch, family):
    module, encoder = twins(family, num_layers=2, dropout=0.5)
    assert encoder.dropout == module.dropout == 0.5
    module, encoder = lasting_twins(family, num_layers=2)
    monkeypatch.setattr(encoder, "dropout", 0.5)
    x = torch.randn(4, 6, 3, dtype=torch.float64)
    torch.testing.assert_close(encoder.eval()(x)[0], module(x)[0], rtol=1e-10, atol=1e-10)
    encoder.train()
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(encoder(x))
    assert torch.equal(outputs[0][0], outputs[1][0]) and not torch.equal(outputs[0][0], outputs[2][0])
    # What the first layer ends with lies before the dropout, so that is the same whatever was drawn.
    torch.testing.assert_close(outputs[0][1][0], outputs[2][1][0], rtol=0, atol=0)
    assert not torch.equal(outputs[0][1][1][0], outputs[2][1][1][0])


@pytest.mark.parametrize("p", [0.0, 0.3, 0.7])
def test_dropout_drops_that_share_and_scales_the_rest(p):
    """A layer of ones upon a layer of ones: what comes out counts the units that were kept."""
    module = nn.RNN(10, 400, 2, nonlinearity="relu", bias=False, dropout=p, batch_first=True)
    with torch.no_grad():
        module.weight_ih_l0.fill_(1), module.weight_ih_l1.fill_(1)
        module.weight_hh_l0.fill_(0), module.weight_hh_l1.fill_(0)
    torch.manual_seed(0)
    with torch.no_grad():
        output, _ = from_torch(module)(torch.ones(8, 3, 10))
    kept = output[..., 0] / 10 * (1 - p)
    torch.testing.assert_close(kept, kept.round(), rtol=1e-4, atol=1e-4)
    assert float((kept / 400).mean()) == pytest.approx(1 - p, abs=0.02)
    assert p == 0 or len(kept.round().unique()) > 3  # a draw for each row and step


def test_dropout_draws_for_its_gradient_what_it_drew_forward(monkeypatch):
    _, encoder = lasting_twins("gru", num_layers=2)
    monkeypatch.setattr(encoder, "dropout", 0.5)
    x = torch.randn(2, 3, 3, dtype=torch.float64).requires_grad_()

    def run(part):
        torch.manual_seed(3)
        return encoder(part)[0]

    assert torch.autograd.gradcheck(run, (x,))


# Precision


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_float32_is_near_torchs(family, bidirectional):
    """Of two layers, or of two directions."""
    layers = 1 if bidirectional else 2
    module, encoder = lasting_twins(family, 6, 9, torch.float32, num_layers=layers, bidirectional=bidirectional)
    x = torch.randn(4, 12, 6)
    torch.testing.assert_close(encoder(x)[0], module(x)[0], rtol=1e-5, atol=1e-5)
    assert ran_compiled(encoder)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("lengths", [None, [2, 6, 1, 4]])
def test_autocast_is_near_float32_and_trains(family, lengths):
    module, encoder = lasting_twins(family, 6, 9, torch.float32, num_layers=2)
    encoder.zero_grad()
    x, counts = torch.randn(4, 6, 6), None if lengths is None else torch.tensor(lengths)
    exact, _ = encoder(x, lengths=counts)
    exact.square().sum().backward()
    expected = [parameter.grad.clone() for parameter in encoder.parameters()]
    encoder.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, state = encoder(x, lengths=counts)
    assert {part.dtype for part in torch.utils._pytree.tree_leaves(state)} == {torch.float32}
    assert float(((output - exact).norm() / exact.norm()).detach()) < 2e-2
    output.float().square().sum().backward()
    for parameter, gradient in zip(encoder.parameters(), expected, strict=True):
        assert parameter.grad.dtype == torch.float32
        assert float((parameter.grad - gradient).norm() / gradient.norm()) < 5e-2
    assert module.weight_ih_l0.grad is None  # the encoder's weights are copies


# Derivatives


# All pairs; a relu's kink is no place to differ by a step.
@pytest.mark.parametrize(
    ("family", "bidirectional", "lengths"),
    [
        ("tanh", False, None),
        ("tanh", True, [3, 1]),
        ("gru", True, None),
        ("gru", False, [3, 1]),
        ("lstm", False, None),
        ("lstm", True, [3, 1]),
    ],
)
def test_first_and_second_derivatives_are_exact(family, bidirectional, lengths):
    """Of two layers, or of two directions."""
    layers = 1 if bidirectional else 2
    module, encoder = lasting_twins(family, 2, 3, num_layers=layers, bidirectional=bidirectional)
    counts = None if lengths is None else torch.tensor(lengths)
    x = torch.randn(2, 3, 2, dtype=torch.float64).requires_grad_()
    given = [part.requires_grad_() for part in as_parts(hidden(module, 2))]

    def run(part, *state):
        packed = tuple(state[: len(given)]) if len(given) > 1 else state[0]
        output, final = encoder(part, state_from_torch(packed, bidirectional), counts)
        return output, *as_parts(state_to_torch(final))

    inputs = (x, *given, *encoder.parameters())
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)
    assert ran_compiled(encoder)


@pytest.mark.parametrize("family", FAMILIES)
def test_second_derivatives_are_torchs(family):
    module, encoder = lasting_twins(family, num_layers=2)
    found = []
    for each in (module, encoder):
        x = torch.linspace(-2, 2, 72, dtype=torch.float64).view(4, 6, 3).sin().requires_grad_()
        (slope,) = torch.autograd.grad(each(x)[0].sin().sum(), x, create_graph=True)
        found.append([slope, *torch.autograd.grad(slope.square().sum(), [x])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_takes_the_same_path(family):
    module, encoder = lasting_twins(family, num_layers=2)
    x, losses = torch.randn(4, 6, 3, dtype=torch.float64), []
    with borrowed(module, encoder):
        for each in (module, encoder):
            optimizer, path = torch.optim.Adam(each.parameters(), 0.01), []
            for _ in range(10):
                optimizer.zero_grad()
                loss = (each(x)[0] - 0.3).square().mean()
                loss.backward()
                optimizer.step()
                path.append(loss.item())
            losses.append(path)
    assert losses[0] == pytest.approx(losses[1], rel=1e-8)
    assert losses[0][-1] < losses[0][0]


# Copies and modes


@pytest.mark.parametrize("family", FAMILIES)
def test_copies_give_the_same(family):
    _, encoder = lasting_twins(family)
    x = torch.randn(4, 6, 3, dtype=torch.float64)
    expected = encoder(x)[0]
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert torch.equal(other(x)[0], expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_gradients_the_values_are_the_same(family):
    module, encoder = lasting_twins(family)
    x = torch.randn(4, 6, 3, dtype=torch.float64)
    expected = encoder(x)[0].detach()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            output, _ = encoder(x)
            assert torch.equal(output, expected) and not output.requires_grad
            torch.testing.assert_close(output, module(x)[0], rtol=1e-10, atol=1e-10)
