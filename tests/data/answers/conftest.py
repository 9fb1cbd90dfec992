"""Stories of the world in bAbI's form."""

from pathlib import Path

import pytest

from tests.data.answers.small import SMALL


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    for split in ("train", "test"):
        (tmp_path / f"{split}.txt").write_text(SMALL.text(split))
    return tmp_path / "train.txt", tmp_path / "test.txt"
