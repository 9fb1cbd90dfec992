"""The cells that ship. Parameters, gate orders and equations are those of ``torch.nn``."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from seqlab.nn.arguments import check_choice
from seqlab.nn.cells.base import GatedCell
from seqlab.nn.state import State

_NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
}


class RNNCell(GatedCell):
    """The simple recurrent network of Elman (1990).

        h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)

    State ``(h,)``, each ``(B, H)``.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the products have biases.
        nonlinearity: f, "tanh", "relu" or "sigmoid" (Elman's own).

    Raises:
        TypeError: a size is no integer.
        ValueError: a size is below 1, or ``nonlinearity`` is another.

    Example:
        >>> cell = RNNCell(3, 4, nonlinearity="sigmoid")
        >>> (h,) = cell(torch.zeros(2, 3))
        >>> bool(((h > 0) & (h < 1)).all())
        True
    """

    num_gates = 1
    state_names = ("h",)

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh") -> None:
        self.nonlinearity = check_choice("nonlinearity", nonlinearity, tuple(_NONLINEARITIES))
        super().__init__(input_size, hidden_size, bias)

    def pointwise(self, gi: Tensor, gh: Tensor, state: State) -> State:
        return (_NONLINEARITIES[self.nonlinearity](gi + gh),)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, nonlinearity={self.nonlinearity!r}"


class GRUCell(GatedCell):
    """The gated recurrent unit of Cho et al. (2014), with the reset gate after the product, as in ``nn.GRUCell``.

        r, z = sigmoid(gi_r + gh_r), sigmoid(gi_z + gh_z);   n = tanh(gi_n + r * gh_n)
        h_t = (1 - z) * n + z * h_{t-1}

    with gi = W_ih x_t + b_ih and gh = W_hh h_{t-1} + b_hh. Gates r, z, n; state ``(h,)``, each ``(B, H)``.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the products have biases.

    Example:
        >>> (h,) = GRUCell(3, 4)(torch.zeros(2, 3))
        >>> h.shape
        torch.Size([2, 4])
    """

    num_gates = 3
    state_names = ("h",)
    gate_names = ("r", "z", "n")

    def pointwise(self, gi: Tensor, gh: Tensor, state: State) -> State:
        (ri, zi, ni), (rh, zh, nh) = gi.chunk(3, -1), gh.chunk(3, -1)
        r, z = (ri + rh).sigmoid(), (zi + zh).sigmoid()
        n = (ni + r * nh).tanh()
        return (n + z * (state[0] - n),)

    def gate_values(self, gi: Tensor, gh: Tensor, state: State) -> tuple[Tensor, ...]:
        (ri, zi, ni), (rh, zh, nh) = gi.chunk(3, -1), gh.chunk(3, -1)
        r = (ri + rh).sigmoid()
        return r, (zi + zh).sigmoid(), (ni + r * nh).tanh()


class LSTMCell(GatedCell):
    """Long short-term memory, Hochreiter & Schmidhuber (1997), with the forget gate of Gers et al. (2000).

        i, f, g, o = gi + gh;   c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g);   h_t = sigmoid(o) * tanh(c_t)

    with gi = W_ih x_t + b_ih and gh = W_hh h_{t-1} + b_hh. Gates i, f, g, o; state ``(h, c)``, each ``(B, H)``.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the products have biases.

    Example:
        >>> h, c = LSTMCell(3, 4)(torch.zeros(2, 3))
        >>> h.shape, c.shape
        (torch.Size([2, 4]), torch.Size([2, 4]))
    """

    num_gates = 4
    state_names = ("h", "c")
    gate_names = ("i", "f", "g", "o")
    forget_gate: ClassVar[int | None] = 1

    def pointwise(self, gi: Tensor, gh: Tensor, state: State) -> State:
        i, f, g, o = (gi + gh).chunk(4, -1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def gate_values(self, gi: Tensor, gh: Tensor, state: State) -> tuple[Tensor, ...]:
        i, f, g, o = (gi + gh).chunk(4, -1)
        return i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
