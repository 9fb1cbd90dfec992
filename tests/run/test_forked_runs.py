"""Real runs that are forked from a server, in sweeps."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seqlab.errors import InputError
from seqlab.run import process, workers
from seqlab.run.provenance import process_started
from seqlab.run.record import read_record
from tests.command import ONE_THREAD, environment, seqlab, seqlab_started, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

TINY = ("experiment=hello", "trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1", *ONE_THREAD)

# What a server must be when it forks, asked in a process of its own.
PRELOADED = """
import os, sys
import numpy
from seqlab.run import process, workers
from seqlab.run.forks.server import thread_names
drawn = numpy.random.get_state()[2]
process.preload()
import torch
if (pid := os.fork()) == 0:
    os._exit(0)
os.waitpid(pid, 0)
assert len(thread_names()) == 1, thread_names()
assert not torch.cuda.is_initialized() and "libcuda.so" not in open("/proc/self/maps").read()
# No number was drawn: each generator stands where its seed left it. Python's own is seeded anew after a fork.
assert torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(torch.initial_seed()).get_state())
assert numpy.random.get_state()[2] == drawn
assert all(type(finder).__module__ != "seqlab.run.code" for finder in sys.meta_path)
assert set(process.modules()) <= set(sys.modules)
"""

CELL = """
import atexit, json, os, sys
from seqlab.nn import LSTMCell

def note(**facts):
    with open("facts.jsonl", "a") as file:
        file.write(json.dumps(facts) + "\\n")

parent = f"/proc/{os.getppid()}"
threads = [line.split()[1] for line in open(f"{parent}/status") if line.startswith("Threads:")]
note(parent=open(f"{parent}/cmdline").read(), threads=threads, argv=sys.argv, path=sys.path)
atexit.register(lambda: note(modules=[name for name in sys.modules if name.partition(".")[0] == "seqlab"]))

class Cell(LSTMCell):
    pass
"""


@pytest.fixture
def user(tmp_path) -> Path:
    """A user's folder with a cell, and files that are named as modules of the standard library."""
    (tmp_path / "own.py").write_text(CELL)
    (tmp_path / "conf" / "model" / "cell").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "cell" / "own.yaml").write_text("_target_: own.Cell\n_partial_: true\n")
    for name in ("random", "types", "tokenize", "json", "typing"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    return tmp_path


def command(user: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """``seqlab ARGUMENTS`` by the script that pip installs."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("seqlab")), *arguments],
        cwd=user,
        env=environment(SEQLAB_CACHE=str(user / "cache")),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_before_a_fork_there_is_one_thread_no_random_number_and_no_gpu():
    done = subprocess.run([sys.executable, "-c", PRELOADED], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_forked_run_heeds_the_threads_of_its_environment(monkeypatch):
    given = []
    monkeypatch.setattr("torch.set_num_threads", given.append)
    for name in process._THREADS:
        monkeypatch.delenv(name, raising=False)
    process._set_threads()  # of a process of its own: the libraries have read it
    monkeypatch.setattr(process, "_preload_threads", {"MKL_NUM_THREADS": None, "OMP_NUM_THREADS": "1"})
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    process._set_threads()
    assert given == []
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    process._set_threads()
    monkeypatch.delenv("OMP_NUM_THREADS")
    process._set_threads()
    assert given == [3, len(os.sched_getaffinity(0))]


@pytest.mark.slow
def test_jobs_of_a_sweep_are_forked_and_are_what_a_run_of_its_own_is(user):
    arguments = ("--config-dir", "conf", *TINY, "model/cell=own")
    swept = command(user, "train", "-m", *arguments, "name=swept", "seed=1,2")
    assert swept.returncode == 0, swept.stderr + swept.stdout
    alone = command(user, "train", *arguments, "name=alone", "seed=1")
    assert alone.returncode == 0, alone.stderr + alone.stdout
    facts = [json.loads(line) for line in (user / "facts.jsonl").read_text().splitlines()]
    begun, ended = [fact for fact in facts if "argv" in fact], [fact for fact in facts if "modules" in fact]
    assert len(begun) == len(ended) == 3  # what is registered with atexit, as wandb's, is called
    for fact in begun[:2]:
        assert "seqlab.run.forks.server" in fact["parent"] and fact["threads"] == ["1"]
    assert "seqlab.run.forks.server" not in begun[2]["parent"]
    for fact in begun:
        assert Path(fact["argv"][0]).name == "process.py" and fact["argv"][1] == "train"
        assert fact["path"][-1] == str(user)  # the standard library wins
    imported_late = set(ended[0]["modules"]) - {"seqlab", *process.modules(), *process._NOT_FOR_RUNS}
    assert not imported_late  # which would be of another version, should seqlab be edited meanwhile
    (one,) = (user / "runs" / "alone").glob("*/run.json")
    two = [read_record(path) for path in (user / "runs" / "swept").glob("*/run.json")]
    first, one = next(record for record in two if record["seed"] == 1), read_record(one)
    assert first["metrics"] == one["metrics"]
    assert first["code"]["files"] == one["code"]["files"] != []
    assert first["seqlab_git"] == one["seqlab_git"]
    assert 0.7 < first["peak_memory_bytes"] / one["peak_memory_bytes"] < 1.1


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
def test_a_sweep_goes_on_where_the_process_that_its_runs_are_forked_from_is_killed(tmp_path):
    long = ("experiment=hello", *ONE_THREAD, "trainer.max_epochs=100000", "callbacks.checkpoint.every_n_steps=20")
    with seqlab_started("train", "-m", *long, "seed=1", "name=killed", folder=tmp_path, alone=True) as sweep:
        (server,) = wait_for(lambda: children(sweep.pid))
        wait_for(lambda: list(tmp_path.glob("runs/killed/*/checkpoints/last.ckpt")))
        (job,) = children(server)
        os.kill(server, signal.SIGKILL)
        out, err = sweep.communicate(timeout=60)
    assert process_started(job) is None
    assert f"process {job} ends with it" in err and "1 interrupted" in out
    (record,) = [read_record(path) for path in tmp_path.glob("runs/killed/*/run.json")]
    assert record["status"] == "interrupted" and "stopped by SIGTERM" in record["error"]


@pytest.mark.slow
def test_jobs_are_processes_of_their_own_where_nothing_can_be_forked(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(3600,), name='foreign', daemon=True).start()\n"
    )
    done = seqlab("train", "-m", *TINY, "seed=1", folder=tmp_path, alone=True, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0 and "1 completed" in done.stdout
    (line,) = [line for line in done.stderr.splitlines() if "no warm start" in line]
    assert "2 threads" in line


def test_a_worker_of_a_run_refuses_other_code_of_seqlab_than_its_first_process_has(monkeypatch):
    monkeypatch.setenv(workers._CODE_VARIABLE, "")
    monkeypatch.delenv(workers._CODE_VARIABLE)
    workers.check_same_seqlab()  # of a first process on another machine, which this one does not know
    workers.publish_code_hash()
    workers.check_same_seqlab()
    monkeypatch.setattr(workers, "seqlab_hash", lambda: "edited since")
    with pytest.raises(InputError, match="start the command again"):
        workers.check_same_seqlab()


def test_what_no_run_imports_is_not_imported_for_them():
    names = process.modules()
    assert "seqlab.run.training" in names and "seqlab.nn.engine.scan.trace" in names
    assert not [name for name in names if name.startswith(("seqlab.bench", "seqlab.cli", "seqlab.commands"))]
    looked = "import sys; from seqlab.run import process; process.modules(); print('seqlab.testing' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", looked], capture_output=True, text=True).stdout == "False\n"
