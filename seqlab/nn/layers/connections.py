"""How the layers of an encoder are connected: what each reads, and what is made of its output.

One more connection is a class here and a line in `CONNECTIONS`.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

CARRY_BIAS: Final = -1.0  # of a highway's gate at the start: sigmoid(-1) = 0.27, so that most of y_{l-1} is carried


class Connection(nn.Module):
    """The layers one upon the other: y_l = f_l(D(y_{l-1})).

    Args:
        widths: The width of each layer's output.

    Attributes:
        shortcut: Whether y_l is a sum of a layer's output and y_{l-1}.
        collects: Whether a layer reads, and the encoder gives, what all layers below gave.

    Raises:
        ValueError: the widths don't fit the connection.
    """

    shortcut: ClassVar[bool] = False
    collects: ClassVar[bool] = False

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        if self.shortcut and len(set(widths)) > 1:
            raise ValueError(
                f"connect: expected layers of one width for sums of their outputs, got {list(widths)}; "
                "use none or dense, or one hidden_size for all layers"
            )

    def join(self, layer: int, output: Tensor, below: Tensor, read: Tensor) -> Tensor:
        """y_l ``(B, T, width)`` of a layer above the first.

        Args:
            layer: The layer's number, from 1 for the second.
            output: f_l of what the layer read.
            below: y_{l-1}.
            read: What the layer read, before dropout: y_{l-1}, or its norm.
        """
        return output

    def initialize(self) -> None:
        """Sets the parameters that a model begins with for a reason, in place."""


class Residual(Connection):
    """y_l = y_{l-1} + f_l(D(y_{l-1})) (He et al. 2016)."""

    shortcut = True

    def join(self, layer: int, output: Tensor, below: Tensor, read: Tensor) -> Tensor:
        return output + below


class Dense(Connection):
    """y_l = f_l([x; D(y_1); ...; D(y_{l-1})]); the encoder gives [y_1; ...; y_L] (Huang et al. 2017)."""

    collects = True


class Highway(Connection):
    """y_l = t * f_l(D(y_{l-1})) + (1 - t) * y_{l-1}, t = sigmoid(W_l y_{l-1} + b_l) (Srivastava et al. 2015)."""

    shortcut = True

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__(widths)
        self.gates = nn.ModuleList(nn.Linear(width, width) for width in widths[1:])
        self.initialize()

    def initialize(self) -> None:
        for gate in self.gates:
            nn.init.constant_(gate.bias, CARRY_BIAS)  # type: ignore[arg-type]

    def join(self, layer: int, output: Tensor, below: Tensor, read: Tensor) -> Tensor:
        transform: Tensor = torch.sigmoid(self.gates[layer - 1](read))
        return transform * output + (1 - transform) * below


CONNECTIONS: Final[dict[str, type[Connection]]] = {
    "none": Connection,
    "residual": Residual,
    "highway": Highway,
    "dense": Dense,
}
