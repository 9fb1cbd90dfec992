"""Cells whose state enters linearly, element by element: all of time at once, on the ``parallel`` engine."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from seqlab.nn.arguments import check_choice, check_size
from seqlab.nn.cells.base import GatedCell
from seqlab.nn.state import State


class LinearCell(GatedCell):
    """A gated cell that is linear in its state, element by element, with no recurrent product.

        h_t = a_t * h_{t-1} + b_t,   (a_t, b_t) = coefficients(gi_t),   gi_t = W_ih x_t + b_ih

    Subclasses define ``coefficients(gi (..., G*H)) -> (a, b)``, each ``(..., H)`` or broadcast to it, and ``num_gates``
    (G) where it is not 2; ``pointwise`` follows from it. The coefficients may depend on the input and on learned
    parameters, never on the state: that is what lets the ``parallel`` engine do all T steps in few operations. State
    ``(h,)``, ``(B, H)``. Parameters ``weight_ih (G*H, I)`` and ``bias_ih (G*H)``.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the products have biases.

    Example:
        >>> class Leaky(LinearCell):  # a low-pass filter that learns its time constants
        ...     num_gates = 1
        ...     def __init__(self, input_size, hidden_size, bias=True):
        ...         super().__init__(input_size, hidden_size, bias)
        ...         self.decay = torch.nn.Parameter(torch.zeros(hidden_size))
        ...     def coefficients(self, gi):
        ...         a = self.decay.sigmoid()
        ...         return a, (1 - a) * gi
        >>> (h,) = Leaky(3, 4)(torch.zeros(2, 3), (torch.ones(2, 4),))
        >>> h.shape
        torch.Size([2, 4])
    """

    num_gates: ClassVar[int] = 2
    state_names = ("h",)
    recurrent = False

    @abstractmethod
    def coefficients(self, gi: Tensor) -> tuple[Tensor, Tensor]:
        """``(a, b)`` of the recurrence from the projected input ``gi (..., G*H)``, for any number of steps at once."""

    def pointwise(self, gi: Tensor, gh: Tensor, state: State) -> State:
        # Under autocast gi has 16 bits, too few for a decay near 1: 0.999 would be 1.
        a, b = self.coefficients(gi.to(torch.promote_types(gi.dtype, state[0].dtype)))
        return (torch.addcmul(b, a, state[0]),)


class MinGRUCell(LinearCell):
    """The minimal GRU of Feng et al. (2024), "Were RNNs All We Needed?", arXiv 2410.01201, section 3.1.

        z = sigmoid(gi_z);   h_t = (1 - z) * h_{t-1} + z * g(gi_h)

    Gates in the order z, h. State ``(h,)``, ``(B, H)``. Looked at, the gates are z and g, the candidate g(gi_h).

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the products have biases.
        candidate: g, "linear": the identity of the paper's section 3; or "positive": that of its log-space form,
            x + 0.5 for x >= 0 and sigmoid(x) below, which keeps the state positive.
        memory: T: the units begin with memories of 2 to T steps, spread evenly. The biases of z begin as -log u with u
            from U(1, T - 1), the chrono initialisation of Tallec & Ollivier (2018). None: as all other biases.

    Raises:
        TypeError: a size or ``memory`` is no integer.
        ValueError: a size is below 1, ``candidate`` is another, or ``memory`` is below 2 or comes without biases.

    Example:
        >>> cell = MinGRUCell(3, 4, candidate="positive")
        >>> (h,) = cell(torch.randn(2, 3))
        >>> bool((h > 0).all())
        True
    """

    num_gates = 2
    gate_names = ("z", "g")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        candidate: str = "linear",
        memory: int | None = None,
    ) -> None:
        self.candidate = check_choice("candidate", candidate, ("linear", "positive"))
        self.memory = memory
        if memory is not None and (check_size("memory", memory) < 2 or not bias):
            raise ValueError(f"memory: expected 2 steps or more, and bias=True, got {memory} and bias={bias}")
        super().__init__(input_size, hidden_size, bias)

    def reset_parameters(self) -> None:
        """Draw every parameter anew from U(-1/sqrt(H), 1/sqrt(H)), and with ``memory`` the biases of z from it."""
        super().reset_parameters()
        self.initialize()

    def initialize(self) -> None:
        if self.memory is not None and self.bias_ih is not None:
            with torch.no_grad():
                self.bias_ih[: self.hidden_size].uniform_(1.0, self.memory - 1.0).log_().neg_()

    def coefficients(self, gi: Tensor) -> tuple[Tensor, Tensor]:
        z, candidate = gi.chunk(2, -1)
        z = z.sigmoid()
        return 1 - z, z * _candidate(candidate, self.candidate)

    def gate_values(self, gi: Tensor, gh: Tensor, state: State) -> tuple[Tensor, ...]:
        z, candidate = gi.chunk(2, -1)
        return z.sigmoid(), _candidate(candidate, self.candidate)

    def extra_repr(self) -> str:
        memory = "" if self.memory is None else f", memory={self.memory}"
        return f"{super().extra_repr()}, candidate={self.candidate!r}{memory}"


class MinLSTMCell(LinearCell):
    """The minimal LSTM of Feng et al. (2024), "Were RNNs All We Needed?", arXiv 2410.01201, section 3.2.

        f, i = sigmoid(gi_f), sigmoid(gi_i);   f' = f / (f + i),   i' = i / (f + i);   h_t = f' * h_{t-1} + i' * g(gi_h)

    The normalised gates are computed as f' = sigmoid(log f - log i) and i' = 1 - f', which stays finite where both
    gates underflow. Gates in the order f, i, h. State ``(h,)``, ``(B, H)``. Looked at, the gates are f' and i', named f
    and i, and g, the candidate g(gi_h).

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the products have biases.
        candidate: g, as in :class:`MinGRUCell`.

    Raises:
        TypeError: a size is no integer.
        ValueError: a size is below 1, or ``candidate`` is another.

    Example:
        >>> cell = MinLSTMCell(3, 4)
        >>> a, b = cell.coefficients(torch.full((1, 12), -200.0))  # f and i are both 0 in float32
        >>> a.tolist()
        [[0.5, 0.5, 0.5, 0.5]]
    """

    num_gates, forget_gate = 3, 0
    gate_names = ("f", "i", "g")

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, candidate: str = "linear") -> None:
        self.candidate = check_choice("candidate", candidate, ("linear", "positive"))
        super().__init__(input_size, hidden_size, bias)

    def coefficients(self, gi: Tensor) -> tuple[Tensor, Tensor]:
        f, i, candidate = gi.chunk(3, -1)
        f = (torch.nn.functional.logsigmoid(f) - torch.nn.functional.logsigmoid(i)).sigmoid()
        return f, (1 - f) * _candidate(candidate, self.candidate)

    def gate_values(self, gi: Tensor, gh: Tensor, state: State) -> tuple[Tensor, ...]:
        f, _ = self.coefficients(gi)
        return f, 1 - f, _candidate(gi.chunk(3, -1)[2], self.candidate)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, candidate={self.candidate!r}"


def _candidate(x: Tensor, name: str) -> Tensor:
    return x if name == "linear" else torch.where(x >= 0, x + 0.5, x.sigmoid())
