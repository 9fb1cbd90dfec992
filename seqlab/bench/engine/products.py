"""The matrix products of a cell alone: no engine that is built on them can be faster."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Products:
    """The matrix products of one layer, written into buffers.

    Forward: ``x W_ih^T`` for all T at once, and T times ``h W_hh^T``, with biases. Backward: T times ``dg W_hh``, and
    one product each for the gradients of ``weight_hh``, ``weight_ih`` and ``x``. A cell that is not ``recurrent`` has
    no products with ``weight_hh``.

    Attributes:
        input_size: I.
        hidden_size: H.
        rows: the gate values of a step, G*H.
        steps: T.
        batch_size: B.
        recurrent: whether the cell has ``weight_hh``.
    """

    input_size: int
    hidden_size: int
    rows: int
    steps: int
    batch_size: int
    recurrent: bool = True

    @classmethod
    def of(cls, cell: nn.Module, steps: int, batch_size: int) -> "Products | None":
        """The products of a cell with ``weight_ih (G*H, I)`` and maybe ``weight_hh (G*H, H)``; None for other cells."""
        weight_ih, weight_hh = getattr(cell, "weight_ih", None), getattr(cell, "weight_hh", None)
        if not isinstance(weight_ih, Tensor) or weight_ih.dim() != 2:
            return None
        rows, input_size = weight_ih.shape
        hidden_size = input_size
        if isinstance(weight_hh, Tensor):
            if weight_hh.dim() != 2 or weight_hh.size(0) != rows:
                return None
            hidden_size = weight_hh.size(1)
        return cls(input_size, hidden_size, rows, steps, batch_size, isinstance(weight_hh, Tensor))

    @property
    def forward_flops(self) -> int:
        """Floating-point operations of the forward pass: 2 T B G H (I + H).

        Example:
            >>> Products(10, 20, 80, steps=5, batch_size=3).forward_flops == 2 * 5 * 3 * 80 * (10 + 20)
            True
        """
        columns = self.input_size + (self.hidden_size if self.recurrent else 0)
        return 2 * self.steps * self.batch_size * self.rows * columns

    @property
    def flops(self) -> int:
        """Operations of both passes: the backward pass has two products for each one of the forward pass."""
        return 3 * self.forward_flops

    def contender(self, device: torch.device, dtype: torch.dtype) -> "ProductsContender":
        """The products with random operands, to be timed."""
        return ProductsContender(self, device, dtype)


class ProductsContender:
    """The products over random operands."""

    def __init__(self, sizes: Products, device: torch.device, dtype: torch.dtype) -> None:
        def random(*shape: int) -> Tensor:
            return torch.randn(shape, device=device, dtype=dtype)

        T, B, X, H, G = sizes.steps, sizes.batch_size, sizes.input_size, sizes.hidden_size, sizes.rows
        self.recurrent = sizes.recurrent
        self.x, self.weight_ih, self.bias_ih, self.gi = random(B * T, X), random(G, X), random(G), random(B * T, G)
        self.h, self.weight_hh, self.bias_hh, self.gh = random(T, B, H), random(G, H), random(G), random(T, B, G)
        self.dg, self.dh = random(T, B, G), random(T, B, H)
        self.dweight_hh, self.dweight_ih, self.dx = random(G, H), random(G, X), random(B * T, X)

    def forward(self) -> None:
        torch.addmm(self.bias_ih, self.x, self.weight_ih.t(), out=self.gi)
        if self.recurrent:
            weight = self.weight_hh.t()
            for h, gh in zip(self.h, self.gh, strict=True):
                torch.addmm(self.bias_hh, h, weight, out=gh)

    def both(self) -> None:
        self.forward()
        dg = self.dg.flatten(0, 1)  # (T*B, G*H)
        if self.recurrent:
            for step in range(self.dg.size(0) - 1, -1, -1):
                torch.mm(self.dg[step], self.weight_hh, out=self.dh[step])
            torch.mm(dg.t(), self.h.flatten(0, 1), out=self.dweight_hh)
        torch.mm(dg.t(), self.x, out=self.dweight_ih)
        torch.mm(dg, self.weight_ih, out=self.dx)

    def release(self) -> None:
        """There are no gradients to free."""
