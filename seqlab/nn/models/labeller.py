"""The labeller: an input, an encoder, and a head that gives every step a label."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_dropout, check_size
from seqlab.nn.layers.sequence import EncoderFactory, SequenceEncoder, make_encoder
from seqlab.nn.models.inputs import Input, InputFactory
from seqlab.nn.models.parts import make_part


class StepHead(nn.Module):
    """Scores of the labels of each step, each by itself: P(label_t) = softmax(W D_o(y_t) + b).

    ``head(features (..., input_size)) -> logits (..., num_classes)``.

    Args:
        input_size: The width of y; the model gives it.
        num_classes: The number of labels.
        output_dropout: The probability of the dropout D_o, in [0, 1).

    Raises:
        TypeError: a size is no integer.
        ValueError: a size or probability is out of range.

    Example:
        >>> import torch
        >>> StepHead(4, 3)(torch.zeros(2, 7, 4)).shape
        torch.Size([2, 7, 3])
    """

    def __init__(self, input_size: int, num_classes: int, *, output_dropout: float = 0.0) -> None:
        super().__init__()
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        self.output = nn.Linear(check_size("input_size", input_size), check_size("num_classes", num_classes))

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.output(functional.dropout(features, self.output_dropout, self.training))
        return scores


class Labeller(nn.Module):
    """A recurrent labeller of every step: logits_t = head(encoder(input(inputs))_t).

    ``model(inputs (B, T) or (B, T, F), lengths=None) -> logits (B, T, num_classes)``; ``inputs`` are what the input
    reads, such as token numbers, ``lengths (B,)`` the steps of each row, whose padding never changes an answer.
    ``features`` and ``head`` are the two halves, for those who need the logits of some steps only. ``is_first (B, T)``
    bool, if given, is true where a segment of a row begins, such as an episode, which knows nothing of the others.

    Args:
        input: The factory of the input, such as a ``functools.partial`` of :class:`TokenInput`.
        encoder: The factory of the encoder, called ``encoder(input_size=input.output_size)``: a ``functools.partial``
            of :class:`Encoder` with all other options.
        head: The factory of the head, called ``head(input_size=encoder.output_size)``: a ``functools.partial`` of
            :class:`StepHead` with all other options.

    Raises:
        TypeError: a part is no factory of such a part.
        ValueError: what the parts refuse.

    Example:
        >>> import torch
        >>> from functools import partial
        >>> from seqlab.nn import Encoder, GRUCell, TokenInput
        >>> encoder = partial(Encoder, GRUCell, hidden_size=6)
        >>> model = Labeller(partial(TokenInput, 2, 6), encoder, partial(StepHead, num_classes=2))
        >>> model(torch.tensor([[0, 1, 1], [1, 0, 0]]), torch.tensor([3, 1])).shape
        torch.Size([2, 3, 2])
    """

    def __init__(self, input: InputFactory, encoder: EncoderFactory, head: Callable[..., StepHead]) -> None:
        super().__init__()
        self.input = make_part("input", input, Input)
        self.encoder = make_encoder("encoder", encoder, self.input.output_size, SequenceEncoder)
        self.head = make_part("head", head, StepHead, input_size=self.encoder.output_size)

    def features(self, inputs: Tensor, lengths: Tensor | None = None, *, is_first: Tensor | None = None) -> Tensor:
        """What the head makes its scores from, ``(B, T, F)``."""
        output: Tensor = self.encoder(self.input(inputs), lengths=lengths, **self.input.segments(is_first))[0]
        return output

    def forward(self, inputs: Tensor, lengths: Tensor | None = None, *, is_first: Tensor | None = None) -> Tensor:
        logits: Tensor = self.head(self.features(inputs, lengths, is_first=is_first))
        return logits
