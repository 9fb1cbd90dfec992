"""Where the code comes from."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

from seqlab.run.provenance import git_state, package_versions


def test_git_commit_and_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert git_state() == {"commit": None, "dirty": None}

    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        return subprocess.run(["git", *who, *words], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    assert git_state() == {"commit": None, "dirty": None}
    Path("file").write_text("one")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    Path("untracked").touch()
    assert git_state() == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    Path("file").write_text("two")
    assert git_state() == {"commit": git("rev-parse", "HEAD"), "dirty": True}
    monkeypatch.setenv("PATH", "")
    assert git_state() == {"commit": None, "dirty": None}


def test_versions_are_those_that_are_installed():
    versions = package_versions()
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert versions["torch"] == metadata.version("torch")
    assert None not in versions.values()
