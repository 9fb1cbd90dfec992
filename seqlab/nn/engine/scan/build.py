"""Compiles C++ to a library and loads it. Libraries are kept on disk."""

import atexit
import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
import threading
from functools import lru_cache
from pathlib import Path

import torch

logger = logging.getLogger("seqlab")
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math", "-w")
_loaded: dict[str, ctypes.CDLL] = {}
_lock = threading.Lock()
compilations = 0  # by this process


class CompilerError(Exception):
    """A library can't be compiled or kept on disk; the message says why."""


def load(text: str) -> ctypes.CDLL:
    """The library of a C++ program: from this process, from the disk, or compiled now.

    Raises:
        CompilerError: there is no compiler, the program does not compile, or the cache folder can't be used.
    """
    key = _key(text)
    with _lock:
        if key not in _loaded:
            folder = cache_folder()
            try:
                _claim(folder)
                _loaded[key] = _open(text, folder, key)
            except OSError as error:
                hint = "set SEQLAB_KERNEL_CACHE to a folder of your own, or remove its files"
                raise CompilerError(f"it can't be kept in or loaded from {folder}: {error}; {hint}") from error
    return _loaded[key]


def _open(text: str, folder: Path, key: str) -> ctypes.CDLL:
    """The library of a key. It is compiled if the file is absent or damaged.

    A library that is cut short ends the process once it is run, so a file's name holds a digest of its content.
    """
    for path in sorted(folder.glob(f"{key}-*.so")):
        if path.stem.endswith(f"-{_digest(path.read_bytes())}"):
            try:
                return ctypes.CDLL(str(path))
            except OSError as error:
                logger.warning("%s is compiled again: %s", path, error)
        else:
            logger.warning("%s is compiled again: it is damaged", path)
        path.unlink(missing_ok=True)
    return ctypes.CDLL(str(_compile(text, folder, key)))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def cache_folder() -> Path:
    """The folder of compiled steps: SEQLAB_KERNEL_CACHE, else the user's cache folder, else one for this process."""
    override = os.environ.get("SEQLAB_KERNEL_CACHE")
    if override:
        return Path(override)
    return _default_folder(os.environ.get("XDG_CACHE_HOME"), os.environ.get("HOME"))


@lru_cache(maxsize=4)
def _default_folder(cache: str | None, home: str | None) -> Path:
    try:
        folder = Path(cache or Path.home() / ".cache") / "seqlab" / "kernels"
        _claim(folder)
        if os.access(folder, os.W_OK):
            return folder
        reason = "it can't be written"
    except (OSError, RuntimeError) as error:  # a user without a home
        reason = str(error)
    temporary = tempfile.TemporaryDirectory(prefix="seqlab-kernels-")
    atexit.register(temporary.cleanup)
    logger.warning("compiled steps are kept for this process alone (%s): set SEQLAB_KERNEL_CACHE to keep them", reason)
    return Path(temporary.name)


def threads() -> int:
    """How many threads a call may use. In a fork of a process with several threads it is 1: the fork has lost them."""
    return 1 if _lost_threads else torch.get_num_threads()


def _note_threads() -> None:
    global _had_threads
    try:
        _had_threads = len(os.listdir("/proc/self/task")) > 1
    except OSError:  # not Linux: the number of threads is not known
        _had_threads = True


def _note_fork() -> None:
    global _lost_threads
    _lost_threads = _lost_threads or _had_threads


_had_threads = _lost_threads = False
os.register_at_fork(before=_note_threads, after_in_child=_note_fork)


def _claim(folder: Path) -> None:
    """Make the folder. Its libraries are run, so only this user may be able to write there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = folder.stat()
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
        raise PermissionError(f"{folder} belongs to or can be written by others")


def _key(text: str) -> str:
    path_and_version = compiler()
    # A home may be shared by machines, and a library compiled for one processor may not run on another.
    parts = (text, path_and_version[1] if path_and_version else "", " ".join(_FLAGS), _processor())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def compiler() -> tuple[str, str] | None:
    """The C++ compiler's path and version: CXX, else the system's. None if there is none, or with SEQLAB_COMPILE=0."""
    return None if os.environ.get("SEQLAB_COMPILE") == "0" else _find(os.environ.get("CXX"))


def missing() -> str | None:
    """Why nothing can be compiled here, or None."""
    if os.environ.get("SEQLAB_COMPILE") == "0":
        return "SEQLAB_COMPILE=0"
    return None if compiler() is not None else "no C++ compiler was found (CXX, g++, clang++, c++)"


@lru_cache(maxsize=4)
def _find(preferred: str | None) -> tuple[str, str] | None:
    for name in filter(None, (preferred, "g++", "clang++", "c++")):
        path = shutil.which(name)
        if path is None:
            continue
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return path, answer.stdout
    return None


@lru_cache(maxsize=1)
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def _compile(text: str, kept: Path, key: str) -> Path:
    """Compiles a program; returns where its library is kept."""
    global compilations
    path_and_version = compiler()
    if path_and_version is None:
        raise CompilerError(str(missing()))
    command_name = path_and_version[0]
    compilations += 1
    with tempfile.TemporaryDirectory(dir=kept) as folder:
        source, library = Path(folder) / "step.cpp", Path(folder) / "step.so"
        source.write_text(text)
        # torch has loaded an OpenMP library of the same name, so both use one pool of threads.
        for openmp in (("-fopenmp",), ()):
            command = [command_name, *_FLAGS, *openmp, "-o", str(library), str(source)]
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
            if answer.returncode == 0:
                path = kept / f"{key}-{_digest(library.read_bytes())}.so"
                os.replace(library, path)
                return path
        error = next((line for line in answer.stderr.splitlines() if "error" in line), answer.stderr[:200])
        raise CompilerError(f"{command_name} could not compile the step: {error}")
