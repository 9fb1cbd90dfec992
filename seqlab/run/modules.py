"""Finds the file that a module would be imported from now, without importing it or its package."""

import importlib
import os
import pkgutil
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from typing import NamedTuple


class Module(NamedTuple):
    """A module's file and its content."""

    path: str
    content: bytes


def find_module(name: str) -> Module | None:
    """The file that ``import name`` would load, and its content; None if there is none.

    Example:
        >>> os.path.basename(find_module("json.decoder").path)
        'decoder.py'
        >>> find_module("json.nothing_of_this_name") is None
        True
    """
    if name == "__main__":
        return None
    importlib.invalidate_caches()
    folders: Iterable[str] | None = None
    spec: ModuleSpec | None = None
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        spec = _find_below(".".join(parts[:length]), folders)
        if spec is None:
            return None
        folders = list(spec.submodule_search_locations or ())
    if spec is None or spec.origin is None or spec.loader is None:
        return None
    try:
        content: bytes = spec.loader.get_data(spec.origin)  # type: ignore[attr-defined]
    except (OSError, AttributeError):
        return None
    return Module(os.path.abspath(spec.origin), content)


def _find_below(name: str, folders: Iterable[str] | None) -> ModuleSpec | None:
    """The spec of a module in these folders; a top-level module (None) is looked for like Python does."""
    if folders is None:
        for finder in sys.meta_path:  # such as those of packages that are installed editable
            find = None if finder is PathFinder else getattr(finder, "find_spec", None)
            if type(finder).__module__ != "seqlab.run.loaded" and find and (spec := find(name, None, None)) is not None:
                return spec  # type: ignore[no-any-return]
        folders = sys.path
    portions: list[str] = []  # of a namespace package, which has no file
    for folder in folders:
        importer = pkgutil.get_importer(folder or os.getcwd())
        spec = importer.find_spec(name) if importer is not None else None
        if spec is not None and spec.loader is not None:
            return spec
        portions += (spec.submodule_search_locations or ()) if spec is not None else ()
    if not portions:
        return None
    namespace = ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = portions
    return namespace
