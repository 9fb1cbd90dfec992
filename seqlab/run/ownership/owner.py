"""The ownership of a folder: taken, inherited from a parent, or shared with the run's first process."""

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from seqlab.errors import InputError
from seqlab.run.ownership.claims import (
    at_work,
    claim_file,
    claim_numbers,
    last_claim,
    present_claim,
    process_name,
    read_claim,
    rewrite_claim,
    write_claim,
)
from seqlab.run.ownership.locks import is_same_file, lock, try_lock
from seqlab.run.provenance import boot_id, may_be_alive

HEARTBEAT: Final = 10.0
"""Seconds between two raises of the owner's counter."""

PATIENCE: Final = 90.0
"""Seconds for which a counter must not move before an owner on another machine is taken to be dead."""


class LostClaimError(RuntimeError):
    """Another process owns the folder now: this one showed no sign of life for so long that it was taken to be dead."""


class Ownership:
    """This process's ownership of the folder of a file.

    Attributes:
        file: the file that is locked.
        descriptor: the file, open for appending, and locked if the file system has locks.
        token: identifies the claim; all processes that hold it write it with each event.
    """

    def __init__(self, file: Path, descriptor: int, claim_file: Path, token: str, *, is_locked: bool) -> None:
        self.file = file
        self.descriptor = descriptor
        self.token = token
        self._claim_file = claim_file
        self._is_locked = is_locked
        self._is_inherited = False
        self._stop = threading.Event()
        _open_ownerships.add(self)

    @classmethod
    def take(
        cls, file: Path, *, patience: float = PATIENCE, notify: Callable[[str], None] = lambda text: None
    ) -> "Ownership":
        """Takes the folder of ``file``, which is created if needed.

        Args:
            file: the file to lock.
            patience: seconds to watch an owner on another machine for signs of life.
            notify: called with the reason before this has to wait.

        Raises:
            AtWorkError: another process owns the folder.
            OSError: the folder cannot be written.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, is_locked = lock(file)
        try:
            number, owner = last_claim(file.parent)
            if owner is not None and not (is_locked and owner.get("boot") == boot_id()):
                _watch(file.parent, number, owner, patience, notify)
            claim_file, token = write_claim(file.parent, number + 1)
        except BaseException:
            os.close(descriptor)
            raise
        ownership = cls(file, descriptor, claim_file, token, is_locked=is_locked)
        ownership._start_heartbeat()
        return ownership

    @classmethod
    def inherit(cls, file: Path, descriptor: int) -> "Ownership":
        """The ownership of the parent process, which left the open file to this process.

        From now on this process raises the counter, since it may outlive its parent.

        Raises:
            InputError: the descriptor is not the file, or nobody owns it.
        """
        if not is_same_file(descriptor, file):
            raise InputError(
                f"{file.parent} was not prepared by seqlab train or seqlab resume, which start this process"
            )
        os.set_inheritable(descriptor, False)
        claim_file, token = present_claim(file.parent)
        ownership = cls(file, descriptor, claim_file, token, is_locked=try_lock(descriptor))
        ownership._is_inherited = True
        with contextlib.suppress(OSError):  # on a full disk the parent goes on raising it
            ownership._raise_counter()
        ownership._start_heartbeat()
        return ownership

    @classmethod
    def share(cls, file: Path) -> "Ownership":
        """The ownership for another process of the same run, which inherits no open file: it may be on another machine.

        Raises:
            InputError: nobody owns the file.
        """
        claim_file, token = present_claim(file.parent)
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        return cls(file, descriptor, claim_file, token, is_locked=False)

    def check(self) -> None:
        """Checks that this process still owns the folder.

        Raises:
            LostClaimError: another process has taken the folder, or it no longer exists.
        """
        if not is_same_file(self.descriptor, self.file):
            raise LostClaimError(
                f"{self.file} was removed or replaced by another process: this process writes nothing more there"
            )
        self._check_claim()

    def _check_claim(self) -> None:
        _, owner = last_claim(self.file.parent)
        if owner is None and self._is_locked and is_same_file(self.descriptor, self.file):
            rewrite_claim(self._claim_file, self.token, 0)  # somebody removed it; only this process can have the lock
        elif owner is None or owner.get("token") != self.token:
            raise LostClaimError(
                f"{self.file.parent}: another process has taken this run, because this one showed no sign of life for "
                "long; this process writes nothing more there"
            )

    def release(self) -> None:
        """Gives the folder back. A child that has the open file still holds the lock."""
        self._stop.set()
        with contextlib.suppress(OSError, LostClaimError):
            self._check_claim()
            self._claim_file.unlink(missing_ok=True)
        self._close()

    def leave(self) -> None:
        """Closes the file in this process, and leaves the claim to whoever took the folder."""
        self._stop.set()
        self._close()

    def _close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _start_heartbeat(self) -> None:
        threading.Thread(target=self._beat, daemon=True, name="heartbeat").start()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            try:
                self._check_claim()
                owner = last_claim(self.file.parent)[1] or {}
                if self._is_inherited or owner.get("pid") == os.getpid() or not may_be_alive(owner):
                    self._raise_counter()  # otherwise the child that inherited the claim does
            except LostClaimError:
                return  # the next write raises it where it is handled
            except OSError:  # a full disk: the next larger write reports it
                continue

    def _raise_counter(self) -> None:
        rewrite_claim(self._claim_file, self.token, read_claim(self._claim_file)[1] + 1)


_open_ownerships: "weakref.WeakSet[Ownership]" = weakref.WeakSet()


def _close_all() -> None:
    """In a fork of an owner, such as a data loader's worker: it must not hold the lock after the owner is gone."""
    for ownership in list(_open_ownerships):
        ownership._close()  # without setting the event: a thread that the fork lacks may have held its lock


os.register_at_fork(after_in_child=_close_all)


def _watch(folder: Path, number: int, owner: Mapping[str, Any], patience: float, notify: Callable[[str], None]) -> None:
    """Waits until an owner has shown no sign of life for ``patience`` seconds.

    Raises:
        AtWorkError: the owner is alive.
    """
    if owner.get("boot") == boot_id():  # on this machine, without locks: the process table tells
        if may_be_alive(owner):
            raise at_work(folder, owner)
        return
    notify(f"{folder} was last used by {process_name(owner)}; watching for {patience:.0f} s whether it is still alive")
    _, counter = read_claim(claim_file(folder, number))
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        time.sleep(min(1.0, patience / 10))
        numbers = claim_numbers(folder)
        if not numbers:  # released meanwhile
            return
        if numbers[-1] != number or read_claim(claim_file(folder, number))[1] != counter:
            raise at_work(folder, owner)
