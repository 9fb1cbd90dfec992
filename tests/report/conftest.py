"""Runs to report on, as training would leave them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from seqlab.run.claim import Claim
from seqlab.run.folder import start_run
from seqlab.run.layout import EVENTS_NAME, RECORD_NAME

_at_work: list[Claim] = []  # whose owner must not be gone


def _write_run(
    folder: Path,
    *,
    seed: int = 1,
    metrics: dict[str, float] | float | None = None,
    end: str = "completed",
    config: dict[str, object] | None = None,
    overrides: tuple[str, ...] = (),
    git: dict[str, object] | None = None,
    written: dict[str, object] | None = None,
    **fields: object,
) -> Path:
    nested: dict[str, object] = {"seed": seed, "name": "x", "model": {"num_layers": 1}, "optimizer": {"lr": 0.5}}
    for key, value in (config or {}).items():
        place = nested
        *above, last = key.split(".")
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    for name in (EVENTS_NAME, RECORD_NAME):  # one that was written before
        (folder / name).unlink(missing_ok=True)
    claim = start_run(folder, nested, overrides)
    if end == "completed":
        claim.complete({"test/perplexity": metrics} if isinstance(metrics, (int, float)) else metrics or {}, **fields)
    elif end == "failed":
        claim.fail("Traceback (most recent call last):\n  ...\nRuntimeError: \x1b[31mout of memory", **fields)
    elif end == "interrupted":
        claim.interrupt(**fields)
    if end == "running":
        _at_work.append(claim)
    else:
        claim.release()
    path = folder / RECORD_NAME
    git = git or {"commit": "a" * 40, "dirty": False}
    path.write_text(json.dumps({**json.loads(path.read_text()), "git": git, **(written or {})}))
    return folder


@pytest.fixture(autouse=True)
def end_runs():
    """Gives back the runs that a test has left running."""
    yield
    while _at_work:
        _at_work.pop().release()


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Path]:
    """Write one run; ``config`` has dotted keys, a bare number of ``metrics`` is test/perplexity, ``written`` is put
    into the file over what the record says."""
    return _write_run


@pytest.fixture
def depths() -> Callable[..., Path]:
    """Write a sweep over depths: depth to the test/perplexity of seeds 1, 2, ..."""

    def write(folder: Path, values: dict[int, list[float]], **more: object) -> Path:
        for depth, results in values.items():
            config, overrides = {"model.num_layers": depth}, (f"model.num_layers={depth}",)
            for seed, result in enumerate(results, start=1):
                name = f"{depth}-{seed}"
                _write_run(folder / name, seed=seed, metrics=result, config=config, overrides=overrides, **more)
        return folder

    return write


@pytest.fixture
def write_events() -> Callable[..., Path]:
    """Write one event file, as TensorBoard's loggers do: tag to points; ``begun`` stands in its name."""

    def write(folder: Path, points: dict[str, dict[int, float]], begun: int = 1_700_000_000) -> Path:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        path = folder / f"events.out.tfevents.{begun}.host.1.0"
        with path.open("wb") as file:
            writer = RecordWriter(file)
            writer.write(Event(wall_time=1.0, file_version="brain.Event:2").SerializeToString())
            for tag, values in points.items():
                for step, value in values.items():
                    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
                    writer.write(Event(wall_time=1.0, step=step, summary=summary).SerializeToString())
            writer.flush()
        return path

    return write
