"""The checks of what callers hand to cells and layers: one place, one clear line each."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from seqlab.nn.state import State, describe


def check_size(name: str, value: int) -> int:
    """A positive integer, such as ``hidden_size``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}")
    return value


def check_dropout(name: str, value: float) -> float:
    """A probability that leaves something: in [0, 1)."""
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name}: expected a probability in [0, 1), got {value}")
    return float(value)


def check_choice(name: str, value: str, choices: Sequence[str]) -> str:
    """One of a few names."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
    return value


def check_input(x: Tensor, input_size: int, axes: str = "B, T") -> None:
    """``x`` of shape ``(B, T, input_size)``, floating point, no axis empty."""
    if not isinstance(x, Tensor):
        raise TypeError(f"x: expected a tensor ({axes}, {input_size}), got {type(x).__name__}")
    if x.dim() != axes.count(",") + 2 or x.size(-1) != input_size or not x.numel():
        raise ValueError(f"x: expected shape ({axes}, {input_size}) with no empty axis, got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise TypeError(f"x: expected floating-point values, got {x.dtype}")


def check_tokens(name: str, tokens: Tensor, *, empty: bool = False) -> None:
    """Token numbers ``(B, T)``; with ``empty`` there may be none."""
    if tokens.dim() != 2 or tokens.dtype not in (torch.int32, torch.int64) or not (tokens.numel() or empty):
        wanted = "int64 (B, T)" if empty else "int64 (B, T) with no empty axis"
        raise ValueError(f"{name}: expected {wanted}, got {tokens.dtype} of shape {tuple(tokens.shape)}")


def check_state(state: State, names: tuple[str, ...], sizes: tuple[int, ...], x: Tensor, name: str = "state") -> None:
    """A cell's state: a tuple of ``(B, size)`` tensors on the device of ``x``."""
    shapes = [(x.size(0), size) for size in sizes]
    if (
        not isinstance(state, tuple)
        or len(state) != len(shapes)
        or any(not isinstance(part, Tensor) or part.shape != shape for part, shape in zip(state, shapes, strict=True))
    ):
        wanted = ", ".join(f"{part} {shape}" for part, shape in zip(names, shapes, strict=True))
        mend = "; a state of one part is a tuple too: (h,)" if isinstance(state, Tensor) else ""
        raise ValueError(f"{name}: expected the tuple ({wanted}), got {describe(state)}{mend}")
    for part in state:
        if part.device != x.device:
            raise ValueError(f"{name}: expected tensors on {x.device}, where x is, got {part.device}")


def check_lengths(lengths: Tensor, x: Tensor) -> Tensor:
    """``lengths (B,)`` as int64 on the device of ``x``; their range is read only on a CPU, where that needs no wait."""
    if not isinstance(lengths, Tensor):
        raise TypeError(
            f"lengths: expected a tensor ({x.size(0)},), got {type(lengths).__name__}; use torch.tensor(...)"
        )
    if lengths.shape != x.shape[:1]:
        raise ValueError(f"lengths: expected shape ({x.size(0)},), one for each row of x, got {tuple(lengths.shape)}")
    if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
        raise TypeError(f"lengths: expected integers, got {lengths.dtype}")
    # An exported graph has no values to look at.
    readable = lengths.device.type == "cpu" and not torch.compiler.is_exporting()
    if readable and not 0 <= int(lengths.min()) <= int(lengths.max()) <= x.size(1):
        raise ValueError(f"lengths: expected values from 0 to T = {x.size(1)}, got {lengths.tolist()}")
    return lengths.to(device=x.device, dtype=torch.int64)


def check_is_first(is_first: Tensor, x: Tensor) -> Tensor:
    """``is_first``: truth values ``(B,)`` or ``(B, T)`` on the device of ``x``."""
    if not isinstance(is_first, Tensor):
        raise TypeError(f"is_first: expected a boolean tensor, got {type(is_first).__name__}; use torch.tensor(...)")
    if is_first.dtype != torch.bool:
        raise TypeError(f"is_first: expected a boolean tensor, got {is_first.dtype}; use is_first.bool()")
    if is_first.shape not in (x.shape[:1], x.shape[:2]):
        rows, steps = x.shape[:2]
        raise ValueError(
            f"is_first: expected shape ({rows},), for the first step, or ({rows}, {steps}), got {tuple(is_first.shape)}"
        )
    if is_first.device != x.device:
        raise ValueError(f"is_first: expected a tensor on {x.device}, where x is, got {is_first.device}")
    return is_first


def method_of(module: nn.Module, name: str) -> object:
    """The function that a module's class defines for ``name``, also where the module is parametrized."""
    return getattr(type_before_parametrizations(module), name)
