"""File locks, and what they say about the owner of a folder."""

import errno
import fcntl
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from seqlab.run.ownership.claims import at_work, last_claim
from seqlab.run.provenance import boot_id, may_be_alive

_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
_READER_SECONDS: Final = 0.5  # a reader may hold the lock for a moment, too


def lock(file: Path) -> tuple[int, bool]:
    """Opens a file and locks it for this process.

    Returns:
        The open file, and whether it is locked: False where the file system has no locks.

    Raises:
        AtWorkError: another process has the lock.
        OSError: the file cannot be opened for writing.
    """
    deadline = time.monotonic() + _READER_SECONDS
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_same_file(descriptor, file):
                return descriptor, True
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return descriptor, False
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                os.close(descriptor)
                raise OSError(error.errno, error.strerror, str(file)) from error
        os.close(descriptor)
        if time.monotonic() > deadline:
            raise at_work(file.parent, last_claim(file.parent)[1] or {})
        time.sleep(0.02)


def try_lock(descriptor: int) -> bool:
    """Locks an open file for all processes that have it; False where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def owner_lives(descriptor: int, owner: Mapping[str, Any]) -> bool:
    """Whether the owner of an open file is alive, as far as can be told without waiting.

    An owner on another machine is taken to be alive: nobody here can tell.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return may_be_alive(owner) if error.errno in _NO_LOCKS else True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return bool(owner.get("boot") != boot_id())


def is_owned(file: Path) -> bool | None:
    """Whether an owner of the folder of ``file`` holds its lock; None if locks cannot tell."""
    _, owner = last_claim(file.parent)
    if owner is None:
        return False
    is_local = owner.get("boot") == boot_id()
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            return True
        return may_be_alive(owner) if is_local else None
    finally:
        os.close(descriptor)
    return False if is_local else None


def is_same_file(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False
