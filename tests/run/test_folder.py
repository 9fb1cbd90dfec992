"""A run's folder: its events are the truth, one claim writes them, run.json is made from them, and nothing is lost."""

import errno
import json
import math
import os
import signal
import threading

import pytest

from seqlab.config.hash import config_hash
from seqlab.errors import InputError
from seqlab.run import record as record_module
from seqlab.run.claim import Claim
from seqlab.run.events import TransitionError
from seqlab.run.folder import RunFolder, start_run
from seqlab.run.ownership import AtWorkError, LostClaimError
from seqlab.run.record import read_record
from seqlab.run.workers import WorkerClaim
from tests.run.owners import CONFIG, owner_process, taken_by_another


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "deep" / "run")


@pytest.fixture
def claim(run):
    with run.claim() as claim:
        claim.begin(CONFIG, ["model.num_layers=2"])
        yield claim


def checkpoint(run: RunFolder, name: str = "last.ckpt", content: str = "weights") -> None:
    run.checkpoints.mkdir(exist_ok=True, parents=True)
    (run.checkpoints / name).write_text(content)


def events(run: RunFolder) -> list[str]:
    return [json.loads(line)["event"] for line in run.events_path.read_text().splitlines()]


def shown(run: RunFolder) -> dict:
    return json.loads((run.path / "run.json").read_text())


# A run's life


def test_a_run_from_begin_to_end(run):
    assert run.state().status == "absent"
    with run.claim() as claim:
        claim.begin(CONFIG, ["model.num_layers=2"], parent={"run": "x"})
        begun = shown(run)
        assert (begun["schema"], begun["status"], begun["config"], begun["seed"]) == (2, "running", CONFIG, 1)
        assert (begun["overrides"], begun["config_hash"]) == (["model.num_layers=2"], config_hash(CONFIG))
        assert begun["process"]["pid"] == os.getpid() and begun["parent"] == {"run": "x"}
        checkpoint(run, "best.ckpt")
        claim.note(num_parameters=10, device="cpu")
        claim.complete({"val/loss": 1.5}, "checkpoints/best.ckpt", train_seconds=2.5)
    ended = shown(run)
    assert (ended["status"], ended["error"], ended["metrics"]) == ("completed", None, {"val/loss": 1.5})
    assert (ended["num_parameters"], ended["device"], ended["train_seconds"]) == (10, "cpu", 2.5)
    assert ended["checkpoint"] == "checkpoints/best.ckpt"
    assert begun["started_at"] == ended["started_at"] < ended["ended_at"]
    assert events(run) == ["begin", "note", "complete"]
    assert run.state().record["metrics"] == {"val/loss": 1.5}
    assert sorted(path.name for path in run.path.iterdir()) == ["checkpoints", "events.jsonl", "run.json"]


def test_what_cannot_follow_is_refused_and_changes_nothing(run, claim):
    claim.complete({})
    before = run.events_path.read_bytes(), (run.path / "run.json").read_bytes()
    for wrong in (
        lambda: claim.begin(CONFIG, []),
        lambda: claim.resume(),
        lambda: claim.note(device="cpu"),
        lambda: claim.complete({}),
        lambda: claim.prune("x"),
        lambda: claim.withdraw("x"),
    ):
        with pytest.raises(TransitionError, match="cannot follow the status 'completed'"):
            wrong()
    assert (run.events_path.read_bytes(), (run.path / "run.json").read_bytes()) == before


def test_the_first_end_stands(run, claim):
    claim.fail("out of memory")
    claim.fail("killed by signal 9")
    claim.interrupt("stopped")
    assert run.state().record["error"] == "out of memory" and events(run) == ["begin", "fail"]


def test_an_end_before_the_beginning_is_refused(run):
    with run.claim() as claim, pytest.raises(TransitionError):
        claim.fail("x")
    assert run.events_path.read_bytes() == b""


def test_wrong_use_is_refused_and_changes_nothing(run, claim):
    before = run.events_path.read_bytes()
    with pytest.raises(TypeError, match=r"config: expected a plain dict .* got list"):
        claim.begin([("seed", 1)], [])
    with pytest.raises(TypeError, match="status: not a field to set"):
        claim.note(status="completed")
    for metrics, message in (({"val/loss": "low"}, "val/loss: expected a number"), ([1], "expected a mapping")):
        with pytest.raises(TypeError, match=message):
            claim.complete(metrics)
    with pytest.raises(TypeError, match="not JSON serializable"):
        claim.note(data={"train": {"a": object()}})
    assert run.events_path.read_bytes() == before


def test_the_checkpoint_is_a_path_below_the_run_that_exists(run, claim, tmp_path):
    checkpoint(run, "best.ckpt")
    (tmp_path / "elsewhere.ckpt").touch()
    claim.note(checkpoint=run.checkpoints / "best.ckpt")
    assert shown(run)["checkpoint"] == "checkpoints/best.ckpt"
    for wrong in (tmp_path / "elsewhere.ckpt", "../../elsewhere.ckpt", "checkpoints/last.ckpt"):
        with pytest.raises(ValueError, match="checkpoint: expected an existing path below the run folder"):
            claim.complete({}, wrong)
    assert run.state().status == "running"


def test_a_failure_keeps_the_last_lines_of_the_traceback(run, claim):
    try:
        raise RuntimeError("first\n" * 100 + "the reason \udc80")
    except RuntimeError as error:
        claim.fail(error)
    error = run.state().record["error"]
    assert error.splitlines()[-1].startswith("the reason") and len(error.splitlines()) == 30


def test_numbers_that_are_not_finite_survive_strict_json(run, claim):
    class Scalar:
        def item(self) -> float:
            return 2.5

    numbers = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": Scalar(), "e": 3}
    claim.complete(numbers, tokens_per_second=math.inf)

    def refuse(word: str) -> None:
        pytest.fail(f"{word} is not JSON")

    for text in (*run.events_path.read_text().splitlines(), (run.path / "run.json").read_text()):
        written = json.loads(text, parse_constant=refuse)
    assert written["metrics"] == {"a": "nan", "b": "inf", "c": "-inf", "d": 2.5, "e": 3}
    record = run.state().record
    assert math.isnan(record["metrics"].pop("a"))
    assert record["metrics"] == {"b": math.inf, "c": -math.inf, "d": 2.5, "e": 3}
    assert record["tokens_per_second"] == math.inf


# One owner


def test_a_run_at_work_is_claimed_by_nobody_else_and_goes_on_once_its_process_is_gone(run):
    with owner_process(run.path) as other:
        before = run.events_path.read_bytes()
        with pytest.raises(AtWorkError, match=f"is in use by process {other.pid} on .*: wait until it ends"):
            run.claim()
        assert run.events_path.read_bytes() == before and run.state().status == "running"
        other.send_signal(signal.SIGKILL)
    assert run.state().status == "interrupted"
    assert run.state().record["error"].startswith(f"process {other.pid} on ")
    assert events(run) == ["begin"]  # a reader notes nothing
    with run.claim() as claim:
        assert events(run) == ["begin", "abandon"] and claim.status == "interrupted"
        claim.resume()
    assert run.state().record["resumes"] == 1


def test_a_run_that_was_released_without_an_end_is_interrupted(run):
    with run.claim() as claim:
        claim.begin(CONFIG, [])
    assert run.state().status == "interrupted"


def test_the_claim_goes_to_a_child_by_its_open_file(run, claim):
    child = Claim.inherit(run.path, os.dup(claim.fileno()))
    child.note(device="cpu", trains=True)
    assert claim.fields["device"] == "cpu" and claim.fields["trains"] is True
    child.complete({"val/loss": 1.0})
    assert claim.status == "running"  # as it knows
    claim.interrupt("late")
    assert claim.status == "completed" and events(run) == ["begin", "note", "complete"]


def test_a_child_whose_parent_lost_the_run_does_not_take_the_claim_of_another(run, claim):
    descriptor = os.dup(claim.fileno())
    taken_by_another(run.path)
    with pytest.raises(LostClaimError, match="before this one could begin"):
        Claim.inherit(run.path, descriptor)


def test_who_comes_back_after_another_took_the_run_writes_nothing(run, claim):
    before = run.events_path.read_bytes(), (run.path / "run.json").read_bytes()
    taken_by_another(run.path)
    for late in (lambda: claim.note(device="cpu"), lambda: claim.complete({}), lambda: claim.fail("x")):
        with pytest.raises(LostClaimError, match="another process has taken this run"):
            late()
    assert (run.events_path.read_bytes(), (run.path / "run.json").read_bytes()) == before


def test_who_comes_back_after_another_took_the_run_and_went_notices_by_its_events(run, claim):
    other = {"event": "abandon", "time": "then", "claim": "elsewhere", "error": "gone"}
    with open(run.events_path, "a") as file:
        file.write(json.dumps(other) + "\n")
    before = run.events_path.read_bytes()
    for _ in range(2):
        with pytest.raises(LostClaimError, match="written or cut by another process"):
            claim.resume()
    assert run.events_path.read_bytes() == before


def test_events_that_somebody_cut_are_not_written_on(run, claim):
    os.truncate(run.events_path, 0)
    with pytest.raises(LostClaimError, match="written or cut"):
        claim.note(device="cpu")
    assert run.events_path.read_bytes() == b""


def test_workers_share_the_claim_to_read_and_to_say_why_they_failed(run, claim):
    first, second = WorkerClaim.share(run.path), WorkerClaim.share(run.path)
    assert first.fields["config"] == CONFIG
    first.note(device="cpu")
    with pytest.raises(TypeError, match="not a field"):
        first.note(status="failed")
    with pytest.raises(TransitionError):
        first.complete({})
    first.report_worker("RuntimeError: the second device alone")
    second.report_worker("RuntimeError: because of the other")
    assert claim.fields["worker_error"] == "RuntimeError: the second device alone"
    assert events(run) == ["begin"]  # which one process alone writes
    assert "worker_error" not in shown(run)
    claim.fail(claim.fields["worker_error"])
    for worker in (first, second):
        worker.ownership.leave()
    claim.release()
    with run.claim() as again:
        assert again.fields["worker_error"] is None and not list(run.path.glob(".worker*"))


def test_nobody_shares_a_run_that_is_not_claimed(run):
    with pytest.raises(InputError, match="no process has claimed"):
        WorkerClaim.share(run.path)


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


# Before and beside


def test_a_run_of_before_is_refused_and_left_as_it_is(run):
    run.path.mkdir(parents=True)
    (run.path / "run.json").write_text('{"schema": 1, "status": "completed"}')
    with pytest.raises(InputError, match=r"without events\.jsonl or with an empty one, as runs of earlier versions"):
        run.claim()
    assert [path.name for path in run.path.iterdir()] == ["run.json"]


def test_a_record_whose_events_were_cut_to_nothing_is_kept(run):
    run.path.mkdir(parents=True)
    (run.path / "run.json").write_text('{"schema": 2, "status": "completed"}')
    run.events_path.touch()
    with pytest.raises(InputError, match=r"without events\.jsonl or with an empty one"):
        run.claim()
    assert (run.path / "run.json").exists()


def test_start_run_replaces_nothing(run):
    with start_run(run.path, CONFIG) as claim:
        checkpoint(run)
        claim.interrupt()
    for _ in range(2):
        with pytest.raises(InputError, match="holds a run, interrupted; take another folder"):
            start_run(run.path, CONFIG)
    assert (run.checkpoints / "last.ckpt").read_text() == "weights"


@pytest.mark.parametrize("name", ["last.ckpt", "previous.ckpt", "best.ckpt"])
def test_any_checkpoint_of_a_runs_own_can_be_gone_on_from(run, name):
    assert not run.has_checkpoint()
    checkpoint(run, "mine.ckpt")
    assert not run.has_checkpoint()
    checkpoint(run, name)
    assert run.has_checkpoint()


def test_a_reader_never_meets_a_part_of_a_record(run):
    seen, broken, done = set(), [], threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                seen.add(read_record(run.path)["num_parameters"])
                run.state()
            except InputError as error:
                broken.append(str(error))

    with start_run(run.path, {"seed": 1, "long": ["word"] * 20_000}) as claim:
        reader = threading.Thread(target=read)
        reader.start()
        for number in range(40):
            claim.note(num_parameters=number)
        done.set()
        reader.join()
    assert not broken and len(seen) > 5
