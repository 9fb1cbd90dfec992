"""A sweep outlives whatever its jobs do: each leaves a record that says how it ended, and the rest go on."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seqlab.errors import InputError
from seqlab.run.record import RECORD_NAME, RunRecord, read_record
from seqlab.run.supervisor import AtWorkError, claim, claim_again, follower_error, note_end, read_job, status_of
from tests.command import ONE_THREAD, environment, seqlab, seqlab_started, wait_for

CELL = '''\
"""A cell that does what its argument says, at its first step."""

import ctypes
import os
import signal
import sys

import numpy

from seqlab.nn import GatedCell


def exhaust():
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    numpy.ones(2**31)


FAULTS = {
    "none": lambda: None,
    "raise": lambda: 1 / 0,
    "memory": exhaust,
    "exit": lambda: sys.exit(0),
    "leave": lambda: os._exit(0),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crash": lambda: ctypes.string_at(0),
    "abort": os.abort,
}


class FaultyCell(GatedCell):
    num_gates = 1

    def __init__(self, input_size, hidden_size, fault="none", **options):
        super().__init__(input_size, hidden_size, **options)
        self.fault = fault

    def pointwise(self, gi, gh, state):
        FAULTS[self.fault]()
        return ((gi + gh).tanh(),)
'''
# What each leaves: status, in its error, on the screen.
ENDS = {
    "none": ("completed", None, ""),
    "raise": ("failed", "ZeroDivisionError: division by zero", "ZeroDivisionError: division by zero"),
    "memory": ("failed", "Unable to allocate 16.0 GiB", "Unable to allocate 16.0 GiB"),
    "exit": ("failed", "SystemExit: 0", "SystemExit: 0"),
    "leave": (
        "failed",
        "the run's process ended with exit code 0, before the run was complete",
        "ended with exit code 0, before",
    ),
    "kill": ("interrupted", "SIGKILL ended the run", "SIGKILL ended the run; continue with: seqlab resume"),
    "crash": ("failed", "SIGSEGV ended the run", "SIGSEGV ended the run"),
    "abort": ("failed", "SIGABRT ended the run", "SIGABRT ended the run"),
}
TINY = ("experiment=hello", "trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1", *ONE_THREAD)
FAULTY = ("train", "-m", "--config-dir", "conf", *TINY, "model/cell=faulty", "name=faulty")


@pytest.fixture(scope="module")
def user(tmp_path_factory) -> Path:
    """A user's folder with a cell and its YAML."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "faulty.py").write_text(CELL)
    (folder / "conf" / "model" / "cell").mkdir(parents=True)
    yaml = "_target_: faulty.FaultyCell\n_partial_: true\nfault: none\n"
    (folder / "conf" / "model" / "cell" / "faulty.yaml").write_text(yaml)
    return folder


@pytest.fixture(scope="module")
def swept(user):
    """A sweep over every way to end; what it printed."""
    return seqlab(*FAULTY, f"model.cell.fault={','.join(ENDS)}", folder=user, limit=400)


def by_fault(folder: Path) -> dict[str, dict]:
    records = [read_record(path) for path in folder.glob(f"*/{RECORD_NAME}")]
    return {record["config"]["model"]["cell"]["fault"]: record for record in records}


@pytest.mark.slow
def test_each_job_leaves_its_status_its_error_and_its_configuration(user, swept):
    records = by_fault(user / "runs" / "faulty")
    assert records.keys() == ENDS.keys()
    for fault, (status, error, shown) in ENDS.items():
        record = records[fault]
        assert record["status"] == status, (fault, record["error"])
        assert record["config"]["trainer"]["max_epochs"] == 2
        assert shown in swept.stderr
        if error is None:
            assert record["error"] is None
        else:
            assert error in record["error"].splitlines()[-1], record["error"]
    assert "pointwise" in records["crash"]["error"] and "pointwise" in records["abort"]["error"]


@pytest.mark.slow
def test_the_sweep_ends_with_a_summary_and_exit_code_1(swept):
    assert swept.returncode == 1
    assert "1 completed, 6 failed, 1 interrupted" in swept.stdout
    lines = [line for line in swept.stdout.splitlines() if line.startswith("  failed: ")]
    assert len(lines) == 6 and all(line.rpartition(": ")[2] for line in lines)


@pytest.mark.slow
def test_mended_they_alone_run_again(user, swept):
    (user / "faulty.py").write_text(CELL.replace("FAULTS[self.fault]()", "pass"))
    done = seqlab(*FAULTY, "model.cell.fault=none,exit,kill", folder=user)
    assert done.returncode == 0, done.stderr
    assert "2 completed, 1 skipped" in done.stdout
    records = by_fault(user / "runs" / "faulty")
    assert [records[fault]["resumes"] for fault in ("none", "exit", "kill")] == [0, 0, 1]  # killed: it is continued
    assert records["exit"]["metrics"] == records["kill"]["metrics"] == records["none"]["metrics"]


# Two commands


def running(run_dir: Path) -> "subprocess.Popen[str]":
    """A process of its own that has claimed the run of seed 1, and lives."""
    program = (
        "import sys, time; from pathlib import Path; from seqlab.run.supervisor import claim\n"
        "claim(Path(sys.argv[1]), {'seed': 1}, []); print('claimed', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(run_dir)], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "claimed\n"
    return process


def test_a_run_at_work_is_claimed_by_nobody_else_and_goes_on_once_its_process_is_gone(tmp_path):
    with running(tmp_path) as other:
        before = (tmp_path / RECORD_NAME).read_bytes()
        with pytest.raises(AtWorkError, match=f"is at work already, as process {other.pid} on .*: left alone"):
            claim(tmp_path, {"seed": 1}, [])
        assert (tmp_path / RECORD_NAME).read_bytes() == before
        other.kill()
    assert claim(tmp_path, {"seed": 1}, []) is True  # interrupted: it goes on
    assert read_record(tmp_path)["resumes"] == 1


def test_of_many_claims_at_the_same_time_one_succeeds(tmp_path):
    program = (
        "import os, sys, time; from pathlib import Path; from seqlab.run.supervisor import AtWorkError, claim\n"
        "while not os.path.exists(sys.argv[2]): time.sleep(0.001)\n"
        "try: claim(Path(sys.argv[1]), {'seed': 1}, [])\n"
        "except AtWorkError: print('refused', flush=True)\n"
        "else: print('claimed', flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "run"), str(tmp_path / "go")]
    with contextlib.ExitStack() as stack:
        others = [
            stack.enter_context(
                subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(6)
        ]
        time.sleep(1.0)
        (tmp_path / "go").touch()
        said = [other.stdout.readline().strip() for other in others]
        for other in others:
            other.stdin.close()
    assert sorted(said) == ["claimed"] + 5 * ["refused"]


def test_a_sweep_started_twice_leaves_what_is_at_work_alone_and_says_so(tmp_path, user):
    arguments = (*FAULTY[:-1], f"hydra.sweep.dir={tmp_path}", "model.cell.fault=none", "seed=1")
    with seqlab_started(*arguments, folder=user) as first:
        (run_dir,) = wait_for(lambda: [path.parent for path in tmp_path.glob(f"*/{RECORD_NAME}")])
        owner = read_record(run_dir)["process"]["pid"]
        second = seqlab(*arguments, folder=user)
        assert second.returncode == 1 and "Traceback" not in second.stderr
        assert second.stderr.count("\n") == 1
        assert f"{run_dir} is at work already, as process " in second.stderr
        assert "1 running" in second.stdout
        assert owner is not None
        out, _ = first.communicate(timeout=100)
        assert first.returncode == 0 and "1 completed" in out
    assert read_record(run_dir)["resumes"] == 0


# What a supervisor notes


def claimed(run_dir: Path) -> RunRecord:
    claim(run_dir, {"seed": 1}, [])
    return RunRecord.load(run_dir)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        (0, "failed", "the run's process ended with exit code 0, before the run was complete"),
        (3, "failed", "the run's process ended with exit code 3, before the run was complete"),
        (-signal.SIGKILL, "interrupted", "SIGKILL ended the run; the kernel does that where memory runs out"),
        (-signal.SIGTERM, "interrupted", "SIGTERM ended the run"),
        (-40, "interrupted", "signal 40 ended the run"),
        (-signal.SIGSEGV, "failed", "SIGSEGV ended the run"),
        (-signal.SIGABRT, "failed", "SIGABRT ended the run"),
    ],
)
def test_a_process_that_noted_no_end_did_not_complete(tmp_path, code, status, error):
    claimed(tmp_path)
    assert note_end(tmp_path, os.getpid(), code) == 1
    record = read_record(tmp_path)
    assert (record["status"], record["error"]) == (status, error)


def test_what_the_process_noted_itself_stands(tmp_path, capfd):
    claimed(tmp_path).complete({"val/loss": 1.0})
    assert note_end(tmp_path, os.getpid(), -signal.SIGABRT) == 0
    assert "SIGABRT ended the run's process after the run was complete" in capfd.readouterr().err
    assert read_record(tmp_path)["status"] == "completed"
    claimed(tmp_path).fail("wrong input")
    assert note_end(tmp_path, os.getpid(), 2) == 2
    assert read_record(tmp_path)["error"] == "wrong input"


def test_an_end_is_not_noted_in_a_run_that_another_process_has_taken_up(tmp_path):
    with running(tmp_path) as other:
        assert note_end(tmp_path, os.getpid(), -signal.SIGKILL) == 1
        assert read_record(tmp_path)["status"] == "running"
        other.kill()


# What is left of an earlier attempt


@pytest.mark.parametrize("status", ["failed", "completed"])
def test_what_begins_anew_begins_without_the_checkpoints_and_events_of_before(tmp_path, status):
    record = claimed(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    for name in ("checkpoints/last.ckpt", "events.out.tfevents.1.host.1.0", "notes.txt"):
        (tmp_path / name).touch()
    record.fail("broken") if status == "failed" else record.complete({})
    assert claim(tmp_path, {"seed": 1}, []) is False
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".hydra", "notes.txt", RECORD_NAME]
    assert status_of(tmp_path) == "running"


def test_what_goes_on_keeps_them_but_for_what_a_killed_writer_left(tmp_path):
    record = claimed(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    events = tmp_path / "events.out.tfevents.1.host.1.0"
    for path in (
        events,
        *(tmp_path / "checkpoints" / name for name in ("last.ckpt", ".last.ckpt.123-0.tmp", ".my.tmp")),
    ):
        path.touch()
    record.interrupt()
    assert claim(tmp_path, {"seed": 1}, []) is True
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [".my.tmp", "last.ckpt"]
    assert events.exists()
    RunRecord.load(tmp_path).interrupt()
    (tmp_path / "checkpoints" / "last.ckpt").unlink()
    assert claim(tmp_path, {"seed": 1}, []) is True
    assert not events.exists()  # nothing to go on from: its steps are logged again


def test_a_folder_without_its_job_can_be_resumed(tmp_path):
    claimed(tmp_path).interrupt()
    (tmp_path / ".hydra" / "job.json").unlink()
    claim_again(tmp_path)
    assert read_job(tmp_path)["config"] == {"seed": 1} and status_of(tmp_path) == "running"


def test_a_half_written_job_is_refused_in_one_line(tmp_path):
    claimed(tmp_path)
    (tmp_path / ".hydra" / "job.json").write_text('{"config": {"se')
    with pytest.raises(InputError, match="holds no run that was prepared"):
        read_job(tmp_path)


def test_a_run_that_is_killed_over_the_error_of_a_process_that_follows_has_failed_with_it(tmp_path):
    claim(tmp_path, {"seed": 1}, [])
    follower_error(tmp_path).write_text("RuntimeError: the second device alone")
    assert note_end(tmp_path, os.getpid(), -signal.SIGKILL) == 1
    record = read_record(tmp_path)
    assert (record["status"], record["error"]) == ("failed", "RuntimeError: the second device alone")
