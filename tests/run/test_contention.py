"""Two processes that contend for the same runs, and are killed at random moments."""

import importlib.util
from pathlib import Path

import pytest

import seqlab

SCRIPT = Path(seqlab.__file__).parents[1] / "experiments" / "resume" / "contend.py"


@pytest.fixture(scope="module")
def contend():
    if not SCRIPT.is_file():
        pytest.skip("experiments/ is not beside the package")
    spec = importlib.util.spec_from_file_location("contend", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sixty_random_transitions_lose_double_and_damage_nothing(contend, tmp_path):
    figures = contend.contend(tmp_path / "runs", 60, seed=5, most_seconds=60)
    assert figures["broken"] == [], (tmp_path / "runs" / "output.txt").read_text()[-3000:]
    assert figures["events"] >= figures["seen done"] > 40 and figures["looks"] > 100


def test_what_would_be_lost_doubled_or_damaged_is_found(contend, tmp_path):
    folder = tmp_path / "runs"
    contend.contend(folder, 20, seed=3, most_seconds=30)
    assert contend.verify(folder)["broken"] == []
    histories = sorted([*folder.rglob("events.jsonl"), *folder.glob("archive/*")])
    run = next(path for path in histories if b'"event": "note"' in path.read_bytes())
    whole = run.read_bytes()
    lines = whole.splitlines(keepends=True)
    note = next(number for number, line in enumerate(lines) if b'"event": "note"' in line)
    for damage, found in (
        (lines[: note + 1] + lines[note:], "after step"),
        (lines[:note] + lines[note + 1 :], "lost"),
        ([*lines[:note], b"{\n", *lines[note:]], "not valid JSON"),
    ):
        run.write_bytes(b"".join(damage))
        assert any(found in text for text in contend.verify(folder)["broken"])
    run.write_bytes(whole)
