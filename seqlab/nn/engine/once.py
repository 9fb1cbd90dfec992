"""What every engine needs of a cell at each call: whether its methods are the shipped ones, its forward pre-hooks, and
its parametrized weights, computed once a call."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from seqlab.nn.cells.base import GatedCell, RecurrentCell
from seqlab.nn.cells.linear import LinearCell

# torch caches parametrized weights in one table for the whole process, cleared when the last user leaves it. Another
# thread's model could read weights of the step before, so one call at a time uses the cache.
_CACHE_LOCK = threading.RLock()


def _parts(function: Any) -> tuple[Any, ...]:
    function = getattr(function, "fget", function)
    return function, getattr(function, "__code__", None)


# The methods that engines rely on, as they are when this module is imported. A user may replace one on its class.
_SHIPPED: dict[tuple[type, str], tuple[Any, ...]] = {
    (owner, name): _parts(vars(owner)[name])
    for owner, names in {
        RecurrentCell: ("output", "state_sizes", "output_size"),
        GatedCell: ("step", "product", "project"),
        LinearCell: ("pointwise",),
    }.items()
    for name in names
}


def ships(cell: nn.Module, owner: type, name: str) -> bool:
    """Whether ``cell.name`` is the method that ``owner`` ships, neither overridden nor replaced."""
    if name in cell.__dict__:
        return False
    return _parts(getattr(type(cell), name)) == _SHIPPED[owner, name]


_PLAIN = (Tensor, nn.Parameter)


def unplain(cell: nn.Module, *arguments: Tensor) -> str | None:
    """Why no kernel may read the arguments, parameters and buffers of a cell: one is of a tensor subclass; or None."""
    own = (each for module in cell.modules() for each in (*module._parameters.values(), *module._buffers.values()))
    for tensor in chain(arguments, own):
        if tensor is not None and type(tensor) not in _PLAIN:
            return f"{type(tensor).__name__} is a subclass of Tensor, which may change what operations do"
    return None


def linear_ships() -> bool:
    """Whether ``functional.linear``, the product of a ``GatedCell``, is PyTorch's own; a library may replace it."""
    return bool(functional.linear is torch._C._nn.linear)


def has_bias(cell: GatedCell) -> bool:
    """Whether the cell has a ``bias_hh``; a parametrized one is not computed."""
    return cell._parameters.get("bias_hh") is not None or parametrize.is_parametrized(cell, "bias_hh")


@contextmanager
def once_a_call(cell: nn.Module) -> Iterator[None]:
    """Within it, each parametrized weight of ``cell`` is computed once, however often it is read."""
    if not _has_parametrizations(cell):
        yield
        return
    with _CACHE_LOCK, parametrize.cached():
        yield


def _has_parametrizations(cell: nn.Module) -> bool:
    return any("parametrizations" in module._modules for module in cell.modules())


@contextmanager
def not_once(cell: nn.Module) -> Iterator[None]:
    """Suspends :func:`once_a_call`: a step that is captured within it must not read a cached weight."""
    if not _has_parametrizations(cell):  # then the cache is not this call's, and may be another thread's
        yield
        return
    enabled, cache = parametrize._cache_enabled, parametrize._cache
    parametrize._cache_enabled = enabled - 1
    parametrize._cache = cache if enabled > 1 else {}
    try:
        yield
    finally:
        parametrize._cache_enabled, parametrize._cache = enabled, cache


def run_pre_hooks(cell: nn.Module, *arguments: Any) -> None:
    """Run the forward pre-hooks of ``cell``, such as those of pruning and of the older weight norms.

    Raises:
        TypeError: a hook returns an input; the input belongs to the layer.
    """
    for key, hook in list(cell._forward_pre_hooks.items()):
        keywords: tuple[Any, ...] = ({},) if key in cell._forward_pre_hooks_with_kwargs else ()
        if hook(cell, arguments, *keywords) is not None:
            raise TypeError(
                f"{type(cell).__name__}: a forward pre-hook of a cell can't change its input; register it on the layer"
            )
