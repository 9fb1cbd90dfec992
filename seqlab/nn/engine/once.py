"""What engines ask of a cell at each call: whether it still runs the methods that ship, its own hooks, and weights that
are made from others."""

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

# torch keeps parametrized weights for a while in one table for the process, cleared when the last user leaves: another
# thread's model would find weights of the step before. So one call at a time keeps them there.
_KEPT = threading.RLock()


def _parts(function: Any) -> tuple[Any, ...]:
    function = getattr(function, "fget", function)
    return function, getattr(function, "__code__", None)


# The methods that engines know, as they were when this module was imported; one may be replaced on its own class.
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
    """Whether ``cell.name`` is the method that ``owner`` came with, neither overridden nor replaced."""
    if name in cell.__dict__:
        return False
    return _parts(getattr(type(cell), name)) == _SHIPPED[owner, name]  # of a parametrized cell, its own class


_PLAIN = (Tensor, nn.Parameter)


def unplain(cell: nn.Module, *given: Tensor) -> str | None:
    """Why no kernel may read what a cell is given or holds: a tensor whose class has rules of its own; or None."""
    held = (each for module in cell.modules() for each in (*module._parameters.values(), *module._buffers.values()))
    for each in chain(given, held):
        if each is not None and type(each) not in _PLAIN:
            return f"a {type(each).__name__} is a tensor with rules of its own"
    return None


def linear_ships() -> bool:
    """Whether ``functional.linear``, the product of a ``GatedCell``, is PyTorch's own: a library may replace it."""
    return bool(functional.linear is torch._C._nn.linear)


def has_bias(cell: GatedCell) -> bool:
    """Whether there is a ``bias_hh``, told without computing one that is made from others."""
    return cell._parameters.get("bias_hh") is not None or parametrize.is_parametrized(cell, "bias_hh")


@contextmanager
def once_a_call(cell: nn.Module) -> Iterator[None]:
    """Within it, each parametrized weight of ``cell`` is computed once, however often it is read."""
    if not _has_parametrizations(cell):
        yield
        return
    with _KEPT, parametrize.cached():
        yield


def _has_parametrizations(cell: nn.Module) -> bool:
    return any("parametrizations" in module._modules for module in cell.modules())


@contextmanager
def not_once(cell: nn.Module) -> Iterator[None]:
    """Within :func:`once_a_call`, for a while as outside: a step that is captured reads no weight kept for the call."""
    if not _has_parametrizations(cell):  # then nothing is kept for this call, and it may be another thread's
        yield
        return
    enabled, kept = parametrize._cache_enabled, parametrize._cache
    parametrize._cache_enabled = enabled - 1
    parametrize._cache = kept if enabled > 1 else {}
    try:
        yield
    finally:
        parametrize._cache_enabled, parametrize._cache = enabled, kept


def run_pre_hooks(cell: nn.Module, *arguments: Any) -> None:
    """Run the forward pre-hooks of ``cell``, as pruning and the older weight norms register them.

    Raises:
        TypeError: a hook wants to change the input, which is the layer's.
    """
    for key, hook in list(cell._forward_pre_hooks.items()):
        keywords: tuple[Any, ...] = ({},) if key in cell._forward_pre_hooks_with_kwargs else ()
        if hook(cell, arguments, *keywords) is not None:
            raise TypeError(
                f"{type(cell).__name__}: a forward pre-hook of a cell can't change its input; register it on the layer"
            )
