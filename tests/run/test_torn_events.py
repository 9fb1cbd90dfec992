"""Events that were cut short or damaged, a full disk, and signals in the middle of a write: nothing is lost."""

import errno
import os

import pytest

from seqlab.errors import InputError
from seqlab.run import record as record_module
from seqlab.run.folder import start_run
from seqlab.run.record import read_record
from tests.run.contents import checkpoint, events, shown
from tests.run.owners import CONFIG

# Cut short


def test_a_torn_last_line_is_taken_away_by_the_next_claim(run):
    with run.claim() as claim:
        claim.begin(CONFIG, [])
    whole = run.events_path.read_bytes()
    with open(run.events_path, "ab") as file:
        file.write(b'{"event": "comple')
    assert run.state().status == "interrupted"
    with run.claim():
        pass
    assert run.events_path.read_bytes().startswith(whole) and events(run) == ["begin", "abandon"]


def test_a_line_that_a_killed_child_tore_is_taken_away_by_its_parent(run, claim):
    os.write(os.dup(claim.fileno()), b'{"event": "comple')  # which then got SIGKILL
    claim.interrupt("SIGKILL ended the run")
    assert events(run) == ["begin", "interrupt"] and run.state().status == "interrupted"


def test_a_damaged_line_is_told_and_nothing_is_overwritten(run):
    with run.claim() as claim:
        claim.begin(CONFIG, [])
        claim.note(device="cpu")
    first, second = run.events_path.read_bytes().splitlines(keepends=True)
    run.events_path.write_bytes(first + b'{"event": "no\n' + second + b'{"torn')
    (run.path / ".run.json.1-0.tmp").touch()
    before = {path: path.read_bytes() for path in run.path.iterdir()}
    for look in (run.state, run.claim):
        with pytest.raises(InputError, match=r"events\.jsonl, line 2: not valid JSON") as caught:
            look()
        assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in run.path.iterdir()} == before


def test_a_users_own_file_of_that_name_is_left_alone(run):
    run.path.mkdir(parents=True)
    run.events_path.write_text("my events, one a line\nand another")
    with pytest.raises(InputError, match="line 1: not valid JSON"):
        run.claim()
    assert run.events_path.read_text() == "my events, one a line\nand another"


@pytest.mark.parametrize("end", ["complete", "interrupt"])
def test_a_kill_between_the_event_and_run_json_is_made_good(run, monkeypatch, end):
    class KilledError(BaseException):
        pass

    def killed(*_):
        raise KilledError

    with run.claim() as claim:
        claim.begin(CONFIG, [])
        with monkeypatch.context() as patch:
            patch.setattr(record_module, "write_atomically", killed)
            with pytest.raises(KilledError):
                claim.complete({"val/loss": 1.0}) if end == "complete" else claim.interrupt("told to stop")
    assert shown(run)["status"] == "running"  # stale
    read = read_record(run.path)  # readers go by the events
    assert read["status"] == run.state().status == ("completed" if end == "complete" else "interrupted")
    assert read["metrics"] == ({"val/loss": 1.0} if end == "complete" else {})
    with run.claim():
        pass
    assert shown(run)["status"] == read["status"] and len(events(run)) == 2


def test_what_a_killed_writer_left_is_removed_by_the_next_claim_the_users_files_are_not(run):
    start_run(run.path, CONFIG).release()
    checkpoint(run)
    for name in (
        ".run.json.1-0.tmp",
        ".my.tmp",
        "notes.txt",
        "checkpoints/.last.ckpt.123-0.tmp",
        "checkpoints/.my.tmp",
    ):
        (run.path / name).touch()
    run.claim().release()
    left = sorted(path.name for path in run.path.rglob("*"))
    assert left == [".my.tmp", ".my.tmp", "checkpoints", "events.jsonl", "last.ckpt", "notes.txt", "run.json"]


# A full disk, and others


def failing(number: int):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_an_event_that_cannot_be_written_leaves_nothing_behind_and_can_be_written_later(
    run, claim, monkeypatch, number, call
):
    before = run.events_path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(number))
        with pytest.raises(OSError, match=os.strerror(number)) as caught:
            claim.complete({"val/loss": 1.0})
        assert caught.value.filename == str(run.events_path)
    assert run.events_path.read_bytes() == before and claim.status == "running"
    claim.complete({"val/loss": 1.0})
    assert run.state().status == "completed"


def test_half_a_line_on_a_full_disk_is_taken_away(run, claim, monkeypatch):
    before, write = run.events_path.read_bytes(), os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:10]))
        with pytest.raises(OSError, match="No space left on device"):
            claim.note(device="cpu")
    assert run.events_path.read_bytes() == before
    with monkeypatch.context() as patch:  # and where that does not succeed either, by the next event
        patch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:10]))
        patch.setattr(os, "ftruncate", failing(errno.EIO))
        with pytest.raises(OSError, match="No space left on device"):
            claim.note(device="cpu")
    claim.interrupt("no room")
    assert events(run) == ["begin", "interrupt"]


def test_without_room_for_run_json_the_event_stands_and_it_is_told_once_more_made_later(run, claim, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        patch.setattr(record_module, "write_atomically", failing(errno.ENOSPC))
        claim.complete({"val/loss": 1.0})
    told = capfd.readouterr().err
    assert "run.json could not be written (No space left on device)" in told and told.count("\n") == 1
    claim.release()
    assert read_record(run.path)["status"] == "completed"
    run.claim().release()
    assert shown(run)["status"] == "completed"


def test_a_signal_in_the_middle_of_a_write_tears_nothing(run, claim, monkeypatch):
    sync = os.fsync

    def interrupted(descriptor):
        sync(descriptor)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            claim.complete({"val/loss": 1.0})
    claim.interrupt("told to stop")  # as a run's process does then
    assert run.state().status == "completed" and events(run) == ["begin", "complete"]


def test_a_folder_that_cannot_be_read_is_told(run, claim, monkeypatch):
    monkeypatch.setattr("pathlib.Path.read_bytes", failing(errno.EACCES))
    with pytest.raises(InputError, match=r"events\.jsonl: cannot be read \(Permission denied\)"):
        run.state()
