"""One owner a folder on file systems that lack locks, hard links or room, and beside readers."""

import errno
import fcntl
import json
import os
import threading
import time
from pathlib import Path

import pytest

from seqlab.run.ownership import AtWorkError, LostClaimError, Ownership, is_owned, last_claim, owner_lives
from seqlab.run.ownership import claims as claim_files
from seqlab.run.ownership import owner as owner_module
from seqlab.run.ownership.claims import create_file
from seqlab.run.provenance import this_process
from tests.run.owners import claim_from_elsewhere, claims, counter


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without locks."""

    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_without_locks_a_claims_file_that_is_gone_is_a_lost_claim(file, no_locks):
    owner = Ownership.take(file)
    (file.parent / ".claim-1").unlink()
    with pytest.raises(LostClaimError):
        owner.check()
    owner.release()


# Without locks


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_the_process_table_tells_on_one_machine(file, monkeypatch, number):
    def flock(*_):
        raise OSError(number, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    first = Ownership.take(file)
    assert is_owned(file) is True
    with pytest.raises(AtWorkError):
        Ownership.take(file)
    gone = {**this_process(), "token": "x", "counter": 1, "started": "another"}
    (file.parent / ".claim-1").write_text(json.dumps(gone))
    second = Ownership.take(file)
    assert claims(file) == [".claim-2"]
    with pytest.raises(LostClaimError):
        first.check()
    first.release()
    second.check()
    second.release()


def test_without_locks_one_of_two_at_once_takes_it(file, no_locks, monkeypatch):
    taken = []
    make = owner_module.write_claim

    def both(folder, number):
        if not taken:
            taken.append(make(folder, number))  # the other comes between
        return make(folder, number)

    monkeypatch.setattr(owner_module, "write_claim", both)
    with pytest.raises(AtWorkError, match="another process has just taken"):
        Ownership.take(file)
    assert last_claim(file.parent)[1]["token"] == taken[0][1]


def test_without_locks_a_number_that_is_old_by_now_is_no_claim(file, no_locks, monkeypatch):
    make = owner_module.write_claim

    def late(folder, number):
        claim_from_elsewhere(folder, number + 1)  # one has come and gone, and another is at work
        return make(folder, number)

    monkeypatch.setattr(owner_module, "write_claim", late)
    with pytest.raises(AtWorkError):
        Ownership.take(file)
    assert claims(file) == [".claim-2"]


# Files


def test_an_error_that_is_no_lack_of_locks_is_told(file, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match=f"Input/output error: '{file}'"):
        Ownership.take(file)


def test_a_folder_that_cannot_be_written_is_named(file, monkeypatch):
    real = os.open

    def read_only(path, flags, *args, **options):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return real(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(OSError, match=f"Read-only file system: '{file}'"):
        Ownership.take(file)


def test_without_room_for_the_claim_nothing_is_left_and_the_lock_is_given_back(file, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match=r"No space left on device: .*\.claim-1"):
            Ownership.take(file)
    assert [path.name for path in file.parent.iterdir()] == ["events.jsonl"]
    Ownership.take(file).release()


class KilledError(BaseException):
    pass


@pytest.mark.parametrize("call", ["link", "unlink"])
def test_a_kill_while_the_claim_is_made_leaves_none_that_must_be_watched(file, monkeypatch, call):
    def killed(*_, **__):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(os, call, killed)
        with pytest.raises(KilledError):
            Ownership.take(file)
    said = []
    Ownership.take(file, notify=said.append).release()
    assert not said


def test_a_file_system_without_hard_links_will_do(file, monkeypatch):
    def link(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    owner = Ownership.take(file)
    owner.check()
    with pytest.raises(FileExistsError):
        create_file(file.parent / ".claim-1", b"")
    owner.release()


def test_a_full_disk_stops_no_heartbeat(file, quick_beats, monkeypatch):
    owner = Ownership.take(file)
    with monkeypatch.context() as patch:
        tried = threading.Event()

        def full(*_):
            tried.set()
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(claim_files, "write_atomically", full)
        assert tried.wait(10)
    before, until = counter(file), time.monotonic() + 10
    while counter(file) == before:
        assert time.monotonic() < until
        time.sleep(0.01)
    owner.release()


# Readers


def test_readers_never_wait_and_never_disturb_a_claim(file):
    """Three hundred rounds of a claim while three readers ask as fast as they can."""
    Ownership.take(file).release()
    done, asked, slowest = threading.Event(), [0, 0, 0], [0.0, 0.0, 0.0]

    def read(number: int) -> None:
        while not done.is_set():
            began = time.monotonic()
            with open(file, "rb") as events:
                owner_lives(events.fileno(), this_process())
            slowest[number] = max(slowest[number], time.monotonic() - began)
            asked[number] += 1

    readers = [threading.Thread(target=read, args=(number,)) for number in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(300):
            Ownership.take(file).release()
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert min(asked) > 100 and max(slowest) < 5
