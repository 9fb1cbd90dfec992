"""A sweep's events from several processes: each is read once, in the order of its writer, whenever it is looked."""

import json
import multiprocessing
import os
import threading

import pytest

from seqlab.run.provenance import this_process
from seqlab.sweep.log import SweepLog

EVENTS = 300


@pytest.fixture
def log(tmp_path):
    log = SweepLog(tmp_path, "1")
    log.create()
    return log


def write_many(folder, writer: int) -> None:
    log = SweepLog(folder, "1")
    for number in range(EVENTS):
        log.write(event="end", number=number, folder="", writer=writer, said="word " * (number % 50))


def test_several_writers_lose_nothing_while_one_reads(tmp_path, log):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(tmp_path, writer)) for writer in range(3)]
    for process in writers:
        process.start()
    events = []
    while any(process.is_alive() for process in writers):
        events += log.read_new()
    events += log.read_new()
    assert all(process.exitcode == 0 for process in writers)
    for writer in range(3):
        assert [event["number"] for event in events if event["writer"] == writer] == list(range(EVENTS))
    assert list(log.read_new()) == []


def test_threads_of_one_process_write_whole_lines(tmp_path, log):
    threads = [threading.Thread(target=write_many, args=(tmp_path, writer)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = list(log.read_new())
    assert len(events) == 4 * EVENTS and len(list(log.folder.glob("*.jsonl"))) == 1


def test_a_line_is_read_once_it_is_whole(log):
    path, text = log.folder / "elsewhere-1.jsonl", json.dumps({"event": "start", "number": 7, "folder": "x"}) + "\n"
    path.write_text(text[:9])
    assert list(log.read_new()) == []
    path.write_text(text + text[:3])
    assert [event["number"] for event in log.read_new()] == [7]
    assert list(log.read_new()) == []


def test_numbers_that_are_not_finite_come_through(log):
    log.write(event="end", number=0, folder="x", value=float("nan"))
    log.write(event="end", number=1, folder="x", value=float("inf"))
    values = [event["value"] for event in log.read_new()]
    assert values[0] != values[0] and values[1] == float("inf")


def test_a_stop_is_seen_by_others(tmp_path, log):
    other = SweepLog(tmp_path, "1")
    assert not other.is_stopped()
    log.stop()
    another = SweepLog(tmp_path, "2")
    another.create()
    assert other.is_stopped() and not another.is_stopped()
    another.remove()
    another.remove()
    another.stop()
    assert another.is_stopped() and os.listdir(tmp_path) == [".sweep-1"]


def test_jobs_under_way_stop_where_the_command_is_told_to_and_not_for_a_failure(tmp_path, log):
    other = SweepLog(tmp_path, "1")
    log.stop()
    assert other.is_stopped() and not other.is_halted()
    log.halt()
    assert other.is_stopped() and other.is_halted()


def test_a_job_of_a_sweep_that_is_over_writes_nothing(tmp_path, log):
    log.remove()
    with pytest.raises(FileNotFoundError):
        SweepLog(tmp_path, "1").write(event="end", number=0, folder="x")
    assert os.listdir(tmp_path) == []


def test_the_log_of_a_sweep_that_was_killed_is_removed_and_no_other(tmp_path, log):
    for name, owner in {"2": {**this_process(), "pid": 1, "started": "before"}, "3": {"boot": "elsewhere"}}.items():
        other = SweepLog(tmp_path, name)
        other.folder.mkdir()
        (other.folder / "owner.json").write_text(json.dumps(owner))
    SweepLog(tmp_path, "4").folder.mkdir()  # which is being made
    SweepLog(tmp_path, "5").create()
    assert sorted(os.listdir(tmp_path)) == [".sweep-1", ".sweep-3", ".sweep-4", ".sweep-5"]


def test_a_writer_on_another_machine_is_another_writer(log, monkeypatch):
    for host in ("one", "two"):  # with the same process id
        monkeypatch.setattr("seqlab.sweep.log.socket.gethostname", lambda host=host: host)
        log.write(event="start", number=len(host), folder="x")
    assert len(list(log.folder.glob("*.jsonl"))) == 2 and len(list(log.read_new())) == 2


def test_a_damaged_line_hides_no_other(log):
    """A file system may leave zeros where a machine went down in the middle of a write."""
    (log.folder / "elsewhere-1.jsonl").write_bytes(
        b"\0\0\0\n" + b'{"event": "start", "number": 3, "folder": "x"}\n[]\n'
    )
    assert [event["number"] for event in log.read_new()] == [3]
