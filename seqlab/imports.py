"""The folders of the user's own modules, and faster imports of PyTorch and Lightning. Neither is needed here.

This module imports only what Python itself has imported: the working folder may hold a file of any module's name.
"""

import gc
import importlib.machinery
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

FOLDERS_VARIABLE = "SEQLAB_MODULE_FOLDERS"
"""The environment variable with the folders of the user's own modules, for this process and its children."""


_working_folder: str | None = None  # of the last call of add_user_folders
_added: set[str] = set()  # what put_user_folders_last has added to the module path
_of_script: list[str] = []  # what it has moved there from an earlier place


def add_user_folders(folders: Iterable[str]) -> None:
    """Adds folders of the user's own modules to the end of the module path of this process and its children.

    They come before those of earlier calls. Where the working folder has changed, those of earlier calls are removed:
    they are another project's.

    PYTHONPATH would not do: it comes before Python's own modules, and a file ``random.py`` would be taken for Python's.
    For the same reason, no child process has its working folder on its path.
    """
    global _working_folder
    here = os.getcwd()
    earlier = user_folders() if _working_folder in (None, here) else []  # of another thread's run, perhaps
    set_user_folders([*map(os.path.abspath, folders), *earlier])
    _working_folder = here


def set_user_folders(folders: Iterable[str]) -> None:
    """Makes these absolute folders those of the user's own modules, in place of all earlier ones."""
    global _working_folder
    _working_folder = ""  # none: the next call of add_user_folders is to keep none of them
    os.environ[FOLDERS_VARIABLE] = os.pathsep.join(dict.fromkeys(folders))
    os.environ["PYTHONSAFEPATH"] = "1"
    put_user_folders_last()


def user_folders() -> list[str]:
    """The folders of :func:`add_user_folders`."""
    return [*filter(None, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep))]


def put_user_folders_last() -> None:
    """Moves the folders of :func:`add_user_folders` to the end of this process's module path.

    Folders that an earlier call has added, and that are no longer among them, are removed from it. If the process had
    such a folder itself, as that of its script, it stays, behind the others.
    """
    folders = user_folders()
    own = [path for path in sys.path if path in _of_script or (path in folders and path not in _added)]
    _of_script[:] = dict.fromkeys(own)
    others = [path for path in sys.path if os.path.abspath(path) not in (*folders, *_added, *_of_script)]
    _added.clear()
    _added.update(path for path in folders if path not in _of_script)
    sys.path[:] = [*others, *folders, *(path for path in _of_script if path not in folders)]


def keep_user_folders_last() -> None:
    """The same, permanently: a library that later inserts one of these folders changes nothing."""
    put_user_folders_last()
    sys.path = _Path(sys.path)


class _Path(list[str]):
    """A module path that ignores insertions of the user's folders."""

    def insert(self, index: int, path: str) -> None:  # type: ignore[override]
        if os.path.abspath(path) not in user_folders():
            super().insert(index, path)


@contextmanager
def quick_imports() -> Iterator[None]:
    """Stops the garbage collector during imports, and excludes the imported objects from later collections.

    PyTorch and Lightning make about a million objects that live until the process ends. Collections would take a fifth
    of the time of the imports, and as long again at the end of the process. SciPy's signal processing, another fifth,
    is imported at its first use. If PyTorch is imported already, this does nothing.

    Example:
        >>> with quick_imports():
        ...     import torch
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    _import_late("scipy", "signal")
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class _LateModule(type(sys)):  # type: ignore[misc]
    """A module in ``sys.modules`` that is imported when it is first asked for anything but ``hamming``."""

    hamming = None
    """TorchMetrics imports ``scipy.signal`` to add this name of old, which one of its audio metrics needs."""

    def __getattr__(self, attribute: str) -> Any:
        name = self.__name__
        if sys.modules.get(name) is self:
            del sys.modules[name]
        module = importlib.import_module(name)
        if not hasattr(module, "hamming"):
            module.hamming = module.windows.hamming  # type: ignore[attr-defined]
        return getattr(module, attribute)


def _import_late(package: str, submodule: str) -> None:
    """Has an installed submodule imported at its first use, if it is not imported yet."""
    name = f"{package}.{submodule}"
    found = None if name in sys.modules else importlib.machinery.PathFinder.find_spec(package)
    if found is not None and found.submodule_search_locations:
        spec = importlib.machinery.PathFinder.find_spec(name, found.submodule_search_locations)
        if spec is not None:
            module = _LateModule(name)
            module.__spec__, module.__loader__, module.__file__ = spec, spec.loader, spec.origin
            sys.modules[name] = module
