"""The user's own modules that this process has loaded: their files, and what was executed of each.

A file is the user's own where it lies outside the standard library, the installed packages and seqlab itself; a package
of the user's that is installed editable lies outside of them.

A hash is of a file's source, comments included; ``\\r\\n`` counts as ``\\n``, as it does to Python. Of a module
without source it is of the file. It has to be of what was executed, whatever becomes of the file afterwards, so it is
made while a module is imported: :func:`watch_imports` has the user's own modules compiled from the very bytes that are
hashed, and not from bytecode, which Python takes for current by the second and the size alone. A module that was
imported before is hashed as its file is now, unless that is younger than this process: then what was executed is
unknown.

Torch is not needed.
"""

import functools
import hashlib
import importlib.util
import os
import site
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.machinery import BYTECODE_SUFFIXES, SOURCE_SUFFIXES, ModuleSpec, SourceFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

import seqlab
from seqlab.imports import user_folders

LARGEST_CONTENT: Final = 1 << 20
"""Bytes of a file whose content is kept, for a copy."""

_STARTED: Final = time.time()
_INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_HEADER: Final = 16  # bytes of a file of bytecode before the code: PEP 552


@dataclass(frozen=True)
class LoadedFile:
    """A file of the user's own that this process has loaded as a module.

    ``sha256`` is of what was executed; None where the file changed after it was loaded. ``content`` is None there too,
    and where it is too large to be copied.
    """

    module: str
    path: str
    sha256: str | None = None
    size: int = 0
    content: bytes | None = None

    @classmethod
    def of(cls, module: str, path: str, content: bytes | None) -> "LoadedFile":
        """The file with what was executed of it."""
        if content is None:
            return cls(module, path)
        small = content if len(content) <= LARGEST_CONTENT else None
        return cls(module, path, hash_of(path, content), len(content), small)


class _RecordingLoader(SourceFileLoader):
    """Compiles a module from the very bytes that it records."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = self.get_data(path)
        _recorder.note(LoadedFile.of(fullname, os.path.abspath(path), source))
        code: CodeType = self.source_to_code(source, path)
        return code


class _PathLoader(_RecordingLoader):
    """The same for a module that is loaded by its file's path, and may stand under no name."""

    def get_code(self, fullname: str) -> CodeType:
        path = os.path.abspath(self.get_filename(fullname))
        source = self.get_data(path)
        file = LoadedFile.of(_name_by_path(path), path, source)
        _recorder.by_path[file.module] = file
        _recorder.note(file)
        code: CodeType = self.source_to_code(source, path)
        return code


def _name_by_path(path: str) -> str:
    """What a file is recorded as that is no module of a name."""
    folder, file = os.path.split(path)
    return f"by_path.{hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]}.{file.partition('.')[0]}"


def _watch_paths() -> None:
    """Has the user's own files recorded that are loaded by their paths, as plugins and examples are."""
    original = importlib.util.spec_from_file_location
    if getattr(original, "is_watched", False):
        return

    @functools.wraps(original)
    def watched(name: str, *args: Any, **options: Any) -> ModuleSpec | None:
        spec = original(name, *args, **options)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            path = os.path.abspath(spec.loader.path)
            if is_own(name, path) and any(path.startswith(os.path.join(folder, "")) for folder in user_folders()):
                spec.loader = _PathLoader(spec.loader.name, spec.loader.path)
        return spec

    watched.is_watched = True  # type: ignore[attr-defined]
    importlib.util.spec_from_file_location = watched


class _Recorder:
    """Finds modules as the finders after it do, and records those that are the user's own.

    ``files`` has them by module, ``by_path`` those that were loaded by their paths; ``told`` is called once for each
    that follows, in the process and thread that set it.
    """

    def __init__(self) -> None:
        self.files: dict[str, LoadedFile] = {}
        self.by_path: dict[str, LoadedFile] = {}
        self.told: Callable[[LoadedFile], object] | None = None
        self.teller: tuple[int, int] | None = None

    def note(self, file: LoadedFile) -> None:
        """Records a file that is about to be executed."""
        self.files[file.module] = file
        if self.told is not None and self.teller == (os.getpid(), threading.get_ident()):
            self.told(file)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find else None
            if spec is not None:
                if spec.has_location and spec.origin and is_own(name, spec.origin):
                    self._record(name, spec, spec.origin)
                return spec
        return None

    def _record(self, name: str, spec: ModuleSpec, path: str) -> None:
        if type(spec.loader) is SourceFileLoader:
            spec.loader = _RecordingLoader(spec.loader.name, spec.loader.path)
        elif (content := _content(spec, path)) is not None:  # of a library or a zip file: just before it is loaded
            self.note(LoadedFile.of(name, os.path.abspath(path), content))


_recorder: Final = _Recorder()


def watch_imports() -> None:
    """Has each module of the user's own that is imported from now on recorded as it is executed."""
    if _recorder not in sys.meta_path:
        sys.meta_path.insert(0, _recorder)
    _watch_paths()


@contextmanager
def late_imports(told: Callable[[LoadedFile], object]) -> Iterator[None]:
    """Has ``told`` called for each module of the user's own that this thread imports within."""
    _recorder.told, _recorder.teller = told, (os.getpid(), threading.get_ident())
    try:
        yield
    finally:
        _recorder.told = None


def loaded_files() -> list[LoadedFile]:
    """The user's own files that this process has loaded as modules, in the order of their names."""
    found: dict[str, LoadedFile] = {}
    for key, module in sorted(sys.modules.items()):
        named = _name_and_file(key, module)
        if named is None or not is_own(*named):
            continue
        name, path = named
        watched = _recorder.files.get(name)
        if watched is None or watched.path != path:
            watched = LoadedFile.of(name, path, _read_loaded(module, path))
        found.setdefault(name, watched)
    paths = {file.path for file in found.values()}
    return [*found.values(), *(file for file in _recorder.by_path.values() if file.path not in paths)]


def hash_of(path: str, content: bytes) -> str:
    """A hash of a file's code, whatever its line ends.

    Example:
        >>> hash_of("a.py", b"x = 1\\r\\n") == hash_of("a.py", b"x = 1\\n") != hash_of("a.py", b"x = 2\\n")
        True
    """
    if path.endswith(tuple(SOURCE_SUFFIXES)):
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    elif path.endswith(tuple(BYTECODE_SUFFIXES)):  # after the time of its source
        content = content[_HEADER:]
    return hashlib.sha256(content).hexdigest()


def is_own(module: str, path: str) -> bool:
    """Whether a module's file is the user's own: outside the standard library, installed packages and seqlab."""
    if module.partition(".")[0] == "seqlab":
        return False
    path = os.path.abspath(path)
    if any(folder in path for folder in _INSTALLED) or path.startswith(_installed_folders()):
        return False
    return path not in _listed_files(path)


@cache
def _installed_folders() -> tuple[str, ...]:
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [*site.getsitepackages(), site.getusersitepackages(), os.path.dirname(os.path.abspath(seqlab.__file__))]
    named = {os.path.abspath(path) for path in paths if path}
    return tuple(sorted(f"{path}{os.sep}" for folder in named for path in (folder, os.path.realpath(folder))))


def _listed_files(path: str) -> frozenset[str]:
    """The files that ``pip install --target FOLDER`` has put into the folder of the path that a file was found in."""
    for entry in sys.path:
        if entry and path.startswith(os.path.join(os.path.abspath(entry), "")):
            return _files_of_distributions(os.path.abspath(entry))
    return frozenset()


@cache
def _files_of_distributions(folder: str) -> frozenset[str]:
    found: set[str] = set()
    for listing in Path(folder).glob("*.dist-info/RECORD"):
        names = (line.partition(",")[0].strip('"') for line in listing.read_text(errors="replace").splitlines())
        found.update(os.path.normpath(os.path.join(folder, name)) for name in names)
    return frozenset(found)


def _name_and_file(key: str, module: object) -> tuple[str, str] | None:
    """A module's name and file; None where it has no file."""
    if not isinstance(module, ModuleType):
        return None
    values = vars(module)  # of a module that loads its parts when they are asked for, nothing is asked
    spec, file = values.get("__spec__"), values.get("__file__")
    if not isinstance(file, str) or file.startswith("<"):  # of a script that came from standard input
        return None
    if spec is None and key != "__main__" and not os.path.isabs(file):  # made by hand, as torch.ops is
        return None
    return (spec.name if spec is not None else key), os.path.abspath(file)


def _read_loaded(module: ModuleType, path: str) -> bytes | None:
    """The content of a file that was loaded before anybody watched; None where it is not what was loaded."""
    try:
        if os.path.exists(path):
            return None if _is_younger(module, path) else Path(path).read_bytes()
    except OSError:
        return None
    return _content(vars(module).get("__spec__"), path)


def _content(spec: ModuleSpec | None, path: str) -> bytes | None:
    """What a module's loader reads at a path, which may lie in a zip file; None where it can't."""
    try:
        content: bytes = spec.loader.get_data(path)  # type: ignore[union-attr]
    except (OSError, AttributeError):
        return None
    return content


def _is_younger(module: ModuleType, path: str) -> bool:
    """Whether a file was written after this process began, and Python's cache knows nothing of it."""
    status = os.stat(path)
    if status.st_mtime <= _STARTED:
        return False
    cached = vars(module).get("__cached__")
    try:
        header = Path(cached).read_bytes()[:_HEADER] if cached else b""
    except OSError:
        header = b""
    numbers = (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    return header != MAGIC_NUMBER + bytes(4) + b"".join(number.to_bytes(4, "little") for number in numbers)
