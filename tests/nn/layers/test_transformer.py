"""The Transformer: PyTorch's own layers, a context that is carried, and what it refuses."""

import math
import warnings
from functools import partial

import pytest
import torch
from torch import nn

from seqlab.nn import (
    ClassHead,
    Classifier,
    Encoder,
    GRUCell,
    LanguageModel,
    Tagger,
    TagHead,
    TokenHead,
    TokenInput,
    TransformerEncoder,
    Translator,
)
from seqlab.nn.models.generation import Sampling, beam_search, generate
from tests.nn.covering import covering


def encoder_of(context=4, bidirectional=False, dropout=0.0, num_layers=2):
    encoder = TransformerEncoder(3, 8, num_layers, bidirectional, dropout, num_heads=2, context=context)
    nn.init.normal_(encoder.distance_scores)
    return encoder.double()


def torchs_own(encoder, x, mask):
    """``torch.nn.TransformerEncoder`` with the same weights."""
    layer = nn.TransformerEncoderLayer(8, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True)
    own = nn.TransformerEncoder(layer, encoder.num_layers, nn.LayerNorm(8), enable_nested_tensor=False).double()
    state = encoder.state_dict()
    own.load_state_dict({name: state[name] for name in own.state_dict()})
    return own(encoder.project(x), mask=mask)


@pytest.mark.parametrize(("bidirectional", "context"), [(False, 3), (False, 20), (True, 3)])
def test_it_is_torchs_encoder_with_scores_for_distances(bidirectional, context):
    encoder, x = encoder_of(context, bidirectional), torch.randn(2, 7, 3).double()
    scores = torch.full((2, 7, 7), -math.inf).double()
    for i in range(7):
        for j in range(7):
            if bidirectional:
                scores[:, i, j] = encoder.distance_scores[:, max(1 - context, min(i - j, context - 1)) + context - 1]
            elif 0 <= i - j < context:
                scores[:, i, j] = encoder.distance_scores[:, i - j]
    expected = torchs_own(encoder, x, scores.repeat(2, 1, 1))
    torch.testing.assert_close(encoder(x)[0], expected, rtol=1e-10, atol=1e-10)
    with torch.no_grad():  # where torch's own layer would take another path
        torch.testing.assert_close(encoder.eval()(x)[0], expected, rtol=1e-10, atol=1e-10)


def test_the_first_scores_are_those_of_press():
    scores = TransformerEncoder(3, 8, num_heads=2, context=3).distance_scores
    torch.testing.assert_close(scores, torch.tensor([[0.0, -1 / 16, -1 / 8], [0.0, -1 / 256, -1 / 128]]))


@pytest.mark.parametrize("num_layers", [1, 3])
def test_no_step_sees_a_later_one_and_each_as_far_back_as_its_layers_reach(num_layers):
    encoder, x = encoder_of(3, num_layers=num_layers), torch.randn(1, 12, 3).double()
    before = encoder(x)[0]
    x[0, 4] += 1
    changed = (encoder(x)[0] - before).abs().amax(2)[0] > 1e-12
    reach = num_layers * 2
    assert changed.tolist() == [4 <= step <= 4 + reach for step in range(12)]


def test_both_directions_see_all_of_a_row_and_tell_left_from_right():
    encoder, x = encoder_of(2, bidirectional=True), torch.randn(1, 9, 3).double()
    before, state = encoder(x)
    assert state == () == encoder.initial_state(1, like=x)
    x[0, 4] += 1
    assert bool(((encoder(x)[0] - before).abs().amax(2) > 1e-12).all())
    mirrored = encoder(x.flip(1))[0].flip(1)
    assert not torch.allclose(mirrored, encoder(x)[0])


@pytest.mark.parametrize(("context", "bidirectional"), [(1, False), (4, False), (30, False), (4, True)])
def test_padding_changes_nothing_and_gives_zero(context, bidirectional):
    encoder, lengths = encoder_of(context, bidirectional), torch.tensor([6, 0, 1, 3])
    x = torch.randn(4, 6, 3).double().requires_grad_()
    output, state = encoder(x, lengths=lengths)
    for row, length in enumerate(lengths.tolist()):
        assert torch.equal(output[row, length:], torch.zeros_like(output[row, length:]))
        if length:
            alone, own = encoder(x[row : row + 1, :length])
            torch.testing.assert_close(output[row, :length], alone[0], rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(tuple(part[row] for part in state), tuple(part[0] for part in own))
    output.pow(3).sum().backward()
    assert bool((x.grad[2, 1:] == 0).all()) and x.grad.isfinite().all()
    wild = x.detach().clone()
    wild[2, 1:] = math.nan
    torch.testing.assert_close(encoder(wild, lengths=lengths), (output, state), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("context", "sizes", "ragged"), covering([1, 2, 5, 40], [[1] * 11, [4, 4, 3], [7, 4], [2, 9]], [False, True])
)
def test_pieces_give_what_the_whole_gives(context, sizes, ragged):
    encoder, x = encoder_of(context), torch.randn(3, 11, 3).double()
    lengths = torch.tensor([11, 5, 0]) if ragged else None
    whole, final = encoder(x, lengths=lengths)
    state, outputs, start = encoder.initial_state(3, like=x), [], 0
    for piece in x.split(sizes, 1):
        part = None if lengths is None else (lengths - start).clamp(0, piece.size(1))
        output, state = encoder(piece, state, part)
        outputs.append(output)
        start += piece.size(1)
    torch.testing.assert_close(torch.cat(outputs, 1), whole, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(state, final, rtol=1e-10, atol=1e-10)


def test_gradients_reach_all_parameters_and_a_state_that_is_not_detached():
    encoder, x = encoder_of(5).train(), torch.randn(2, 6, 3).double().requires_grad_()
    _, state = encoder(x)
    encoder(torch.randn(2, 2, 3).double(), state)[0].pow(3).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in encoder.layers.parameters())
    assert encoder.distance_scores.grad.any() and x.grad[:, 2:].any()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_short_floats_and_autocast_keep_the_state_whole(bidirectional):
    encoder, x = encoder_of(4, bidirectional).float(), torch.randn(2, 6, 3)
    exact, _ = encoder(x)
    with torch.autocast("cpu", torch.bfloat16):
        output, state = encoder(x)
        again, _ = encoder(x, None if bidirectional else state)
    assert all(part.dtype == torch.float32 for part in state)
    torch.testing.assert_close(output.float(), exact, rtol=0.1, atol=0.1)
    assert again.isfinite().all()
    short, state = encoder.bfloat16()(x.bfloat16())
    assert short.dtype == torch.bfloat16 and all(part.dtype == torch.bfloat16 for part in state)


def language_model(context=4):
    layers = partial(TransformerEncoder, hidden_size=8, num_layers=2, num_heads=2, context=context)
    return LanguageModel(partial(TokenInput, 9, 6), layers, partial(TokenHead, vocab_size=9))


def test_writing_with_a_state_is_writing_with_the_whole_text():
    model, prompt = language_model(), [1, 2, 3]
    written = generate(model, prompt, 12, Sampling(greedy=True))[0].tolist()
    text = list(prompt)
    for _ in range(12):
        text.append(int(model(torch.tensor([text]))[0][0, -1].argmax()))
    assert text[3:] == written and not model.reads_ahead
    best = beam_search(model, prompt, lambda tokens: tokens[-1] == 0, count=3, width=5, max_new_tokens=6)
    for tokens, score in best:
        log_p = model(torch.tensor([[*prompt, *tokens]]))[0][0].log_softmax(1).detach()
        expected = sum(float(log_p[2 + place, token]) for place, token in enumerate(tokens))
        assert score == pytest.approx(expected, abs=1e-4)


def test_taggers_and_classifiers_take_it_and_long_rows_in_windows_give_the_same():
    layers = partial(TransformerEncoder, hidden_size=8, num_layers=2, num_heads=2, context=5)
    words, lengths = torch.randint(9, (3, 10)), torch.tensor([10, 4, 1])
    tagger = Tagger(partial(TokenInput, 9, 6), partial(layers, bidirectional=True), partial(TagHead, tags=["A", "B"]))
    assert tagger(words, None, lengths).shape == (3, 10, 2)
    for pooling in ("last", "max", "mean", "attention"):
        head = partial(ClassHead, num_classes=2, pooling=pooling)
        model = Classifier(partial(TokenInput, 9, 6), layers, head, tbptt_steps=4)
        inwindows = model(words, lengths)
        model.tbptt_steps = None
        torch.testing.assert_close(model(words, lengths), inwindows)


def test_nothing_warns_when_it_is_made_and_run():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = TransformerEncoder(3, 6, 1, num_heads=3, dropout=0.1)  # three heads: no nested tensors in PyTorch
        encoder(torch.randn(2, 4, 3), lengths=torch.tensor([4, 1]))
        encoder.eval()(torch.randn(2, 4, 3))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"hidden_size": 9}, ValueError, "hidden_size: expected a multiple of num_heads=2, got 9"),
        ({"context": 0}, ValueError, "context: expected at least 1, got 0"),
        ({"num_heads": 2.0}, TypeError, "num_heads: expected an integer, got 2.0"),
        ({"feedforward_size": 0}, ValueError, "feedforward_size: expected at least 1"),
        ({"dropout": 1.0}, ValueError, "dropout: expected a probability"),
    ],
)
def test_wrong_constructions_give_one_clear_line(arguments, error, message):
    with pytest.raises(error, match=message):
        TransformerEncoder(**({"input_size": 3, "hidden_size": 8, "num_heads": 2} | arguments))


def test_states_that_do_not_fit_are_refused_and_so_are_models_that_read_cells():
    encoder, x = encoder_of(4), torch.randn(2, 5, 3).double()
    with pytest.raises(ValueError, match=r"state: expected the tuple \(valid \(2, 3\), layer 1 \(2, 24\)"):
        encoder(x, encoder.initial_state(1, like=x))
    with pytest.raises(ValueError, match="state: expected none, as later steps are read too"):
        encoder_of(4, bidirectional=True)(x, encoder.initial_state(2, like=x))
    layers = partial(TransformerEncoder, hidden_size=8)
    recurrent = partial(Encoder, GRUCell, hidden_size=8)
    with pytest.raises(TypeError, match=r"encoder: expected recurrent layers, .* it made TransformerEncoder"):
        Translator(partial(TokenInput, 9, 6), layers, recurrent)


def test_a_context_is_counted_whole_in_16_bits_too():
    torch.manual_seed(0)
    encoder = TransformerEncoder(3, 8, num_heads=2, context=400).bfloat16()
    nn.init.zeros_(encoder.distance_scores)
    x = torch.zeros(1, 302, 3).bfloat16()
    x[0, 0] = 300.0  # the oldest step, which a context of 300 steps would not reach
    whole, _ = encoder(x)
    _, state = encoder(x[:, :301])
    forgotten = tuple(part.clone() for part in state)
    forgotten[0][0, -301] = 0
    last, other = (encoder(x[:, 301:], each)[0] for each in (state, forgotten))
    assert not torch.equal(last, other)
    assert (last - whole[:, 301:]).abs().max() < (last - other).abs().max()
