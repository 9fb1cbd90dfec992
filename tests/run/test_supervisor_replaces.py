"""What a command replaces: the old result stays until the new one completes."""

import errno
import hashlib
import signal

import pytest

from seqlab.errors import InputError
from seqlab.run.ownership import AtWorkError
from seqlab.run.start import Start
from seqlab.run.supervisor import open_attempt
from tests.run.attempts import OTHER, attempt, completed, interrupted, train, weights
from tests.run.owners import CONFIG


def test_a_completed_run_stays_until_the_one_that_replaces_it_completes(run):
    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        assert made.claim.run_dir == run.replacement.path and not made.is_resumed
        train(made.claim, "seed 2")
        with pytest.raises(AtWorkError):  # both are claimed
            attempt(run, overwrite=True)
        assert run.state().record["metrics"] == {"val/loss": 1.0} and weights(run) == "seed 1"
        made.claim.complete({"val/loss": 2.0})
        assert made.note_end(0) == 0
    state = run.state()
    assert (state.status, state.record["metrics"], weights(run)) == ("completed", {"val/loss": 2.0}, "seed 2")
    assert (run.path / "notes.txt").read_text() == "mine"
    assert not list(run.path.glob(".*"))


@pytest.mark.parametrize("end", ["interrupt", "fail", "killed"])
def test_an_attempt_to_replace_that_ends_early_leaves_the_old_result_and_the_next_goes_on(run, end):
    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        train(made.claim, "half of seed 2")
        if end == "killed":
            made.note_end(-signal.SIGKILL)
        else:
            getattr(made.claim, end)("x")
    assert run.state().record["metrics"] == {"val/loss": 1.0} and weights(run) == "seed 1"
    with pytest.raises(InputError, match="another run, completed"):
        attempt(run, OTHER)
    with attempt(run, OTHER, overwrite=True) as made:
        assert made.is_resumed and weights(run.replacement) == "half of seed 2"
        made.claim.complete({"val/loss": 2.0})
        made.note_end(0)
    assert weights(run) == "half of seed 2" and run.state().record["resumes"] == 1


def test_an_interrupted_run_is_replaced_on_request_and_stays_until_then(run):
    interrupted(run, OTHER)
    with attempt(run, overwrite=True) as made:
        train(made.claim, "new")
        made.claim.interrupt("told to stop")
    assert weights(run) == "seed 2"
    with attempt(run, OTHER) as made:  # it can still go on
        assert made.is_resumed and made.replaced is None


@pytest.mark.parametrize("end", ["fail", "interrupt", "prune"])
def test_a_replacement_that_stops_early_is_named(run, capfd, end):
    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        getattr(made.claim, end)("x")
    status = {"fail": "failed", "interrupt": "was interrupted", "prune": "was pruned"}[end]
    err = capfd.readouterr().err
    assert f"the run in {run.path} is unchanged" in err and err.count("\n") == 1
    assert f"{status} and stays in {run.replacement.path}" in err and "remove that folder" in err


def test_a_replacement_that_completes_and_a_run_in_its_own_place_are_not(run, capfd):
    with attempt(run) as made:
        made.claim.interrupt("x")
    with attempt(run) as made:
        made.claim.complete({"val/loss": 1.0})
    with attempt(run, OTHER, overwrite=True) as made:
        made.claim.complete({"val/loss": 2.0})
        assert made.note_end(0) == 0
    assert capfd.readouterr().err == ""


def test_another_replacement_that_was_begun_is_dropped_and_told(run, capfd):
    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        train(made.claim, "half of seed 2")
        made.claim.interrupt("x")
    with attempt(run, {**CONFIG, "seed": 3}, overwrite=True) as made:
        assert not made.is_resumed and not run.replacement.has_checkpoint()
    assert "dropped the unfinished run" in (told := capfd.readouterr().err) and "seed (2, 3)" in told


def test_overwrite_begins_anew_what_cannot_go_on_for_its_code_has_changed(run, tmp_path, capfd):
    cells = tmp_path / "cells.py"
    cells.write_text("one")

    def half(**options):
        with attempt(run, **options) as made:
            sha256 = hashlib.sha256(cells.read_bytes()).hexdigest()
            made.claim.note(code={"hash": "x", "files": [{"module": "cells", "path": str(cells), "sha256": sha256}]})
            train(made.claim, cells.read_text())
            made.claim.interrupt("x")
            return made.replaced is not None, made.is_resumed

    assert [half(), half(overwrite=True)] == [(False, False), (False, True)]
    cells.write_text("two")
    assert [half(overwrite=True), half(overwrite=True)] == [(True, False), (True, True)]
    assert (weights(run), weights(run.replacement)) == ("one", "two")
    cells.write_text("three")
    assert half(overwrite=True) == (True, False)
    assert "cells.py has changed" in capfd.readouterr().err


def test_a_command_that_was_killed_just_before_it_replaced_the_run_is_made_up_for(run, capfd):
    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        train(made.claim, "seed 2")
        made.claim.complete({"val/loss": 2.0})  # and the command is killed
    assert run.state().record["metrics"] == {"val/loss": 1.0}
    with attempt(run, OTHER, overwrite=True) as made:
        assert made.is_complete
        assert Start().carry_out(made) == 0
    assert run.state().record["metrics"] == {"val/loss": 2.0} and weights(run) == "seed 2"
    assert "has completed already" in capfd.readouterr().err


def test_a_replacement_that_was_removed_by_half_is_begun_anew(run):
    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        train(made.claim, "of nobody knows which run")
    run.replacement.events_path.unlink()
    with attempt(run, OTHER, overwrite=True) as made:
        assert not made.is_resumed and not run.replacement.has_checkpoint()


def test_a_disk_that_is_full_when_it_is_replaced_is_told_and_the_same_command_finishes_it(run, monkeypatch, capfd):
    completed(run)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "/disk")

    with attempt(run, OTHER, overwrite=True) as made:
        train(made.claim, "seed 2")
        made.claim.complete({"val/loss": 2.0})
        with monkeypatch.context() as patch:
            patch.setattr("seqlab.run.replacement.write_atomically", full)
            assert made.note_end(0) == 1
    assert "/disk: No space left on device" in (told := capfd.readouterr().err) and "same command" in told
    with attempt(run, OTHER, overwrite=True) as made:
        assert Start().carry_out(made) == 0
    assert weights(run) == "seed 2"


def test_resume_goes_on_with_what_was_to_replace_a_run(run, monkeypatch):
    from seqlab.commands import resume

    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        train(made.claim, "half of seed 2")
        made.claim.interrupt("x")
    carried = []

    def carry_out(run_dir, config, overrides, start, *, overwrite):
        carried.append(run_dir)
        with open_attempt(run_dir, config, overrides, overwrite=overwrite) as made:
            assert made.is_resumed and made.claim.fields["config"]["seed"] == 2
            made.claim.interrupt("again")
            return 1

    monkeypatch.setattr(resume, "carry_out", carry_out)
    monkeypatch.setattr(resume, "check_config", lambda _: None)
    monkeypatch.setattr(resume, "use_project_modules", lambda: None)
    for named in (run.path, run.replacement.path):  # the run's process knows the one, the user the other
        assert resume.resume(named, [], []) == 1
    assert carried == [run.path, run.path]


def test_a_completed_run_without_a_replacement_says_that_it_is_complete(run, capsys):
    from seqlab.commands import resume

    completed(run)
    assert resume.resume(run.path, [], []) == 0
    assert "is complete already" in capsys.readouterr().out
