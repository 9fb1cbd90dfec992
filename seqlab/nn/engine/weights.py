"""A cell's weights as engines read them: plain tensors, and parametrized ones computed once a call."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

from torch import Tensor, nn
from torch.nn.utils import parametrize

from seqlab.nn.cells.base import GatedCell

# torch caches parametrized weights in one table for the whole process, cleared when the last user leaves it. Another
# thread's model could read weights of the step before, so one call at a time uses the cache.
_CACHE_LOCK = threading.RLock()

_PLAIN = (Tensor, nn.Parameter)


def tensor_refusal(cell: nn.Module, *arguments: Tensor) -> str | None:
    """Why no kernel may read the arguments, parameters and buffers of a cell: one is of a tensor subclass; or None."""
    own = (each for module in cell.modules() for each in (*module._parameters.values(), *module._buffers.values()))
    for tensor in chain(arguments, own):
        if tensor is not None and type(tensor) not in _PLAIN:
            return f"{type(tensor).__name__} is a subclass of Tensor, which may change what operations do"
    return None


def has_bias(cell: GatedCell) -> bool:
    """Whether the cell has a ``bias_hh``: a parameter, or a tensor, as one that is pruned; or a parametrized one."""
    return parametrize.is_parametrized(cell, "bias_hh") or getattr(cell, "bias_hh", None) is not None


@contextmanager
def cached_weights(cell: nn.Module) -> Iterator[None]:
    """Within it, each parametrized weight of ``cell`` is computed once, however often it is read."""
    if not _has_parametrizations(cell):
        yield
        return
    with _CACHE_LOCK, parametrize.cached():
        yield


def _has_parametrizations(cell: nn.Module) -> bool:
    return any("parametrizations" in module._modules for module in cell.modules())


@contextmanager
def uncached_weights(cell: nn.Module) -> Iterator[None]:
    """Suspends :func:`cached_weights`: a step that is captured within it must not read a cached weight."""
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
