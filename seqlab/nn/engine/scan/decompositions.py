"""How the trace of a step writes composite operations in simpler ones; some differ from PyTorch's decompositions."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions, get_decompositions

aten = torch.ops.aten
_FURTHER = (  # operations that PyTorch's core table does not decompose
    aten.gelu,
    aten.elu,
    aten.leaky_relu,
    aten.hardtanh,
    aten._softmax,
    aten._log_softmax,
)


@cache
def decompositions() -> dict[Any, Callable[..., Any]]:
    """The table for PyTorch's tracer, by operation."""
    table = dict(core_aten_decompositions())
    table.update(get_decompositions(_FURTHER))
    table[aten.native_layer_norm.default] = _layer_norm
    table[aten.native_layer_norm_backward.default] = _layer_norm_backward
    table[aten.linalg_vector_norm.default] = _norm
    for whole in (aten.select_scatter.default, aten.slice_scatter.default):
        table.pop(whole, None)
    table[aten.copy.default] = _copy
    table[aten.hardsigmoid_backward.default] = _hardsigmoid_backward
    table[aten.var.correction] = _var
    table[aten.var_mean.correction] = lambda *args, **options: (_var(*args, **options), _mean(*args, **options))
    return table


def _layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    dims = list(range(-len(shape), 0))
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    rstd = ((centred * centred).mean(dims, keepdim=True) + eps).rsqrt()
    y = centred * rstd
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias), mean, rstd


def _layer_norm_backward(
    grad: Tensor,
    x: Tensor,
    shape: Sequence[int],
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    dims, rest = list(range(-len(shape), 0)), list(range(x.dim() - len(shape)))
    normed = (x - mean) * rstd
    scaled = grad if weight is None else grad * weight
    inner = (scaled * normed).mean(dims, keepdim=True)
    to_x = (scaled - scaled.mean(dims, keepdim=True) - normed * inner) * rstd
    to_weight = (grad * normed).sum(rest) if mask[1] else None
    return (to_x if mask[0] else None), to_weight, (grad.sum(rest) if mask[2] else None)


def _hardsigmoid_backward(grad: Tensor, x: Tensor) -> Tensor:
    """With 1/6 as PyTorch has it: rounded to float32, whatever the dtype."""
    return torch.where((x > -3.0) & (x < 3.0), grad * 0.1666666716337204, 0.0)


def _copy(target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    return source.to(target.dtype).expand_as(target)


def _mean(x: Tensor, dim: Sequence[int] | None = None, *, correction: Any = None, keepdim: bool = False) -> Tensor:
    return x.mean(list(dim) if dim else list(range(x.dim())), keepdim=keepdim)


def _var(x: Tensor, dim: Sequence[int] | None = None, *, correction: Any = None, keepdim: bool = False) -> Tensor:
    dims = list(dim) if dim else list(range(x.dim()))
    centred = x - x.mean(dims, keepdim=True)
    count = 1
    for each in dims:
        count *= x.size(each)
    return (centred * centred).sum(dims, keepdim=keepdim) / (count - (1 if correction is None else correction))


def _norm(
    x: Tensor, order: float = 2, dim: Sequence[int] | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    dims = list(range(x.dim())) if dim is None else list(dim)
    if order == 2:
        return (x * x).sum(dims, keepdim=keepdim).sqrt()
    return x.abs().pow(order).sum(dims, keepdim=keepdim).pow(1 / order)
