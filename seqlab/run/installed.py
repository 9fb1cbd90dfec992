"""Which files are the user's own: those outside the standard library, the installed packages and seqlab itself.

A package of the user's that is installed editable is outside of them. Torch is not needed.
"""

import os
import site
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

import seqlab

_INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def is_own(module: str, path: str) -> bool:
    """Whether a module's file is the user's own: outside the standard library, installed packages and seqlab."""
    if module.partition(".")[0] == "seqlab":
        return False
    path = absolute(path)
    return not _is_installed(path) and path not in _listed_files(path)


def absolute(path: str) -> str:
    """The absolute path of a file, remembered where it does not depend on the working folder."""
    return _normalized(path) if os.path.isabs(path) else os.path.abspath(path)


_normalized: Final = cache(os.path.abspath)


def is_library(key: str, module: object) -> bool:
    """Whether a module is certainly not the user's own: a quick answer for most of the thousands that are loaded."""
    if _libraries.get(key) is module:
        return True
    file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
    if isinstance(file, str) and _is_library_file(file):
        _libraries[key] = module
        return True
    return False


_libraries: Final[dict[str, object]] = {}


@cache
def _is_library_file(path: str) -> bool:
    return os.path.isabs(path) and _is_installed(_normalized(path))


@cache
def _is_installed(path: str) -> bool:
    """Whether an absolute path lies in the standard library or an installed package."""
    return any(folder in path for folder in _INSTALLED) or path.startswith(_installed_folders())


@cache
def _installed_folders() -> tuple[str, ...]:
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [*site.getsitepackages(), site.getusersitepackages(), os.path.dirname(os.path.abspath(seqlab.__file__))]
    folders = {os.path.abspath(path) for path in paths if path}
    return tuple(sorted(f"{path}{os.sep}" for folder in folders for path in (folder, os.path.realpath(folder))))


def _listed_files(path: str) -> frozenset[str]:
    """The files that ``pip install --target FOLDER`` installed into the folder of ``sys.path`` that contains a file."""
    for entry in sys.path:
        if entry and path.startswith(os.path.join(os.path.abspath(entry), "")):
            return _files_of_distributions(os.path.abspath(entry))
    return frozenset()


@cache
def _files_of_distributions(folder: str) -> frozenset[str]:
    files: set[str] = set()
    for listing in Path(folder).glob("*.dist-info/RECORD"):
        names = (line.partition(",")[0].strip('"') for line in listing.read_text(errors="replace").splitlines())
        files.update(os.path.normpath(os.path.join(folder, name)) for name in names)
    return frozenset(files)
