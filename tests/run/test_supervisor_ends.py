"""How a command notes the end of a run: what its process noted itself, a signal, a full disk, a lost supervisor."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from seqlab.run import process_end
from seqlab.run.folder import RunFolder
from seqlab.run.ownership import AtWorkError
from seqlab.run.start import Start
from tests.command import environment, forked
from tests.run.attempts import OTHER, attempt, completed
from tests.run.owners import taken_by_another


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        (0, "failed", "the run's process ended with exit code 0, before the run was complete"),
        (3, "failed", "the run's process ended with exit code 3, before the run was complete"),
        (75, "interrupted", "the run was interrupted, and the disk was too full to note why"),
        (-signal.SIGKILL, "interrupted", "SIGKILL ended the run; the kernel does that when memory runs out"),
        (-signal.SIGTERM, "interrupted", "SIGTERM ended the run"),
        (-40, "interrupted", "signal 40 ended the run"),
        (-signal.SIGSEGV, "failed", "SIGSEGV ended the run"),
        (-signal.SIGABRT, "failed", "SIGABRT ended the run"),
    ],
)
def test_a_process_that_noted_no_end_did_not_complete(run, code, status, error):
    with attempt(run) as made:
        assert made.note_end(code) == 1
    state = run.state()
    assert (state.status, state.record["error"]) == (status, error)


def test_what_the_process_noted_itself_stands(tmp_path, capfd):
    run = RunFolder(tmp_path / "one")
    with attempt(run) as made:
        made.claim.complete({"val/loss": 1.0})
        assert made.note_end(-signal.SIGABRT) == 0
    assert "SIGABRT ended the run's process after the run was complete" in capfd.readouterr().err
    assert run.state().status == "completed"
    run = RunFolder(tmp_path / "two")
    with attempt(run) as made:
        made.claim.fail("wrong input")
        assert made.note_end(2) == 2
    assert run.state().record["error"] == "wrong input"


def test_a_stack_of_a_crash_is_in_the_error_once(run):
    with attempt(run) as made:
        others = "".join(f'Thread {number} (most recent call first):\n  File "b.py"\n\n' for number in range(30))
        crashed = 'Current thread 1 (most recent call first):\n  File "cells.py", line 3 in pointwise\n\n'
        text = f"Fatal Python error: Segmentation fault\n\n{others}{crashed}Extension modules: numpy (total: 1)\n"
        (run.path / ".crash.txt").write_text(text)
        made.note_end(-signal.SIGSEGV)
    assert run.state().record["error"].splitlines() == [
        "Fatal Python error: Segmentation fault",
        "Current thread 1 (most recent call first):",
        '  File "cells.py", line 3 in pointwise',
        "SIGSEGV ended the run",
    ]
    assert not (run.path / ".crash.txt").exists()


def test_a_run_that_is_killed_over_the_error_of_a_worker_has_failed_with_it(run):
    with attempt(run) as made:
        made.claim.report_worker("RuntimeError: the second device alone")
        assert made.note_end(-signal.SIGKILL) == 1
    state = run.state()
    assert (state.status, state.record["error"]) == ("failed", "RuntimeError: the second device alone")


def test_an_end_is_not_noted_in_a_run_that_another_has_taken(run, capfd):
    with attempt(run) as made:
        before = run.events_path.read_bytes()
        taken_by_another(run.path)
        assert made.note_end(-signal.SIGKILL) == 1
    assert run.events_path.read_bytes() == before
    assert "another process has taken this run" in capfd.readouterr().err


def test_a_run_whose_supervisor_was_killed_while_it_imported_ends_before_it_trains(run):
    """Linux tells a process of its parent's end, but not where the parent had ended before the process asked for it."""
    with subprocess.Popen(["true"]) as supervisor:
        supervisor.wait()
    with attempt(run):
        before = sorted(run.path.iterdir())
        with forked("train", str(run.path), "--supervisor", str(supervisor.pid), folder=run.path.parent) as process:
            _, err = process.communicate(60)
        assert process.returncode == 1 and err == "seqlab: the process that started this run is gone\n"
        assert sorted(run.path.iterdir()) == before


def test_the_run_of_a_supervisor_that_is_killed_while_its_child_trains_stays_the_childs(run):
    """The child is told and ends; until then nobody else may begin."""
    program = """
import subprocess, sys
from pathlib import Path
from seqlab.run.supervisor import open_attempt
attempt = open_attempt(Path(sys.argv[1]), {"seed": 1, "model": {"num_layers": 2}}, [])
descriptor = attempt.claim.fileno()
child = '''
import sys
from seqlab.run.claim import Claim
claim = Claim.inherit(sys.argv[1], int(sys.argv[2]))
print("trains", flush=True)
sys.stdin.read()
claim.interrupt("told to stop")
'''
command = [sys.executable, "-c", child, sys.argv[1], str(descriptor)]
subprocess.run(command, pass_fds=[descriptor])
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(run.path)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout.readline() == "trains\n"
        os.kill(command.pid, signal.SIGKILL)
        with pytest.raises(AtWorkError):
            attempt(run)
        assert run.state().status == "running"
        command.stdin.close()
        until = time.monotonic() + 10
        while run.state().status == "running":
            assert time.monotonic() < until
            time.sleep(0.01)
    assert run.state().record["error"] == "told to stop"
    with attempt(run) as made:
        assert made.is_resumed


# Signals and errors


def test_a_full_disk_behind_another_error_is_found():
    full = OSError(errno.ENOSPC, "No space left on device")
    for way in ("cause", "context"):
        error = RuntimeError("unexpected pos 200256 vs 200208")
        setattr(error, f"__{way}__", full)
        assert process_end.no_room(error) is full
    assert process_end.no_room(OSError(errno.EIO, "x")) is None


def test_a_run_that_ends_by_a_real_signal_is_noted_by_its_command(run, monkeypatch, capfd):
    killing = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: popen(killing, **options))
    with attempt(run) as made:
        assert Start().carry_out(made) == 1
    assert run.state().status == "interrupted"
    assert f"SIGKILL ended the run; continue with: seqlab resume {run.path}" in capfd.readouterr().err


def test_where_to_go_on_is_said_of_the_folder_that_the_user_knows(run, capfd):
    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        made.note_end(-signal.SIGKILL)
    assert f"continue with: seqlab resume {run.path}\n" in capfd.readouterr().err


def test_a_start_that_fails_without_room_reads_as_interrupted(run, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with attempt(run) as made, monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        made.note_start_failure("x")
    assert run.state().status == "interrupted"
