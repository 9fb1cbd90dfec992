"""What a process imports and from where. Torch is not needed."""

import gc
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

FOLDERS_VARIABLE: Final = "SEQLAB_PYTHONPATH"
"""The user's folders that modules are imported from, for further processes; after all others, unlike PYTHONPATH's."""


def add_folders(folders: Iterable[str]) -> None:
    """Appends folders to ``sys.path`` here and in the processes that this one starts.

    Never before the standard library and installed packages: a file ``random.py`` of the user's is no part of them.
    """
    known = filter(None, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep))
    os.environ[FOLDERS_VARIABLE] = os.pathsep.join(dict.fromkeys([*known, *folders]))
    inherit_folders()


def inherit_folders() -> None:
    """Appends to ``sys.path`` what :func:`add_folders` named in the process that started this one."""
    for folder in filter(None, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)):
        if folder not in sys.path:
            sys.path.append(folder)


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
