"""One claim writes the events of a run: who holds it, hands it on, shares it, or has lost it."""

import json
import os
import signal

import pytest

from seqlab.errors import InputError
from seqlab.run.claim import Claim
from seqlab.run.events import TransitionError
from seqlab.run.ownership import AtWorkError, LostClaimError
from seqlab.run.workers import WorkerClaim
from tests.run.contents import events, shown
from tests.run.owners import CONFIG, owner_process, taken_by_another


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
