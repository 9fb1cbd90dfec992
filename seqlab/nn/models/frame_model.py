"""Models of frames: what sounds next, from all that has sounded."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_dropout, check_size
from seqlab.nn.layers.sequence import EncoderFactory, SequenceEncoder, make_encoder
from seqlab.nn.models.inputs import Input, InputFactory
from seqlab.nn.models.parts import make_part
from seqlab.nn.state import NestedState


class FrameHead(nn.Module):
    """Scores of each of F features by itself: P(f_k = 1 | y) = sigmoid(W_k D_o(y) + b_k).

    ``head(y (..., input_size)) -> logits (..., num_features)``.

    Args:
        input_size: The width of y; the model gives it.
        num_features: F.
        output_dropout: The probability of the dropout D_o, in [0, 1).

    Raises:
        TypeError: a size is no integer.
        ValueError: a size or probability is out of range.

    Example:
        >>> FrameHead(4, 88)(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 3, 88])
    """

    def __init__(self, input_size: int, num_features: int, *, output_dropout: float = 0.0) -> None:
        super().__init__()
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        self.output = nn.Linear(check_size("input_size", input_size), check_size("num_features", num_features))

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.output(functional.dropout(features, self.output_dropout, self.training))
        return scores


class FrameModel(nn.Module):
    """A recurrent model of frames of F features that are on or off (Boulanger-Lewandowski et al. 2012, their RNN).

        P(f_{t+1} | f_1..f_t) = prod_k sigmoid(head(encoder(input(f_1..f_t)))_k)

    ``model(frames (B, T, F), state=None, lengths=None) -> (logits (B, T, F), state)``. The features of a step are taken
    as independent of each other, given what was before: so two notes that are each likely may sound together though
    they never do. ``is_first (B, T)`` bool, if given, is true where a piece begins: it knows nothing of those
    before.

    Args:
        input: The factory of the input, such as a ``functools.partial`` of :class:`FrameInput`.
        encoder: The factory of the encoder, called ``encoder(input_size=input.output_size)``.
        head: The factory of the head, called ``head(input_size=encoder.output_size)``: a ``functools.partial`` of
            :class:`FrameHead`.

    Raises:
        TypeError: a part is no factory of such a part.
        ValueError: what the parts refuse, or the encoder reads ahead.

    Example:
        >>> from functools import partial
        >>> from seqlab.nn import Encoder, FrameInput, LSTMCell
        >>> encoder, head = partial(Encoder, LSTMCell, hidden_size=6), partial(FrameHead, num_features=88)
        >>> logits, state = FrameModel(partial(FrameInput, 88), encoder, head)(torch.zeros(2, 7, 88))
        >>> logits.shape
        torch.Size([2, 7, 88])
    """

    def __init__(self, input: InputFactory, encoder: EncoderFactory, head: Callable[..., FrameHead]) -> None:
        super().__init__()
        self.input = make_part("input", input, Input)
        self.encoder = make_encoder("encoder", encoder, self.input.output_size, SequenceEncoder)
        if self.encoder.bidirectional:
            raise ValueError("bidirectional: expected false, for the frames to be predicted would be read; got true")
        self.head = make_part("head", head, FrameHead, input_size=self.encoder.output_size)

    def initial_state(self, batch_size: int) -> tuple[NestedState, ...]:
        """The encoder's state before the first frame, on the model's device."""
        return self.encoder.initial_state(batch_size, like=next(self.encoder.parameters()))

    def forward(
        self,
        frames: Tensor,
        state: tuple[NestedState, ...] | None = None,
        lengths: Tensor | None = None,
        *,
        is_first: Tensor | None = None,
    ) -> tuple[Tensor, tuple[NestedState, ...]]:
        output, new = self.encoder(self.input(frames), state, lengths, **self.input.segments(is_first))
        return self.head(output), new


def compose(
    model: FrameModel,
    start: Tensor,
    num_frames: int,
    temperature: float = 1.0,
    num_samples: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Continues frames, one drawn after the other.

    Args:
        model: The model, in evaluation mode.
        start: ``(T, F)``, the frames to begin with; at least one.
        num_frames: How many frames to add.
        temperature: What the logits are divided by; below 1, likely features are likelier still.
        num_samples: How many continuations.
        generator: The source of random numbers, on the CPU.

    Returns:
        ``(num_samples, T + num_frames, F)`` of 0 and 1, each beginning with ``start``.

    Raises:
        ValueError: there is no frame to begin with, or ``temperature`` is not above 0.
    """
    if start.dim() != 2 or not len(start):
        raise ValueError(f"start: expected frames (T, F), one or more, got {tuple(start.shape)}")
    if not temperature > 0:
        raise ValueError(f"temperature: expected a number above 0, got {temperature}")
    device = next(model.parameters()).device
    frames = start.to(device, torch.float32).expand(num_samples, -1, -1)
    pieces, state = [frames], None
    for _ in range(num_frames):
        logits, state = model(frames, state)
        chances = (logits[:, -1:].float() / temperature).sigmoid().cpu()
        frames = torch.bernoulli(chances, generator=generator).to(device)
        pieces.append(frames)
    return torch.cat(pieces, 1).cpu()
