"""Whether a cell's methods are the shipped ones, which an engine may stand for; and its forward pre-hooks."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from seqlab.nn.cells.base import GatedCell, RecurrentCell
from seqlab.nn.cells.linear import LinearCell


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


def linear_ships() -> bool:
    """Whether ``functional.linear``, the product of a ``GatedCell``, is PyTorch's own; a library may replace it."""
    return bool(functional.linear is torch._C._nn.linear)


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
