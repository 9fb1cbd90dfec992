"""Connectionist temporal classification: labels without times, from frames."""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from torch import Tensor, nn

from seqlab.nn.arguments import check_size
from seqlab.nn.layers.sequence import EncoderFactory, SequenceEncoder, make_encoder
from seqlab.nn.models.inputs import Input, InputFactory
from seqlab.nn.models.labeller import StepHead
from seqlab.nn.models.parts import make_part
from seqlab.nn.state import NestedState

_Prefix: TypeAlias = tuple[int, ...]
_Ends: TypeAlias = tuple[float, float]  # log P of the paths that end in a blank, and of those that end in a label


class SymbolHead(StepHead):
    """Scores of the tokens and the blank at each step: P(s | y) = softmax(W D_o(y) + b).

    ``head(y (..., input_size)) -> logits (..., num_symbols)``; the last symbol is the blank.

    Args:
        input_size: The width of y; the model gives it.
        num_symbols: The number of tokens and one more, the blank.
        output_dropout: The probability of the dropout D_o, in [0, 1).

    Raises:
        TypeError: a size is no integer.
        ValueError: a size or probability is out of range.

    Example:
        >>> import torch
        >>> SymbolHead(4, 11)(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 3, 11])
    """

    def __init__(self, input_size: int, num_symbols: int, *, output_dropout: float = 0.0) -> None:
        super().__init__(input_size, check_size("num_symbols", num_symbols), output_dropout=output_dropout)
        self.num_symbols = num_symbols


class Transcriber(nn.Module):
    """A recurrent transcriber (Graves et al. 2006): logits = head(encoder(input(frames))), for CTC.

    ``model(frames (B, T, F), lengths=None, state=None) -> (logits (B, T, V + 1), state)``; symbol V is the blank. A
    transcriber that is not bidirectional hears a stream as it comes, the state handed on. ``is_first (B, T)`` bool, if
    given, is true where a segment of a row begins, which knows nothing of the others.

    Args:
        input: The factory of the input, such as a ``functools.partial`` of :class:`FrameInput`.
        encoder: The factory of the encoder, called ``encoder(input_size=input.output_size)``.
        head: The factory of the head, called ``head(input_size=encoder.output_size)``: a ``functools.partial`` of
            :class:`SymbolHead`.

    Raises:
        TypeError: a part is no factory of such a part.
        ValueError: what the parts refuse.

    Example:
        >>> import torch
        >>> from functools import partial
        >>> from seqlab.nn import Encoder, FrameInput, GRUCell
        >>> encoder, head = partial(Encoder, GRUCell, hidden_size=6), partial(SymbolHead, num_symbols=11)
        >>> model = Transcriber(partial(FrameInput, 40), encoder, head)
        >>> logits, state = model(torch.zeros(2, 7, 40), torch.tensor([7, 3]))
        >>> logits.shape, model.blank
        (torch.Size([2, 7, 11]), 10)
    """

    def __init__(self, input: InputFactory, encoder: EncoderFactory, head: Callable[..., SymbolHead]) -> None:
        super().__init__()
        self.input = make_part("input", input, Input)
        self.encoder = make_encoder("encoder", encoder, self.input.output_size, SequenceEncoder)
        self.head = make_part("head", head, SymbolHead, input_size=self.encoder.output_size)

    @property
    def blank(self) -> int:
        """The number of the blank."""
        return self.head.num_symbols - 1

    def forward(
        self,
        frames: Tensor,
        lengths: Tensor | None = None,
        state: tuple[NestedState, ...] | None = None,
        *,
        is_first: Tensor | None = None,
    ) -> tuple[Tensor, tuple[NestedState, ...]]:
        output, new = self.encoder(self.input(frames), state, lengths, **self.input.segments(is_first))
        return self.head(output), new


def greedy_labels(logits: Tensor, lengths: Tensor) -> list[list[int]]:
    """The labels of the likeliest path: of the likeliest symbol of each step, repeats joined and blanks left out.

    Args:
        logits: ``(B, T, V + 1)``, of which the last symbol is the blank.
        lengths: ``(B,)``.

    Example:
        >>> import torch
        >>> path = torch.tensor([[1, 1, 2, 1, 1, 2, 0]])  # of the tokens 0 and 1; 2 is the blank
        >>> greedy_labels(torch.nn.functional.one_hot(path, 3).float(), torch.tensor([7]))
        [[1, 1, 0]]
    """
    blank = logits.size(-1) - 1
    labels = []
    for path, length in zip(logits.argmax(-1).tolist(), lengths.tolist(), strict=True):
        row, before = [], blank
        for symbol in path[:length]:
            if symbol not in (before, blank):
                row.append(symbol)
            before = symbol
        labels.append(row)
    return labels


def beam_labels(logits: Tensor, lengths: Tensor, beam_size: int) -> list[list[int]]:
    """The likeliest labels by a prefix beam search (Hannun et al. 2014, without a language model).

    The probability of labels is the sum over all paths that read as them, which the likeliest path is not.

    Args:
        logits: ``(B, T, V + 1)``, of which the last symbol is the blank.
        lengths: ``(B,)``.
        beam_size: How many beginnings are kept at each step.

    Raises:
        ValueError: ``beam_size`` is below 1.

    Example:
        >>> import torch
        >>> chances = torch.tensor([[[0.4, 0.6], [0.4, 0.6]]])  # of "a" and the blank, twice
        >>> greedy_labels(chances.log(), torch.tensor([2])), beam_labels(chances.log(), torch.tensor([2]), 4)
        ([[]], [[0]])
    """
    check_size("beam_size", beam_size)
    logs = logits.double().log_softmax(-1).tolist()
    return [_beam(row[:length], beam_size) for row, length in zip(logs, lengths.tolist(), strict=True)]


def _beam(steps: Sequence[Sequence[float]], beam_size: int) -> list[int]:
    blank = len(steps[0]) - 1 if steps else 0
    beams: dict[_Prefix, _Ends] = {(): (0.0, -math.inf)}
    for step in steps:
        symbols = sorted(range(blank), key=lambda symbol: -step[symbol])[:beam_size]
        grown: dict[_Prefix, _Ends] = {}
        for prefix, (in_blank, in_label) in beams.items():
            _add(grown, prefix, _log_add(in_blank, in_label) + step[blank], -math.inf)
            if prefix:
                _add(grown, prefix, -math.inf, in_label + step[prefix[-1]])
            for symbol in symbols:
                before = in_blank if prefix and symbol == prefix[-1] else _log_add(in_blank, in_label)
                _add(grown, (*prefix, symbol), -math.inf, before + step[symbol])
        beams = dict(sorted(grown.items(), key=lambda item: -_log_add(*item[1]))[:beam_size])
    return list(max(beams.items(), key=lambda item: _log_add(*item[1]))[0])


def _add(beams: dict[_Prefix, _Ends], prefix: _Prefix, in_blank: float, in_label: float) -> None:
    """Adds paths to those of a beginning."""
    old = beams.get(prefix, (-math.inf, -math.inf))
    beams[prefix] = (_log_add(old[0], in_blank), _log_add(old[1], in_label))


def _log_add(one: float, other: float) -> float:
    if one < other:
        one, other = other, one
    return one if other == -math.inf else one + math.log1p(math.exp(other - one))
