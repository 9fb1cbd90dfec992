"""A sweep compares the code of its jobs with that of the runs it meets."""

from seqlab import cli
from seqlab.commands import earlier_runs, train
from seqlab.run.folder import RunFolder
from seqlab.run.layout import RECORD_NAME
from tests.command import replace_training
from tests.sweep.jobs_here import complete, complete_but_for_two, seed_of


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
