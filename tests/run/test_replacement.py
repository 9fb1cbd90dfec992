"""A completed run takes the place of another, whatever cuts it short, and takes nothing of the user's with it."""

import errno
import json
import os
from pathlib import Path

import pytest

from seqlab.errors import InputError
from seqlab.run import replacement
from seqlab.run.events import TransitionError
from seqlab.run.folder import RunFolder
from seqlab.run.ownership import AtWorkError
from seqlab.run.record import read_record
from tests.run.owners import CONFIG

MINE = {"notes.txt": "mine", "checkpoints/mine.ckpt": "mine too", "code/README": "mine as well", "figures/a.png": "png"}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def files_of(folder: Path) -> dict[str, str]:
    """All files but run.json and events.jsonl, whose times differ."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    return {name: path.read_text() for name, path in sorted(found.items()) if name not in ("run.json", "events.jsonl")}


def completed(run: RunFolder, which: str, module: str) -> None:
    """A completed run as training leaves it, with the user's module ``module``."""
    with run.claim() as claim:
        claim.begin({**CONFIG, "which": which}, [])
        code = {"hash": which, "files": [{"module": module, "path": f"/home/{module}.py", "sha256": which}]}
        claim.note(code=code)
        names = ["checkpoints/best.ckpt", "checkpoints/last.ckpt", "data_spec.json", "tokenizer.json", "output.log"]
        write(run.path, dict.fromkeys([*names, f"code/{module}.py"], which))
        claim.complete({"val/loss": 1.0 if which == "old" else 2.0})


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """A completed run with files of the user's, and a replacement that has completed."""
    run = RunFolder(tmp_path / "run")
    completed(run, "old", "old_cells")
    write(run.path, MINE)
    write(run.path, {"events.out.tfevents.1": "old", "checkpoints/previous.ckpt": "old", "classes.csv": "old"})
    completed(run.replacement, "new", "new_cells")
    write(run.replacement.path, {"events.out.tfevents.2": "new", "target/tokenizer.json": "new", ".crash.txt": ""})
    return run


NEW = {
    **MINE,
    **dict.fromkeys(["checkpoints/best.ckpt", "checkpoints/last.ckpt", "code/new_cells.py"], "new"),
    **dict.fromkeys(["data_spec.json", "tokenizer.json", "output.log", "target/tokenizer.json"], "new"),
    "events.out.tfevents.2": "new",
}


def replace(run: RunFolder) -> None:
    with run.claim() as claim:
        claim.replace()


def assert_replaced(run: RunFolder) -> None:
    assert files_of(run.path) == NEW
    state = run.state()
    assert (state.status, state.record["config"]["which"]) == ("completed", "new")
    assert read_record(run.path)["metrics"] == state.record["metrics"] == {"val/loss": 2.0}
    assert not run.replacement.path.exists() and not (run.path / "code" / "old_cells.py").exists()


def test_the_files_of_the_new_run_take_the_place_of_the_old_ones_and_the_users_stay(run):
    replace(run)
    assert_replaced(run)
    with run.claim() as claim:
        assert claim.status == "completed"


def test_what_has_not_completed_replaces_nothing(tmp_path):
    run = RunFolder(tmp_path)
    completed(run, "old", "cells")
    before = files_of(tmp_path)
    for _ in range(2):
        with pytest.raises(TransitionError, match=r"a run that is (absent|interrupted) cannot replace"):
            replace(run)
        assert files_of(tmp_path) == before
        with run.replacement.claim() as inner:
            inner.begin(CONFIG, [])
            inner.interrupt()
        before = files_of(tmp_path)


class KilledError(BaseException):
    pass


CALLS = ("replace", "unlink", "rmdir", "mkdir")


def count_calls(monkeypatch, die_at: int | None) -> list[str]:
    """Counts the calls that change the file system, and kills at one of them, before it is done."""
    calls: list[str] = []

    def counting(name, original):
        def call(*args, **options):
            calls.append(name)
            if len(calls) - 1 == die_at:
                raise KilledError
            return original(*args, **options)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, counting(name, getattr(os, name)))
    return calls


def test_killed_at_any_step_the_next_claim_finishes_it(run, tmp_path, monkeypatch):
    """Before each change of the file system in turn, and at two of them in a row."""
    import shutil

    template = tmp_path / "template"
    shutil.copytree(run.path, template)
    for first in range(200):
        shutil.rmtree(run.path)
        shutil.copytree(template, run.path)
        claim = run.claim()
        with monkeypatch.context() as patch:
            count_calls(patch, first)
            try:
                claim.replace()
                was_killed = False
            except KilledError:
                was_killed = True
        claim.ownership.leave()  # as a kill does
        seen = run.state()  # readers meet the one run or the other, completed
        assert (seen.status, seen.record["config"]["which"] in ("old", "new")) == ("completed", True)
        assert read_record(run.path)["status"] == "completed"
        assert MINE.items() <= files_of(run.path).items()
        if replacement.is_unfinished(run.path):
            assert seen.record["config"]["which"] == "new"  # which the next claim finishes
            with monkeypatch.context() as patch:
                count_calls(patch, 3)
                with pytest.raises(KilledError):
                    run.repair()
        run.repair()
        if run.state().record["config"]["which"] == "old":  # killed before it was decided: nothing has changed
            assert run.replacement.state().status == "completed"
            replace(run)
        run.claim().release()
        assert_replaced(run)
        assert not list(run.path.glob(".[dr]*"))
        if not was_killed:
            assert first > 15
            return
    pytest.fail("it never came to its end")


def test_while_it_is_finished_nobody_else_can_claim_the_run(run, monkeypatch):
    """The lock lies on the events, which are replaced."""
    tried = []
    remove = replacement.drop

    def meanwhile(run_dir):
        with pytest.raises(AtWorkError):
            RunFolder(run_dir).claim()
        tried.append(run_dir)
        remove(run_dir)

    monkeypatch.setattr(replacement, "drop", meanwhile)
    replace(run)
    assert tried and run.state().record["config"]["which"] == "new"


def test_a_folder_that_is_a_link_to_another_disk_stays_one(run, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    (run.path / "checkpoints").rename(scratch)
    (run.path / "checkpoints").symlink_to(scratch)
    move = os.replace

    def across(source, target):
        if os.fspath(source).startswith(str(run.replacement.path)) and "checkpoints" in os.fspath(target):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        move(source, target)

    monkeypatch.setattr(os, "replace", across)
    replace(run)
    assert (run.path / "checkpoints").is_symlink() and (scratch / "best.ckpt").read_text() == "new"
    assert files_of(scratch) == {"best.ckpt": "new", "last.ckpt": "new", "mine.ckpt": "mine too"}


def test_a_disk_that_is_full_is_told_and_the_next_claim_goes_on(run, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "disk")

    with monkeypatch.context() as patch:
        patch.setattr(replacement, "write_atomically", full)
        with pytest.raises(OSError, match="No space left"):
            replace(run)
    assert run.state().record["config"]["which"] == "old"
    replace(run)
    assert_replaced(run)


def test_a_damaged_list_of_what_is_left_to_do_is_told(run):
    (run.path / ".replacing.json").write_text("[")
    before = files_of(run.path)
    with pytest.raises(InputError, match=r"\.replacing\.json was damaged or edited"):
        run.claim()
    assert files_of(run.path) == before


def test_dropped_at_once_and_removed_at_leisure(run, monkeypatch):
    with monkeypatch.context() as patch:

        def killed(*_):
            raise KilledError

        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KilledError):
            run.drop_replacement()
    assert run.replacement.state().status == "absent" and not run.replacement.has_checkpoint()
    assert len(list(run.path.glob(".dropped-*"))) == 1
    run.claim().release()
    assert not list(run.path.glob(".dropped-*"))


def test_a_report_takes_a_replacement_for_no_run_of_its_own(run):
    from seqlab.report.collect import collect

    runs, copies = collect([run.path.parent])
    assert [(found.path.endswith("run"), found.config["which"].value("which")) for found in runs] == [(True, "old")]
    assert copies == 0 and json.loads((run.replacement.path / "run.json").read_text())["status"] == "completed"
