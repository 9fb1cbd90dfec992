"""``seqlab.train``: one path with the command, from a script without a main guard."""

import functools
import importlib
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra

import seqlab
from seqlab.commands.from_python import RunFailedError
from seqlab.errors import InputError
from seqlab.imports import add_user_folders, user_folders
from seqlab.nn import GRUCell
from seqlab.run import training_process
from seqlab.run.folder import RunFolder, start_run
from seqlab.run.modules import find_module
from seqlab.run.start import Start
from tests.command import environment
from tests.conftest import config_of

HELLO = ("experiment=hello", "trainer.max_epochs=1", "trainer=cpu", "logger=none", "runtime.num_threads=1")
OPTIMIZER = "_target_: torch.optim.SGD\n_partial_: true\nmomentum: 0.125\n"
SCRIPT = f"""\
import seqlab
from my_cells import MyCell

run = seqlab.train(*{HELLO!r}, "hydra.run.dir=run", cell=MyCell)
print("trained", run.run_dir, run.metrics["val/loss"])
"""


@pytest.fixture
def completing(monkeypatch, tmp_path):
    """Runs complete at once, those of seed 2 fail."""
    monkeypatch.chdir(tmp_path)

    def carry_out(self, attempt):
        if attempt.claim.fields["seed"] == 2:
            attempt.claim.fail("RuntimeError: broken")
        else:
            attempt.claim.complete({"val/loss": 1.0})
        return attempt.note_end(1 if attempt.claim.status == "failed" else 0)

    monkeypatch.setattr(Start, "carry_out", carry_out)


def test_it_returns_the_runs_folder_and_its_record(completing, tmp_path):
    run = seqlab.train(*HELLO, "seed=3", "name=mine")
    assert run.run_dir.parent == tmp_path / "runs" / "mine"
    assert run.record["seed"] == 3 and run.metrics == {"val/loss": 1.0}
    assert run.record["overrides"] == [*HELLO, "seed=3", "name=mine"]


def test_a_run_that_fails_raises_and_names_its_folder(completing, tmp_path):
    with pytest.raises(RunFailedError, match=f"{tmp_path}/r is failed: RuntimeError: broken"):
        seqlab.train(*HELLO, "seed=2", "hydra.run.dir=r")


def test_several_threads_train_at_once_and_a_callers_own_hydra_stays(completing, tmp_path):
    with initialize_config_module("seqlab.conf", version_base="1.3"), ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda seed: seqlab.train(*HELLO, f"seed={seed}", f"hydra.run.dir=r{seed}"), range(3, 9)))
        assert GlobalHydra.instance().is_initialized()
    assert [run.record["seed"] for run in runs] == list(range(3, 9))


def test_a_new_run_that_fails_is_not_answered_by_the_one_that_it_was_to_replace(completing, tmp_path):
    seqlab.train(*HELLO, "seed=3", "hydra.run.dir=r")
    with pytest.raises(RunFailedError, match=f"{tmp_path}/r is failed: RuntimeError: broken"):
        seqlab.train(*HELLO, "seed=2", "hydra.run.dir=r", "overwrite=true")
    assert RunFolder(tmp_path / "r").state().record["seed"] == 3


def test_a_run_that_cannot_go_on_says_why_now_not_why_it_ended_before(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = config_of(*HELLO)
    with start_run(tmp_path / "r", config) as claim:
        (tmp_path / "r" / "checkpoints").mkdir()
        (tmp_path / "r" / "checkpoints" / "last.ckpt").touch()
        claim.interrupt("interrupted: stopped by SIGTERM")

    def carry_out(self, attempt):
        attempt.claim.withdraw("the text is gone")
        return attempt.note_end(2)

    monkeypatch.setattr(Start, "carry_out", carry_out)
    with pytest.raises(InputError, match="the text is gone"):
        seqlab.train(*HELLO, "hydra.run.dir=r")


@pytest.mark.parametrize("name", ["it's \\'mine\\, ünï (1)=[2]{3}$4\"", "ends in \\"])
def test_the_folder_of_the_configuration_may_have_any_name(completing, tmp_path, name):
    (tmp_path / name / "optimizer").mkdir(parents=True)
    (tmp_path / name / "optimizer" / "mine.yaml").write_text(
        "_target_: torch.optim.SGD\n_partial_: true\nmomentum: 0.125\n"
    )
    run = seqlab.train(*HELLO, "optimizer=mine", "hydra.run.dir=r", config_dir=name)
    assert run.record["config"]["optimizer"]["momentum"] == 0.125


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=1,2", "seed: seqlab.train trains one run; seqlab train -m runs a sweep"),
        ("sweep=optuna", "^sweep=optuna: seqlab.train trains one run"),
        ("sweep=seeds", "^sweep=seeds: seqlab.train trains one run"),
        ("sweep=depth", "^sweep=depth: seqlab.train trains one run"),
        ("hydra.mode=MULTIRUN", "^hydra.mode=MULTIRUN: seqlab.train trains one run"),
        ("hydra.sweeper.tune=[optimizer.lr]", r"^hydra.sweeper.tune=\[optimizer.lr\]: seqlab.train trains one run"),
        ("+hydra.sweeper.params.seed='1,2'", r"^\+hydra.sweeper.params.seed='1,2': seqlab.train trains one run"),
        ("hydra/sweeper=optuna", "^hydra/sweeper=optuna: seqlab.train trains one run"),
        ("optimizer.lrr=1", "did you mean optimizer.lr"),
        ("model.cell._target_=__main__.MyCell", "put it into a file of its own, .* my_cells.MyCell"),
        ("model.cell._target_=os.system", "not on the allow-list"),
    ],
)
def test_wrong_input_is_told_before_anything_begins(completing, tmp_path, override, message):
    with pytest.raises(InputError, match=message):
        seqlab.train(*HELLO, override)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("process", [True, False])
def test_a_dry_run_trains_nothing_and_leaves_the_run_that_is_there(completing, tmp_path, process):
    seqlab.train(*HELLO, "seed=3", "hydra.run.dir=r")
    before = (tmp_path / "r" / "events.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"^dry_run=true: .*seqlab train"):
        seqlab.train(*HELLO, "seed=4", "hydra.run.dir=r", "overwrite=true", "dry_run=true", process=process)
    assert (tmp_path / "r" / "events.jsonl").read_bytes() == before


def test_a_file_of_the_users_may_not_make_a_sweep_of_it(completing, tmp_path):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    many = "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2'}, tune: [seed]}}\n"
    (tmp_path / "conf" / "experiment" / "many.yaml").write_text(many)
    with pytest.raises(InputError, match=r"^hydra.mode=MULTIRUN, hydra.sweeper.params, .*trains one run"):
        seqlab.train("experiment=many", "hydra.run.dir=r", config_dir="conf")
    assert not (tmp_path / "r").exists()


CELL = "from seqlab.nn import RNNCell\n\n\nclass S(RNNCell):\n    name = {!r}\n"
OWN = ("model/cell=lstm", "~model.cell.bias", "model.cell._target_=shared_cells.S")


@pytest.fixture
def two_projects(tmp_path, monkeypatch):
    """Two folders with a module of one name each; the process works in the first."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shared_cells.py").write_text(CELL.format(name))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("SEQLAB_ALLOW", "")
    monkeypatch.delitem(sys.modules, "shared_cells", raising=False)
    monkeypatch.chdir(tmp_path / "first")
    return tmp_path


def test_the_code_of_the_present_working_folder_is_trained(completing, two_projects, monkeypatch):
    seen = []
    for name in ("first", "second"):
        monkeypatch.chdir(two_projects / name)
        seqlab.train(*HELLO, *OWN, "hydra.run.dir=r", allow=["shared_cells"])
        seen.append(user_folders()[0])
        assert find_module("shared_cells").path == str(two_projects / name / "shared_cells.py")
    assert seen == [str(two_projects / "first"), str(two_projects / "second")] and seen[0] not in user_folders()


@pytest.mark.parametrize("options", [{"process": False}, {"cell": True}])
def test_a_module_that_was_imported_in_another_project_is_not_taken(two_projects, monkeypatch, options):
    add_user_folders([str(two_projects / "first")])
    module = importlib.import_module("shared_cells")
    own = () if "cell" in options else OWN
    options = {"cell": module.S} if "cell" in options else {**options, "allow": ["shared_cells"]}
    monkeypatch.chdir(two_projects / "second")
    with pytest.raises(InputError, match=r"imported shared_cells from .*first/.* is .*second/shared_cells\.py"):
        seqlab.train(*HELLO, *own, "hydra.run.dir=r", **options)
    assert not (two_projects / "second" / "r").exists()


def test_in_this_process_the_error_is_the_callers_own(tmp_path):
    run_dir = tmp_path / "run"
    with pytest.raises(InputError, match=r"nofile\.txt: there is no such file"):
        seqlab.train(*HELLO, "data=text", "data.path=nofile.txt", f"hydra.run.dir={run_dir}", process=False)
    assert RunFolder(run_dir).state().status == "failed"
    keep = "runtime.keep_freed_memory=false"
    run = seqlab.train(*HELLO, keep, f"hydra.run.dir={run_dir}", process=False)  # a failed one without a checkpoint
    assert run.record["status"] == "completed"


@pytest.mark.slow
def test_a_script_needs_no_main_guard_and_may_use_a_cell_beside_it(tmp_path):
    cell = "from seqlab.nn import RNNCell\n\n\nclass MyCell(RNNCell):\n    pass\n"
    (tmp_path / "my_cells.py").write_text(cell)
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment(SEQLAB_CACHE=str(tmp_path / "cache")),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].startswith(f"trained {tmp_path / 'run'} ") and lines[0].startswith("train: ")
    assert [file["module"] for file in RunFolder(tmp_path / "run").state().record["code"]["files"]] == ["my_cells"]


@pytest.mark.parametrize(
    ("overrides", "options", "message"),
    [
        ([HELLO], {}, r"\(\('experiment=hello', .*expected overrides, each a text"),
        ([[*HELLO]], {}, r"seqlab\.train\(\*overrides\)"),
        ([*HELLO, 5], {}, r"seqlab\.train\(5\): expected overrides"),
        (["--cfg", "job"], {}, "'--cfg'.: options are the command's"),
        (HELLO, {"cell": GRUCell(3, 4)}, "expected a class .* not an object of GRUCell"),
        (HELLO, {"cell": functools.partial(GRUCell)}, "expected a class .* not an object of partial"),
        (HELLO, {"cell": "my_cells.MyCell"}, "expected a class .* not an object of str"),
        (HELLO, {"cell": (lambda: type("Own", (), {"__qualname__": "f.<locals>.Own"}))()}, "a class within a function"),
        (HELLO, {"config_dir": "nonexist"}, "config_dir='nonexist': there is no such folder"),
        (HELLO, {"allow": "my_cells"}, r"allow='my_cells': .*allow=\['my_cells'\]"),
        (HELLO, {"allow": [functools]}, "expected a list of names"),
        ([*HELLO, "hydra.job.chdir=true"], {}, "hydra.job.chdir is not to be set"),
    ],
)
def test_arguments_of_another_kind_are_told_in_one_line(completing, tmp_path, overrides, options, message):
    with pytest.raises(InputError, match=message) as error:
        seqlab.train(*overrides, **options)
    assert "\n" not in str(error.value) and not (tmp_path / "runs").exists()


def test_one_run_at_a_time_trains_in_this_process(monkeypatch, tmp_path):
    begun, end = threading.Event(), threading.Event()

    def train(claim):
        begun.set()
        assert end.wait(60)
        claim.fail("stopped by the test")

    monkeypatch.setattr(training_process, "train_in_this_process", train)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(seqlab.train, *HELLO, f"hydra.run.dir={tmp_path}/a", process=False)
        assert begun.wait(60)
        with pytest.raises(InputError, match="process=False: this process trains another run"):
            seqlab.train(*HELLO, f"hydra.run.dir={tmp_path}/b", process=False)
        end.set()
        assert isinstance(first.exception(), RunFailedError)
    assert not (tmp_path / "b").exists()


def test_what_a_run_sets_in_this_process_is_put_back(tmp_path):
    def drawn():
        return torch.rand(1).item(), random.random(), np.random.random()

    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    expected = drawn()
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    keep = ("runtime.keep_freed_memory=false", "runtime.deterministic=true", f"runtime.num_threads={threads + 1}")
    run = seqlab.train(*HELLO[:-1], *keep, f"hydra.run.dir={tmp_path}/a", process=False)
    run.evaluate()
    with pytest.raises(InputError):
        seqlab.train(*HELLO[:-1], *keep, "data=text", "data.path=no", f"hydra.run.dir={tmp_path}/b", process=False)
    assert torch.get_num_threads() == threads and torch.get_float32_matmul_precision() == precision
    assert not torch.are_deterministic_algorithms_enabled()
    assert drawn() == expected


def test_a_cell_by_argument_and_by_configuration_are_one_too_many():
    with pytest.raises(InputError, match=r"cell=GRUCell and 'model/cell=rnn'"):
        seqlab.train(*HELLO, "model/cell=rnn", cell=GRUCell)
