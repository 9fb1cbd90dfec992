"""A run's folder: its events are the truth, run.json is made from them, and what cannot follow is refused."""

import json
import math
import os
import threading

import pytest

from seqlab.config.hash import config_hash
from seqlab.errors import InputError
from seqlab.run.events import TransitionError
from seqlab.run.folder import RunFolder, start_run
from seqlab.run.record import read_record
from tests.run.contents import checkpoint, events, shown
from tests.run.owners import CONFIG


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "deep" / "run")


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
