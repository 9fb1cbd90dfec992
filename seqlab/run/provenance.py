"""The provenance of a run: the commit of the code, the versions of packages, the process that trains."""

import functools
import hashlib
import os
import platform
import socket
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import seqlab


def package_versions() -> dict[str, str | None]:
    """The versions of Python and of the packages that affect a run's result; none of them is imported."""
    versions: dict[str, str | None] = {"python": platform.python_version(), "seqlab": seqlab.__version__}
    for package in ("torch", "lightning", "hydra-core"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def git_state(folder: str | os.PathLike[str] = ".", *, of_folder_alone: bool = False) -> dict[str, Any]:
    """The ``commit`` of a folder's repository, and whether it is ``dirty``; both are None without a repository.

    Args:
        folder: a folder in the repository.
        of_folder_alone: whether only changes in this folder count, not those elsewhere in the repository.
    """
    command = ["git", "-C", os.fspath(folder), "--no-optional-locks", "status", "--porcelain=v2", "--branch"]
    try:
        command += ["--untracked-files=no", *(["--", "."] if of_folder_alone else [])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {"commit": None, "dirty": None}
    lines = done.stdout.splitlines()
    commits = [line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")]
    if done.returncode != 0 or commits in ([], ["(initial)"]):
        return {"commit": None, "dirty": None}
    return {"commit": commits[0], "dirty": any(not line.startswith("#") for line in lines)}


@cache
def user_git() -> dict[str, Any]:
    """The state of the working folder's repository, read once a process: it belongs to the code that was imported."""
    return git_state()


@cache
def seqlab_git() -> dict[str, Any]:
    """The state of the checkout that seqlab is loaded from, read once a process; all None if seqlab is installed.

    ``changes`` is a hash of the differences between tracked files and the commit. A process that forks others after it
    has imported seqlab must call this before it forks.
    """
    folder = Path(seqlab.__file__).resolve().parent
    if {"site-packages", "dist-packages"} & set(folder.parts):  # it may be inside a repository of the user's
        return {"commit": None, "dirty": None, "changes": None}
    state = git_state(folder, of_folder_alone=True)
    return {**state, "changes": _hash_of_changes(folder) if state["dirty"] else None}


def describe_commit(state: Mapping[str, Any] | None) -> str | None:
    """The state of a checkout in a few words; None if it is unknown."""
    if not state or not state.get("commit"):
        return None
    changes = f" with changes {state.get('changes') or ''}".rstrip() if state.get("dirty") else ""
    return f"{state['commit'][:10]}{changes}"


def _hash_of_changes(folder: Path) -> str | None:
    command = ["git", "-C", str(folder), "--no-optional-locks", "diff", "HEAD", "--no-ext-diff", "--", "."]
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return hashlib.sha256(done.stdout).hexdigest()[:8]


@cache
def seqlab_hash() -> str:
    """A hash of seqlab's own files, computed once a process: it belongs to the code that was imported."""
    folder = Path(seqlab.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.*")):
        if path.suffix in (".py", ".h"):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def this_process() -> dict[str, Any]:
    """Identifies this process for :func:`may_be_alive`."""
    pid = os.getpid()
    return {"pid": pid, "host": socket.gethostname(), "boot": boot_id(), "started": process_started(pid)}


@functools.cache
def boot_id() -> str:
    """Identifies this machine since its last start; a host name does not."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux
        return socket.gethostname()


def may_be_alive(process: Mapping[str, Any]) -> bool:
    """False if a process that :func:`this_process` described is certainly gone. One on another machine may be alive."""
    if process.get("boot", boot_id()) != boot_id() or os.name != "posix":
        return True
    pid = process.get("pid")
    return isinstance(pid, int) and pid > 0 and process_started(pid) == process.get("started") is not None


def process_started(pid: int) -> str | None:
    """When a process of this machine started, in a form that no later process of its number has; None: it is gone."""
    if os.name != "posix":
        return None
    boot = boot_id()
    if not Path("/proc/self/stat").exists():  # not Linux: to the second, the best that every Unix offers
        command, environment = ["ps", "-o", "lstart=", "-p", str(pid)], {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        return done.stdout.strip() or None
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command's name is in parentheses and may contain spaces and parentheses. After it: state, ..., start in ticks.
    after_name = status.rpartition(")")[2].split()
    return None if after_name[0] in "ZX" else f"{boot}:{after_name[19]}"
