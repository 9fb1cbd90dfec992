"""A run's folder."""

import pytest

from seqlab.run.folder import RunFolder


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")
