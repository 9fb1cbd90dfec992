"""The matrix products that a cell can't do without: the mark that no engine built on them can pass."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Products:
    """The bare products of one layer with ``rows`` = G*H gate values a step, into buffers made beforehand.

    Forward: ``x W_ih^T`` for all T at once, T times ``h W_hh^T``, biases included. Backward: T times ``dg W_hh``, then
    one product each for the gradients of ``weight_hh``, ``weight_ih`` and ``x``. Those with ``weight_hh`` are left out
    for a cell that is not ``recurrent``.
    """

    input_size: int
    hidden_size: int
    rows: int
    steps: int
    batch_size: int
    recurrent: bool = True

    @classmethod
    def of(cls, cell: nn.Module, steps: int, batch_size: int) -> "Products | None":
        """Those of a cell with ``weight_ih (G*H, I)`` and maybe ``weight_hh (G*H, H)``; None for another kind."""
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
        """Two for each multiplication and addition: 2 T B G H (I + H).

        >>> Products(10, 20, 80, steps=5, batch_size=3).forward_flops == 2 * 5 * 3 * 80 * (10 + 20)
        True
        """
        columns = self.input_size + (self.hidden_size if self.recurrent else 0)
        return 2 * self.steps * self.batch_size * self.rows * columns

    @property
    def flops(self) -> int:
        """Forward and backward; the backward pass has two products for each of the forward one."""
        return 3 * self.forward_flops

    def contender(self, device: torch.device, dtype: torch.dtype) -> "ProductsContender":
        """The products with operands at hand, ready to be timed."""
        return ProductsContender(self, device, dtype)


class ProductsContender:
    """The products over random operands."""

    def __init__(self, sizes: Products, device: torch.device, dtype: torch.dtype) -> None:
        def made(*shape: int) -> Tensor:
            return torch.randn(shape, device=device, dtype=dtype)

        T, B, X, H, G = sizes.steps, sizes.batch_size, sizes.input_size, sizes.hidden_size, sizes.rows
        self.recurrent = sizes.recurrent
        self.x, self.weight_ih, self.bias_ih, self.gi = made(B * T, X), made(G, X), made(G), made(B * T, G)
        self.h, self.weight_hh, self.bias_hh, self.gh = made(T, B, H), made(G, H), made(G), made(T, B, G)
        self.dg, self.dh = made(T, B, G), made(T, B, H)
        self.dweight_hh, self.dweight_ih, self.dx = made(G, H), made(G, X), made(B * T, X)

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
        """Nothing is made that would have to go."""
