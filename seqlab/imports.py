"""Where the user's own modules are found, and how PyTorch and Lightning are imported. Neither is needed here.

Nothing is imported that Python has not imported by itself: a file of a module's name may lie in the working folder.
"""

import gc
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

FOLDERS_VARIABLE = "SEQLAB_MODULE_FOLDERS"
"""In the environment: the folders of the user's own modules, for the processes that this one starts."""


def add_user_folders(folders: Iterable[str]) -> None:
    """Has this process and those that it starts find the user's own modules in ``folders``, after all others.

    Not by PYTHONPATH, which comes before Python's own modules: a file ``random.py`` would be taken for Python's. For
    the same reason no process that this one starts has its working folder on its path.
    """
    known = filter(None, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep))
    os.environ[FOLDERS_VARIABLE] = os.pathsep.join(dict.fromkeys([*known, *map(os.path.abspath, folders)]))
    os.environ["PYTHONSAFEPATH"] = "1"
    put_user_folders_last()


def user_folders() -> list[str]:
    """The folders of :func:`add_user_folders`."""
    return [*filter(None, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep))]


def put_user_folders_last() -> None:
    """Has this process look into the folders of :func:`add_user_folders` after all others."""
    folders = user_folders()
    sys.path[:] = [*(path for path in sys.path if os.path.abspath(path) not in folders), *folders]


def keep_user_folders_last() -> None:
    """The same for good: another library that puts one of these folders first, later, changes nothing."""
    put_user_folders_last()
    sys.path = _Path(sys.path)


class _Path(list[str]):
    """A path of modules on which the user's folders stay last."""

    def insert(self, index: int, path: str) -> None:  # type: ignore[override]
        if os.path.abspath(path) not in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep):
            super().insert(index, path)


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
