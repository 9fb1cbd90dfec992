"""What is asked of torch's own recurrent modules in training, asked of their encoders on "auto"."""

import copy
import pickle

import pytest
import torch
from torch import nn

from seqlab.nn.interop import from_torch, state_from_torch, state_to_torch
from tests.nn.engine.torch_twins import FAMILIES, as_parts, borrowed, hidden, lasting_twins, ran_compiled, twins

pytestmark = pytest.mark.usefixtures("compiled_quickly")


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
