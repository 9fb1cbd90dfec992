"""Every data test has a token cache of its own."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def token_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "token_cache"
    monkeypatch.setenv("SEQLAB_CACHE", str(folder))
    return folder
