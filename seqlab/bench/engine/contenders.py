"""Layers that can be timed, and their comparison with the reference before they are."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from seqlab.nn import Recurrent

SEED = 0
FLOOR = 0.01
"""An error is relative to the value's own size, or to this part of the largest value's size if that is more: some
gradients are zero except for rounding."""


class Size(NamedTuple):
    """Steps T, rows B, width of the state H, and width of the input I if it is not H."""

    T: int
    B: int
    H: int
    I: int | None = None  # noqa: E741

    @property
    def input_size(self) -> int:
        return self.H if self.I is None else self.I

    def __str__(self) -> str:
        return f"({','.join(str(number) for number in self if number is not None)})"


@dataclass(frozen=True)
class Setting:
    """The device and the precision of all measurements."""

    device: torch.device
    precision: str = "32-true"

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the matrix products."""
        return torch.bfloat16 if self.precision == "bf16-mixed" else torch.float32

    @property
    def tolerance(self) -> float:
        """The largest root mean square of an error, relative to that of the value."""
        return 0.1 if self.precision == "bf16-mixed" else 1e-3

    def autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "32-true":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def data(self, size: Size) -> Tensor:
        """The input ``(B, T, I)``, which requires a gradient; the same at every call."""
        generator = torch.Generator().manual_seed(SEED)
        x = torch.randn(size.B, size.T, size.input_size, generator=generator)
        return x.to(self.device).requires_grad_()


class Contender(Protocol):
    """A layer that is timed."""

    def forward(self) -> None:
        """One forward pass without gradients."""

    def both(self) -> None:
        """One forward and backward pass."""

    def release(self) -> None:
        """Frees the gradients."""


class LayerContender:
    """A layer over a fixed input; the gradient of its output is random.

    Args:
        layer: the layer.
        run: ``run(x)`` gives the layer's output.
        x: ``(B, T, I)``.
        setting: the device and the precision.
    """

    def __init__(self, layer: nn.Module, run: Callable[[Tensor], Tensor], x: Tensor, setting: Setting) -> None:
        self.layer, self.run, self.x, self.setting = layer.to(setting.device), run, x, setting
        self._leaves = [x, *layer.parameters()]
        self._gradient: Tensor | None = None

    def forward(self) -> None:
        with torch.no_grad(), self.setting.autocast():
            self.run(self.x)

    def both(self) -> None:
        self._backward()

    def _backward(self) -> Tensor:
        self.release()
        with self.setting.autocast():
            output = self.run(self.x)
        if self._gradient is None:  # made in the warm-up, in the dtype of this layer's output
            generator = torch.Generator().manual_seed(SEED + 1)
            self._gradient = torch.randn(output.shape, generator=generator).to(output)
        output.backward(self._gradient)  # type: ignore[no-untyped-call]
        return output

    def release(self) -> None:
        for leaf in self._leaves:
            leaf.grad = None

    def values(self) -> dict[str, Tensor]:
        """The output and all gradients; zeros for a parameter without a gradient."""
        output = self._backward().detach()
        named = {"x": self.x, **dict(self.layer.named_parameters())}
        gradients = {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in named.items()}
        self.release()
        return {"output": output} | {f"gradient of {name}": value for name, value in gradients.items()}

    def sensitivity(self) -> dict[str, float]:
        """The relative change of each value when the input changes by one or two roundings."""
        before = self.values()
        original = self.x.detach().clone()
        with torch.no_grad():
            self.x.mul_(1 + 2**-22)
        after = self.values()
        with torch.no_grad():
            self.x.copy_(original)
        return {name: _rms(after[name] - value) / max(_rms(value), 1e-30) for name, value in before.items()}


def recurrent_contender(layer: Recurrent, x: Tensor, setting: Setting) -> LayerContender:
    """A layer of this project."""
    return LayerContender(layer, lambda x: layer(x)[0], x, setting)


def stepped_contender(cell: nn.RNNCellBase, x: Tensor, setting: Setting) -> LayerContender:
    """A cell of ``torch.nn`` stepped in Python, as its user would."""

    def run(x: Tensor) -> Tensor:
        state, outputs = None, []
        for t in range(x.size(1)):
            state = cell(x[:, t], state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs, 1)

    return LayerContender(cell, run, x, setting)


def disagreement(
    actual: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    tolerance: float,
    sensitivity: Mapping[str, float] | None = None,
) -> str | None:
    """The first value with a larger error than rounding explains, in words; None if there is none.

    The limit of an error's root mean square is ``tolerance`` times that of the expected value. Where gradients explode
    it is more: four times the change that a rounding of the input causes.

    Args:
        actual: a contender's values.
        expected: the reference's values; those that ``actual`` lacks are not compared.
        tolerance: of the relative error.
        sensitivity: the relative change of each value by a rounding of the input.
    """
    largest = max(_rms(value) for name, value in expected.items() if name != "output")
    for name, value in expected.items():
        if name not in actual:
            continue
        if actual[name].shape != value.shape:
            return f"{name} has shape {tuple(actual[name].shape)} instead of {tuple(value.shape)}"
        error, scale = _rms(actual[name].float() - value.float()), max(_rms(value), FLOOR * largest)
        allowed = max(tolerance, 4 * (sensitivity or {}).get(name, 0.0))
        if not error <= allowed * scale:  # true for NaN as well
            return f"{name} is off by {error / scale:.2g} of its size"
    return None


def _rms(value: Tensor) -> float:
    return float(value.detach().double().square().mean().sqrt())
