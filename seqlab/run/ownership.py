"""Who owns a folder: by a file lock on one machine, by a counter from machine to machine. Torch is not needed.

The owner holds an exclusive lock (``flock``) on a file as long as it lives. The kernel releases it when the last
process that has the open file is gone, however that ended; so a child to which the open file was left holds it as well.

Beside the file lies ``.claim-N``: who the owner is (process, boot, host) and a counter that it raises. A lock tells
nothing of a process of another machine where the file system keeps locks to each machine, or has none. There a
would-be owner watches the counter by its own monotonic clock, and takes the folder once the counter has stood still for
:data:`PATIENCE`. Which machine it is is told by the boot id, not by the host's name. Modification times and the time of
day decide nothing.
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from seqlab.errors import InputError
from seqlab.files import write_atomically
from seqlab.run.provenance import boot_id, may_be_alive, this_process

HEARTBEAT: Final = 10.0
"""Seconds between two raises of an owner's counter."""
PATIENCE: Final = 90.0
"""Seconds for which a counter must stand still before an owner on another machine is taken for gone."""

_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
_READER_SECONDS: Final = 0.5  # a reader, too, may hold the lock for a moment


class AtWorkError(InputError):
    """Another process is at work in a run."""


class LostClaimError(RuntimeError):
    """Somebody else owns the folder by now: this process was silent for so long that it was taken for gone."""


class Ownership:
    """That this process owns the folder of a file.

    ``descriptor`` is the file, open for appending and, where the file system has locks, locked.
    """

    def __init__(self, file: Path, descriptor: int, claim_file: Path, token: str, *, is_locked: bool) -> None:
        self.file = file
        self.descriptor = descriptor
        self.token = token
        self._claim_file = claim_file
        self._is_locked = is_locked
        self._is_inherited = False
        self._stop = threading.Event()
        _opened.add(self)

    @classmethod
    def take(
        cls, file: Path, *, patience: float = PATIENCE, say: Callable[[str], None] = lambda text: None
    ) -> "Ownership":
        """Takes the folder of ``file``, which is made if need be.

        Args:
            file: what is locked.
            patience: seconds to watch an owner of another machine for.
            say: is told why this waits.

        Raises:
            AtWorkError: another process owns it.
            OSError: the folder cannot be written.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, is_locked = lock(file)
        try:
            number, owner = last_claim(file.parent)
            if owner is not None and not (is_locked and owner.get("boot") == boot_id()):
                _watch(file.parent, number, owner, patience, say)
            claim_file, token = _write_claim(file.parent, number + 1)
        except BaseException:
            os.close(descriptor)
            raise
        ownership = cls(file, descriptor, claim_file, token, is_locked=is_locked)
        ownership._start_beating()
        return ownership

    @classmethod
    def inherit(cls, file: Path, descriptor: int) -> "Ownership":
        """The ownership of the process that started this one and left the open file to it.

        From now on this process raises the counter: it may outlive the other, which may be killed or be stopped.

        Raises:
            InputError: the descriptor is not that of the file, or nobody owns it.
        """
        if not _is_same_file(descriptor, file):
            raise InputError(
                f"{file.parent} was not prepared by seqlab train or seqlab resume, which start this process"
            )
        os.set_inheritable(descriptor, False)
        claim_file, token = _present_claim(file.parent)
        ownership = cls(file, descriptor, claim_file, token, is_locked=_try_lock(descriptor))
        ownership._is_inherited = True
        with contextlib.suppress(OSError):  # on a full disk; the other process goes on with it
            ownership._raise_counter()
        ownership._start_beating()
        return ownership

    @classmethod
    def share(cls, file: Path) -> "Ownership":
        """The same for a process of the same run that has no open file left to it: it may be on another machine.

        Raises:
            InputError: nobody owns the file.
        """
        claim_file, token = _present_claim(file.parent)
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        return cls(file, descriptor, claim_file, token, is_locked=False)

    def check(self) -> None:
        """Does nothing as long as the folder is this process's own.

        Raises:
            LostClaimError: it has been taken by another, or is there no more.
        """
        if not _is_same_file(self.descriptor, self.file):
            raise LostClaimError(f"{self.file} was removed or replaced by somebody: this process writes no more there")
        self._check_claim()

    def _check_claim(self) -> None:
        _, owner = last_claim(self.file.parent)
        if owner is None and self._is_locked and _is_same_file(self.descriptor, self.file):
            # Whoever removed the claim's file: nobody else can have the lock.
            write_atomically(self._claim_file, _text_of_claim(self.token, 0).encode())
        elif owner is None or owner.get("token") != self.token:
            raise LostClaimError(
                f"{self.file.parent}: another process has taken this run, for this one had shown no life for long; "
                "it writes no more there"
            )

    def release(self) -> None:
        """Gives the folder back; a child that has the open file holds the lock on."""
        self._stop.set()
        with contextlib.suppress(OSError, LostClaimError):
            self._check_claim()
            self._claim_file.unlink(missing_ok=True)
        self._close()

    def leave(self) -> None:
        """Closes this process's end; whoever took the folder gives it back."""
        self._stop.set()
        self._close()

    def _close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _start_beating(self) -> None:
        threading.Thread(target=self._beat, daemon=True, name="heartbeat").start()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            try:
                self._check_claim()
                owner = last_claim(self.file.parent)[1] or {}
                if self._is_inherited or owner.get("pid") == os.getpid() or not may_be_alive(owner):
                    self._raise_counter()  # else its child does
            except LostClaimError:
                return  # whoever writes next will tell
            except OSError:  # of a full disk, whoever writes more will tell
                continue

    def _raise_counter(self) -> None:
        counter = _read_claim(self._claim_file)[1] + 1
        write_atomically(self._claim_file, _text_of_claim(self.token, counter).encode())


_opened: "weakref.WeakSet[Ownership]" = weakref.WeakSet()


def _leave_all() -> None:
    """A fork of an owner, such as a worker that loads data, must not hold the lock on when the owner is gone."""
    for ownership in list(_opened):
        ownership._close()  # and no event is set: the thread that the fork lacks may have held its lock


os.register_at_fork(after_in_child=_leave_all)


def owner_lives(descriptor: int, owner: Mapping[str, Any]) -> bool:
    """Whether the owner of an open file is there, as far as anybody can tell without waiting.

    Of an owner on another machine, nobody can tell: it is taken at its word.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return may_be_alive(owner) if error.errno in _NO_LOCKS else True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return bool(owner.get("boot") != boot_id())


def process_name(owner: Mapping[str, Any]) -> str:
    """An owner, for a line."""
    return f"process {owner['pid']} on {owner.get('host')}" if owner.get("pid") else "a process that is not known"


def last_claim(folder: Path) -> tuple[int, dict[str, Any] | None]:
    """The number of the last claim on a folder, and who holds it; None where nobody does."""
    numbers = _claim_numbers(folder)
    return (numbers[-1], _read_claim(_claim_file(folder, numbers[-1]))[0]) if numbers else (0, None)


def is_owned(file: Path) -> bool | None:
    """Whether an owner of the folder of ``file`` holds its lock; None where locks cannot tell."""
    _, owner = last_claim(file.parent)
    if owner is None:
        return False
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            return True
        return may_be_alive(owner) if owner.get("boot") == boot_id() else None
    finally:
        os.close(descriptor)
    return False if owner.get("boot") == boot_id() else None


def claim_text(folder: Path) -> str | None:
    """The text of the last claim on a folder; another one each time its owner raises the counter; None without one."""
    numbers = _claim_numbers(folder)
    try:
        return _claim_file(folder, numbers[-1]).read_text() if numbers else None
    except OSError:
        return None


def lock(file: Path) -> tuple[int, bool]:
    """The file, open and locked for this process; False where the file system has no locks.

    Raises:
        AtWorkError: another process has the lock.
        OSError: the file cannot be opened for writing.
    """
    until = time.monotonic() + _READER_SECONDS
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same_file(descriptor, file):
                return descriptor, True
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return descriptor, False
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                os.close(descriptor)
                raise OSError(error.errno, error.strerror, str(file)) from error
        os.close(descriptor)
        if time.monotonic() > until:
            raise _at_work(file.parent, last_claim(file.parent)[1] or {})
        time.sleep(0.02)


def _watch(folder: Path, number: int, owner: Mapping[str, Any], patience: float, say: Callable[[str], None]) -> None:
    """Waits until the owner has shown no life for ``patience`` seconds.

    Raises:
        AtWorkError: it is alive.
    """
    if owner.get("boot") == boot_id():  # and there are no locks
        if may_be_alive(owner):
            raise _at_work(folder, owner)
        return
    say(f"{folder} was last at work as {process_name(owner)}; watching for {patience:.0f} s whether it still is")
    _, counter = _read_claim(_claim_file(folder, number))
    until = time.monotonic() + patience
    while time.monotonic() < until:
        time.sleep(min(1.0, patience / 10))
        numbers = _claim_numbers(folder)
        if not numbers:  # given back meanwhile
            return
        if numbers[-1] != number or _read_claim(_claim_file(folder, number))[1] != counter:
            raise _at_work(folder, owner)


def _write_claim(folder: Path, number: int) -> tuple[Path, str]:
    """Makes a claim's own file, whose name can be taken once on any file system, and its token."""
    path, token = _claim_file(folder, number), secrets.token_hex(4)
    taken = AtWorkError(f"{folder} was taken by another process at this moment: left alone")
    try:
        _create(path, _text_of_claim(token, 0).encode())
    except (FileExistsError, FileNotFoundError):
        raise taken from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    numbers = _claim_numbers(folder)
    if numbers[-1:] != [number]:  # without locks, others may have come and gone since the number was chosen
        path.unlink(missing_ok=True)
        raise taken
    for earlier in numbers[:-1]:
        _claim_file(folder, earlier).unlink(missing_ok=True)
    return path, token


def _create(path: Path, content: bytes) -> None:
    """Makes a new file with its content in one step: a kill leaves no empty one, which would have to be watched.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be made.
    """
    temporary = path.with_name(f".claim.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.write_bytes(content)
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            with open(path, "xb") as file:
                file.write(content)
    finally:
        temporary.unlink(missing_ok=True)


def _present_claim(folder: Path) -> tuple[Path, str]:
    number, owner = last_claim(folder)
    if owner is None:
        raise InputError(f"{folder}: no process has claimed this run")
    return _claim_file(folder, number), str(owner.get("token"))


def _claim_file(folder: Path, number: int) -> Path:
    return folder / f".claim-{number}"


def _claim_numbers(folder: Path) -> list[int]:
    names = (path.name.rpartition("-")[2] for path in folder.glob(".claim-*"))
    return sorted(int(name) for name in names if name.isdecimal())


def _text_of_claim(token: str, counter: int) -> str:
    return json.dumps({"token": token, **this_process(), "counter": counter})


def _read_claim(path: Path) -> tuple[dict[str, Any] | None, int]:
    """Who holds a claim, and its counter; None where it was given back."""
    try:
        claim = json.loads(path.read_text())
        return dict(claim), int(claim["counter"])
    except FileNotFoundError:
        return None, 0
    except (OSError, ValueError, TypeError, KeyError):
        return {}, -1  # made a moment ago, or damaged: whoever it is must be watched


def _at_work(folder: Path, owner: Mapping[str, Any]) -> AtWorkError:
    return AtWorkError(f"{folder} is at work already, as {process_name(owner)}: left alone")


def _try_lock(descriptor: int) -> bool:
    """Whether an open file is locked for those who have it; False where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False
