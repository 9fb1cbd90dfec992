"""Sweeps: a failing job ends nothing, what is complete is skipped, an edited sweep runs only what is new."""

import errno
import hashlib
import json
import math
import os
import signal

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from seqlab import cli
from seqlab.commands import earlier_runs, jobs, train
from seqlab.errors import InputError
from seqlab.run.claim import Claim
from seqlab.run.folder import RunFolder, start_run
from seqlab.run.layout import EVENTS_NAME, RECORD_NAME
from seqlab.run.record import read_record
from seqlab.run.start import Start
from tests.command import ONE_THREAD, prepare_here, replace_training, seqlab

TINY = ("experiment=hello", "name=depths", "trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1", *ONE_THREAD)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A sweep over three depths, of which one is none, in processes of its own; its folder and what was printed."""
    folder = tmp_path_factory.mktemp("sweep")
    done = seqlab("train", "-m", *TINY, "model.num_layers=1,0,2", folder=folder)
    return folder / "runs" / "depths", done


def jobs_of(folder) -> dict[int, tuple[str, dict]]:
    """The folder's name and the record of each job, by its depth."""
    found = {}
    for path in sorted(folder.glob(f"*/{RECORD_NAME}")):
        record = read_record(path)
        found[record["config"]["model"]["num_layers"]] = (path.parent.name, record)
    return found


@pytest.mark.slow
def test_the_jobs_beside_a_failing_one_complete(sweep):
    folder, done = sweep
    jobs = jobs_of(folder)
    assert {depth: record["status"] for depth, (_, record) in jobs.items()} == {
        0: "failed",
        1: "completed",
        2: "completed",
    }
    assert "num_layers" in jobs[0][1]["error"] and "num_layers" in done.stderr and "Traceback" not in done.stderr
    assert done.returncode == 1
    assert "2 completed, 1 failed" in done.stdout and done.stdout.splitlines()[-1] == "runs/depths"
    assert f"compare them with: seqlab report {done.stdout.splitlines()[-1]}" in done.stdout


@pytest.mark.slow
def test_a_jobs_folder_tells_what_the_sweep_varied_and_its_configuration(sweep):
    for depth, (name, record) in jobs_of(sweep[0]).items():
        assert name == f"model.num_layers={depth}-{record['config_hash'][:8]}"


@pytest.mark.slow
def test_the_report_lists_the_depths(sweep, capsys):
    assert cli.main(["report", str(sweep[0]), "--by", "model.num_layers", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "model.num_layers" in json.dumps(report)
    assert cli.main(["report", str(sweep[0]), "--by", "model.num_layers"]) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()[:1].isdigit()]
    assert rows[:2] == ["1", "2"]


@pytest.mark.slow
def test_an_edited_sweep_runs_what_is_new_and_what_had_failed(sweep):
    folder, _ = sweep
    before = {depth: (folder / name / RECORD_NAME).stat() for depth, (name, _) in jobs_of(folder).items()}
    done = seqlab("train", "-m", *TINY, "model.num_layers=1,2,3", folder=folder.parents[1])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("completed before, skipped: ") == 2
    after = jobs_of(folder)
    assert sorted(after) == [0, 1, 2, 3] and after[3][1]["status"] == "completed"
    for depth in (1, 2):
        stat = (folder / after[depth][0] / RECORD_NAME).stat()
        assert (stat.st_mtime_ns, stat.st_ino) == (before[depth].st_mtime_ns, before[depth].st_ino)


@pytest.fixture
def sweep_here(tmp_path, monkeypatch, capfd):
    """Sweeps in this process, where a job's training is what ``train(claim)`` says."""
    prepare_here(tmp_path, monkeypatch)

    def run(train, *overrides: str) -> tuple[int, list[tuple[int, str]]]:
        """The exit code, and which seeds were trained, each begun or resumed."""
        trained = replace_training(monkeypatch, train)
        return cli.main(["train", "-m", *TINY, *overrides]), trained

    return run


def seed_of(claim: Claim) -> int:
    return claim.fields["config"]["seed"]


def complete(claim: Claim) -> None:
    claim.complete({"val/loss": float(seed_of(claim))})


def complete_but_for_two(claim: Claim) -> int:
    if seed_of(claim) == 2:
        claim.fail("broken")
        return 1
    complete(claim)
    return 0


def interrupt(claim: Claim) -> int:
    claim.interrupt()
    return 1


def test_repeating_the_command_runs_only_what_had_not_completed(sweep_here):
    assert sweep_here(complete_but_for_two, "seed=1,2,3") == (1, [(1, "begun"), (2, "begun"), (3, "begun")])
    assert sweep_here(complete_but_for_two, "seed=1,2,3") == (1, [(2, "begun")])
    assert sweep_here(complete, "seed=1,2,3") == (0, [(2, "begun")])
    assert sweep_here(complete, "seed=1,2,3") == (0, [])


def test_a_changed_setting_runs_all_anew_and_where_it_runs_counts_for_nothing(sweep_here):
    assert sweep_here(complete, "seed=1,2") == (0, [(1, "begun"), (2, "begun")])
    assert sweep_here(complete, "seed=1,2", "logger=none") == (0, [])
    assert sweep_here(complete, "seed=1,2", "optimizer.lr=0.5") == (0, [(1, "begun"), (2, "begun")])
    assert sweep_here(complete, "seed=1,2") == (0, [])  # the first are still there


def test_the_flag_of_a_sweep_may_stand_between_its_overrides(sweep_here):
    assert sweep_here(complete, "seed=1,2", "-m", "optimizer.lr=0.5") == (0, [(1, "begun"), (2, "begun")])


def test_every_job_ends_in_a_line_with_the_best_so_far_and_what_is_left(sweep_here, capfd):
    sweep_here(complete_but_for_two, "seed=3,2,1")
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("[")]
    assert [line.partition("] ")[0] + "]" for line in lines] == [f"[{n}/3]" for n in (1, 1, 2, 2, 3, 3)]
    assert lines[1].startswith("[1/3] completed  val/loss 3  the best so far  2 to go, about ")
    assert lines[3].startswith("[2/3] failed: broken  best so far 3 (seed=3)  1 to go, about ")
    assert lines[5] == "[3/3] completed  val/loss 1  the best so far"
    sweep_here(complete, "seed=3,2,1")
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("[")]
    assert lines[0].startswith("[1/3] completed before, skipped: runs/depths/seed=3-")
    assert lines[1].startswith("[3/3] completed before, skipped: ")
    assert lines[3] == "[2/3] completed  val/loss 2  best so far 1 (seed=1)"


def test_the_end_of_a_sweep_names_what_did_not_complete_and_why(sweep_here, capfd):
    sweep_here(complete_but_for_two, "seed=1,2,3")
    assert "2 completed, 1 failed\n  failed: runs/depths/seed=2-" in capfd.readouterr().out
    sweep_here(complete_but_for_two, "seed=1,2,3,4")
    out = capfd.readouterr().out
    assert "1 completed, 2 skipped, 1 failed\n" in out and ": broken\n" in out


def test_fail_fast_ends_a_sweep_with_its_first_failure(sweep_here, capfd):
    assert sweep_here(complete_but_for_two, "seed=1,2,3", "fail_fast=true") == (1, [(1, "begun"), (2, "begun")])
    out, err = capfd.readouterr()
    assert "1 completed, 1 failed" in out and out.splitlines()[-1] == "runs/depths"
    assert "fail_fast=true ends the sweep with its first failure" in err
    assert sweep_here(complete, "seed=1,2,3") == (0, [(2, "begun"), (3, "begun")])  # the option is no part of a job


@pytest.fixture
def own_code(tmp_path, monkeypatch):
    """Writes a module of the user's own; how a run completes that has loaded it."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def write(text):
        (folder / "own_cells.py").write_text(text)

    def complete_with_code(claim):
        digest = hashlib.sha256((folder / "own_cells.py").read_bytes()).hexdigest()
        entry = {"module": "own_cells", "path": str(folder / "own_cells.py"), "sha256": digest}
        claim.note(code={"hash": digest[:12], "files": [entry]})
        complete(claim)

    return write, complete_with_code


def test_a_sweep_that_meets_runs_of_other_code_stops_before_any_job_and_names_the_ways_on(sweep_here, own_code, capfd):
    write, run = own_code
    write("first = 1")
    assert sweep_here(run, "seed=1,2") == (0, [(1, "begun"), (2, "begun")])
    assert sweep_here(run, "seed=1,2", "rerun_changed=true") == (0, [])  # nothing has changed
    write("second = 2")
    capfd.readouterr()
    assert sweep_here(run, "seed=1,2,3") == (2, [])
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "seed=1, seed=2: own/own_cells.py has changed" in err
    assert "put that back" in err and "rerun_changed=true" in err and "keep_changed=true" in err
    assert sweep_here(run, "seed=1,2,3", "keep_changed=true") == (0, [(3, "begun")])
    assert "seed=1, seed=2: own/own_cells.py has changed" in capfd.readouterr().err  # seed 3 is of the code of now
    assert sweep_here(run, "seed=1,2,3", "rerun_changed=true") == (0, [(1, "begun"), (2, "begun")])
    assert sweep_here(run, "seed=1,2,3") == (0, [])


def test_a_result_of_other_code_stays_until_the_new_one_completes(sweep_here, own_code, tmp_path):
    write, run = own_code
    write("first = 1")
    sweep_here(run, "seed=2")
    (folder,) = (path.parent for path in tmp_path.rglob(RECORD_NAME))
    write("second = 2")
    assert sweep_here(complete_but_for_two, "seed=2", "rerun_changed=true") == (1, [(2, "begun")])
    assert RunFolder(folder).state().status == "completed"
    assert sweep_here(run, "seed=2", "rerun_changed=true") == (0, [(2, "begun")])
    assert sweep_here(run, "seed=2") == (0, [])


def test_a_module_that_is_edited_while_the_sweep_runs_is_named(sweep_here, own_code, capfd):
    write, run = own_code

    def edited(claim):
        write("first = 1" if seed_of(claim) == 1 else "second = 2")
        run(claim)

    assert sweep_here(edited, "seed=1,2,3")[0] == 0
    (line,) = capfd.readouterr().err.splitlines()
    assert "[2/3] seed=2 has loaded another own_cells than an earlier job" in line


def test_a_finished_sweep_is_known_without_composing_its_jobs(sweep_here, monkeypatch):
    seeds = f"seed={','.join(map(str, range(4)))}"
    assert len(sweep_here(complete, seeds)[1]) == 4
    composed = []
    original = ConfigLoaderImpl.load_sweep_config
    counted = lambda *given, **named: composed.append(1) or original(*given, **named)  # noqa: E731
    monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", counted)
    assert sweep_here(complete, seeds) == (0, []) and not composed
    assert sweep_here(complete, seeds, "optimizer.lr=0.5")[0] == 0 and len(composed) >= 4


def test_a_job_that_could_not_start_is_noted_and_the_others_run(sweep_here, capfd):
    def too_many(claim):
        if seed_of(claim) == 2:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        complete(claim)

    assert sweep_here(too_many, "seed=1,2,3") == (1, [(1, "begun"), (2, "begun"), (3, "begun")])
    out, err = capfd.readouterr()
    assert "2 completed, 1 failed\n  failed: runs/depths/seed=2-" in out and err.count("Resource temporarily") == 1
    assert sweep_here(complete, "seed=1,2,3") == (0, [(2, "begun")])


def test_what_is_refused_now_can_still_be_resumed(sweep_here, monkeypatch):
    def refuse(config):
        raise InputError("not on the allow-list")

    sweep_here(interrupt, "seed=1")
    with monkeypatch.context() as patch:
        patch.setattr("seqlab.commands.carry_out.check_targets", refuse)
        assert sweep_here(complete, "seed=1") == (2, [])
    assert sweep_here(complete, "seed=1") == (0, [(1, "resumed")])


def test_a_sweep_whose_jobs_are_all_refused_was_given_wrong_input(sweep_here, capfd):
    assert sweep_here(complete, "seed=-1,-2") == (2, [])
    assert sweep_here(complete, "seed=-1,2") == (1, [(2, "begun")])
    assert sweep_here(complete, "seed=-1,2") == (1, [])  # one is complete


def test_what_is_complete_is_replaced_on_request(sweep_here, tmp_path, capfd):
    assert sweep_here(complete, "seed=1,2") == (0, [(1, "begun"), (2, "begun")])
    capfd.readouterr()
    assert sweep_here(complete_but_for_two, "seed=1,2", "overwrite=true") == (1, [(1, "begun"), (2, "begun")])
    assert "1 completed, 1 failed\n" in capfd.readouterr().out  # though what was to be replaced has completed
    assert {read_record(path)["status"] for path in tmp_path.rglob(f"seed*/{RECORD_NAME}")} == {"completed"}
    assert sweep_here(complete, "seed=1,2") == (0, [])


def test_a_job_that_another_command_is_at_work_in_is_left_alone(sweep_here, tmp_path, capfd):
    sweep_here(interrupt, "seed=1")
    (run_dir,) = (path.parent for path in tmp_path.rglob(RECORD_NAME))
    with RunFolder(run_dir).claim() as claim:
        claim.resume()
        assert sweep_here(complete, "seed=1,2") == (1, [(2, "begun")])
    out, err = capfd.readouterr()
    assert "1 completed, 1 running" in out and "is in use by process" in err


def test_what_could_not_go_on_is_what_it_was_before(sweep_here, tmp_path, capfd):
    def too_many(claim):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    sweep_here(interrupt, "seed=1")
    assert sweep_here(too_many, "seed=1") == (1, [(1, "resumed")])
    assert "1 interrupted" in capfd.readouterr().out
    assert [read_record(path)["status"] for path in tmp_path.rglob(RECORD_NAME)] == ["interrupted"]
    assert sweep_here(complete, "seed=1") == (0, [(1, "resumed")])


def test_a_damaged_record_is_named_and_the_other_jobs_run(sweep_here, tmp_path, capfd):
    sweep_here(complete, "seed=1,2")
    (damaged,) = (tmp_path / "runs" / "depths").glob(f"seed=1-*/{EVENTS_NAME}")
    damaged.write_text("{\n")
    assert sweep_here(complete, "seed=1,2,3") == (1, [(3, "begun")])
    out, err = capfd.readouterr()
    assert err.count("\n") == 1 and "not valid JSON" in err
    assert "1 completed, 1 skipped, 1 failed" in out and damaged.read_text() == "{\n"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["seed=1,2", "optimize.metric=val/los"], ["optimize.metric=val/los", "val/loss"]),
        (["seed=1,2", "optimize.metric=val/accuracy", "optimize.mode=min"], ["give optimize.mode=max"]),
        (["optimizer.lr=0.1,0.2", "seed=-1"], ["seed=-1: expected a whole number"]),
    ],
)
def test_what_is_wrong_with_all_jobs_is_told_before_any(sweep_here, capfd, tmp_path, overrides, words):
    assert sweep_here(complete, *overrides) == (2, [])
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and all(word in err for word in words), err
    assert not list(tmp_path.rglob(RECORD_NAME))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["seed=1,1"], ["seed=1,1: 1 is given twice", "drop one"]),
        (["seed=1,2", "optimizer.lr=0.1,0.10"], ["0.1 is given twice"]),
        (["seed=1,2", "trainer.devices=1,2"], ["trainer.devices is varied, but changes no result"]),
        (["seed="], ["seed='': expected a whole number"]),
        (["seed=1,"], ["seed=1, can't be read"]),
        (["model/cell="], ["model/cell"]),
        (["model/cell=gru,none_such"], ["none_such"]),
        (["modle.num_layers=1,2"], ["there is no configuration key modle.num_layers; did you mean model.num_layers?"]),
        (["seed=interval(1,3)"], ["sweep=optuna"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_sweep_that_is_none_is_told_before_any_job(sweep_here, capfd, tmp_path, overrides, words):
    assert sweep_here(complete, *overrides) == (2, [])
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and all(word in err for word in words), err
    assert not list(tmp_path.rglob(RECORD_NAME))


def test_a_sweep_over_nothing_says_so(sweep_here, capfd):
    assert sweep_here(complete) == (0, [(1, "begun")])
    assert "nothing is varied: a sweep of one job" in capfd.readouterr().out
    assert sweep_here(complete, "seed=1,2") == (0, [(2, "begun")])
    assert "nothing is varied" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "jobs", "checked"),
    [(["seed=range(1,4)"], 3, 1), (["seed=1,2", "model/cell=gru,rnn"], 4, 2), (["optimizer=adam,sgd"], 2, 2)],
)
def test_each_configuration_is_composed_once(sweep_here, monkeypatch, overrides, jobs, checked):
    composed = []
    load = ConfigLoaderImpl.load_sweep_config

    def counting(self, *arguments, **options):
        composed.append(arguments)
        return load(self, *arguments, **options)

    monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", counting)
    assert len(sweep_here(complete, *overrides)[1]) == jobs
    assert len(composed) == jobs + checked


def test_what_is_wrong_with_one_job_is_told_of_that_one(sweep_here, capfd):
    assert sweep_here(complete, "optimize.metric=val/loss,val/los") == (1, [(1, "begun")])
    assert "did you mean val/loss?" in capfd.readouterr().err
    assert sweep_here(complete, "seed=-1,2") == (1, [(2, "begun")])


def test_the_best_job_is_the_one_with_the_highest_accuracy(sweep_here, capfd):
    def accurate(claim):
        claim.complete({"val/accuracy": float(seed_of(claim))})

    assert sweep_here(accurate, "seed=1,3,2", "optimize.metric=val/accuracy")[0] == 0
    assert "best so far 3 (seed=3)" in capfd.readouterr().out


def test_a_glob_over_a_groups_choices_is_counted(sweep_here, capfd):
    assert sweep_here(complete, "optimizer=glob(adam*)")[0] == 0
    assert "\n[2/2] completed" in capfd.readouterr().out


def test_a_job_that_left_no_record_is_not_forgotten(sweep_here, monkeypatch, capfd):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system", "runs/depths")

    monkeypatch.setattr("seqlab.commands.carry_out.open_attempt", refuse)
    assert sweep_here(complete, "seed=1,2") == (1, [])
    out, err = capfd.readouterr()
    assert "2 failed\n  failed: runs/depths/seed=1-" in out and out.count(": runs/depths: Read-only file system") == 4
    assert err.count("runs/depths: Read-only file system") == 2


def test_a_stored_sweep_is_counted_too(sweep_here, capfd):
    sweep_here(complete, "sweep=seeds", "optimizer.lr=0.1,0.2")
    assert "\n[6/6] completed  val/loss 3" in capfd.readouterr().out


def test_an_interrupted_job_is_continued(sweep_here):
    assert sweep_here(interrupt, "seed=1")[0] == 1
    assert sweep_here(complete, "seed=1") == (0, [(1, "resumed")])


def test_a_sweep_that_is_stopped_starts_no_further_job(sweep_here, tmp_path, monkeypatch, capfd):
    def stopped(start, attempt):
        attempt.claim.interrupt()
        start.was_stopped = True
        return attempt.note_end(1)

    monkeypatch.setattr(Start, "carry_out", stopped)
    assert cli.main(["train", "-m", *TINY, "seed=1,2,3"]) == 1
    assert len(list(tmp_path.rglob(RECORD_NAME))) == 1
    assert "the same command goes on with it" in capfd.readouterr().err


def test_a_sweeper_is_given_the_judged_metric_and_nan_for_a_failure(tmp_path):
    with start_run(tmp_path / "done", {"seed": 1}) as claim:
        claim.complete({"val/loss": 2.5})
    assert jobs.metric_of(tmp_path / "done", "val/loss") == 2.5
    assert math.isnan(jobs.metric_of(tmp_path / "done", "val/other"))
    with start_run(tmp_path / "broken", {"seed": 1}) as claim:
        claim.fail("broken", metrics={"val/loss": 2.5})
    assert math.isnan(jobs.metric_of(tmp_path / "broken", "val/loss"))
    assert math.isnan(jobs.metric_of(tmp_path / "absent", "val/loss"))


def test_a_stored_sweep_names_its_own_keys(sweep_here, tmp_path):
    assert sweep_here(complete, "sweep=seeds") == (0, [(1, "begun"), (2, "begun"), (3, "begun")])
    names = sorted(path.parent.name for path in (tmp_path / "runs" / "depths").glob(f"*/{RECORD_NAME}"))
    assert [name.rpartition("-")[0] for name in names] == ["seed=1", "seed=2", "seed=3"]


def test_experiments_of_other_names_are_one_sweep_in_one_folder_whose_code_is_compared(
    sweep_here, own_code, tmp_path, monkeypatch, capfd
):
    write, run = own_code
    write("first = 1")
    trained = replace_training(monkeypatch, run)
    command = ["train", "-m", "experiment=hello,tiny_sentiment"]
    assert cli.main(command) == 0
    assert {path.parents[1] for path in tmp_path.rglob(RECORD_NAME)} == {tmp_path / "runs" / "train"}
    write("second = 2")
    assert cli.main(command) == 2 and len(trained) == 2
    assert "own_cells.py has changed" in capfd.readouterr().err


def test_a_run_that_came_to_a_jobs_folder_since_is_compared_as_well(sweep_here, own_code, monkeypatch, capfd):
    write, run = own_code
    write("first = 1")
    sweep_here(run, "seed=1")
    write("second = 2")
    monkeypatch.setattr(earlier_runs, "find_existing_runs", lambda *_: [])  # when the sweep began, it was not there
    assert sweep_here(run, "seed=1") == (2, [])
    assert "own_cells.py has changed" in capfd.readouterr().err
    assert sweep_here(run, "seed=1", "keep_changed=true") == (0, [])
    assert sweep_here(run, "seed=1", "rerun_changed=true") == (0, [(1, "begun")])


def test_a_configuration_file_that_is_edited_while_the_sweep_runs_is_remembered_for_no_job(sweep_here, tmp_path):
    (tmp_path / "conf" / "optimizer").mkdir(parents=True)
    file = tmp_path / "conf" / "optimizer" / "mine.yaml"
    before, after = (f"defaults: [adam, _self_]\nweight_decay: {decay}\n" for decay in (0.5, 0.25))
    decays = []

    def train(claim):
        decays.append(claim.fields["config"]["optimizer"]["weight_decay"])
        file.write_text(after)
        complete(claim)

    command = ("--config-dir", "conf", "optimizer=mine", "seed=1,2")
    file.write_text(before)
    sweep_here(train, *command)
    file.write_text(before)
    assert sweep_here(train, *command) == (0, [(2, "begun")])
    assert decays == [0.5, 0.25, 0.5]


def test_two_jobs_that_are_one_run_are_named(sweep_here, capfd):
    assert sweep_here(complete, "trainer=cpu,gpu") == (0, [(1, "begun")])
    assert "[2/2] is the same run as [1/2]" in capfd.readouterr().err


def test_a_dry_run_tells_what_would_become_of_runs_of_other_code(sweep_here, own_code, monkeypatch):
    planned = []
    monkeypatch.setattr(train, "estimate", lambda jobs: planned.extend(jobs) or 0)
    write, run = own_code
    write("first = 1")
    sweep_here(run, "seed=1")
    write("second = 2")
    for more in ("name=depths", "keep_changed=true", "rerun_changed=true", "overwrite=true"):
        sweep_here(run, "seed=1", "dry_run=true", more)
    assert [job["completed"] for job in planned] == [False, True, False, False]
    assert [bool(job["mistake"]) for job in planned] == [True, False, False, False]
    assert "own_cells.py has changed" in planned[0]["mistake"]


def test_a_sweep_that_is_stopped_tells_how_its_jobs_ended(sweep_here, capfd):
    def stop(claim):
        claim.interrupt("stopped by SIGINT")
        os.kill(os.getpid(), signal.SIGINT)
        return 1

    assert sweep_here(stop, "seed=1,2,3") == (1, [(1, "begun")])
    out, err = capfd.readouterr()
    assert "1 interrupted, 2 not begun\n  interrupted: runs/depths/seed=1-" in out
    assert "the same command goes on with it" in err and "Traceback" not in err


def test_a_dry_run_that_is_stopped_is_one_line(sweep_here, monkeypatch, capfd):
    monkeypatch.setattr(train, "estimate", lambda jobs: os.kill(os.getpid(), signal.SIGINT))
    assert sweep_here(complete, "seed=1,2", "dry_run=true") == (1, [])
    assert capfd.readouterr().err == "seqlab: stopped\n"
