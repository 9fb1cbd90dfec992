"""Pooling over time, and the classifier around it: what is computed, and that padding never changes it."""

import pytest
import torch

from seqlab.nn import (
    AttentionPooling,
    Classifier,
    Encoder,
    GRUCell,
    LastPooling,
    LSTMCell,
    MaxPooling,
    MeanPooling,
    RNNCell,
)
from seqlab.nn.models.pooling import POOLINGS, make_pooling
from seqlab.nn.size import count_parameters
from tests.models import of_cell

LENGTHS = torch.tensor([5, 1, 3, 4])


def encoder_of(cell=LSTMCell, **options) -> Encoder:
    torch.manual_seed(0)
    return Encoder(cell, 3, 4, **options).double()


def poolings(size: int):
    torch.manual_seed(1)
    backward = torch.arange(size) >= size // 2
    return [LastPooling(size, backward), MaxPooling(size), MeanPooling(size), AttentionPooling(size, 5)]


@pytest.mark.parametrize("cell", [RNNCell, GRUCell, LSTMCell])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("connect", ["none", "residual", "dense"])
def test_the_last_state_is_the_one_that_each_direction_ends_in(cell, bidirectional, connect):
    encoder = encoder_of(cell, num_layers=3, bidirectional=bidirectional, connect=connect)
    output, state = encoder(torch.randn(4, 5, 3, dtype=torch.float64), lengths=LENGTHS)
    directions = [layer if bidirectional else (layer,) for layer in state]
    ends = [torch.cat([cell_state[0] for cell_state in layer], 1) for layer in directions]
    expected = {"none": ends[-1], "residual": sum(ends), "dense": torch.cat(ends, 1)}[connect]
    torch.testing.assert_close(make_pooling("last", encoder)(output, LENGTHS), expected)


def test_each_pooling_is_its_formula_over_the_valid_steps():
    output = torch.randn(4, 5, 6, dtype=torch.float64)
    last, largest, mean, attention = (pooling.double() for pooling in poolings(6))
    for row, length in enumerate(LENGTHS.tolist()):
        y = output[row, :length]
        u = torch.tanh(y @ attention.project.weight.T + attention.project.bias)
        weights = torch.softmax(u @ attention.query.weight[0], 0)
        expected = {
            last: torch.cat([y[-1, :3], y[0, 3:]]),
            largest: y.max(0).values,
            mean: y.mean(0),
            attention: (weights.unsqueeze(1) * y).sum(0),
        }
        for pooling, value in expected.items():
            torch.testing.assert_close(pooling(output, LENGTHS)[row], value)
            torch.testing.assert_close(pooling(y.unsqueeze(0))[0], value)


@pytest.mark.parametrize("rubbish", [1e30, float("inf"), float("nan")])
def test_what_stands_in_the_padding_changes_neither_answers_nor_gradients(rubbish):
    padding = torch.arange(5) >= LENGTHS.unsqueeze(1)
    for pooling in poolings(6):
        found = []
        for value in (0.0, rubbish):
            output = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(2))
            output[padding] = value
            output.requires_grad_()
            pooled = pooling(output, LENGTHS)
            found.append((pooled, *torch.autograd.grad(pooled.sin().sum(), [output, *pooling.parameters()])))
        assert all(torch.equal(one, other) for one, other in zip(*found, strict=True)), pooling
        assert not found[1][1][padding].any()


def test_a_row_without_a_step_gives_zeros_and_a_finite_gradient():
    for pooling in poolings(6):
        output = torch.randn(2, 5, 6, requires_grad=True)
        pooled = pooling(output, torch.tensor([0, 2]))
        (gradient,) = torch.autograd.grad(pooled.sum(), output)
        assert not pooled[0].any() and pooled[1].any()
        assert gradient.isfinite().all() and not gradient[0].any()


def test_gradients_are_exact():
    for pooling in poolings(6):
        output = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(pooling.double(), (output, torch.tensor([3, 2])))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_text_has_the_same_class_alone_and_padded_among_others(pooling, bidirectional):
    torch.manual_seed(0)
    model = of_cell(
        Classifier, 20, 3, cell=GRUCell, hidden_size=4, num_layers=2, bidirectional=bidirectional, pooling=pooling
    ).double()
    inputs = torch.randint(0, 20, (4, 5))
    together = model(inputs, LENGTHS)
    alone = torch.cat([model(inputs[i : i + 1, :length]) for i, length in enumerate(LENGTHS.tolist())])
    torch.testing.assert_close(together, alone)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(model(inputs[order], LENGTHS[order]), together[order])
    assert together.std(0).min() > 1e-3, "the answers differ between texts"


@pytest.mark.parametrize("cut", [1, 2, 4])
def test_a_sequence_in_windows_is_pooled_as_a_whole(cut):
    output = torch.randn(4, 5, 6, dtype=torch.float64)
    for pooling in (pooling.double() for pooling in poolings(6)):
        parts = [
            pooling.part(output[:, :cut], LENGTHS.clamp(max=cut)),
            pooling.part(output[:, cut:], (LENGTHS - cut).clamp(min=0)),
        ]
        torch.testing.assert_close(pooling.finish(pooling.merge(*parts)), pooling(output, LENGTHS))


def saved_bytes(function) -> int:
    """Runs ``function`` and counts what autograd keeps of it for the backward pass."""
    kept: dict[int, int] = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = function()
    result.sum().backward()
    return sum(kept.values())


LONG = torch.tensor([23, 4, 5, 16, 1])


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("steps", [1, 5, 22, 23, 40])
def test_a_long_document_in_windows_has_the_same_class_and_the_gradient_of_its_last_window(pooling, steps):
    torch.manual_seed(0)
    model = of_cell(
        Classifier, 20, 3, cell=LSTMCell, hidden_size=4, num_layers=2, pooling=pooling, backend="loop"
    ).double()
    inputs = torch.randint(0, 20, (5, 23))
    whole = model(inputs, LONG)
    model.tbptt_steps = steps
    windows = model(inputs, LONG)
    torch.testing.assert_close(windows, whole)
    found = torch.autograd.grad(windows.sin().sum(), list(model.parameters()))

    model.tbptt_steps = None
    logits = []
    for row, length in enumerate(LONG.tolist()):  # each row by itself: its head without a gradient, then its end
        head = max(length - steps, 0)
        earlier, state = None, None
        if head:
            with torch.no_grad():
                output, state = model.encoder(model.input(inputs[row : row + 1, :head]))
                earlier = model.head.pooling.part(output)
        output, _ = model.encoder(model.input(inputs[row : row + 1, head:length]), state)
        part = model.head.pooling.part(output)
        logits.append(
            model.head.output(model.head.pooling.finish(model.head.pooling.merge(earlier, part) if head else part))
        )
    expected = torch.autograd.grad(torch.cat(logits).sin().sum(), list(model.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    full = torch.autograd.grad(whole.sin().sum(), list(model.parameters()))
    same = all(torch.allclose(one, other) for one, other in zip(found, full, strict=True))
    assert same == (steps >= 23)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_document_of_two_thousand_tokens_trains_in_the_memory_of_one_window(pooling):
    model = of_cell(Classifier, 20, 2, cell=GRUCell, hidden_size=8, pooling=pooling, tbptt_steps=50)
    kept = [saved_bytes(lambda n=n: model(torch.randint(0, 20, (2, n)))) for n in (100, 2000)]
    assert kept[1] <= 1.05 * kept[0]
    model.tbptt_steps = None
    assert saved_bytes(lambda: model(torch.randint(0, 20, (2, 2000)))) > 10 * kept[1]


def test_windows_under_a_bidirectional_encoder_are_refused():
    with pytest.raises(ValueError, match="tbptt_steps: expected None with bidirectional=True"):
        of_cell(Classifier, 20, 2, cell=GRUCell, hidden_size=8, bidirectional=True, tbptt_steps=50)


def test_dropout_acts_in_training_alone_and_where_it_is_said():
    inputs = torch.randint(0, 20, (4, 5))
    for option in ("embedding_dropout", "word_dropout", "output_dropout"):
        torch.manual_seed(0)
        model = of_cell(Classifier, 20, 3, cell=RNNCell, hidden_size=4, **{option: 0.5})
        assert not torch.equal(model(inputs), model(inputs)), option
        model.eval()
        assert torch.equal(model(inputs), model(inputs)), option


def test_word_dropout_drops_whole_words():
    model = of_cell(Classifier, 20, 3, cell=RNNCell, hidden_size=4, word_dropout=0.5)
    seen = []
    model.encoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(torch.arange(20).view(1, 20))
    kept = (seen[0][0] != 0).all(1)
    assert torch.equal(kept, (seen[0][0] != 0).any(1)) and 0 < kept.sum() < 20
    torch.testing.assert_close(seen[0][0][kept], 2 * model.input.embedding.weight[kept])


def test_initialisation_and_sizes_come_from_the_arguments():
    model = of_cell(
        Classifier, 7, 3, cell=LSTMCell, hidden_size=4, embedding_size=2, bidirectional=True, init={"uniform": 0.01}
    )
    assert max(float(parameter.detach().abs().max()) for parameter in model.parameters()) <= 0.01
    assert count_parameters(model) == 7 * 2 + 2 * 4 * (4 * 2 + 4 * 4 + 2 * 4) + 3 * 8 + 3
    attended = of_cell(Classifier, 7, 3, cell=LSTMCell, hidden_size=4, pooling="attention", attention_size=5)
    assert attended.head.pooling.project.weight.shape == (5, 4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pooling": "first"}, "pooling: expected one of last, max, mean, attention, got 'first'"),
        ({"attention_size": 3}, "attention_size: expected None beside pooling='last', got 3"),
        ({"pooling": "attention", "attention_size": 0}, "attention_size: expected at least 1, got 0"),
        ({"output_dropout": 1.0}, "output_dropout: expected a probability"),
        ({"num_classes": 0}, "num_classes: expected at least 1"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        of_cell(Classifier, 5, options.pop("num_classes", 2), cell=RNNCell, hidden_size=4, **options)


def test_wrong_tensors_are_refused():
    with pytest.raises(ValueError, match=r"output: expected shape \(B, T, 6\), got \(2, 3, 5\)"):
        MaxPooling(6)(torch.zeros(2, 3, 5))
    with pytest.raises(ValueError, match=r"lengths: expected values from 0 to T = 3"):
        MeanPooling(6)(torch.zeros(2, 3, 6), torch.tensor([4, 1]))
    with pytest.raises(ValueError, match=r"backward: expected a boolean tensor \(6,\)"):
        LastPooling(6, torch.zeros(5, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"inputs: expected int64 \(B, T\)"):
        of_cell(Classifier, 5, 2, cell=RNNCell, hidden_size=4)(torch.zeros(2, 3))
