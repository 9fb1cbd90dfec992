"""How far a sweep is, from its events alone: no file, no clock, no process."""

import math

import pytest

from seqlab.sweep.progress import Job, Progress, best_of, name_of, time_left


def progress_of(*events: dict, mode: str = "min", num_jobs: int | None = 3, at_once: int | None = 1) -> Progress:
    progress = Progress("val/loss", mode, num_jobs, at_once)
    for event in events:
        progress.add(event)
    return progress


def start(number: int) -> dict:
    return {"event": "start", "number": number, "folder": f"seed={number}-0123"}


def end(number: int, value: float | None = None, status: str = "completed", **more) -> dict:
    return {**start(number), "event": "end", "status": status, "value": value, "seconds": 60.0, **more}


@pytest.mark.parametrize(
    ("seconds", "to_go", "elapsed", "at_once", "left"),
    [
        ([8.0], 11, 8.0, 2, 40.0),  # two at once: the second ends now as well, five rounds are left
        ([8.0] * 11, 1, 48.0, 2, 2.0),  # its round is over: half of what is left
        ([8.0] * 3, 9, 24.0, 1, 72.0),
        ([100.0] * 4, 4, 100.0, None, 100.0),
    ],
)
def test_the_time_left_knows_how_many_jobs_run_at_once(seconds, to_go, elapsed, at_once, left):
    assert time_left(seconds, to_go, elapsed, at_once) == pytest.approx(left)


def test_jobs_under_way_are_neither_ended_nor_the_best():
    progress = progress_of(start(0), start(1), end(1, 2.0), at_once=2)
    assert progress.line(1, elapsed=60.0) == "completed  val/loss 2  the best so far  2 to go, about 60 s"
    assert [job.number for job in progress.ended] == [1] and not progress.has_failure and not progress.all_done
    assert progress.status_line(60.0) == "1 completed, 1 running  best so far 2 (seed=1)  2 to go, about 60 s"


def test_before_any_job_there_is_nothing_to_tell_but_how_many():
    assert progress_of().status_line(0.0) == "no job has begun  3 to go"
    assert progress_of(num_jobs=None).status_line(0.0) == "no job has begun"
    assert progress_of().summary("runs/x") == "no job was begun"


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_what_ended_otherwise_than_well_is_told_with_its_folder(status):
    progress = progress_of(start(0), end(0, None, status, error="broken"), start(1), end(1, 1.0))
    assert progress.line(0, 1.0).startswith(f"{status}: broken  best so far 1 (seed=1)")
    assert progress.summary("runs/x") == f"1 completed, 1 {status}, 1 not begun\n  {status}: runs/x/seed=0-0123: broken"
    assert not progress.all_done and progress.has_failure


def test_what_the_sweep_has_paused_or_pruned_is_counted_and_is_no_failure():
    paused = progress_of(start(0), {**end(0, 0.5, "paused"), "step": 8, "steps": 32}, start(1), end(1, 1.0))
    assert paused.line(0, 1.0) == "paused at step 8 of 32  val/loss 0.5"
    assert paused.summary("runs/x") == "1 completed, 1 paused, 1 not begun"
    assert paused.best().value == 1.0 and not paused.has_failure and not paused.all_done
    assert "2 to go" in paused.status_line(1.0)  # a paused job has not ended
    pruned = progress_of(start(0), end(0, 0.5, "pruned"), start(1), end(1, 1.0))
    assert pruned.summary("runs/x") == "1 completed, 1 pruned, 1 not begun"
    assert pruned.best().value == 1.0 and not pruned.has_failure and pruned.all_done


def test_what_was_skipped_took_no_time_and_is_done():
    progress = progress_of(start(0), end(0, 3.0, "skipped"), start(1), end(1, 4.0))
    assert progress.line(1, elapsed=60.0) == "completed  val/loss 4  best so far 3 (seed=0)  1 to go, about 60 s"
    assert progress_of(start(0), end(0, 3.0, "skipped"), num_jobs=1).all_done


def test_events_of_one_job_count_once_in_whatever_order_they_come():
    """Each process writes a file of its own, and one of them may be read before another."""
    events = [start(0), end(0, 2.0), start(1), end(1, 1.0)]
    told = progress_of(*events).summary("x")
    assert progress_of(*events[2:], *events[:2]).summary("x") == told
    again = progress_of(*events, start(1), end(1, 0.5, "completed"))  # a cluster has run it twice
    assert len(again.ended) == 2 and again.best().value == 0.5


def test_a_job_that_was_not_begun_counts_for_nothing():
    progress = progress_of(start(0), end(0, None, "failed"), {**start(1), "event": "leave"})
    assert len(progress.jobs) == 1


@pytest.mark.parametrize(("mode", "best"), [("min", "a"), ("max", "c")])
def test_the_best_job_has_a_finite_metric(mode, best):
    values = {"a": 1.0, "b": math.nan, "c": 3.0, "d": -math.inf, "e": math.inf, "f": None}
    jobs = [Job(number, f"{name}-0", "completed", value) for number, (name, value) in enumerate(values.items())]
    assert best_of(jobs, mode).name == best
    assert best_of([job for job in jobs if job.name in "bdef"], mode) is None


def test_a_name_is_what_the_sweep_varied():
    assert (name_of("seed=1,model.cell=a-b-0123abcd"), name_of("0123abcd")) == ("seed=1,model.cell=a-b", "0123abcd")


@pytest.mark.parametrize("status", ["interrupted", "pruned", "skipped"])
def test_what_was_cut_short_says_nothing_of_the_time_that_the_others_take(status):
    progress = progress_of(start(0), end(0, 1.0), start(1), {**end(1, None, status), "seconds": 1.0}, num_jobs=4)
    assert "2 to go, about 2 min" in progress.status_line(elapsed=61.0)  # as long as the first: a minute each
