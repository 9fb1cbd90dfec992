"""What models ask of an encoder of sequences, whatever it is made of."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from seqlab.nn.arguments import check_size
from seqlab.nn.state import NestedState

EncoderFactory: TypeAlias = Callable[..., "SequenceEncoder"]  # called with the keyword input_size alone


class SequenceEncoder(nn.Module):
    """What turns the vectors of a sequence into others, one a step; models ask no more of their encoder.

    ``encoder(x (B, T, input_size), state=None, lengths=None) -> (output (B, T, output_size), state)``. ``lengths (B,)``
    counts the valid steps of each row, padding on the right: it changes nothing, and its output is zero. ``state`` is
    what the encoder knows of the steps before x: a tuple of tensors ``(B, size)``, nested or not; None where nothing
    comes before. A sequence read in pieces, the state handed on, gives what it gives read at once, unless the encoder
    is ``bidirectional``: then a step sees those after it.

    The encoders that ship also take ``is_first``, ``(B,)`` or ``(B, T)`` bool, which cuts rows into segments that know
    nothing of each other. Models hand it on where they are given it, so another encoder need not have it.

    Another kind of encoder derives from it and defines ``initial_state`` and ``forward``.

    Args:
        input_size: The width of x.
        output_size: The width of the output.
        bidirectional: Whether a step's output depends on later steps.

    Example:
        >>> class Running(SequenceEncoder):  # the sum of all steps so far
        ...     def initial_state(self, batch_size, *, like):
        ...         return (like.new_zeros(batch_size, self.input_size),)
        ...
        ...     def forward(self, x, state=None, lengths=None):
        ...         (before,) = self.initial_state(x.size(0), like=x) if state is None else state
        ...         total = before.unsqueeze(1) + x.cumsum(1)
        ...         return total, (total[:, -1],)
        >>> Running(2, 2)(torch.ones(1, 3, 2))[0][0].tolist()
        [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    """

    def __init__(self, input_size: int, output_size: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.input_size = check_size("input_size", input_size)
        self.output_size = check_size("output_size", output_size)
        self.bidirectional = bidirectional

    def initial_state(self, batch_size: int, *, like: Tensor) -> tuple[NestedState, ...]:
        """The state before the first step, of the device and dtype of ``like``."""
        raise NotImplementedError(f"{type(self).__name__} must define initial_state")

    def backward_features(self) -> Tensor:
        """Which features of the output are complete at the first step, not at the last: ``(output_size,)`` bool."""
        return torch.zeros(self.output_size, dtype=torch.bool)


def without_padding(output: Tensor, lengths: Tensor | None) -> Tensor:
    """``output (B, T, F)`` with zeros past each row's length.

    Example:
        >>> without_padding(torch.ones(1, 3, 1), torch.tensor([2])).flatten().tolist()
        [1.0, 1.0, 0.0]
    """
    if lengths is None:
        return output
    steps = torch.arange(output.size(1), device=output.device)
    return output.masked_fill((steps >= lengths.to(output.device).unsqueeze(1)).unsqueeze(2), 0.0)


E = TypeVar("E", bound=SequenceEncoder)


def make_encoder(name: str, encoder: EncoderFactory, input_size: int, kind: type[E]) -> E:
    """The encoder of ``input_size`` that a factory makes: a model knows that size, its caller all other options.

    Args:
        name: The argument that holds the factory, for errors.
        encoder: Called as ``encoder(input_size=input_size)``, such as ``partial(Encoder, LSTMCell, hidden_size=8)``.
        input_size: The width of what the encoder reads.
        kind: What the model takes: any :class:`SequenceEncoder`, or :class:`Encoder` where it needs the cells' states.

    Raises:
        TypeError: ``encoder`` is no factory, or makes no encoder of that kind.
        ValueError: ``encoder`` holds an ``input_size`` of its own, or makes an encoder that reads another width.
    """
    expected = "a factory, such as functools.partial(Encoder, LSTMCell, hidden_size=8)"
    if isinstance(encoder, nn.Module) or not callable(encoder):
        raise TypeError(f"{name}: expected {expected}, got {encoder!r}")
    if isinstance(encoder, partial) and "input_size" in encoder.keywords:
        raise ValueError(f"{name}: expected a factory without input_size, which the model gives; leave it out")
    part = encoder(input_size=input_size)
    if isinstance(part, SequenceEncoder) and not isinstance(part, kind):
        made = type(part).__name__
        raise TypeError(f"{name}: expected recurrent layers, whose states are read here, but it made {made}")
    if not isinstance(part, kind):
        raise TypeError(f"{name}: expected {expected}, but it made {type(part).__name__}")
    if part.input_size != input_size:
        raise ValueError(f"{name}: expected an encoder of input_size {input_size}, got one of {part.input_size}")
    return part
