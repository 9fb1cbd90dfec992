"""The user's own modules that this process has loaded: their files, and the code that was executed.

A hash is of a file's source, with comments; ``\\r\\n`` counts as ``\\n``, as in Python. For a module without source it
is of the file. The hash must be that of the code that was executed, whatever happens to the file later. So it is
computed during the import: after :func:`record_imports`, the user's own modules are compiled from the very bytes that
are hashed. They are not loaded from bytecode, which Python takes to be current by the second and the size alone. A
module that was imported earlier is hashed as its file is now, unless the file is newer than this process: then the code
that was executed is unknown.

Torch is not needed.
"""

import functools
import hashlib
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import BYTECODE_SUFFIXES, SOURCE_SUFFIXES, ModuleSpec, SourceFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

from seqlab.errors import InputError
from seqlab.imports import user_folders
from seqlab.run.installed import absolute, is_library, is_own

LARGEST_CONTENT: Final = 1 << 20
"""The most bytes of a file whose content is kept for a copy."""

_STARTED: Final = time.time()
_HEADER: Final = 16  # bytes before the code in a bytecode file: PEP 552


@dataclass(frozen=True)
class LoadedFile:
    """A file of the user's own that this process has loaded as a module.

    Attributes:
        module: the name of the module.
        path: the file.
        sha256: the hash of the code that was executed; None: the file changed after it was loaded.
        size: the number of bytes.
        content: what was executed; None: unknown, or too large for a copy.
    """

    module: str
    path: str
    sha256: str | None = None
    size: int = 0
    content: bytes | None = None

    @classmethod
    def of(cls, module: str, path: str, content: bytes | None) -> "LoadedFile":
        """The file with the content that was executed; None: unknown."""
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
    """The same for a module that is loaded by the path of its file, and may have no unique name."""

    def get_code(self, fullname: str) -> CodeType:
        path = os.path.abspath(self.get_filename(fullname))
        source = self.get_data(path)
        file = LoadedFile.of(_name_by_path(path), path, source)
        _recorder.by_path[file.module] = file
        _recorder.note(file)
        code: CodeType = self.source_to_code(source, path)
        return code


def _name_by_path(path: str) -> str:
    """The name under which a file is recorded that is loaded by its path."""
    folder, file = os.path.split(path)
    return f"by_path.{hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]}.{file.partition('.')[0]}"


def _record_imports_by_path() -> None:
    """From now on, records the user's own files that are loaded by their paths, like plugins and examples."""
    original = importlib.util.spec_from_file_location
    if getattr(original, "is_recording", False):
        return

    @functools.wraps(original)
    def recording(name: str, *args: Any, **options: Any) -> ModuleSpec | None:
        spec = original(name, *args, **options)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            path = os.path.abspath(spec.loader.path)
            if is_own(name, path) and any(path.startswith(os.path.join(folder, "")) for folder in user_folders()):
                spec.loader = _PathLoader(spec.loader.name, spec.loader.path)
        return spec

    recording.is_recording = True  # type: ignore[attr-defined]
    importlib.util.spec_from_file_location = recording


class _Recorder:
    """A finder of modules that asks the finders after it, and records the modules that are the user's own.

    Attributes:
        files: the recorded files by module.
        by_path: those that were loaded by their paths.
        callback: called for each further file that is loaded in the process and thread of ``caller``.
        caller: the process and thread that set ``callback``.
    """

    def __init__(self) -> None:
        self.files: dict[str, LoadedFile] = {}
        self.by_path: dict[str, LoadedFile] = {}
        self.callback: Callable[[LoadedFile], object] | None = None
        self.caller: tuple[int, int] | None = None

    def note(self, file: LoadedFile) -> None:
        """Records a file that is about to be executed."""
        self.files[file.module] = file
        if self.callback is not None and self.caller == (os.getpid(), threading.get_ident()):
            self.callback(file)

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
        elif (content := _content(spec, path)) is not None:  # compiled, or in a ZIP file: read just before
            self.note(LoadedFile.of(name, os.path.abspath(path), content))


_recorder: Final = _Recorder()


def record_imports() -> None:
    """From now on, records each of the user's own modules as it is imported."""
    if _recorder not in sys.meta_path:
        sys.meta_path.insert(0, _recorder)
    _record_imports_by_path()


@contextmanager
def late_imports(callback: Callable[[LoadedFile], object]) -> Iterator[None]:
    """Within the block, calls ``callback`` for each of the user's own modules that this thread imports."""
    _recorder.callback, _recorder.caller = callback, (os.getpid(), threading.get_ident())
    try:
        yield
    finally:
        _recorder.callback = None


def loaded_files() -> list[LoadedFile]:
    """The user's own files that this process has loaded as modules, in the order of their names."""
    files: dict[str, LoadedFile] = {}
    modules = sys.modules.copy()
    for key in sorted(key for key, module in modules.items() if not is_library(key, module)):
        module = modules[key]
        origin = _name_and_file(key, module)
        if origin is None or not is_own(*origin):
            continue
        name, path = origin
        file = _recorder.files.get(name)
        if file is None or file.path != path:
            file = LoadedFile.of(name, path, _read_loaded(module, path))
        files.setdefault(name, file)
    paths = {file.path for file in files.values()}
    return [*files.values(), *(file for file in _recorder.by_path.values() if file.path not in paths)]


def check_imported(modules: Iterable[str]) -> None:
    """Refuses modules that this process has imported from other files than those in the user's present folders.

    Python imports a module once: after a change of the working folder, it would take the other project's.

    Args:
        modules: names of modules; those that are not the user's own, or not imported, are passed over.

    Raises:
        InputError: names both files.
    """
    for name in sorted({module.partition(".")[0] for module in modules} & sys.modules.keys()):
        names = (os.path.join(name, "__init__.py"), f"{name}.py")
        places = (os.path.join(folder, each) for folder in user_folders() for each in names)
        present = next(filter(os.path.isfile, places), None)
        path = getattr(sys.modules[name], "__file__", None) if present is not None else None
        if not isinstance(path, str) or not is_own(name, path):
            continue
        assert present is not None
        if os.path.realpath(present) != os.path.realpath(path):
            raise InputError(
                f"this process has imported {name} from {path}, and the {name} of this working folder is {present}: "
                "use another process for it (in a notebook, restart the kernel), or give one of them another name"
            )


def hash_of(path: str, content: bytes) -> str:
    """A hash of a file's code, independent of its line endings.

    Example:
        >>> hash_of("a.py", b"x = 1\\r\\n") == hash_of("a.py", b"x = 1\\n") != hash_of("a.py", b"x = 2\\n")
        True
    """
    if path.endswith(tuple(SOURCE_SUFFIXES)):
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    elif path.endswith(tuple(BYTECODE_SUFFIXES)):  # without the header, which has the time of the source
        content = content[_HEADER:]
    return hashlib.sha256(content).hexdigest()


def _name_and_file(key: str, module: object) -> tuple[str, str] | None:
    """A module's name and file; None if it has no file."""
    if not isinstance(module, ModuleType):
        return None
    values = vars(module)  # not getattr(), which would make a lazy module load its parts
    spec, file = values.get("__spec__"), values.get("__file__")
    if not isinstance(file, str) or file.startswith("<"):  # a script from standard input
        return None
    if spec is None and key != "__main__" and not os.path.isabs(file):  # made by hand, like torch.ops
        return None
    return (spec.name if spec is not None else key), absolute(file)


def _read_loaded(module: ModuleType, path: str) -> bytes | None:
    """The content of a file that was loaded before recording began; None if it may have changed since."""
    try:
        if os.path.exists(path):
            return None if _is_newer(module, path) else Path(path).read_bytes()
    except OSError:
        return None
    return _content(vars(module).get("__spec__"), path)


def _content(spec: ModuleSpec | None, path: str) -> bytes | None:
    """What a module's loader reads at a path, which may be in a ZIP file; None if it can't."""
    try:
        content: bytes = spec.loader.get_data(path)  # type: ignore[union-attr]
    except (OSError, AttributeError):
        return None
    return content


def _is_newer(module: ModuleType, path: str) -> bool:
    """Whether a file was written after this process started, and Python's bytecode cache is not of this content."""
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
