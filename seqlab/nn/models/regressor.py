"""The regressor: frames, an encoder, and a head that gives a whole sequence its numbers."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_dropout
from seqlab.nn.layers.sequence import EncoderFactory, SequenceEncoder, make_encoder
from seqlab.nn.models.frames import Standardize
from seqlab.nn.models.inputs import Input, InputFactory
from seqlab.nn.models.parts import make_part
from seqlab.nn.models.pooling import Part, make_pooling


class NumberHead(nn.Module):
    """The numbers of a whole sequence: z = W D_o(pooling(y)) + b, in standardised units; the answer is z s + m.

    ``head(output (B, T, F), lengths=None) -> numbers (B, K)``, in the user's units: m and s are the mean and deviation
    of the targets in training, which are saved with the weights.

    Args:
        encoder: The encoder whose outputs are pooled; the model gives it.
        num_targets: K.
        pooling: "last", "max", "mean" or "attention"; see :mod:`seqlab.nn.models.pooling`.
        output_dropout: The probability of the dropout D_o, in [0, 1).

    Attributes:
        standardize: m and s; see :class:`Standardize`.

    Raises:
        TypeError: a size is no integer.
        ValueError: a size, probability or choice is out of range.

    Example:
        >>> import torch
        >>> from seqlab.nn import Encoder, GRUCell
        >>> head = NumberHead(Encoder(GRUCell, 3, 4), num_targets=2)
        >>> head.load_statistics(torch.tensor([100.0, 0.0]), torch.tensor([10.0, 1.0]))
        >>> head(torch.zeros(5, 7, 4)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self, encoder: SequenceEncoder, num_targets: int, *, pooling: str = "last", output_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        self.standardize = Standardize(num_targets)
        self.pooling = make_pooling(pooling, encoder)
        self.output = nn.Linear(encoder.output_size, num_targets)

    def load_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Takes the mean and the deviation of each target in training, ``(K,)`` each.

        Raises:
            ValueError: the numbers don't fit.
        """
        self.standardize.load(mean, std)

    def forward(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.finish(self.pooling.part(output, lengths))

    def finish(self, part: Part) -> Tensor:
        """The numbers ``(B, K)`` from what ``pooling`` has made of the outputs."""
        pooled = functional.dropout(self.pooling.finish(part), self.output_dropout, self.training)
        return self.standardize.inverse(self.output(pooled))


class Regressor(nn.Module):
    """A recurrent regressor of whole sequences: numbers = head(encoder(input(frames))).

    ``model(frames (B, T, F), lengths=None) -> numbers (B, K)``. All numbers are in the user's units: the input
    standardises frames by the statistics of training, and the head brings its answer back. ``lengths (B,)`` are the
    steps of each row, whose padding never changes an answer.

    Args:
        input: The factory of the input: a ``functools.partial`` of :class:`FrameInput`, or of another input.
        encoder: The factory of the encoder, called ``encoder(input_size=input.output_size)``.
        head: The factory of the head, called ``head(encoder=encoder)``: a ``functools.partial`` of :class:`NumberHead`.

    Raises:
        TypeError: a part is no factory of such a part.
        ValueError: what the parts refuse.

    Example:
        >>> import torch
        >>> from functools import partial
        >>> from seqlab.nn import Encoder, FrameInput, GRUCell
        >>> encoder = partial(Encoder, GRUCell, hidden_size=6)
        >>> model = Regressor(partial(FrameInput, 2), encoder, partial(NumberHead, num_targets=1))
        >>> model(torch.zeros(3, 9, 2), torch.tensor([9, 5, 1])).shape
        torch.Size([3, 1])
    """

    def __init__(self, input: InputFactory, encoder: EncoderFactory, head: Callable[..., NumberHead]) -> None:
        super().__init__()
        self.input = make_part("input", input, Input)
        self.encoder = make_encoder("encoder", encoder, self.input.output_size, SequenceEncoder)
        self.head = make_part("head", head, NumberHead, encoder=self.encoder)

    @property
    def target_stds(self) -> Tensor:
        """The deviation of each target in training, ``(K,)``."""
        return self.head.standardize.std

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        output, _ = self.encoder(self.input(frames), lengths=lengths)
        numbers: Tensor = self.head(output, lengths)
        return numbers
