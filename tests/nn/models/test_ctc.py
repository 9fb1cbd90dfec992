"""Labels from frames: greedy and beam search against all paths, one by one; padding; streams."""

import itertools
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from seqlab.nn import Encoder, FrameInput, GRUCell, SymbolHead, Transcriber, beam_labels, greedy_labels


def by_paths(logs):
    """log P of all labels, from all paths of symbols; the last symbol is the blank."""
    steps, symbols = logs.shape
    chances = {}
    for path in itertools.product(range(symbols), repeat=steps):
        joined = [symbol for symbol, _ in itertools.groupby(path)]
        labels = tuple(symbol for symbol in joined if symbol != symbols - 1)
        value = sum(float(logs[step, symbol]) for step, symbol in enumerate(path))
        chances.setdefault(labels, []).append(value)
    return {labels: float(torch.tensor(values, dtype=torch.float64).logsumexp(0)) for labels, values in chances.items()}


@pytest.mark.parametrize("seed", range(6))
def test_a_wide_beam_finds_the_likeliest_labels_of_all_and_their_probability_is_that_of_the_loss(seed):
    draw = torch.Generator().manual_seed(seed)
    logits = 1.5 * torch.randn(2, 5, 3, generator=draw, dtype=torch.float64)
    lengths = torch.tensor([5, 4])
    for row, labels in enumerate(beam_labels(logits, lengths, beam_size=100)):
        logs = logits[row, : lengths[row]].log_softmax(-1)
        chances = by_paths(logs)
        assert tuple(labels) == max(chances, key=chances.__getitem__)
        targets = torch.tensor([labels or [0]])
        sizes = lengths[row : row + 1], torch.tensor([len(labels)])
        nll = F.ctc_loss(logs.unsqueeze(1), targets, *sizes, blank=2, reduction="sum")
        assert float(nll) == pytest.approx(-chances[tuple(labels)], rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_a_beam_is_at_least_as_good_as_the_likeliest_path(seed):
    logits = 2 * torch.randn(1, 6, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    length = torch.tensor([6])
    chances = by_paths(logits[0].log_softmax(-1))
    (greedy,), (beam,) = greedy_labels(logits, length), beam_labels(logits, length, 3)
    assert chances[tuple(beam)] >= chances[tuple(greedy)] - 1e-12
    best = logits[0].argmax(-1).tolist()
    assert greedy == [symbol for symbol, _ in itertools.groupby(best) if symbol != 2]


def test_what_stands_in_the_padding_changes_nothing():
    logits = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([6, 2])
    before = greedy_labels(logits, lengths), beam_labels(logits, lengths, 4)
    logits[1, 2:] = 50 * torch.randn(4, 4)
    assert before == (greedy_labels(logits, lengths), beam_labels(logits, lengths, 4))
    assert beam_labels(logits, torch.tensor([6, 0]), 4)[1] == []
    with pytest.raises(ValueError, match="beam_size: expected at least 1"):
        beam_labels(logits, lengths, 0)


def test_a_stream_is_heard_as_it_comes():
    torch.manual_seed(0)
    encoder = partial(Encoder, GRUCell, hidden_size=6, num_layers=2)
    model = Transcriber(partial(FrameInput, 5), encoder, partial(SymbolHead, num_symbols=4)).eval()
    frames = torch.randn(1, 12, 5)
    whole, _ = model(frames)
    pieces, state = [], None
    for start in range(0, 12, 5):
        logits, state = model(frames[:, start : start + 5], None, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, 1), whole)
