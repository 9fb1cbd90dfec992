"""A run's folder, its claim, and the file that is owned."""

from pathlib import Path

import pytest

from seqlab.run.folder import RunFolder
from seqlab.run.ownership import owner as owner_module
from tests.run.owners import CONFIG


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.fixture
def claim(run):
    with run.claim() as claim:
        claim.begin(CONFIG, ["model.num_layers=2"])
        yield claim


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "run" / "events.jsonl"


@pytest.fixture
def quick_beats(monkeypatch):
    monkeypatch.setattr(owner_module, "HEARTBEAT", 0.01)
