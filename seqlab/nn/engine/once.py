"""What every engine does once a call: the cell's own hooks, and weights that are made from others."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from seqlab.nn.arguments import method_of

# torch keeps parametrized weights for a while in one table for the process, cleared when the last user leaves: another
# thread's model would find weights of the step before. So one call at a time keeps them there.
_KEPT = threading.RLock()


@contextmanager
def once_a_call(cell: nn.Module) -> Iterator[None]:
    """Within it, each parametrized weight of ``cell`` is computed once, however often it is read."""
    if not any(hasattr(module, "parametrizations") for module in cell.modules()):
        yield
        return
    with _KEPT, parametrize.cached():
        yield


def class_attribute(cell: nn.Module, name: str) -> object:
    """What ``cell.name`` runs: the class's own function, or what stands on the instance in its place."""
    own = vars(cell).get(name)
    return method_of(cell, name) if own is None else own


def run_pre_hooks(cell: nn.Module, *arguments: Any) -> None:
    """Run the forward pre-hooks of ``cell``, as pruning and the older weight norms register them.

    Raises:
        TypeError: a hook wants to change the input, which is the layer's.
    """
    for key, hook in list(cell._forward_pre_hooks.items()):
        if key in cell._forward_pre_hooks_with_kwargs:
            result = hook(cell, arguments, {})
        else:
            result = hook(cell, arguments)
        if result is not None:
            raise TypeError(
                f"{type(cell).__name__}: a forward pre-hook of a cell can't change its input; register it on the layer"
            )
