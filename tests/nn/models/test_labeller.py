"""The labeller and the regressor: what they compute, that padding changes nothing, and units."""

from functools import partial

import pytest
import torch

from seqlab.nn import Encoder, FrameInput, GRUCell, Labeller, NumberHead, Regressor, StepHead, TokenInput

LENGTHS = torch.tensor([7, 3, 1])


def labeller(**options):
    torch.manual_seed(0)
    encoder = partial(Encoder, GRUCell, hidden_size=5, backend="loop", **options)
    return Labeller(partial(TokenInput, 6, 4), encoder, partial(StepHead, num_classes=3))


def regressor(pooling="last", **options):
    torch.manual_seed(0)
    encoder = partial(Encoder, GRUCell, hidden_size=5, backend="loop", **options)
    return Regressor(partial(FrameInput, 2), encoder, partial(NumberHead, num_targets=3, pooling=pooling))


def test_a_label_is_scored_from_the_state_of_its_step():
    model, tokens = labeller(), torch.randint(6, (3, 7), generator=torch.Generator().manual_seed(0))
    (state,) = (model.encoder.layers[0].cell.initial_state(3, like=torch.zeros(1)),)
    for step in range(7):
        state = model.encoder.layers[0].cell(model.input.embedding(tokens[:, step]), state)
        expected = state[0] @ model.head.output.weight.T + model.head.output.bias
        torch.testing.assert_close(model(tokens)[:, step], expected)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_no_label_and_no_number(bidirectional):
    model, tokens = labeller(bidirectional=bidirectional), torch.randint(6, (3, 7))
    logits, other = model(tokens, LENGTHS), tokens.clone()
    numbers = {pooling: regressor(pooling, bidirectional=bidirectional) for pooling in ("last", "mean", "attention")}
    frames, noise = torch.randn(3, 7, 2), torch.randn(3, 7, 2)
    for row, length in enumerate(LENGTHS.tolist()):
        other[row, length:] = 5
        noise[row, :length] = frames[row, :length]
        alone = model(tokens[row : row + 1, :length])
        torch.testing.assert_close(logits[row : row + 1, :length], alone)
        for each in numbers.values():
            torch.testing.assert_close(each(frames, LENGTHS)[row], each(frames[row : row + 1, :length])[0])
    again = model(other, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        assert torch.equal(again[row, :length], logits[row, :length])
    assert all(torch.equal(each(frames, LENGTHS), each(noise, LENGTHS)) for each in numbers.values())


def test_numbers_are_read_and_answered_in_the_users_units():
    model, frames = regressor(), torch.randn(4, 6, 2)
    plain = model(frames)
    mean, std = torch.tensor([3.0, -1.0]), torch.tensor([10.0, 0.1])
    target_mean, target_std = torch.tensor([100.0, 0.0, 1.0]), torch.tensor([20.0, 1.0, 0.5])
    model.input.load_statistics(mean, std)
    model.head.load_statistics(target_mean, target_std)
    torch.testing.assert_close(model(frames * std + mean), plain * target_std + target_mean, rtol=1e-4, atol=1e-4)
    assert torch.equal(model.target_stds, target_std)
    restored = regressor()
    restored.load_state_dict(model.state_dict())
    assert torch.equal(restored(frames), model(frames))
    with pytest.raises(ValueError, match="std: expected numbers above 0"):
        model.head.load_statistics(target_mean, torch.zeros(3))


def test_parts_of_another_kind_are_refused():
    encoder = partial(Encoder, GRUCell, hidden_size=5)
    with pytest.raises(TypeError, match="head: expected a factory"):
        Labeller(partial(TokenInput, 6, 4), encoder, torch.nn.Linear(5, 3))
    with pytest.raises(TypeError, match=r"head: expected a factory.*but it made StepHead"):
        Regressor(partial(FrameInput, 2), encoder, lambda encoder: StepHead(5, 3))
    with pytest.raises(ValueError, match="num_classes: expected at least 1"):
        StepHead(5, 0)
    with pytest.raises(ValueError, match="pooling"):
        regressor("first")
