"""One recurrent layer in both directions."""

from typing import cast as typed

import torch
from torch import Tensor, nn

from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.layers.recurrent import Recurrent
from seqlab.nn.state import State, describe


class Bidirectional(nn.Module):
    """Two cells with weights of their own, one run from each end: y_t = [forward_t; backward_t] (Schuster & Paliwal
    1997).

    ``layer(x (B, T, I), state=None, lengths=None, is_first=None) -> (output (B, T, forward size + backward size),
    (forward, backward))``: the state is a pair of the cells' states. Otherwise as :class:`Recurrent`, which both
    directions are: where ``is_first`` cuts a row, the one begins anew after the cut, the other before it.

    Args:
        forward_cell: The cell that runs from the first step to the last.
        backward_cell: The cell that runs from each row's last step to the first.
        backend: The engine of both, as in :class:`Recurrent`.
        recompute: Whether steps are run a second time for the backward pass, as in :class:`Recurrent`.

    Raises:
        TypeError: as :class:`Recurrent` does.
        ValueError: as :class:`Recurrent` does, the cells' input sizes differ, or both are one cell.

    Example:
        >>> from seqlab.nn import GRUCell
        >>> layer = Bidirectional(GRUCell(3, 4), GRUCell(3, 4))
        >>> output, (forward, backward) = layer(torch.randn(2, 5, 3))
        >>> torch.equal(output[:, -1, :4], forward[0]), torch.equal(output[:, 0, 4:], backward[0])
        (True, True)
    """

    def __init__(
        self,
        forward_cell: RecurrentCell,
        backward_cell: RecurrentCell,
        backend: str = "auto",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.forward_layer = Recurrent(forward_cell, backend, recompute=recompute)
        self.backward_layer = Recurrent(backward_cell, backend, reverse=True, recompute=recompute)
        if forward_cell is backward_cell:
            raise ValueError("backward_cell: expected a cell of its own, got forward_cell again; make two cells")
        if forward_cell.input_size != backward_cell.input_size:
            sizes = f"{forward_cell.input_size} and {backward_cell.input_size}"
            raise ValueError(f"backward_cell: expected forward_cell's input_size, got cells of {sizes}")

    @property
    def engine(self) -> str:
        """The names of the engines: one, or "forward+backward" where the two differ."""
        return "+".join(dict.fromkeys((self.forward_layer.engine, self.backward_layer.engine)))

    @property
    def output_size(self) -> int:
        """The width of the layer's output: both directions' together."""
        return self.forward_layer.output_size + self.backward_layer.output_size

    def initial_state(self, batch_size: int, *, like: Tensor) -> tuple[State, State]:
        """The pair of states before the first step."""
        layers = self.forward_layer, self.backward_layer
        return (layers[0].initial_state(batch_size, like=like), layers[1].initial_state(batch_size, like=like))

    def forward(
        self,
        x: Tensor,
        state: tuple[State, State] | None = None,
        lengths: Tensor | None = None,
        is_first: Tensor | None = None,
    ) -> tuple[Tensor, tuple[State, State]]:
        if state is not None and not (isinstance(state, tuple) and len(state) == 2):
            raise ValueError(f"state: expected the pair (forward, backward) of states, got {describe(state)}")
        forward, backward = state if state is not None else (None, None)
        resets = () if is_first is None else (is_first,)  # a layer put in place of one here need not know them
        left, forward = self.forward_layer(x, forward, lengths, *resets)
        right, backward = self.backward_layer(x, backward, lengths, *resets)
        return torch.cat((left, right), 2), (typed(State, forward), typed(State, backward))
