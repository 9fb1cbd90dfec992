"""``is_first (B, T)`` of models: a segment of a row is read as a row of its own."""

import itertools
from functools import partial

import pytest
import torch

from seqlab.nn import (
    Encoder,
    FrameInput,
    GRUCell,
    LanguageModel,
    SequenceEncoder,
    TokenHead,
    TokenInput,
    WordInput,
)
from seqlab.nn.models.ctc import SymbolHead, Transcriber
from seqlab.nn.models.frame_model import FrameHead, FrameModel
from seqlab.nn.models.inputs import PlacedInput
from seqlab.nn.models.labeller import Labeller, StepHead
from seqlab.nn.models.tag_head import TagHead
from seqlab.nn.models.tagger import Tagger

ENCODER = partial(Encoder, GRUCell, hidden_size=5, num_layers=2)
BOTH_WAYS = partial(ENCODER, bidirectional=True)
WORDS, FRAMES = torch.arange(14).view(2, 7) % 9, torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0))
MODELS = {
    "language model": (LanguageModel, partial(TokenInput, 9, 6), ENCODER, partial(TokenHead, vocab_size=9), WORDS),
    "frame model": (FrameModel, partial(FrameInput, 4), ENCODER, partial(FrameHead, num_features=4), FRAMES),
    "labeller": (Labeller, partial(TokenInput, 9, 6), BOTH_WAYS, partial(StepHead, num_classes=3), WORDS),
    "tagger": (Tagger, partial(WordInput, 9, 6), BOTH_WAYS, partial(TagHead, tags=["A", "B"]), WORDS),
    "transcriber": (Transcriber, partial(FrameInput, 4), BOTH_WAYS, partial(SymbolHead, num_symbols=3), FRAMES),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_segment_is_read_as_a_row_of_its_own(name):
    torch.manual_seed(1)
    kind, *parts, inputs = MODELS[name]
    model = kind(*parts).eval()
    is_first = torch.zeros(2, 7, dtype=torch.bool)
    is_first[0, 3], is_first[1, [2, 6]] = True, True
    cut = first_of(model(inputs, is_first=is_first))
    for row, begins in ((0, (0, 3, 7)), (1, (0, 2, 6, 7))):
        for start, end in itertools.pairwise(begins):
            alone = first_of(model(inputs[row : row + 1, start:end]))
            torch.testing.assert_close(cut[row, start:end], alone[0])
    assert not torch.allclose(cut, first_of(model(inputs)))


def first_of(answer):
    return answer[0] if isinstance(answer, tuple) else answer


def test_what_reads_rows_whole_has_no_segments():
    model = Labeller(partial(PlacedInput, 9, 6, num_places=7), ENCODER, partial(StepHead, num_classes=3))
    with pytest.raises(ValueError, match="is_first: PlacedInput reads rows whole; give each segment a row of its own"):
        model(WORDS, is_first=torch.ones(2, 7, dtype=torch.bool))


def test_an_encoder_of_ones_own_need_not_take_them():
    class Running(SequenceEncoder):
        def forward(self, x, state=None, lengths=None):
            return x.cumsum(1), ()

    model = Labeller(
        partial(TokenInput, 9, 6), lambda input_size: Running(input_size, 6), partial(StepHead, num_classes=3)
    )
    assert model(WORDS).shape == (2, 7, 3)
    with pytest.raises(TypeError, match="is_first"):
        model(WORDS, is_first=torch.ones(2, 7, dtype=torch.bool))
