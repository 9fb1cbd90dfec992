"""Runs to report on, as training would leave them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from seqlab.record import RECORD_NAME, RunRecord


def _write_run(
    folder: Path,
    *,
    seed: int = 1,
    metrics: dict[str, float] | float | None = None,
    end: str = "completed",
    config: dict[str, object] | None = None,
    overrides: tuple[str, ...] = (),
    git: dict[str, object] | None = None,
    **fields: object,
) -> Path:
    nested: dict[str, object] = {"seed": seed, "name": "x", "model": {"num_layers": 1}, "optimizer": {"lr": 0.5}}
    for key, value in (config or {}).items():
        place = nested
        *above, last = key.split(".")
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    record = RunRecord.start(folder, nested, list(overrides), seed)
    if end == "completed":
        record.complete({"test/perplexity": metrics} if isinstance(metrics, (int, float)) else metrics or {}, **fields)
    elif end == "failed":
        record.fail("Traceback (most recent call last):\n  ...\nRuntimeError: \x1b[31mout of memory", **fields)
    elif end == "interrupted":
        record.interrupt(**fields)
    path = folder / RECORD_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "git": git or {"commit": "a" * 40, "dirty": False}}))
    return folder


@pytest.fixture
def write_run() -> Callable[..., Path]:
    """Write one run; ``config`` has dotted keys, a bare number of ``metrics`` is test/perplexity."""
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
