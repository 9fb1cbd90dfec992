"""Sweeps in this process, and a module of the user's own that its jobs load."""

import hashlib

import pytest

from seqlab import cli
from tests.command import prepare_here, replace_training
from tests.sweep.jobs_here import TINY, complete


@pytest.fixture
def sweep_here(tmp_path, monkeypatch, capfd):
    """Sweeps in this process, where a job's training is what ``train(claim)`` says."""
    prepare_here(tmp_path, monkeypatch)

    def run(train, *overrides: str) -> tuple[int, list[tuple[int, str]]]:
        """The exit code, and which seeds were trained, each begun or resumed."""
        trained = replace_training(monkeypatch, train)
        return cli.main(["train", "-m", *TINY, *overrides]), trained

    return run


@pytest.fixture
def own_code(tmp_path, monkeypatch):
    """Writes a module of the user's own; how a run completes that has loaded it."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def write(text):
        (folder / "own_cells.py").write_text(text)

    def complete_with_code(claim):
        digest = hashlib.sha256((folder / "own_cells.py").read_bytes()).hexdigest()
        entry = {"module": "own_cells", "path": str(folder / "own_cells.py"), "sha256": digest}
        claim.note(code={"hash": digest[:12], "files": [entry]})
        complete(claim)

    return write, complete_with_code
