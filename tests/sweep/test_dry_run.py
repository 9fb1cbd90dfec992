"""A dry run tells what jobs would take and what is wrong with them, and leaves nothing behind."""

import subprocess
from types import SimpleNamespace

import pytest

from seqlab import cli
from seqlab.commands import dry_run as command
from seqlab.config import build
from seqlab.nn.size import count_parameters
from seqlab.sweep import dry_run
from seqlab.sweep.dry_run import estimate
from tests.command import ONE_THREAD, prepare_here, replace_training, seqlab
from tests.conftest import config_of, small

TINY = ("experiment=hello", "name=depths", "trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1", *ONE_THREAD)


@pytest.mark.slow
def test_every_job_of_a_sweep_is_told_with_its_mistake_or_its_size_and_nothing_is_left(tmp_path):
    done = seqlab("train", "-m", *TINY, "model.num_layers=1,0", "dry_run=true", folder=tmp_path)
    lines = done.stdout.splitlines()
    assert done.returncode == 2, done.stderr
    assert [line for line in lines if line.startswith("[")] == [
        f"[{number}/2] {' '.join(TINY)} model.num_layers={depth} dry_run=True" for number, depth in enumerate((1, 0), 1)
    ]
    config = config_of(*TINY)
    data = build.build_data(config)
    size = count_parameters(build.build_model(config, data.spec))
    assert lines[1].startswith(f"    {size:,} parameters, 2 steps of ") and ", 2 validations: about " in lines[1]
    assert "would fail: " in lines[3] and "model.num_layers=0: expected a whole number" in lines[3]
    assert lines[-1].startswith("2 jobs, 0 completed before, 1 with a mistake; about ")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def here(tmp_path, monkeypatch):
    """``seqlab train`` in this process: a run completes at once, and a dry run starts no process."""
    prepare_here(tmp_path, monkeypatch)
    replace_training(monkeypatch, lambda claim: claim.complete({"val/loss": 1.0}))
    run = subprocess.run

    def start(command, **options):
        if "dry_run" in command:
            return SimpleNamespace(returncode=dry_run.main(command[4:]))
        return run(command, **options)  # of git

    monkeypatch.setattr(command.subprocess, "run", start)
    return tmp_path


def test_what_a_sweep_has_completed_would_be_skipped_and_stays(here, capsys):
    assert cli.main(["train", "-m", *TINY, "seed=1"]) == 0
    kept = {path: path.stat().st_mtime_ns for path in here.rglob("run.json")}
    capsys.readouterr()
    assert cli.main(["train", "-m", *TINY, "seed=1,2", "dry_run=true"]) == 0
    out = capsys.readouterr().out
    assert "    completed before: it would be skipped" in out.splitlines()[1]
    assert "2 jobs, 1 completed before, 0 with a mistake" in out
    assert {path: path.stat().st_mtime_ns for path in here.rglob("run.json")} == kept and len(kept) == 1
    assert len(list((here / "runs" / "depths").iterdir())) == 2  # the job's folder and the sweep's memo


def test_a_budget_that_some_jobs_miss_is_said_with_one_that_all_meet(here, capsys):
    few = ("model.num_layers=1,4", "model.embedding_size=4", "model.match_tolerance=0.03")
    assert cli.main(["train", "-m", *TINY, *few, "model.match_parameters=700", "dry_run=true"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("model.match_parameters=700: ")]
    assert " of 2 jobs miss it by over 3 %; all jobs meet model.match_parameters=" in line
    met = line.rpartition("=")[2]
    assert cli.main(["train", "-m", *TINY, *few, f"model.match_parameters={met}", "dry_run=true"]) == 0
    assert "miss it" not in capsys.readouterr().out


def test_a_single_run_is_estimated_too_and_an_error_of_any_kind_is_told(here, monkeypatch, capsys):
    assert cli.main(["train", *TINY, "dry_run=true"]) == 0
    assert "1 job, 0 completed before, 0 with a mistake" in capsys.readouterr().out

    def broken(*_):
        raise ZeroDivisionError("of the cell")

    monkeypatch.setattr("seqlab.nn.LanguageModel.features", broken)
    assert cli.main(["train", *TINY, "dry_run=true"]) == 2
    assert "would fail: ZeroDivisionError: of the cell" in capsys.readouterr().out
    assert not list(here.iterdir())


def test_an_estimate_counts_steps_and_validations_as_the_run_would(tmp_path, text_file):
    config = config_of(*small(text_file, "trainer.max_steps=12", "trainer.val_check_interval=4", "logger=none"))
    found = estimate(config, tmp_path)
    assert (found.steps, found.validations) == (12, 3)
    assert found.step_seconds > 0 and found.validation_seconds > 0 and found.test_seconds > 0
    assert found.seconds > 12 * found.step_seconds


def test_a_wrong_configuration_is_refused_before_a_process_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *TINY, "model.layers=2", "dry_run=true"]) == 2
    assert "there is no configuration key model.layers" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
