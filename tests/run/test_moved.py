"""Runs whose data or folder has moved, or changed, since they were begun: from another folder, by the command."""

from pathlib import Path

import pytest

from seqlab.config.paths import absolute_paths
from seqlab.run.record import read_record
from tests.command import seqlab
from tests.conftest import config_of, interrupted_here
from tests.run.test_data_hash import LINES, QUIET, SMALL

TEXT = "".join(f"{line}\n" for line in LINES)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a text and an interrupted run over it, whose command named the text by a relative path."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "text.txt").write_text(TEXT)
    overrides = ["data=text", "data.path=text.txt", *SMALL, *QUIET]
    interrupted_here(folder / "runs" / "x", absolute_paths(config_of(*overrides)), overrides)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """What lies in a run's folder but what belongs to an attempt itself."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("run.json", "events.jsonl") and ".hydra" not in path.parts
    }


def test_a_run_goes_on_from_another_folder_and_after_a_move_and_not_with_other_data(project, tmp_path):
    moved, away = tmp_path / "moved", tmp_path / "away"
    project.rename(moved)
    away.mkdir()
    run_dir = moved / "runs" / "x"
    (moved / "text.txt").write_text(TEXT.translate(str.maketrans("lwx", "bcd")))
    before = contents(run_dir)
    refused = seqlab("resume", str(run_dir), folder=away)
    assert refused.returncode == 2
    assert f"{moved / 'text.txt'} differs from" in refused.stderr
    assert f"{moved / 'text.txt'} is read" in refused.stderr
    assert contents(run_dir) == before and read_record(run_dir)["status"] == "interrupted"

    (moved / "text.txt").write_text(TEXT)
    done = seqlab("resume", str(run_dir), folder=away)
    assert done.returncode == 0, done.stderr
    record = read_record(run_dir)
    assert record["config"]["data"]["path"] == str(moved / "text.txt")
    assert record["data_files"][0]["path"] == str(moved / "text.txt")

    (moved / "text.txt").rename(away / "other_name.txt")
    named = seqlab("evaluate", str(run_dir), "data.path=other_name.txt", folder=away)
    assert named.returncode == 0 and named.stderr.count("seqlab:") == 0, named.stderr
