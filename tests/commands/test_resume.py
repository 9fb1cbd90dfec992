"""``seqlab resume``: which runs it goes on with, and which it begins anew beside."""

import re
from pathlib import Path

import pytest

from seqlab.commands import resume as command
from seqlab.commands.resume import resume
from seqlab.errors import InputError
from seqlab.run.folder import RunFolder, start_run
from seqlab.run.loaded import LoadedFile
from seqlab.run.start import Start
from seqlab.run.training_inputs import note_files
from tests.conftest import config_of

HELLO = ("experiment=hello", "trainer.max_epochs=2")


@pytest.fixture
def completing(monkeypatch):
    """Runs complete at once; which folders trained, and whether each went on."""
    trained = []

    def carry_out(self, attempt):
        trained.append((attempt.run_dir.name, attempt.is_resumed))
        attempt.claim.complete({"val/loss": 1.0})
        return attempt.note_end(0)

    monkeypatch.setattr(Start, "carry_out", carry_out)
    monkeypatch.setattr(command, "use_project_modules", lambda: None)
    return trained


def run_of(tmp_path, end: str, **own):
    run_dir = tmp_path / "run"
    with start_run(run_dir, {**config_of(*HELLO), **own}, HELLO) as claim:
        (run_dir / "checkpoints").mkdir()
        (run_dir / "checkpoints" / "last.ckpt").write_bytes(b"weights")
        claim.complete({"val/loss": 2.0}) if end == "complete" else claim.interrupt()
    return run_dir


def test_a_completed_run_goes_on_as_a_new_one_in_a_folder_beside(tmp_path, completing, capsys):
    run_dir = run_of(tmp_path, "complete")
    before = sorted((path, path.read_bytes()) for path in run_dir.rglob("*") if path.is_file())
    assert resume(run_dir, ["trainer.max_epochs=60"], []) == 0
    assert completing == [("run+max_epochs=60", False)]
    new = RunFolder(tmp_path / "run+max_epochs=60").state().record
    assert new["config"]["trainer"]["max_epochs"] == 60 and new["parent"]["run"] == str(run_dir)
    assert new["overrides"] == [*HELLO, "trainer.max_epochs=60"]
    said, *_, last = capsys.readouterr().out.splitlines()
    assert said == f"{run_dir} has completed; it goes on as a new run in {last}"
    assert last == str(tmp_path / "run+max_epochs=60")
    assert sorted((path, path.read_bytes()) for path in run_dir.rglob("*") if path.is_file()) == before
    assert resume(run_dir, ["trainer.max_epochs=60"], []) == 0  # again: it is there
    assert len(completing) == 1 and "is complete already" in capsys.readouterr().out


@pytest.mark.parametrize("refused", ["its class", "its folder"])
def test_a_new_run_is_announced_only_where_nothing_refuses_it(tmp_path, completing, capsys, refused):
    own = {"scheduler": {"_target_": "my_schedules.Mine"}} if refused == "its class" else {}
    run_dir = run_of(tmp_path, "complete", **own)
    if refused == "its folder":
        with start_run(tmp_path / "run+max_epochs=60", config_of(*HELLO)) as claim:
            claim.complete({"val/loss": 3.0})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="--allow my_schedules" if own else "max_epochs=60 holds another run"):
        resume(run_dir, ["trainer.max_epochs=60"], [])
    assert capsys.readouterr().out == "" and not completing and sorted(tmp_path.rglob("*")) == before


def test_the_record_of_a_run_stands_for_its_folder(tmp_path, completing):
    run_dir = run_of(tmp_path, "interrupt")
    assert resume(run_dir / "run.json", [], []) == 0
    assert completing == [("run", True)]


def test_so_does_one_that_is_named_as_the_working_folder(tmp_path, completing, monkeypatch):
    monkeypatch.chdir(run_of(tmp_path, "complete"))
    assert resume(Path("."), ["trainer.max_epochs=60"], []) == 0
    assert completing == [("run+max_epochs=60", False)]
    assert RunFolder(tmp_path / "run+max_epochs=60").state().status == "completed"


@pytest.mark.parametrize("has_trained", [False, True])
def test_a_refused_continuation_leaves_nothing_but_what_has_trained(tmp_path, monkeypatch, has_trained):
    run_dir, folder = run_of(tmp_path, "complete"), tmp_path / "run+max_epochs=60"

    def carry_out(self, attempt):
        (attempt.run_dir / "checkpoints").mkdir()
        weights = b"more weights" if has_trained else b"weights"  # of the parent
        (attempt.run_dir / "checkpoints" / "last.ckpt").write_bytes(weights)
        attempt.claim.fail("refused")
        return attempt.note_end(2)

    monkeypatch.setattr(Start, "carry_out", carry_out)
    monkeypatch.setattr(command, "use_project_modules", lambda: None)
    assert resume(run_dir, ["trainer.max_epochs=60"], []) == 2
    assert folder.exists() == has_trained
    if has_trained:  # nor is it taken away by a later command that is refused
        monkeypatch.setattr(Start, "carry_out", lambda self, attempt: attempt.claim.fail("refused") or 2)
        assert resume(run_dir, ["trainer.max_epochs=60"], []) == 2 and folder.exists()


def test_a_refused_continuation_leaves_the_same_run_to_a_command_that_began_it_meanwhile(tmp_path, monkeypatch):
    run_dir, begun = run_of(tmp_path, "complete"), []

    def beaten(folder, config, *_, **__):
        begun.append(start_run(folder, config))
        return 2

    monkeypatch.setattr(command, "carry_out", beaten)
    monkeypatch.setattr(command, "use_project_modules", lambda: None)
    assert resume(run_dir, ["trainer.max_epochs=60"], []) == 2
    (claim,) = begun
    claim.complete({"val/loss": 1.0})
    claim.release()
    assert RunFolder(tmp_path / "run+max_epochs=60").state().status == "completed"


def test_a_completed_run_without_more_to_do_is_left_alone(tmp_path, completing, capsys):
    run_dir = run_of(tmp_path, "complete")
    assert resume(run_dir, ["trainer.devices=2"], []) == 0
    assert not completing and "is complete already" in capsys.readouterr().out


def test_an_interrupted_run_goes_on_and_refuses_what_changes_its_result(tmp_path, completing):
    run_dir = run_of(tmp_path, "interrupt")
    with pytest.raises(InputError, match=r"trainer\.max_epochs=60: a resumed run computes what it began with"):
        resume(run_dir, ["trainer.max_epochs=60"], [])
    assert RunFolder(run_dir).state().status == "interrupted" and not completing
    assert resume(run_dir, ["trainer.accelerator=cpu"], []) == 0
    assert completing == [("run", True)]


@pytest.mark.parametrize("end", ["complete", "interrupt"])
@pytest.mark.parametrize("option", ["overwrite=true", "+dry_run=true", "rerun_changed=true"])
def test_options_of_train_alone_are_refused(tmp_path, completing, end, option):
    run_dir = run_of(tmp_path, end)
    with pytest.raises(InputError, match=rf"{re.escape(option)} is an option of seqlab train.*leave it out"):
        resume(run_dir, [option], [])
    assert not completing


def test_code_that_is_imported_in_the_midst_of_training_must_be_the_parents_too(tmp_path, completing, monkeypatch):
    """Nothing has imported it when the new run begins."""
    run_dir = tmp_path / "run"
    helper = tmp_path / "late_helper.py"
    helper.write_text("ALPHA = 0.5\n")
    monkeypatch.syspath_prepend(tmp_path)
    file = LoadedFile.of("late_helper", str(helper), helper.read_bytes())
    with start_run(run_dir, config_of(*HELLO), HELLO) as claim:
        (run_dir / "checkpoints").mkdir()
        (run_dir / "checkpoints" / "last.ckpt").write_bytes(b"weights")
        note_files(claim, [file])
        claim.complete({"val/loss": 2.0})
    helper.write_text("ALPHA = 0.9\n")
    with pytest.raises(
        InputError, match=rf"late_helper\.py has changed; restore it .*{re.escape(str(run_dir / 'code'))}"
    ):
        resume(run_dir, ["trainer.max_epochs=60"], [])
    assert not completing and not (tmp_path / "run+max_epochs=60").exists()
    helper.write_text("ALPHA = 0.5\n")
    assert resume(run_dir, ["trainer.max_epochs=60"], []) == 0


@pytest.mark.parametrize(("code", "lines"), [(0, 1), (1, 1), (2, 0)])
def test_the_folder_is_the_last_line_unless_the_run_was_refused(tmp_path, monkeypatch, capsys, code, lines):
    run_dir = run_of(tmp_path, "interrupt")
    monkeypatch.setattr(command, "carry_out", lambda *_, **__: code)
    assert resume(run_dir, [], []) == code
    assert capsys.readouterr().out.splitlines() == [str(run_dir)] * lines


@pytest.mark.parametrize("value", ["null", "none"])
def test_a_logger_that_is_turned_off_by_its_group_is_told_the_key_that_resume_takes(tmp_path, completing, value):
    run_dir = run_of(tmp_path, "interrupt")
    with pytest.raises(InputError, match=rf"^logger={value}: expected .* logger\._target_=null"):
        resume(run_dir, [f"logger={value}"], [])
    assert resume(run_dir, ["logger._target_=null"], []) == 0
    assert completing == [("run", True)]


def test_what_is_no_run_or_an_earlier_versions_is_named(tmp_path):
    with pytest.raises(InputError, match=r"has no run\.json"):
        resume(tmp_path, [], [])
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match="runs of earlier versions of seqlab do: it can be reported, not resumed"):
        resume(tmp_path, [], [])
