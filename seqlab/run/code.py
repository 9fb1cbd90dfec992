"""The code that a run was the result of: the user's own modules, in its record and as copies, and what differs now.

:mod:`seqlab.run.loaded` says which modules those are. Files that the user's code opens as data are not known. Torch is
not needed, and nothing of the user's is imported here.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any, Final

from seqlab.run.loaded import LARGEST_CONTENT, LoadedFile, hash_of, is_own
from seqlab.run.modules import Module, find_module

COPIES: Final = "code"
"""The folder of a run that holds the copies; nothing in it is ever executed."""

LARGEST_COPIES: Final = 16 << 20
"""Bytes of all copies of a run."""


def record_of(files: Iterable[LoadedFile], earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What ``run.json`` keeps of the code: ``hash``, and of each file ``module``, ``path`` and ``sha256``.

    What is unknown is null, and the hash too where anything is.

    Args:
        files: what was loaded.
        earlier: what the record says already: modules that it names stay, should they not be loaded again.
    """
    entries = {entry["module"]: entry for entry in (earlier or {}).get("files", ())}
    entries |= {file.module: {"module": file.module, "path": file.path, "sha256": file.sha256} for file in files}
    ordered = [entries[name] for name in sorted(entries)]
    text = "".join(f"{entry['module']}={entry['sha256']}\n" for entry in ordered)
    known = all(entry["sha256"] for entry in ordered)
    return {"hash": hashlib.sha256(text.encode()).hexdigest()[:12] if known else None, "files": ordered}


def keep_copies(run_dir: Path, files: Iterable[LoadedFile]) -> list[str]:
    """Writes what was executed into the run's folder ``code``; returns which files were left out, and why."""
    left_out, total = [], 0
    for file in files:
        bound = f"{LARGEST_CONTENT:,}" if file.size > LARGEST_CONTENT else f"{LARGEST_COPIES:,} in all"
        if file.sha256 is None:
            left_out.append(f"{file.path}: it changed after it was loaded")
        elif file.content is None or total + file.size > LARGEST_COPIES:
            left_out.append(f"{file.path}: {file.size:,} bytes, where copies have at most {bound}")
        else:
            total += file.size
            _copy(file.content, run_dir / COPIES / name_of_copy(file.module, file.path))
    return left_out


def _copy(content: bytes, path: Path) -> None:
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def name_of_copy(module: str, path: str) -> str:
    """Where a module's file would lie below the folder that it was found in.

    Example:
        >>> name_of_copy("cells.gated", "/project/cells/gated.py"), name_of_copy("cells", "/project/cells/__init__.py")
        ('cells/gated.py', 'cells/__init__.py')
    """
    file = os.path.basename(path)
    folders = module.split(".")
    if file.partition(".")[0] not in ("__init__", "__main__") and module != "__main__":
        folders = folders[:-1]
    return "/".join([*folders, file])


def changed_modules(recorded: Mapping[str, Any] | None, files: Iterable[LoadedFile]) -> list[str]:
    """Which modules this process has loaded from other code than a run of before, in words."""
    before = {entry["module"]: entry for entry in (recorded or {}).get("files", ())}
    return [
        _changed(before[file.module], file.path)
        for file in files
        if file.module in before and before[file.module]["sha256"] != file.sha256
    ]


def code_differences(recorded: Mapping[str, Any] | None) -> list[str]:
    """What differs between a record's ``code`` and the files that its modules would be loaded from now, in words.

    Nothing is imported. A file that has moved is the same where its content is. A module that is not to be found any
    more is looked for where it was.
    """
    entries = (recorded or {}).get("files", ())
    found = [f"{shown(path)} is new" for path in _new_packages({entry["module"] for entry in entries})]
    for entry in entries:
        module = find_module(entry["module"]) or _where_it_was(entry["path"])
        if module is None:
            found.append(f"{shown(entry['path'])} is gone")
        elif entry["sha256"] is None:
            found.append(f"{shown(entry['path'])} changed while the run was starting, so what it ran is not known")
        elif hash_of(module.path, module.content) != entry["sha256"]:
            found.append(_changed(entry, module.path))
    return found


def _new_packages(modules: Set[str]) -> list[str]:
    """The files of packages above modules that had none when these were loaded, and would be executed before them."""
    above = {name.rpartition(".")[0] for name in modules}
    while missing := {name.rpartition(".")[0] for name in above} - above:
        above |= missing
    found = [(name, find_module(name)) for name in sorted(above - modules - {""})]
    return [module.path for name, module in found if module is not None and is_own(name, module.path)]


def _changed(entry: Mapping[str, Any], path: str) -> str:
    if os.path.realpath(path) == os.path.realpath(entry["path"]):
        return f"{shown(path)} has changed"
    return f"{entry['module']} is {shown(path)} now, which differs from {shown(entry['path'])} as it was"


def _where_it_was(path: str) -> Module | None:
    try:
        return Module(path, Path(path).read_bytes())
    except OSError:
        return None


def shown(path: str) -> str:
    """A path for messages: as seen from the working folder, where it lies below that."""
    below = os.path.relpath(path)
    return path if below.startswith(os.pardir) else below
