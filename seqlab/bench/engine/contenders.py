"""Layers made ready to be timed, and held against the reference before they are."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from seqlab.nn import Recurrent

SEED = 0
FLOOR = 0.01
"""Values are held to an error of their own size, or of this part of the largest one's: some gradients are zero but for
rounding."""


class Size(NamedTuple):
    """Steps, rows, the width of the state, and that of the input where it is another."""

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
    """Where and in which precision everything is measured."""

    device: torch.device
    precision: str = "32-true"

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the products."""
        return torch.bfloat16 if self.precision == "bf16-mixed" else torch.float32

    @property
    def tolerance(self) -> float:
        """How far the root mean square of an error may go, in parts of the value's own."""
        return 0.1 if self.precision == "bf16-mixed" else 1e-3

    def autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "32-true":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def data(self, size: Size) -> Tensor:
        """The input ``(B, T, I)``, with a gradient wanted, the same for everyone who asks."""
        generator = torch.Generator().manual_seed(SEED)
        x = torch.randn(size.B, size.T, size.input_size, generator=generator)
        return x.to(self.device).requires_grad_()


class Contender(Protocol):
    """What takes part: one call of a layer forward without gradients, and one of it forward and backward."""

    def forward(self) -> None: ...

    def both(self) -> None: ...

    def release(self) -> None: ...


class LayerContender:
    """A layer over a fixed input: ``run(x)`` gives its output, whose gradient is random."""

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
        if self._gradient is None:  # made in the warm-up, in the dtype that this layer answers in
            generator = torch.Generator().manual_seed(SEED + 1)
            self._gradient = torch.randn(output.shape, generator=generator).to(output)
        output.backward(self._gradient)  # type: ignore[no-untyped-call]
        return output

    def release(self) -> None:
        for leaf in self._leaves:
            leaf.grad = None

    def values(self) -> dict[str, Tensor]:
        """The output and all gradients; zeros for a parameter that got none."""
        output = self._backward().detach()
        named = {"x": self.x, **dict(self.layer.named_parameters())}
        gradients = {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in named.items()}
        self.release()
        return {"output": output} | {f"gradient of {name}": value for name, value in gradients.items()}

    def sensitivity(self) -> dict[str, float]:
        """How far each value moves, in parts of its size, when the input moves by a rounding or two."""
        before = self.values()
        kept = self.x.detach().clone()
        with torch.no_grad():
            self.x.mul_(1 + 2**-22)
        after = self.values()
        with torch.no_grad():
            self.x.copy_(kept)
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
    """Which value is further off than rounding explains, or None; values that only one side names are not compared.

    An error's root mean square is held to ``tolerance`` times that of the value expected; or to four times what
    ``sensitivity`` says that a rounding of the input does to it, where gradients explode and that is more.
    """
    largest = max(_rms(value) for name, value in expected.items() if name != "output")
    for name, value in expected.items():
        if name not in actual:
            continue
        if actual[name].shape != value.shape:
            return f"{name} has shape {tuple(actual[name].shape)} instead of {tuple(value.shape)}"
        error, scale = _rms(actual[name].float() - value.float()), max(_rms(value), FLOOR * largest)
        allowed = max(tolerance, 4 * (sensitivity or {}).get(name, 0.0))
        if not error <= allowed * scale:  # put so that NaN is off as well
            return f"{name} is off by {error / scale:.2g} of its size"
    return None


def _rms(value: Tensor) -> float:
    return float(value.detach().double().square().mean().sqrt())
