"""A sweep's events from several processes: each is read once, in the order of its writer, whenever it is looked."""

import json
import multiprocessing
import os
import threading

from seqlab.sweep.log import SweepLog

EVENTS = 300


def write_many(folder, writer: int) -> None:
    log = SweepLog(folder)
    for number in range(EVENTS):
        log.write(event="end", number=number, folder="", writer=writer, said="word " * (number % 50))


def test_several_writers_lose_nothing_while_one_reads(tmp_path):
    folder = tmp_path / "log"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(folder, writer)) for writer in range(3)]
    for process in writers:
        process.start()
    log, events = SweepLog(folder), []
    while any(process.is_alive() for process in writers):
        events += log.read_new()
    events += log.read_new()
    assert all(process.exitcode == 0 for process in writers)
    for writer in range(3):
        assert [event["number"] for event in events if event["writer"] == writer] == list(range(EVENTS))
    assert list(log.read_new()) == []


def test_threads_of_one_process_write_whole_lines(tmp_path):
    threads = [threading.Thread(target=write_many, args=(tmp_path, writer)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = list(SweepLog(tmp_path).read_new())
    assert len(events) == 4 * EVENTS and len(list(tmp_path.iterdir())) == 1


def test_a_line_is_read_once_it_is_whole(tmp_path):
    log = SweepLog(tmp_path)
    path, text = tmp_path / "elsewhere-1.jsonl", json.dumps({"event": "start", "number": 7, "folder": "x"}) + "\n"
    path.write_text(text[:9])
    assert list(log.read_new()) == []
    path.write_text(text + text[:3])
    assert [event["number"] for event in log.read_new()] == [7]
    assert list(log.read_new()) == []


def test_numbers_that_are_not_finite_come_through(tmp_path):
    log = SweepLog(tmp_path)
    log.write(event="end", number=0, folder="x", value=float("nan"))
    log.write(event="end", number=1, folder="x", value=float("inf"))
    values = [event["value"] for event in log.read_new()]
    assert values[0] != values[0] and values[1] == float("inf")


def test_a_stop_is_seen_by_others(tmp_path):
    log, other = SweepLog(tmp_path / "log"), SweepLog(tmp_path / "log")
    assert not other.is_stopped()
    log.stop()
    assert other.is_stopped() and not SweepLog(tmp_path / "another").is_stopped()
    log.remove()
    log.remove()
    assert not other.is_stopped() and os.listdir(tmp_path) == []


def test_a_writer_on_another_machine_is_another_writer(tmp_path, monkeypatch):
    log = SweepLog(tmp_path)
    for host in ("one", "two"):  # with the same process id
        monkeypatch.setattr("seqlab.sweep.log.socket.gethostname", lambda host=host: host)
        log.write(event="start", number=len(host), folder="x")
    assert len(list(tmp_path.iterdir())) == 2 and len(list(log.read_new())) == 2


def test_a_damaged_line_hides_no_other(tmp_path):
    """A file system may leave zeros where a machine went down in the middle of a write."""
    log = SweepLog(tmp_path)
    (tmp_path / "elsewhere-1.jsonl").write_bytes(b"\0\0\0\n" + b'{"event": "start", "number": 3, "folder": "x"}\n[]\n')
    assert [event["number"] for event in log.read_new()] == [3]
