"""Worker processes (rank > 0) of a run wait for its first process, and are not deceived by what an earlier one left."""

import os
import threading

import pytest

from seqlab.errors import InputError
from seqlab.run import workers
from seqlab.run.folder import RunFolder, start_run
from seqlab.run.provenance import boot_id
from seqlab.run.workers import join_run
from tests.run.owners import CONFIG, claim_from_elsewhere


@pytest.fixture(autouse=True)
def looked_at_often(monkeypatch):
    monkeypatch.setattr(workers, "_POLL_SECONDS", 0.02)


def later(seconds: float, what, *arguments) -> threading.Timer:
    timer = threading.Timer(seconds, what, arguments)
    timer.start()
    return timer


def test_a_worker_joins_the_run_that_is_at_work(tmp_path):
    with start_run(tmp_path, CONFIG) as claim:
        worker = join_run(tmp_path, patience=0)
        assert worker.fields["config"] == CONFIG and worker.ownership.token == claim.ownership.token
        worker.ownership.leave()


@pytest.mark.parametrize("left", ["nothing", "an end", "no end", "an old claim"])
def test_nobody_is_at_work(tmp_path, left):
    """A run that was killed says in its events that it runs; so does one on a machine that has since been restarted."""
    if left != "nothing":
        with start_run(tmp_path, CONFIG) as claim:
            if left == "an end":
                claim.interrupt("x")
    if left == "an old claim":
        claim_from_elsewhere(tmp_path)
    with pytest.raises(InputError, match="no first process has begun"):
        join_run(tmp_path, patience=0.1)


def test_the_counter_of_a_first_process_on_another_machine_tells_that_it_lives(tmp_path):
    start_run(tmp_path, CONFIG).release()
    claim_from_elsewhere(tmp_path, counter=3)
    events = tmp_path / "events.jsonl"
    events.write_text(events.read_text().replace(boot_id(), "another"))  # whom no lock tells of
    timer = later(0.3, claim_from_elsewhere, tmp_path, 1, 4)
    worker = join_run(tmp_path, patience=20)
    timer.join()
    assert worker.ownership.token == "elsewhere"
    worker.ownership.leave()


def test_a_worker_joins_the_run_that_is_to_replace_another(tmp_path):
    with start_run(tmp_path, CONFIG) as claim:
        claim.complete({})
    run = RunFolder(tmp_path)
    with run.claim(), start_run(run.replacement.path, {**CONFIG, "seed": 2}):
        worker = join_run(tmp_path, patience=0)
        assert worker.fields["config"]["seed"] == 2
        worker.report_worker("x")
        assert len(os.listdir(run.replacement.path)) == 4  # beside events, run.json and the claim
        worker.ownership.leave()
