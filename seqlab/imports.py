"""Importing PyTorch and Lightning in a process that is made for one task. Torch is not needed."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Keeps the garbage collector out of imports, and what they leave out of its later searches.

    PyTorch and Lightning make some million objects that live until the process ends. Searching them for garbage would
    take a fifth of the time of the imports, and as long again when the process ends. Where PyTorch has been imported
    already, nothing changes.

    Example:
        >>> with quick_imports():
        ...     import torch
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
