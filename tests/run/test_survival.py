"""A sweep outlives whatever its jobs do: each leaves a record that says how it ended, and the rest go on."""

from pathlib import Path

import pytest

from seqlab.run.record import RECORD_NAME, read_record
from tests.command import ONE_THREAD, seqlab, seqlab_started, wait_for

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


def wait():
    import time
    from pathlib import Path

    while not Path("go").exists():
        time.sleep(0.05)


FAULTS = {
    "none": lambda: None,
    "wait": wait,
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
    asked = seqlab(*FAULTY, "model.cell.fault=none,exit,kill", folder=user)
    assert asked.returncode == 2 and "faulty.py has changed" in asked.stderr
    done = seqlab(*FAULTY, "model.cell.fault=none,exit,kill", "keep_changed=true", folder=user)
    assert done.returncode == 0, done.stderr
    assert "2 completed, 1 skipped" in done.stdout
    records = by_fault(user / "runs" / "faulty")
    assert [records[fault]["resumes"] for fault in ("none", "exit", "kill")] == [0, 0, 0]  # no checkpoint yet
    assert records["exit"]["metrics"] == records["kill"]["metrics"] == records["none"]["metrics"]


# Two commands


def test_a_sweep_started_twice_leaves_what_is_at_work_alone_and_says_so(tmp_path, user):
    (user / "faulty.py").write_text(CELL)
    arguments = (
        *FAULTY[:-1],
        f"hydra.sweep.dir={tmp_path}",
        "model.cell.fault=wait",
        "seed=1",
    )
    with seqlab_started(*arguments, folder=user) as first:
        (run_dir,) = wait_for(lambda: [path.parent for path in tmp_path.glob(f"*/{RECORD_NAME}")])
        owner = read_record(run_dir)["process"]["pid"]
        second = seqlab(*arguments, folder=user)
        assert second.returncode == 1 and "Traceback" not in second.stderr
        assert second.stderr.count("\n") == 1
        assert f"{run_dir} is in use by process " in second.stderr
        assert "1 running" in second.stdout
        assert owner is not None
        (user / "go").touch()
        out, _ = first.communicate(timeout=100)
        assert first.returncode == 0 and "1 completed" in out
    assert read_record(run_dir)["resumes"] == 0
