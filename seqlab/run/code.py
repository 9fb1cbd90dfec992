"""The user's own code that a run executed: in its record, as copies in its folder, and compared with what it is now.

:mod:`seqlab.run.loaded` says which modules are the user's own. Files that the user's code opens as data do not count.
Nothing of the user's is imported here. Torch is not needed.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any, Final

from seqlab.run.installed import is_own
from seqlab.run.layout import CODE_COPIES
from seqlab.run.loaded import LARGEST_CONTENT, LoadedFile, hash_of
from seqlab.run.modules import Module, find_module

LARGEST_COPIES: Final = 16 << 20
"""The most bytes that all copies of a run may have together."""


def code_record(files: Iterable[LoadedFile], earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The code in ``run.json``: ``hash``, and of each file ``module``, ``path`` and ``sha256``.

    An unknown ``sha256`` is null, and then ``hash`` is null, too.

    Args:
        files: the files that were loaded.
        earlier: the code that the record has already: its modules stay, even if they are not loaded again.
    """
    entries = {entry["module"]: entry for entry in (earlier or {}).get("files", ())}
    entries |= {file.module: {"module": file.module, "path": file.path, "sha256": file.sha256} for file in files}
    ordered = [entries[name] for name in sorted(entries)]
    text = "".join(f"{entry['module']}={entry['sha256']}\n" for entry in ordered)
    is_complete = all(entry["sha256"] for entry in ordered)
    return {"hash": hashlib.sha256(text.encode()).hexdigest()[:12] if is_complete else None, "files": ordered}


def copy_code(run_dir: Path, files: Iterable[LoadedFile]) -> list[str]:
    """Copies the code that was executed into the run's folder; returns which files were left out, and why."""
    left_out, total = [], 0
    for file in files:
        bound = f"{LARGEST_CONTENT:,}" if file.size > LARGEST_CONTENT else f"{LARGEST_COPIES:,} in all"
        if file.sha256 is None:
            left_out.append(f"{file.path}: it changed after it was loaded")
        elif file.content is None or total + file.size > LARGEST_COPIES:
            left_out.append(f"{file.path}: {file.size:,} bytes, more than the limit of {bound}")
        else:
            total += file.size
            _copy(file.content, run_dir / CODE_COPIES / copy_name(file.module, file.path))
    return left_out


def _copy(content: bytes, path: Path) -> None:
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def copy_name(module: str, path: str) -> str:
    """The path of a module's copy: that of its file, relative to the folder that it is imported from.

    Example:
        >>> copy_name("cells.gated", "/project/cells/gated.py"), copy_name("cells", "/project/cells/__init__.py")
        ('cells/gated.py', 'cells/__init__.py')
    """
    file = os.path.basename(path)
    folders = module.split(".")
    if file.partition(".")[0] not in ("__init__", "__main__") and module != "__main__":
        folders = folders[:-1]
    return "/".join([*folders, file])


def changed_modules(recorded: Mapping[str, Any] | None, files: Iterable[LoadedFile]) -> list[str]:
    """The modules whose code in this process differs from the recorded code, in words."""
    before = {entry["module"]: entry for entry in (recorded or {}).get("files", ())}
    return [
        _change(before[file.module], file.path)
        for file in files
        if file.module in before and before[file.module]["sha256"] != file.sha256
    ]


def code_differences(recorded: Mapping[str, Any] | None) -> list[str]:
    """The differences between a record's ``code`` and the files that its modules would be loaded from now, in words.

    Nothing is imported. A file that has moved counts as the same if its content is the same. A module that is not found
    any more is looked for at its old path.
    """
    entries = (recorded or {}).get("files", ())
    texts = [f"{short_path(path)} is new" for path in _new_packages({entry["module"] for entry in entries})]
    for entry in entries:
        path = short_path(entry["path"])
        module = find_module(entry["module"]) or _read_module(entry["path"])
        if module is None:
            texts.append(f"{path} is gone")
        elif entry["sha256"] is None:
            texts.append(f"{path} changed while the run was starting, so the code that it ran is unknown")
        elif hash_of(module.path, module.content) != entry["sha256"]:
            texts.append(_change(entry, module.path))
    return texts


def _new_packages(modules: Set[str]) -> list[str]:
    """New ``__init__`` files of the packages that contain these modules: they would be executed before the modules."""
    packages = {name.rpartition(".")[0] for name in modules}
    while missing := {name.rpartition(".")[0] for name in packages} - packages:
        packages |= missing
    candidates = [(name, find_module(name)) for name in sorted(packages - modules - {""})]
    return [module.path for name, module in candidates if module is not None and is_own(name, module.path)]


def _change(entry: Mapping[str, Any], path: str) -> str:
    """How a module's code at ``path`` differs from its recorded entry, in words."""
    if os.path.realpath(path) == os.path.realpath(entry["path"]):
        return f"{short_path(path)} has changed"
    return f"{entry['module']} is now {short_path(path)}, which differs from the recorded {short_path(entry['path'])}"


def _read_module(path: str) -> Module | None:
    try:
        return Module(path, Path(path).read_bytes())
    except OSError:
        return None


def short_path(path: str) -> str:
    """A path for messages: relative to the working folder if it is below that."""
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative
