"""``seqlab bench engine`` in this process, with the engines that need no compiler."""

import json

import pytest

from seqlab import cli
from seqlab.nn.engine import ENGINES
from seqlab.run import torch_settings


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    """The allocator is left alone, and engines that would compile for seconds stay out."""
    monkeypatch.setattr(torch_settings, "keep_freed_memory", lambda: True)
    every = dict(ENGINES)
    for name in [name for name in ENGINES if name not in ("native", "loop")]:
        del ENGINES[name]
    yield
    ENGINES.clear()  # filled anew in its order, which messages show
    ENGINES.update(every)


@pytest.fixture
def bench(tmp_path, capsys):
    """Runs ``seqlab bench engine ARGUMENTS`` here; returns exit code, results (None if not written), output, error."""

    def run(*arguments: str):
        file = tmp_path / "made" / "results.json"
        usual = {"--json": str(file), "--rounds": "2"}
        given = [word for option in usual.items() if option[0] not in arguments for word in option]
        code = cli.main(["bench", "engine", *given, *arguments])
        written = json.loads(file.read_text()) if file.exists() else None
        return code, written, *capsys.readouterr()

    return run
