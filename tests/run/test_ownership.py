"""One owner a folder: by a lock on one machine, by a counter from machine to machine."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import pytest

from seqlab.errors import InputError
from seqlab.run.ownership import AtWorkError, LostClaimError, Ownership, is_owned, last_claim
from tests.run.owners import claim_from_elsewhere, claims, counter, owner_process, taken_by_another


def test_the_owner_is_named_and_its_claim_is_removed_at_the_end(file):
    owner = Ownership.take(file)
    number, named = last_claim(file.parent)
    assert (number, named["pid"], named["token"]) == (1, os.getpid(), owner.token)
    owner.check()
    owner.release()
    assert claims(file) == [] and last_claim(file.parent) == (0, None)


def test_two_in_one_process_exclude_each_other(file):
    first = Ownership.take(file)
    with pytest.raises(AtWorkError, match=f"is in use by process {os.getpid()} on .*: wait until it ends"):
        Ownership.take(file)
    first.release()
    Ownership.take(file).release()


def test_the_kernel_gives_the_folder_back_when_its_owner_is_killed(file):
    with owner_process(file.parent) as process:
        with pytest.raises(AtWorkError, match=f"process {process.pid} on"):
            Ownership.take(file)
        assert is_owned(file) is True
        process.kill()
    assert is_owned(file) is False
    said = []
    second = Ownership.take(file, notify=said.append)
    assert claims(file) == [".claim-2"] and not said  # no waiting: the lock tells
    second.release()


def test_a_child_holds_it_on_and_raises_the_counter_when_the_owner_is_gone(file, quick_beats):
    program = """
import os, sys, time
from pathlib import Path
from seqlab.run.ownership import owner as module
module.HEARTBEAT = 0.01
owner = module.Ownership.inherit(Path(sys.argv[1]), int(sys.argv[2]))
print("has it", flush=True)
sys.stdin.read()
owner.check()
"""
    owner = Ownership.take(file)
    command = [sys.executable, "-c", program, str(file), str(owner.descriptor)]
    with subprocess.Popen(
        command, pass_fds=[owner.descriptor], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "has it\n"
        owner.leave()  # as a kill does
        with pytest.raises(AtWorkError):
            Ownership.take(file)
        before, until = counter(file), time.monotonic() + 10
        while counter(file) == before and time.monotonic() < until:
            time.sleep(0.01)
        assert counter(file) > before
        assert last_claim(file.parent)[1]["pid"] == child.pid  # who trains is named
        child.stdin.close()
        assert child.wait() == 0
    Ownership.take(file).release()


def test_a_parent_that_gives_up_does_not_take_the_claim_from_its_child(file):
    owner = Ownership.take(file)
    child = Ownership.inherit(file, os.dup(owner.descriptor))
    owner.release()
    child.check()
    assert last_claim(file.parent)[1]["token"] == child.token
    child.release()


def test_a_fork_does_not_hold_the_lock_on(file):
    owner = Ownership.take(file)
    go_on = multiprocessing.get_context("fork").Event()
    process = multiprocessing.get_context("fork").Process(target=go_on.wait, args=(30,))
    process.start()  # as a worker that loads data
    owner.leave()
    Ownership.take(file).release()
    go_on.set()
    process.join()
    assert process.exitcode == 0


def test_a_fork_while_the_heartbeat_holds_its_lock_does_not_hang(file):
    owner = Ownership.take(file)
    with owner._stop._cond:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        until = time.monotonic() + 10
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > until:
                os.kill(pid, 9)
                pytest.fail("the fork hangs")
            time.sleep(0.01)
    owner.release()


def test_a_descriptor_of_another_file_is_refused(file):
    owner = Ownership.take(file)
    with open(__file__) as other, pytest.raises(InputError, match="was not prepared by seqlab train"):
        Ownership.inherit(file, other.fileno())
    with pytest.raises(InputError, match="was not prepared"):
        Ownership.inherit(file, 10_000)
    owner.release()
    with pytest.raises(InputError, match="no process has claimed"):
        Ownership.share(file)


# Lost


def test_who_was_taken_for_gone_notices(file):
    owner = Ownership.take(file)
    taken_by_another(file.parent)
    with pytest.raises(LostClaimError, match="another process has taken this run"):
        owner.check()
    owner.release()
    assert claims(file) == [".claim-2"]  # not its own


def test_a_claims_file_that_somebody_removed_is_made_anew(file):
    owner = Ownership.take(file)
    (file.parent / ".claim-1").unlink()
    owner.check()
    assert claims(file) == [".claim-1"]
    owner.release()


def test_a_folder_that_is_removed_or_replaced_is_told(file):
    owner = Ownership.take(file)
    file.rename(file.with_name("away"))
    with pytest.raises(LostClaimError, match="was removed or replaced"):
        owner.check()
    file.write_text("")
    with pytest.raises(LostClaimError, match="was removed or replaced"):
        owner.check()
    owner.release()


def test_the_heartbeat_of_a_lost_owner_ends(file, quick_beats):
    before = set(threading.enumerate())
    owner = Ownership.take(file)
    beating = set(threading.enumerate()) - before
    assert beating
    taken_by_another(file.parent)
    until = time.monotonic() + 10
    while any(thread.is_alive() for thread in beating):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert json.loads((file.parent / ".claim-2").read_text())["counter"] == 3
    owner.release()


# From machine to machine


def test_an_owner_on_another_machine_that_lives_is_left_alone(file, monkeypatch):
    counts = iter(range(1, 1000))
    claim_from_elsewhere(file.parent, counter=0)
    monkeypatch.setattr(time, "sleep", lambda _: claim_from_elsewhere(file.parent, counter=next(counts)))
    said = []
    with pytest.raises(AtWorkError, match="process 1 on elsewhere"):
        Ownership.take(file, patience=5, notify=said.append)
    assert len(said) == 1 and "watching for 5 s" in said[0]
    assert claims(file) == [".claim-1"]


def test_one_that_shows_no_life_is_taken_for_gone(file):
    claim_from_elsewhere(file.parent)
    began = time.monotonic()
    owner = Ownership.take(file, patience=0.3)
    assert 0.3 <= time.monotonic() - began < 5
    assert claims(file) == [".claim-2"]
    owner.release()


def test_one_that_gives_the_run_back_meanwhile_is_not_waited_for(file, monkeypatch):
    claim_from_elsewhere(file.parent)
    monkeypatch.setattr(time, "sleep", lambda _: (file.parent / ".claim-1").unlink(missing_ok=True))
    began = time.monotonic()
    Ownership.take(file, patience=60).release()
    assert time.monotonic() - began < 10


def test_the_time_of_day_decides_nothing(file, monkeypatch):
    days = iter(range(10_000))
    monkeypatch.setattr(time, "time", lambda: (-1) ** next(days) * 1e9)
    claim_from_elsewhere(file.parent)
    for path in file.parent.iterdir():
        os.utime(path, (0, 0))
    with pytest.raises(AtWorkError):
        later = threading.Timer(0.2, claim_from_elsewhere, (file.parent, 1, 9))
        later.start()
        Ownership.take(file, patience=20)
    for path in file.parent.iterdir():
        os.utime(path, (4e9, 4e9))
    owner = Ownership.take(file, patience=0.2)
    owner.check()
    owner.release()


def test_a_damaged_claim_is_watched_and_then_replaced(file):
    file.parent.mkdir()
    (file.parent / ".claim-4").write_text("{")
    said = []
    owner = Ownership.take(file, patience=0.2, notify=said.append)
    assert "an unknown process" in said[0]
    assert claims(file) == [".claim-5"]
    owner.release()
