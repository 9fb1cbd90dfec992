"""Models of frames: state, padding, and pieces drawn from them."""

from functools import partial

import pytest
import torch

from seqlab.nn import Encoder, FrameHead, FrameInput, FrameModel, GRUCell, compose


def model_of(**options):
    torch.manual_seed(0)
    encoder = partial(Encoder, GRUCell, hidden_size=6, **options)
    return FrameModel(partial(FrameInput, 5), encoder, partial(FrameHead, num_features=5)).eval()


def test_frames_read_in_pieces_give_what_frames_read_at_once_do_and_padding_changes_nothing():
    model, frames = model_of(num_layers=2), torch.bernoulli(torch.full((3, 9, 5), 0.4))
    whole, state = model(frames)
    first, between = model(frames[:, :4])
    second, end = model(frames[:, 4:], between)
    torch.testing.assert_close(torch.cat((first, second), 1), whole)
    for one, other in zip(state, end, strict=True):
        torch.testing.assert_close(one, other)
    lengths = torch.tensor([9, 4, 1])
    changed = frames.clone()
    changed[1, 4:] = changed[2, 1:] = 7.0
    short, _ = model(changed, None, lengths)
    torch.testing.assert_close(short[1, :4], whole[1, :4])
    torch.testing.assert_close(short[2, :1], whole[2, :1])


def test_a_composed_piece_begins_as_asked_and_follows_the_models_chances():
    model, start = model_of(), torch.eye(5)[:2]
    with torch.no_grad():
        pieces = compose(model, start, 3, num_samples=4000, generator=torch.Generator().manual_seed(0))
        expected = model(start.unsqueeze(0))[0][0, -1].sigmoid()
        cold = compose(model, start, 1, temperature=0.01, num_samples=2, generator=torch.Generator().manual_seed(0))
    assert pieces.shape == (4000, 5, 5) and torch.equal(pieces[:, :2], start.expand(4000, 2, 5))
    torch.testing.assert_close(pieces[:, 2].mean(0), expected, atol=0.03, rtol=0)
    assert torch.equal(cold[:, 2], (expected > 0.5).float().expand(2, 5))
    again = compose(model, start, 3, num_samples=2, generator=torch.Generator().manual_seed(3))
    assert torch.equal(again, compose(model, start, 3, num_samples=2, generator=torch.Generator().manual_seed(3)))


def test_what_reads_ahead_or_has_no_beginning_is_refused():
    with pytest.raises(ValueError, match="bidirectional: expected false"):
        model_of(bidirectional=True)
    with pytest.raises(ValueError, match=r"start: expected frames \(T, F\), one or more"):
        compose(model_of(), torch.zeros(0, 5), 3)
    with pytest.raises(ValueError, match="temperature: expected a number above 0"):
        compose(model_of(), torch.zeros(1, 5), 3, temperature=0)
