"""Where the code comes from."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import seqlab
from seqlab.run.provenance import describe_commit, git_state, package_versions, seqlab_git


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


def test_seqlabs_commit_is_of_its_own_folder_and_of_none_where_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seqlab_git.cache_clear()
    assert seqlab_git()["commit"] == git_state(Path(seqlab.__file__).parent)["commit"]
    seqlab_git.cache_clear()
    monkeypatch.setattr(seqlab, "__file__", "/venv/lib/python3/site-packages/seqlab/__init__.py")
    assert seqlab_git() == {"commit": None, "dirty": None, "changes": None}
    seqlab_git.cache_clear()


def test_changes_to_seqlabs_own_checkout_that_are_not_committed_are_told_apart(tmp_path, monkeypatch):
    folder = tmp_path / "seqlab"
    folder.mkdir()
    monkeypatch.setattr(seqlab, "__file__", str(folder / "__init__.py"))
    (folder / "cells.py").write_text("one\n")
    (tmp_path / "elsewhere").write_text("one\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c", *words]
        subprocess.run(command, check=True, capture_output=True)

    def words() -> str | None:
        seqlab_git.cache_clear()
        return describe_commit(seqlab_git())

    clean = words()
    (tmp_path / "elsewhere").write_text("two\n")
    assert words() == clean
    (folder / "cells.py").write_text("two\n")
    two = words()
    (folder / "cells.py").write_text("three\n")
    assert len({clean, two, words()}) == 3 and two.startswith(f"{clean} with changes")
    assert describe_commit({"commit": None}) is None is describe_commit(None)
    seqlab_git.cache_clear()


def test_versions_are_those_that_are_installed():
    versions = package_versions()
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert versions["torch"] == metadata.version("torch")
    assert None not in versions.values()
