"""Backpropagation through time taken apart: parts that sum to autograd's gradient, and what truncation leaves."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from seqlab.nn import (
    Bidirectional,
    Encoder,
    GRUCell,
    LanguageModel,
    LayerNormLSTMCell,
    LSTMCell,
    MGUCell,
    MinGRUCell,
    ModuleCell,
    PeepholeLSTMCell,
    Recurrent,
    RecurrentCell,
    RNNCell,
    norms_by_lag,
    record_states,
)
from seqlab.nn.gradients import (
    norms_by_distance,
    state_gradients,
    step_gradient_norms,
    step_gradients,
    truncation_bias,
)
from tests.models import of_cell

EXACT = {"rtol": 1e-10, "atol": 1e-10}
LENGTHS = torch.tensor([6, 0, 3])


class Projected(RecurrentCell):
    """A cell of two parts of different sizes, with a parameter in each of project, step and output."""

    state_names = ("h", "m")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.lift = nn.Linear(input_size, hidden_size)
        self.decay = nn.Parameter(torch.randn(hidden_size))
        self.mix = nn.Parameter(torch.randn(hidden_size, 2))
        self.read = nn.Linear(hidden_size, 5)

    @property
    def state_sizes(self):
        return (self.hidden_size, 2)

    @property
    def output_size(self):
        return 5

    def project(self, x):
        return self.lift(x)

    def step(self, gi, state):
        h, m = state
        h = (gi + self.decay * h + m @ self.mix.T).tanh()
        return h, m + (h @ self.mix).sin()

    def output(self, state):
        return self.read(state[0])


CELLS = [RNNCell, GRUCell, LSTMCell, PeepholeLSTMCell, LayerNormLSTMCell, MGUCell, MinGRUCell, Projected]
CELLS.append(partial(ModuleCell, module=nn.GRUCell))


def weighted(output, state=()):
    """A scalar to which every number of the output and the state contributes differently."""
    parts = (output, *state)
    return sum((part * torch.linspace(-1, 2, part.numel(), dtype=part.dtype).view_as(part)).sum() for part in parts)


def by_autograd(model, loss, name):
    return torch.autograd.grad(loss(), dict(model.named_parameters())[name])[0]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_steps_parts_of_every_parameter_sum_to_its_gradient(cell, lengths, reverse):
    layer = Recurrent(cell(3, 4).double(), reverse=reverse)
    x = torch.randn(3, 6, 3, dtype=torch.float64)

    def loss():
        output, state = layer(x, lengths=lengths)
        return weighted(output, state)

    names = [name for name, _ in layer.named_parameters()]
    assert names
    for name in names:
        parts = step_gradients(layer, loss, name)
        assert len(parts) == 6
        torch.testing.assert_close(parts.sum(0), by_autograd(layer, loss, name), **EXACT)
        norms = step_gradient_norms(layer, loss, name)
        torch.testing.assert_close(norms, parts.flatten(1).norm(dim=1), **EXACT)


@pytest.mark.parametrize("name", ["layers.0.forward_layer", "layers.0.backward_layer", "layers.1.backward_layer"])
@pytest.mark.parametrize("connect", ["none", "dense"])
def test_one_layer_and_direction_of_an_encoder(name, connect):
    encoder = Encoder(LSTMCell, 3, 4, num_layers=2, bidirectional=True, connect=connect).double()
    x = torch.randn(3, 6, 3, dtype=torch.float64)

    def loss():
        return weighted(encoder(x, lengths=LENGTHS)[0])

    parts = step_gradients(encoder, loss, f"{name}.cell.weight_hh")
    torch.testing.assert_close(parts.sum(0), by_autograd(encoder, loss, f"{name}.cell.weight_hh"), **EXACT)
    assert parts[1:].flatten(1).any(1).all()  # at the first step h is zero, and so is its part


def test_a_part_is_the_derivative_by_that_steps_weight_alone():
    torch.manual_seed(0)
    cell, x = RNNCell(2, 3).double(), torch.randn(2, 4, 2, dtype=torch.float64)
    layer = Recurrent(cell)
    parts = step_gradients(layer, lambda: weighted(layer(x)[0]), "cell.weight_hh")

    def loss_with(weights):
        h, outputs = torch.zeros(2, 3, dtype=torch.float64), []
        for t, weight in enumerate(weights):
            h = (cell.project(x[:, t]) + h @ weight.T + cell.bias_hh).tanh()
            outputs.append(h)
        return weighted(torch.stack(outputs, 1))

    weights = [cell.weight_hh.detach().clone() for _ in range(4)]
    for t in range(4):
        moved = [[weight + (s == t) * sign * 1e-6 for s, weight in enumerate(weights)] for sign in (1, -1)]
        slope = (loss_with(moved[0]) - loss_with(moved[1])) / 2e-6
        torch.testing.assert_close(slope, parts[t].sum(), rtol=1e-6, atol=1e-7)


def test_steps_after_the_loss_and_padded_steps_add_nothing():
    layer, x = Recurrent(GRUCell(3, 4)), torch.randn(2, 6, 3)
    lengths = torch.tensor([4, 2])
    at_second = step_gradients(layer, lambda: layer(x)[0][:, 1].sum(), "cell.bias_ih")
    assert at_second.flatten(1).any(1).tolist() == [True, True, False, False, False, False]
    at_end = step_gradients(layer, lambda: layer(x, lengths=lengths)[1][0].sum(), "cell.bias_ih")
    assert at_end.flatten(1).any(1).tolist() == [True] * 4 + [False] * 2


def test_the_steps_of_several_calls_follow_one_another():
    layer, x = Recurrent(LSTMCell(3, 4).double()), torch.randn(2, 5, 3, dtype=torch.float64)

    def in_two_calls():
        first, state = layer(x[:, :2])
        second, state = layer(x[:, 2:], state)
        return weighted(torch.cat((first, second), 1))

    expected = step_gradients(layer, lambda: weighted(layer(x)[0]), "cell.weight_hh")
    torch.testing.assert_close(step_gradients(layer, in_two_calls, "cell.weight_hh"), expected, **EXACT)


def test_truncation_cuts_every_layers_state_between_windows():
    torch.manual_seed(0)
    model = of_cell(LanguageModel, 7, cell=GRUCell, hidden_size=5, num_layers=2).double()
    inputs = torch.randint(7, (3, 8))

    def loss():
        return weighted(model(inputs)[0])

    def in_windows():
        logits, state = [], None
        for window in inputs.split(3, 1):
            if state is not None:
                state = tuple(tuple(part.detach() for part in layer) for layer in state)
            scores, state = model(window, state)
            logits.append(scores)
        return weighted(torch.cat(logits, 1))

    for name in ("encoder.layers.0.cell.weight_hh", "encoder.layers.1.cell.weight_ih"):
        parts = step_gradients(model, loss, name, tbptt_steps=3)
        expected = by_autograd(model, in_windows, name)
        torch.testing.assert_close(parts.sum(0), expected, **EXACT)
        full = by_autograd(model, loss, name)
        cut, whole = truncation_bias(model, loss, name, (3, 8))
        assert (cut.steps, whole.steps) == (3, 8)
        cosine = torch.cosine_similarity(expected.flatten(), full.flatten(), dim=0)
        assert cut.cosine == pytest.approx(cosine.item(), abs=1e-10) and cosine < 1 - 1e-4
        assert cut.relative_error == pytest.approx(((expected - full).norm() / full.norm()).item(), abs=1e-10)
        assert whole.cosine == pytest.approx(1) and whole.relative_error == pytest.approx(0, abs=1e-10)


def test_with_a_loss_at_the_end_truncation_drops_the_parts_further_back():
    layer, x = Recurrent(LSTMCell(3, 4).double()), torch.randn(2, 6, 3, dtype=torch.float64)

    def loss():
        return layer(x)[0][:, -1].square().sum()

    full = step_gradients(layer, loss, "cell.weight_hh")
    cut = step_gradients(layer, loss, "cell.weight_hh", tbptt_steps=2)
    assert not cut[:4].any()
    torch.testing.assert_close(cut[4:], full[4:], **EXACT)
    gradients = state_gradients(layer, loss, tbptt_steps=2)
    assert not gradients["h"][:4].any() and not gradients["c"][:4].any()
    torch.testing.assert_close(gradients["c"][4:], state_gradients(layer, loss)["c"][4:], **EXACT)


@pytest.mark.parametrize("lengths", [torch.tensor([7, 4, 2]), None])
@pytest.mark.parametrize("reverse", [False, True])
def test_truncation_leaves_every_value_as_it_is(reverse, lengths):
    layer, x = Recurrent(LSTMCell(3, 4).double(), reverse=reverse), torch.randn(3, 7, 3, dtype=torch.float64)
    seen = []

    def loss():
        output, state = layer(x, lengths=lengths)
        seen.append((output.detach(), *(part.detach() for part in state)))
        return weighted(output, state)

    loss()
    step_gradient_norms(layer, loss, "cell.weight_hh", tbptt_steps=3)
    state_gradients(layer, loss)
    for other in seen[1:]:
        torch.testing.assert_close(other, seen[0], **EXACT)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_state_gradients_are_those_by_the_state_between_two_calls(lengths):
    torch.manual_seed(0)
    layer, x = Recurrent(Projected(3, 4).double()), torch.randn(3, 6, 3, dtype=torch.float64)

    def loss():
        output, state = layer(x, lengths=lengths)
        return weighted(output[:, 4:], state)

    gradients = state_gradients(layer, loss)
    assert {name: tuple(part.shape) for name, part in gradients.items()} == {"h": (6, 3, 4), "m": (6, 3, 2)}
    early, late = (None, None) if lengths is None else (lengths.clamp(max=3), (lengths - 3).clamp(min=0))
    _, between = layer(x[:, :3], lengths=early)
    between = tuple(part.detach().requires_grad_() for part in between)
    output, state = layer(x[:, 3:], between, late)
    expected = torch.autograd.grad(weighted(output[:, 1:], state), between)
    torch.testing.assert_close((gradients["h"][2], gradients["m"][2]), expected, **EXACT)


def test_state_gradients_of_a_linear_recurrence_are_powers_of_its_factor():
    class Decay(RecurrentCell):
        def step(self, gi, state):
            return (0.5 * state[0] + gi,)

    layer, x = Recurrent(Decay(2, 2)), torch.randn(4, 6, 2)
    gradients = state_gradients(layer, lambda: layer(x)[0][:, -1].sum())["h"]
    expected = 0.5 ** torch.arange(6.0)
    torch.testing.assert_close(norms_by_distance(gradients), expected * 2**0.5)
    lengths = torch.tensor([6, 2, 1, 0])
    ends = state_gradients(layer, lambda: (layer(x, lengths=lengths)[1][0] * torch.ones(4, 1)).sum())["h"]
    torch.testing.assert_close(norms_by_distance(ends, lengths), expected * 2**0.5)
    assert norms_by_distance(ends, lengths.clamp(max=3))[3:].isnan().all()


def test_a_part_that_is_handed_on_unchanged_has_a_gradient_at_every_step():
    class Constant(RecurrentCell):
        state_names = ("h", "m")

        def step(self, gi, state):
            return state[0] + state[1] * gi, state[1]

    layer, x = Recurrent(Constant(2, 2)), torch.randn(3, 5, 2)
    gradients = state_gradients(layer, lambda: layer(x)[0][:, -1].sum())
    assert (gradients["h"] == 1).all()
    later = x.flip(1).cumsum(1).flip(1)[:, 1:]  # the sum of what comes after
    torch.testing.assert_close(gradients["m"], torch.cat((later, torch.zeros(3, 1, 2)), 1).transpose(0, 1))


def test_every_layer_and_direction_has_its_states_gradients():
    encoder = Encoder(LSTMCell, 3, 4, num_layers=2, bidirectional=True)
    gradients = state_gradients(encoder, lambda: weighted(encoder(torch.randn(2, 5, 3))[0]))
    layers = [f"layers.{index}.{side}_layer" for index in (0, 1) for side in ("forward", "backward")]
    assert list(gradients) == [f"{layer}.{part}" for layer in layers for part in "hc"]
    assert all(part[:-1].any(2).all() for part in gradients.values())  # the last c is seen through h alone


def test_nothing_is_left_behind():
    torch.manual_seed(0)
    model = of_cell(LanguageModel, 7, cell=LSTMCell, hidden_size=5)
    inputs = torch.randint(7, (2, 4))
    before = model(inputs)[0]
    name = "encoder.layers.0.cell.weight_hh"
    step_gradients(model, lambda: model(inputs)[0].sum(), name)
    with pytest.raises(ZeroDivisionError):
        state_gradients(model, lambda: 1 / 0)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert "forward" not in vars(model.encoder.layers[0])
    assert torch.equal(model(inputs)[0], before)
    copy.deepcopy(model)


def test_frozen_parameters_and_calls_without_gradients_elsewhere_serve_too():
    layer, x = Recurrent(GRUCell(3, 4).double()), torch.randn(2, 5, 3, dtype=torch.float64)
    loss = lambda: layer(x)[0].square().sum()  # noqa: E731
    expected = step_gradients(layer, loss, "cell.weight_hh"), state_gradients(layer, loss)["h"]
    layer.requires_grad_(False)
    with torch.no_grad():
        actual = step_gradients(layer, loss, "cell.weight_hh"), state_gradients(layer, loss)["h"]
    torch.testing.assert_close(actual, expected, **EXACT)
    assert not layer.cell.weight_hh.requires_grad


class LearnedStart(GRUCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.start = nn.Parameter(torch.randn(hidden_size))

    def initial_state(self, batch_size, *, like):
        return (self.start.to(like).expand(batch_size, -1),)


def test_a_learned_initial_state_is_begun_from():
    layer, x = Recurrent(LearnedStart(3, 4).double()), torch.randn(2, 5, 3, dtype=torch.float64)
    parts = step_gradients(layer, lambda: layer_loss(layer, x), "cell.weight_hh")
    expected = by_autograd(layer, lambda: layer_loss(layer, x), "cell.weight_hh")
    torch.testing.assert_close(parts.sum(0), expected, **EXACT)
    assert parts[0].any()


def test_a_parametrized_parameter_is_refused_and_its_mend_works():
    layer, x = (
        Recurrent(parametrizations.weight_norm(RNNCell(3, 4).double(), "weight_hh")),
        torch.randn(2, 5, 3).double(),
    )
    loss = lambda model: layer_loss(model, x)  # noqa: E731
    for name in ("cell.weight_hh", "cell.parametrizations.weight_hh.original1"):
        with pytest.raises(ValueError, match=r"parameter: expected .*cell.bias_hh; .* remove_param"):
            step_gradients(layer, lambda: loss(layer), name)
    parts = step_gradients(layer, lambda: loss(layer), "cell.weight_ih")
    torch.testing.assert_close(parts.sum(0), by_autograd(layer, lambda: loss(layer), "cell.weight_ih"), **EXACT)
    plain = copy.deepcopy(layer)
    parametrize.remove_parametrizations(plain.cell, "weight_hh")
    assert step_gradients(plain, lambda: loss(plain), "cell.weight_hh")[1:].flatten(1).any(1).all()


@pytest.mark.parametrize("reverse", [False, True])
def test_pre_hooks_of_a_cell_run_as_in_the_forward_pass(reverse):
    layer, x = Recurrent(LSTMCell(3, 4).double(), reverse=reverse), torch.randn(2, 5, 3, dtype=torch.float64)
    prune.random_unstructured(layer.cell, "weight_hh", amount=0.5)
    plain = Recurrent(LSTMCell(3, 4).double(), reverse=reverse)
    with torch.no_grad():
        layer.cell.weight_hh_orig.mul_(3)  # the hook computes weight_hh from it at the next call
        plain.load_state_dict(
            {name.replace("_orig", ""): value for name, value in layer.state_dict().items() if "mask" not in name}
        )
        plain.cell.weight_hh.mul_(layer.cell.weight_hh_mask)
    seen = []
    layer.cell.register_forward_pre_hook(lambda _, arguments: seen.append(arguments))
    measures = [
        lambda each: state_gradients(each, lambda: layer_loss(each, x), 2)["c"],
        lambda each: step_gradients(each, lambda: layer_loss(each, x), "cell.weight_ih"),
        lambda each: norms_by_lag(each, lambda: each(x)[0].sum(2))["h"],
        lambda each: record_states(each, lambda: each(x))[""][0].output,
        lambda each: layer_loss(each, x),
    ]
    for measure in measures:
        torch.testing.assert_close(measure(layer), measure(plain), equal_nan=True, **EXACT)
    for arguments in seen:  # once a call, with what the forward pass gives
        torch.testing.assert_close(arguments, seen[-1], rtol=0, atol=0)
    assert len(seen) == len(measures)
    with pytest.raises(ValueError, match=r"weight_hh_orig took part in no step.*prune.remove"):
        step_gradients(layer, lambda: layer_loss(layer, x), "cell.weight_hh_orig")


def layer_loss(layer, x):
    return layer(x)[0].square().sum()


X = torch.randn(2, 4, 3)
LAYER = Recurrent(LearnedStart(3, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: step_gradients(LAYER, lambda: layer_loss(LAYER, X), "weight_hh"),
            ValueError,
            "the model has cell.wei",
        ),
        (lambda: step_gradients(nn.Linear(2, 2), X.sum, "weight"), ValueError, "got 'weight'; the model has none"),
        (
            lambda: step_gradients(LAYER, lambda: layer_loss(LAYER, X), "cell.start"),
            ValueError,
            "cell.start took part in no step",
        ),
        (
            lambda: step_gradients(LAYER, lambda: torch.ones(1, requires_grad=True), "cell.weight_hh"),
            ValueError,
            "cell.weight_hh took part in no step",
        ),
        (lambda: state_gradients(LAYER, lambda: LAYER(X)[0]), ValueError, r"returns a scalar, .* a tensor \(2, 4, 4\)"),
        (lambda: state_gradients(LAYER, lambda: layer_loss(LAYER, X).item()), ValueError, "it gave float"),
        (lambda: state_gradients(LAYER, lambda: layer_loss(LAYER, X).detach()), ValueError, "without a gradient"),
        (lambda: state_gradients(LAYER, lambda: torch.ones(1, requires_grad=True)), ValueError, "it called none"),
        (
            lambda: state_gradients(LAYER, lambda: layer_loss(LAYER, X) + layer_loss(LAYER, X[:1])),
            ValueError,
            "calls of the layer with batches of one size",
        ),
        (
            lambda: state_gradients(LAYER, lambda: layer_loss(LAYER, X), tbptt_steps=0),
            ValueError,
            "tbptt_steps: expected at least 1, got 0",
        ),
        (lambda: norms_by_distance(X[0]), ValueError, r"gradients: expected \(T, B, size\), got \(4, 3\)"),
    ],
)
def test_wrong_arguments_give_one_clear_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_layer_that_runs_in_its_own_way_is_refused():
    class Doubled(Recurrent):
        def forward(self, x, state=None, lengths=None):
            output, state = super().forward(x, state, lengths)
            return 2 * output, state

    layer = Bidirectional(GRUCell(3, 4), GRUCell(3, 4))
    layer.forward_layer = Doubled(GRUCell(3, 4))
    with pytest.raises(TypeError, match="got Doubled with its own forward"):
        state_gradients(layer, lambda: layer_loss(layer, X))
