"""``run.json``, read: honest about how a run ended, of this version and of the one before, without waiting."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seqlab.errors import InputError
from seqlab.report.collect import collect, speed_unit
from seqlab.run import provenance
from seqlab.run.folder import RunFolder, start_run
from seqlab.run.provenance import this_process
from seqlab.run.record import RECORD_NAME, read_record
from tests.run.owners import CONFIG, owner_process


def edit(folder: Path, **fields: object) -> None:
    path = folder / RECORD_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


# Processes


def test_running_while_the_process_lives_and_interrupted_once_it_is_killed(tmp_path):
    with owner_process(tmp_path) as owner:
        assert read_record(tmp_path)["status"] == "running"
        owner.send_signal(signal.SIGKILL)
        # Not waited for yet: at first it is a zombie, which still has an entry in the process table.
        deadline = time.monotonic() + 10
        while read_record(tmp_path)["status"] == "running" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert read_record(tmp_path / RECORD_NAME)["status"] == "interrupted"
    error = read_record(tmp_path)["error"]
    assert error.startswith(f"process {owner.pid} on ") and error.endswith("is gone and wrote no end")


def test_an_owner_on_another_machine_is_taken_at_its_word(tmp_path, monkeypatch):
    start_run(tmp_path, CONFIG).release()
    assert read_record(tmp_path)["status"] == "interrupted"
    edit(tmp_path, process={"pid": 1, "host": socket.gethostname(), "boot": "another", "started": "another:1"})
    assert read_record(tmp_path)["status"] == "running"


def test_without_locks_the_process_table_tells(tmp_path, monkeypatch):
    import errno
    import fcntl

    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with start_run(tmp_path, CONFIG):
        assert read_record(tmp_path)["status"] == RunFolder(tmp_path).state().status == "running"
        monkeypatch.setattr(provenance, "process_started", lambda pid: None)
        assert read_record(tmp_path)["status"] == RunFolder(tmp_path).state().status == "interrupted"


def test_a_record_that_was_copied_alone_is_taken_at_its_word(tmp_path):
    start_run(tmp_path / "run", CONFIG).release()
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / RECORD_NAME).write_bytes((tmp_path / "run" / RECORD_NAME).read_bytes())
    assert read_record(tmp_path / "copy")["status"] == "running"


@pytest.mark.parametrize("end", ["completed", "failed"])
def test_an_ended_run_stays_ended_when_its_process_is_gone(tmp_path, end):
    with start_run(tmp_path, CONFIG) as claim:
        claim.complete({}) if end == "completed" else claim.fail("x")
    edit(tmp_path, process={**this_process(), "started": "another boot:1"})
    assert read_record(tmp_path)["status"] == end


def test_no_time_of_day_and_no_modification_time_changes_what_is_read(tmp_path, monkeypatch):
    start_run(tmp_path / "stopped", CONFIG).release()
    with start_run(tmp_path / "running", CONFIG):
        for seconds in (0, 4e9):
            for path in tmp_path.rglob("*"):
                os.utime(path, (seconds, seconds))
            monkeypatch.setattr(time, "time", lambda seconds=seconds: 4e9 - seconds)
            assert read_record(tmp_path / "running")["status"] == "running"
            assert read_record(tmp_path / "stopped")["status"] == "interrupted"


def test_events_that_are_damaged_do_not_hide_the_record(tmp_path):
    start_run(tmp_path, CONFIG).release()
    (tmp_path / "events.jsonl").write_text("{\n")
    record = read_record(tmp_path)
    assert record["status"] == "interrupted" and record["config"] == CONFIG
    assert "events.jsonl, line 1: not valid JSON" in record["error"]


# Runs of before there were events

OLD = {
    "schema": 1,
    "status": "completed",
    "config": {"seed": 1},
    "config_hash": "0123456789ab",
    "overrides": ["seed=1"],
    "seed": 1,
    "git": {"commit": "a" * 40, "dirty": False},
    "versions": {"torch": "2.0"},
    "device": "cpu",
    "process": {"pid": 1, "host": "x", "started": "y"},
    "resumes": 0,
    "num_parameters": 10,
    "tokens_per_second": 5.0,
    "peak_memory_bytes": 7,
    "started_at": "2024-01-01T00:00:00+00:00",
    "ended_at": "2024-01-01T01:00:00+00:00",
    "train_seconds": 3.0,
    "checkpoint": "checkpoints/best.ckpt",
    "error": None,
    "metrics": {"val/loss": "nan", "test/loss": 1.5},
}


def write_old(folder: Path, **fields: object) -> Path:
    (folder / RECORD_NAME).write_text(json.dumps({**OLD, **fields}))
    return folder


def test_a_record_of_before_is_read(tmp_path):
    record = read_record(write_old(tmp_path))
    assert record["metrics"]["test/loss"] == 1.5 and record["metrics"]["val/loss"] != record["metrics"]["val/loss"]
    assert (record["status"], record["config"], record["git"]["commit"]) == ("completed", {"seed": 1}, "a" * 40)
    (run,), _ = collect([tmp_path])
    assert (run.tokens_per_second, run.reads, speed_unit([run])) == (5.0, "", "tokens/s")


def test_one_of_before_that_says_running_is_looked_up_by_its_process_alone(tmp_path):
    here = this_process()
    for process, status in (
        (here, "running"),
        ({**here, "started": "another boot:1"}, "interrupted"),
        ({"pid": 2**22 + 1, "host": "elsewhere", "started": "x"}, "running"),
    ):
        write_old(tmp_path, status="running", process={name: process[name] for name in ("pid", "host", "started")})
        os.utime(tmp_path / RECORD_NAME, (0, 0))
        assert read_record(tmp_path)["status"] == status
    assert sorted(path.name for path in tmp_path.iterdir()) == [RECORD_NAME]


# Damaged


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"schema": 1, "status"', "not valid JSON"),
        ("", "not valid JSON"),
        ("\x00\xff", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "not a run record"),
        ('{"status": "completed"}', "not a run record"),
        ('{"schema": 3}', "record of schema 3, but seqlab .* reads schemas 1 to 2"),
        ('{"schema": 1, "status": "done"}', "status: expected one of running, .* got 'done'"),
        ('{"schema": 2, "status": "absent"}', "status: expected one of running, .* got 'absent'"),
        ('{"schema": 1, "status": "failed", "config": []}', "config: expected an object, got list"),
        ('{"schema": 1, "status": "failed", "metrics": {"a": "low"}}', "metrics: a: expected a number, got 'low'"),
        ('{"schema": 1, "status": "failed", "config_hash": [1]}', r"config_hash: expected a text or null, got \[1\]"),
        ('{"schema": 1, "status": "failed", "started_at": 3}', "started_at: expected a text or null, got 3"),
        ('{"schema": 1, "status": "failed", "seed": true}', "seed: expected a whole number or null, got True"),
        ('{"schema": 1, "status": "failed", "overrides": "a=1"}', "overrides: expected a list or null, got 'a=1'"),
        ('{"schema": 1, "status": "failed", "git": {"commit": 3}}', "git: commit: expected a text or null, got 3"),
    ],
)
def test_a_damaged_record_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / RECORD_NAME).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=message) as caught:
        read_record(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / RECORD_NAME) in str(caught.value)


@pytest.mark.parametrize(
    "content", ["", '{"schema": 2, "status"', "[1]", '{"schema": 2, "status": "failed", "seed": "1"}']
)
def test_of_a_damaged_record_the_events_have_all_fields(tmp_path, capfd, content):
    with start_run(tmp_path, CONFIG) as claim:
        claim.complete({"val/loss": 1.0, "test/loss": float("inf")})
    whole, record = (tmp_path / RECORD_NAME).read_bytes(), read_record(tmp_path)
    (tmp_path / RECORD_NAME).write_text(content)
    for _ in range(2):
        assert read_record(tmp_path) == record
    (line,) = capfd.readouterr().err.splitlines()
    assert str(tmp_path / RECORD_NAME) in line and f"seqlab resume {tmp_path} writes run.json anew" in line
    RunFolder(tmp_path).repair()  # as `seqlab resume` does
    assert (tmp_path / RECORD_NAME).read_bytes() == whole


def test_of_a_damaged_record_an_end_that_was_not_noted_is_found(tmp_path):
    start_run(tmp_path, CONFIG).release()
    (tmp_path / RECORD_NAME).write_text("{")
    record = read_record(tmp_path)
    assert record["status"] == "interrupted" and "is gone and wrote no end" in record["error"]


def test_a_record_and_events_that_are_both_damaged_are_both_named(tmp_path):
    start_run(tmp_path, CONFIG).release()
    for name in (RECORD_NAME, "events.jsonl"):
        (tmp_path / name).write_text("{\n")
    with pytest.raises(
        InputError, match=r"run\.json: not valid JSON .*events\.jsonl, line 1: not valid JSON .*restore"
    ) as told:
        read_record(tmp_path)
    assert "\n" not in str(told.value)


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_record(tmp_path / "nowhere")


def test_records_and_reports_import_nothing_heavy():
    heavy = ("torch", "lightning", "hydra", "omegaconf", "numpy", "matplotlib", "rich")
    code = f"import sys, seqlab.run.record, seqlab.report; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_thousand_records_are_read_in_a_second(tmp_path):
    with start_run(tmp_path / "run", {**CONFIG, "long": {str(number): number for number in range(200)}}) as claim:
        claim.complete({"val/loss": 1.0})
    began = time.perf_counter()
    for _ in range(1000):
        read_record(tmp_path / "run")
    assert time.perf_counter() - began < 3  # measured: 0.2
