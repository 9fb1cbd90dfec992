"""The encoder: recurrent layers stacked."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias
from typing import cast as typed

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_choice, check_dropout, check_size
from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.layers.bidirectional import Bidirectional
from seqlab.nn.layers.recurrent import Recurrent
from seqlab.nn.state import NestedState, describe

Layer = Recurrent | Bidirectional
EncoderFactory: TypeAlias = Callable[..., "Encoder"]  # called with the keyword input_size alone
logger = logging.getLogger("seqlab")


class Encoder(nn.Module):
    """L recurrent layers f_1..f_L, one upon the other, with dropout D between them; y_l is the output of layer l.

    - ``connect="none"``: y_1 = f_1(x), y_l = f_l(D(y_{l-1})), and the output is y_L (Graves 2013).
    - ``connect="residual"``: y_1 = f_1(x), y_l = y_{l-1} + f_l(D(y_{l-1})), and the output is y_L (He et al. 2016).
    - ``connect="dense"``: y_l = f_l([x; D(y_1); ...; D(y_{l-1})]), and the output is [y_1; ...; y_L] (Huang et al.
      2017).

    Widths, with d = 2 directions if ``bidirectional`` else 1 and cells of output width H: layer 1 sees ``input_size``;
    layer l > 1 sees d*H, or ``input_size`` + (l-1)*d*H if dense. ``output_size`` is d*H, or L*d*H if dense. D acts
    where ``nn.LSTM``'s dropout does: on what one layer hands to the next, never on ``x``, on the output or, in the
    residual case, on the sum.

    ``encoder(x (B, T, input_size), state=None, lengths=None) -> (output (B, T, output_size), state)``. The state is a
    tuple with one entry a layer: the cell's state, or for a bidirectional layer the pair (forward, backward) of them.

    Args:
        cell: The factory of the cells, called ``cell(input width, hidden_size)`` once for each layer and direction, the
            forward one first: a cell class, or a ``functools.partial`` of one with further arguments.
        input_size: The width of x.
        hidden_size: The width of each cell's state.
        num_layers: L.
        bidirectional: Whether each layer runs in both directions.
        connect: How layers are connected: "none", "residual" or "dense".
        dropout: The probability of D, in [0, 1). With a single layer it has no effect, and a logged warning says so.
        backend: The engine of every layer, as in :class:`Recurrent`.
        recompute: Whether steps are run a second time for the backward pass, as in :class:`Recurrent`.

    Raises:
        TypeError: a size is no integer, or ``cell`` no factory of fitting cells.
        ValueError: a size, probability or choice is out of range, residual layers have unequal widths, or, when called,
            as :class:`Recurrent` does.

    Example:
        >>> from seqlab.nn import LSTMCell
        >>> encoder = Encoder(LSTMCell, input_size=3, hidden_size=4, num_layers=2, bidirectional=True, dropout=0.1)
        >>> output, state = encoder(torch.randn(2, 5, 3))
        >>> output.shape, len(state)
        (torch.Size([2, 5, 8]), 2)
        >>> (forward, backward) = state[1]
        >>> forward[0].shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        cell: Callable[[int, int], RecurrentCell],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        connect: str = "none",
        dropout: float = 0.0,
        backend: str = "auto",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.input_size = check_size("input_size", input_size)
        self.hidden_size = check_size("hidden_size", hidden_size)
        self.num_layers = check_size("num_layers", num_layers)
        self.bidirectional = bidirectional
        self.connect = check_choice("connect", connect, ("none", "residual", "dense"))
        self.dropout = check_dropout("dropout", dropout)
        if isinstance(cell, nn.Module) or not callable(cell):
            raise TypeError(f"cell: expected a factory, such as LSTMCell or a functools.partial of it, got {cell!r}")
        self.recompute = recompute
        self.layers = nn.ModuleList()
        size = input_size
        for _ in range(num_layers):
            layer = self._make_layer(cell, size, backend)
            self.layers.append(layer)
            size = size + layer.output_size if connect == "dense" else layer.output_size
        self.output_size = size - input_size if connect == "dense" else size
        self._check_widths()
        if dropout and num_layers == 1 and not any(parameter.is_meta for parameter in self.parameters()):
            # A word and no error, so that a sweep over depths can hold the dropout of the deeper ones.
            logger.warning("dropout=%s lies between layers: with num_layers=1 it has no effect", dropout)

    def _make_layer(self, cell: Callable[[int, int], RecurrentCell], size: int, backend: str) -> Layer:
        cells = [cell(size, self.hidden_size) for _ in range(2 if self.bidirectional else 1)]
        for each in cells:
            if not isinstance(each, RecurrentCell) or each.input_size != size:
                raise TypeError(
                    f"cell: expected a factory of RecurrentCells of input_size {size}, but it made {each!r}"
                )
        if self.bidirectional:
            return Bidirectional(cells[0], cells[1], backend, self.recompute)
        return Recurrent(cells[0], backend, recompute=self.recompute)

    def _check_widths(self) -> None:
        widths = [layer.output_size for layer in self._typed_layers()]
        if self.connect == "residual" and len(set(widths)) > 1:
            raise ValueError(
                f"connect: expected layers of one width for residual sums, got {widths}; use none or dense"
            )

    def _typed_layers(self) -> Sequence[Layer]:
        return typed(Sequence[Layer], self.layers)

    def initial_state(self, batch_size: int, *, like: Tensor) -> tuple[NestedState, ...]:
        """The state before the first step, learned where the cells learn it, of the device and dtype of ``like``."""
        return tuple(layer.initial_state(batch_size, like=like) for layer in self._typed_layers())

    def forward(
        self, x: Tensor, state: tuple[NestedState, ...] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[NestedState, ...]]:
        if state is not None and not (isinstance(state, tuple) and len(state) == self.num_layers):
            expected = f"a tuple with one entry for each of {self.num_layers} layers"
            raise ValueError(f"state: expected {expected}, got {describe(state)}")
        outputs: list[Tensor] = []
        states: list[NestedState] = []
        seen = x  # what the next layer sees
        for index, layer in enumerate(self.layers):
            output, new = layer(seen, None if state is None else state[index], lengths)
            if self.connect == "residual" and outputs:
                output = output + outputs[-1]
            outputs.append(output)
            states.append(new)
            if len(outputs) < self.num_layers:
                passed = functional.dropout(output, self.dropout, self.training)
                seen = torch.cat((seen, passed), 2) if self.connect == "dense" else passed
        return (torch.cat(outputs, 2) if self.connect == "dense" else outputs[-1]), tuple(states)

    def extra_repr(self) -> str:
        return f"connect={self.connect!r}, dropout={self.dropout}"


def make_encoder(name: str, encoder: EncoderFactory, input_size: int) -> Encoder:
    """The encoder of ``input_size`` that a factory makes: a model knows that size, its caller all other options.

    Args:
        name: The argument that holds the factory, for errors.
        encoder: Called as ``encoder(input_size=input_size)``, such as ``partial(Encoder, LSTMCell, hidden_size=8)``.
        input_size: The width of what the encoder reads.

    Raises:
        TypeError: ``encoder`` is no factory, or makes no :class:`Encoder`.
        ValueError: ``encoder`` holds an ``input_size`` of its own, or makes an encoder that reads another width.
    """
    expected = "a factory, such as functools.partial(Encoder, LSTMCell, hidden_size=8)"
    if isinstance(encoder, nn.Module) or not callable(encoder):
        raise TypeError(f"{name}: expected {expected}, got {encoder!r}")
    if isinstance(encoder, partial) and "input_size" in encoder.keywords:
        raise ValueError(f"{name}: expected a factory without input_size, which the model gives; leave it out")
    part = encoder(input_size=input_size)
    if not isinstance(part, Encoder):
        raise TypeError(f"{name}: expected {expected}, but it made {type(part).__name__}")
    if part.input_size != input_size:
        raise ValueError(f"{name}: expected an encoder of input_size {input_size}, got one of {part.input_size}")
    return part
