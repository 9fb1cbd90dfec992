"""The encoder: recurrent layers stacked."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias
from typing import cast as typed

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_choice, check_dropout, check_size
from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.layers.bidirectional import Bidirectional
from seqlab.nn.layers.connections import CONNECTIONS
from seqlab.nn.layers.recurrent import Recurrent
from seqlab.nn.layers.sequence import SequenceEncoder, without_padding
from seqlab.nn.state import NestedState, describe

Layer = Recurrent | Bidirectional
CellFactory: TypeAlias = Callable[[int, int], RecurrentCell]
NORMS: Final = ("none", "pre", "post")
logger = logging.getLogger("seqlab")


class Encoder(SequenceEncoder):
    """L recurrent layers f_1..f_L, one upon the other, with dropout D between them; y_l is what layer l gives.

    Always y_1 = f_1(x), for x may have another width. For l > 1 and without a norm:

    - ``connect="none"``: y_l = f_l(D(y_{l-1})), and the output is y_L (Graves 2013).
    - ``connect="residual"``: y_l = y_{l-1} + f_l(D(y_{l-1})), and the output is y_L (He et al. 2016).
    - ``connect="highway"``: y_l = t_l * f_l(D(y_{l-1})) + (1 - t_l) * y_{l-1}, t_l = sigmoid(W_l y_{l-1} + b_l), and
      the output is y_L (Srivastava et al. 2015; between recurrent layers, He et al. 2017). b_l starts at -1, so that
      most of y_{l-1} is carried at first. The gate joins outputs of layers, at every step; the Highway LSTM of Zhang et
      al. (2016) gates the memory c of one layer into that of the next instead, and the recurrent highway network of
      Zilly et al. (2017) makes one step deeper.
    - ``connect="dense"``: y_l = f_l([x; D(y_1); ...; D(y_{l-1})]), and the output is [y_1; ...; y_L] (Huang et al.
      2017).

    Layer normalisation N over a step's features (Ba et al. 2016), each with a gain and a bias of its own, where
    ``norm`` puts it:

    - ``norm="pre"``, before the layer: y_l = y_{l-1} + f_l(D(N_l(y_{l-1}))), and the output is N(y_L) (Xiong et al.
      2020). Nothing is normalised on the way from y_1 to y_L. A highway's layer and gate read N_l(y_{l-1}), and its sum
      carries y_{l-1} itself.
    - ``norm="post"``, after the sum: y_1 = N_1(f_1(x)), y_l = N_l(y_{l-1} + f_l(D(y_{l-1}))), and the output is y_L
      (Vaswani et al. 2017); in a highway N_l acts on its sum.
    - Without a sum, as ``connect`` "none" and "dense" have it, there is one place alone: both are y_l = N_l(f_l(...)).

    x is never normalised. All this leaves a padded step's output at zero, and the cells' states as they are.

    Widths, with d = 2 directions if ``bidirectional`` else 1 and cells of output width H_l: layer 1 sees
    ``input_size``; layer l > 1 sees d*H_{l-1}, or ``input_size`` + d*(H_1 + ... + H_{l-1}) if dense. ``output_size`` is
    d*H_L, or d*(H_1 + ... + H_L) if dense. Residual and highway sums want one width. D acts where ``nn.LSTM``'s dropout
    does: on what one layer hands to the next, never on ``x``, on the output or on what a sum or a gate takes of
    y_{l-1}.

    ``encoder(x (B, T, input_size), state=None, lengths=None, is_first=None) -> (output (B, T, output_size), state)``.
    The state is a tuple with one entry a layer: the cell's state, or for a bidirectional layer the pair (forward,
    backward) of them. ``is_first``, ``(B,)`` or ``(B, T)`` bool, resets every layer where a segment begins, as in
    :class:`Recurrent`.

    Args:
        cell: The factory of the cells, called ``cell(input width, hidden_size)`` once for each layer and direction, the
            forward one first: a cell class, or a ``functools.partial`` of one with further arguments. A list has one
            for each layer, from the first.
        input_size: The width of x.
        hidden_size: The width of each cell's state; a list has one for each layer.
        num_layers: L. None: as long as the lists are, or 1.
        bidirectional: Whether each layer runs in both directions.
        connect: How layers are connected: "none", "residual", "highway" or "dense".
        norm: Where layers are normalised: "none", "pre" or "post".
        dropout: The probability of D, in [0, 1). With a single layer it has no effect, and a logged warning says so.
        backend: The engine of every layer, as in :class:`Recurrent`.
        recompute: Whether steps are run a second time for the backward pass, as in :class:`Recurrent`.

    Raises:
        TypeError: a size is no integer, or ``cell`` no factory of fitting cells.
        ValueError: a size, probability or choice is out of range, a list is not of ``num_layers``, layers that are
            summed have unequal widths, or, when called, as :class:`Recurrent` does.

    Example:
        >>> from seqlab.nn import GRUCell, LSTMCell
        >>> encoder = Encoder(LSTMCell, input_size=3, hidden_size=4, num_layers=2, bidirectional=True, dropout=0.1)
        >>> output, state = encoder(torch.randn(2, 5, 3))
        >>> output.shape, len(state)
        (torch.Size([2, 5, 8]), 2)
        >>> (forward, backward) = state[1]
        >>> forward[0].shape
        torch.Size([2, 4])
        >>> Encoder([LSTMCell, GRUCell], input_size=3, hidden_size=[6, 4])(torch.randn(2, 5, 3))[0].shape
        torch.Size([2, 5, 4])
    """

    def __init__(
        self,
        cell: CellFactory | Sequence[CellFactory],
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int | None = None,
        bidirectional: bool = False,
        connect: str = "none",
        dropout: float = 0.0,
        backend: str = "auto",
        recompute: bool = False,
        norm: str = "none",
    ) -> None:
        width = check_size("input_size", input_size)
        cells, sizes = _of_layers(cell, hidden_size, num_layers)
        check_choice("connect", connect, tuple(CONNECTIONS))
        check_choice("norm", norm, NORMS)
        check_dropout("dropout", dropout)
        collects = CONNECTIONS[connect].collects
        layers: list[Layer] = []
        for factory, size in zip(cells, sizes, strict=True):
            layers.append(_make_layer(factory, width, size, bidirectional, backend, recompute))
            width = width + layers[-1].output_size if collects else layers[-1].output_size
        super().__init__(input_size, width - input_size if collects else width, bidirectional)
        self.hidden_size = hidden_size if isinstance(hidden_size, int) else tuple(sizes)
        self.num_layers = len(layers)
        self.connect, self.norm = connect, norm
        self.dropout = float(dropout)
        self.recompute = recompute
        self.layers = nn.ModuleList(layers)
        # These draw after all layers, whose first weights are then the same with every connection.
        widths = [layer.output_size for layer in layers]
        self.connection = CONNECTIONS[connect](widths)
        self.norms = nn.ModuleList() if norm == "none" else nn.ModuleList(map(nn.LayerNorm, widths))
        if dropout and self.num_layers == 1 and not any(parameter.is_meta for parameter in self.parameters()):
            # A word and no error, so that a sweep over depths can hold the dropout of the deeper ones.
            logger.warning("dropout=%s lies between layers: with num_layers=1 it has no effect", dropout)

    def _typed_layers(self) -> Sequence[Layer]:
        return typed(Sequence[Layer], self.layers)

    def initial_state(self, batch_size: int, *, like: Tensor) -> tuple[NestedState, ...]:
        """The state before the first step, learned where the cells learn it, of the device and dtype of ``like``."""
        return tuple(layer.initial_state(batch_size, like=like) for layer in self._typed_layers())

    def forward(
        self,
        x: Tensor,
        state: tuple[NestedState, ...] | None = None,
        lengths: Tensor | None = None,
        is_first: Tensor | None = None,
    ) -> tuple[Tensor, tuple[NestedState, ...]]:
        if state is not None and not (isinstance(state, tuple) and len(state) == self.num_layers):
            expected = f"a tuple with one entry for each of {self.num_layers} layers"
            raise ValueError(f"state: expected {expected}, got {describe(state)}")
        # Norms are numbered by what they follow: N_l of pre-norm, which reads y_{l-1}, is norms[l - 2].
        pre = self.norm == "pre" and self.connection.shortcut
        outputs: list[Tensor] = []
        states: list[NestedState] = []
        resets = () if is_first is None else (is_first,)  # a layer put in place of one here need not know them
        seen = x  # what the next layer sees
        for index, layer in enumerate(self.layers):
            read = seen
            if outputs:
                read = self.norms[index - 1](outputs[-1]) if pre else outputs[-1]
                passed = functional.dropout(read, self.dropout, self.training)
                seen = torch.cat((seen, passed), 2) if self.connection.collects else passed
            output, new = layer(seen, None if state is None else state[index], lengths, *resets)
            if outputs:
                output = self.connection.join(index, output, outputs[-1], read)
            if self.norm != "none" and not pre:
                output = without_padding(self.norms[index](output), lengths)
            outputs.append(output)
            states.append(new)
        output = torch.cat(outputs, 2) if self.connection.collects else outputs[-1]
        return (without_padding(self.norms[-1](output), lengths) if pre else output), tuple(states)

    def backward_features(self) -> Tensor:
        sides: list[bool] = []
        for layer in self._typed_layers() if self.connection.collects else self._typed_layers()[-1:]:
            if isinstance(layer, Bidirectional):
                sides += [False] * layer.forward_layer.output_size + [True] * layer.backward_layer.output_size
            else:
                sides += [False] * layer.output_size
        return torch.tensor(sides)

    def extra_repr(self) -> str:
        return f"connect={self.connect!r}, norm={self.norm!r}, dropout={self.dropout}"


def _of_layers(
    cell: CellFactory | Sequence[CellFactory], hidden_size: int | Sequence[int], num_layers: int | None
) -> tuple[list[CellFactory], list[int]]:
    """A factory of cells and a size for each layer."""
    if num_layers is None:
        lists = [len(each) for each in (cell, hidden_size) if isinstance(each, (list, tuple))]
        num_layers = max([1, *lists])
    check_size("num_layers", num_layers)
    cells: list[CellFactory] = _each("cell", cell, num_layers)
    sizes: list[int] = _each("hidden_size", hidden_size, num_layers)
    for each in cells:
        if isinstance(each, nn.Module) or not callable(each):
            raise TypeError(f"cell: expected a factory, such as LSTMCell or a functools.partial of it, got {each!r}")
    return cells, [check_size("hidden_size", size) for size in sizes]


def _each(name: str, value: Any, num_layers: int) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        return [value] * num_layers
    if len(value) != num_layers:
        layers = f"{num_layers} layer{'s' if num_layers > 1 else ''}"
        raise ValueError(f"{name}: expected one for each of {layers}, got a list of {len(value)}; give num_layers too")
    return list(value)


def _make_layer(
    cell: CellFactory, width: int, hidden_size: int, bidirectional: bool, backend: str, recompute: bool
) -> Layer:
    cells = [cell(width, hidden_size) for _ in range(2 if bidirectional else 1)]
    for each in cells:
        if not isinstance(each, RecurrentCell) or each.input_size != width:
            raise TypeError(f"cell: expected a factory of RecurrentCells of input_size {width}, but it made {each!r}")
    if bidirectional:
        return Bidirectional(cells[0], cells[1], backend, recompute)
    return Recurrent(cells[0], backend, recompute=recompute)
