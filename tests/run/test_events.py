"""What may happen to a run, as a table, and what the events amount to."""

import itertools
import json

import pytest

from seqlab.errors import InputError
from seqlab.run.events import STATUSES, TRANSITIONS, TransitionError, fold, next_status, to_json_values
from seqlab.run.history import History, read_lines

EVENTS = ("begin", "resume", "note", "complete", "fail", "interrupt", "pause", "prune", "abandon", "withdraw")
# Rows are statuses, columns what follows each of EVENTS; a dot: it cannot happen. "before" is the status before.
TABLE = """
absent       running  .        .        .          .       .            .            .       .            .
running      .        .        running  completed  failed  interrupted  interrupted  pruned  interrupted  before
completed    .        .        .        .          .       .            .            .       .            .
failed       running  running  .        .          .       .            .            .       .            .
interrupted  running  running  .        .          .       .            .            pruned  .            .
pruned       running  running  .        .          .       .            .            .       .            .
"""
EXPECTED = {
    (row.split()[0], event): follows
    for row in TABLE.strip().splitlines()
    for event, follows in zip(EVENTS, row.split()[1:], strict=True)
}


def event(kind: str, claim: str = "a", **fields):
    return {"event": kind, "time": f"at {kind}", "claim": claim, **fields}


BEGIN = event("begin", config={"seed": 1}, config_hash="abc", seed=1, process={"pid": 7})


def test_the_table_is_of_every_status_and_every_event():
    assert set(EXPECTED) == set(itertools.product(STATUSES, EVENTS))
    assert {kind for _, kind in TRANSITIONS} == set(EVENTS)


@pytest.mark.parametrize(("status", "kind"), EXPECTED)
def test_each_event_follows_the_statuses_that_the_table_allows(status, kind):
    follows = EXPECTED[status, kind]
    if follows == ".":
        with pytest.raises(TransitionError, match=f"'{kind}' cannot follow the status '{status}'"):
            next_status(status, kind, "failed")
    else:
        assert next_status(status, kind, "failed") == ("failed" if follows == "before" else follows)


# A way to each status, so that the fold is tried with every event after it.
WAYS = {
    "absent": [],
    "running": [BEGIN],
    "completed": [BEGIN, event("complete", metrics={"val/loss": 1.0})],
    "failed": [BEGIN, event("fail", error="broken")],
    "interrupted": [BEGIN, event("interrupt", error="stopped")],
    "pruned": [BEGIN, event("prune", error="hopeless")],
}


@pytest.mark.parametrize(("status", "kind"), EXPECTED)
def test_the_fold_goes_by_the_table(status, kind):
    assert fold(WAYS[status])["status"] == status
    follows = EXPECTED[status, kind]
    further = {"begin": BEGIN, "pause": event("pause", rung={"share": 0.5})}.get(kind, event(kind))
    if follows == ".":
        with pytest.raises(TransitionError):
            fold([*WAYS[status], further])
    else:
        assert fold([*WAYS[status], further])["status"] == ("absent" if follows == "before" else follows)


def test_a_record_keeps_the_rungs_at_which_a_run_was_paused_until_it_begins_anew():
    rungs = [{"share": share, "step": 8, "steps": 32, "value": value} for share, value in ((0.25, 2.0), (0.5, 1.5))]
    once = [BEGIN, event("pause", error="paused", rung=rungs[0])]
    assert (fold(once)["rungs"], fold(once)["error"]) == (rungs[:1], "paused")
    twice = [*once, event("resume"), event("pause", rung=rungs[1])]
    assert fold([*twice, event("prune", error="the others are better")])["rungs"] == rungs
    assert fold([*twice, event("resume"), event("complete", metrics={})])["rungs"] == rungs
    assert fold([*twice, BEGIN])["rungs"] == []


def test_a_record_from_begin_to_completion():
    record = fold([BEGIN, event("note", num_parameters=10, device="cpu"), event("complete", metrics={"val/loss": 1.5})])
    assert (record["config"], record["seed"], record["process"]) == ({"seed": 1}, 1, {"pid": 7})
    assert (record["num_parameters"], record["device"], record["metrics"]) == (10, "cpu", {"val/loss": 1.5})
    assert (record["started_at"], record["ended_at"], record["error"]) == ("at begin", "at complete", None)
    assert record["attempts"] == [
        {"started_at": "at begin", "process": {"pid": 7}, "ended_at": "at complete", "status": "completed"}
    ]


def test_resume_keeps_what_was_measured_and_counts_a_fresh_begin_does_not():
    failed = [BEGIN, event("note", train_seconds=12.5, trains=True), event("fail", error="out of memory")]
    twice = [*failed, event("resume", config={"seed": 1, "where": 2}), event("interrupt", error="x"), event("resume")]
    record = fold(twice)
    assert (record["resumes"], record["train_seconds"], record["started_at"]) == (2, 12.5, "at begin")
    assert (record["ended_at"], record["error"], record["trains"]) == (None, None, False)
    assert record["config"] == {"seed": 1, "where": 2} and record["config_hash"] == "abc"
    assert [attempt.get("status") for attempt in record["attempts"]] == ["failed", "interrupted", None]
    anew = fold([*failed, {**BEGIN, "config": {"seed": 2}}])
    assert (anew["resumes"], anew["train_seconds"], anew["config"]) == (0, None, {"seed": 2})
    assert len(anew["attempts"]) == 2


@pytest.mark.parametrize("status", ["failed", "interrupted", "pruned"])
def test_an_attempt_that_is_taken_back_leaves_the_run_as_it_was_and_is_listed(status):
    before = fold(WAYS[status])
    tries = [
        event("resume", config={"seed": 1, "x": 2}),
        event("note", device="gpu"),
        event("withdraw", error="no data"),
    ]
    record = fold([*WAYS[status], *tries, *tries])
    assert {**record, "attempts": None} == {**before, "attempts": None}
    assert [attempt.get("withdrawn") for attempt in record["attempts"]] == [None, "no data", "no data"]
    assert fold([*WAYS[status], *tries, event("resume")])["resumes"] == 1


def test_only_fields_that_may_be_noted_are_taken():
    assert fold([BEGIN, event("note", status="completed", seed=5)])["seed"] == 1


# Lines


def lines(*events) -> bytes:
    return b"".join(json.dumps(to_json_values(each)).encode() + b"\n" for each in events)


def test_a_history_is_the_fold_of_its_lines_taken_in_pieces(tmp_path):
    history = History(tmp_path / "events.jsonl")
    assert history.take_lines(lines(BEGIN)) == ["a"]
    assert history.take_lines(lines(event("note", claim="b"), event("complete", claim="c"))) == ["b", "c"]
    assert history.record == fold([BEGIN, event("note"), event("complete")]) and history.num_lines == 3


def test_only_whole_lines_are_read(tmp_path):
    path = tmp_path / "events.jsonl"
    assert read_lines(path) == b""
    path.write_bytes(lines(BEGIN) + b'{"event": "compl')
    assert read_lines(path) == lines(BEGIN)
    path.write_bytes(b"\x00" * 100)
    assert read_lines(path) == b""
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"events\.jsonl: cannot be read"):
        read_lines(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (b'{"event": "no\n', "not valid JSON"),
        (b"\x00\x00\xff\n", "not valid JSON"),
        (b"[" * 100_000 + b"\n", "line 2"),
        (b"[1]\n", "not an event of a run"),
        (b'{"event": 3}\n', "not an event of a run"),
        (b'{"event": "invented"}\n', "'invented' cannot follow the status 'running'"),
        (lines(event("resume")), "'resume' cannot follow the status 'running'"),
        (lines(event("note", config=5)), "config: expected an object, got 5"),
        (lines(event("interrupt")) + b'{"event": "begin"}\n', "line 3: a run without a configuration"),
    ],
)
def test_a_damaged_line_is_told_by_its_number_in_one_line(tmp_path, damage, message):
    history = History(tmp_path / "events.jsonl")
    with pytest.raises(InputError, match=message) as caught:
        history.take_lines(lines(BEGIN) + damage + lines(event("note")))
    assert "\n" not in str(caught.value) and f"{tmp_path / 'events.jsonl'}, line " in str(caught.value)
