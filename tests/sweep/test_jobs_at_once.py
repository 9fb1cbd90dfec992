"""Jobs at once, without running any: how many, with how many threads and which GPU, and what is said of it."""

import json
import multiprocessing
import os
import sys
import time

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from seqlab import cli, devices
from seqlab.commands import train as launch
from seqlab.config.hash import config_hash
from seqlab.errors import InputError
from seqlab.run.record import RunRecord
from seqlab.sweep import jobs, launchers


def config_of(launcher: str, threads=None, **settings):
    given = {"launcher": {"_target_": f"plugin.{launcher}", **settings}, "sweeper": {}}
    return OmegaConf.create({"hydra": given, "runtime": {"num_threads": threads}})


RAY = {"ray": {"init": {"num_cpus": 4, "address": None}, "remote": {"num_cpus": 2}}}


@pytest.mark.parametrize(
    ("launcher", "settings", "jobs", "at_once", "threads"),
    [
        ("BasicLauncher", {}, 6, 1, None),
        ("JoblibLauncher", {"n_jobs": 2}, 6, 2, 4),
        ("JoblibLauncher", {"n_jobs": -1}, 100, 8, 1),
        ("JoblibLauncher", {"n_jobs": -1}, 3, 3, 2),
        ("JoblibLauncher", {"n_jobs": 16}, None, 16, 1),
        ("RayLauncher", RAY, 6, 2, 2),
        ("LocalLauncher", {"cpus_per_task": None}, 6, 6, 1),
        ("LocalLauncher", {"cpus_per_task": 3}, 6, 6, 3),
        ("SlurmLauncher", {"cpus_per_task": 4}, 6, None, 4),
        ("AnotherLauncher", {}, 6, None, None),
    ],
)
def test_jobs_share_the_cores_out(monkeypatch, launcher, settings, jobs, at_once, threads):
    monkeypatch.setattr(launchers, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    config = config_of(launcher, **settings)
    assert launchers.jobs_at_once(config, jobs) == at_once
    assert launchers.threads_of_a_job(config, at_once) == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert launchers.threads_of_a_job(config, at_once) is None  # the user's own word stays


def test_optuna_hands_out_a_batch_at_a_time(monkeypatch):
    monkeypatch.setattr(launchers, "cores", lambda: 8)
    config = config_of("JoblibLauncher", n_jobs=-1)
    config.hydra.sweeper.n_jobs = 2
    assert launchers.jobs_at_once(config, 20) == 2


def test_threads_that_will_fight_are_pointed_out(monkeypatch):
    monkeypatch.setattr(launchers, "cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    told = launchers.announce(config_of("JoblibLauncher", 2, n_jobs=4), 4, 1)
    assert "4 jobs at once by joblib, threads of each: 2" in told[0]
    assert "they will fight over 4 cores; runtime.num_threads=1 would not" in told
    assert not any("fight" in line for line in launchers.announce(config_of("JoblibLauncher", 1, n_jobs=4), 4, 1))
    assert launchers.announce(config_of("BasicLauncher", 8), 1, None) == []


@pytest.mark.parametrize(
    ("seconds", "to_go", "elapsed", "at_once", "left"),
    [
        ([8.0], 11, 8.0, 2, 40.0),  # two at once: the second ends now as well, five rounds are left
        ([8.0] * 11, 1, 48.0, 2, 0.0),
        ([8.0] * 3, 9, 24.0, 1, 72.0),
        ([100.0] * 4, 4, 100.0, None, 100.0),
    ],
)
def test_the_time_left_knows_how_many_jobs_run_at_once(seconds, to_go, elapsed, at_once, left):
    assert jobs.time_left(seconds, to_go, elapsed, at_once) == pytest.approx(left)


def begin(monkeypatch, **how):
    found = {"started": time.time(), "jobs": 3, "at_once": 2, "process": None, "threads": None, **how}
    monkeypatch.setenv("SEQLAB_SWEEP", json.dumps(found))


def job(folder, name, *, value=None, error=None):
    run_dir = folder / name
    (run_dir / ".hydra").mkdir(parents=True, exist_ok=True)
    (run_dir / ".hydra" / "overrides.yaml").write_text("")
    record = RunRecord.start(run_dir, {"seed": 1}, [], 1)
    record.fail(error) if error else record.complete({"val/loss": value})
    return run_dir


def test_progress_counts_jobs_that_were_noted_to_have_ended(tmp_path, monkeypatch):
    """A record of an earlier sweep, and one whose supervisor has not spoken yet, are of jobs under way."""
    old = job(tmp_path, "seed=1-0", error="broken")
    time.sleep(0.02)
    begin(monkeypatch)
    (old / ".hydra" / "overrides.yaml").write_text("")  # this sweep has come to it
    job(tmp_path, "seed=3-0", value=1.0)
    done = job(tmp_path, "seed=2-0", value=2.0)
    jobs.note_ending(done, 1, seconds=60.0, code=0)
    told = jobs.progress(tmp_path, done, "val/loss", "min")
    assert told == "completed  val/loss 2  the best so far  2 to go, about 2 min"


def test_a_sweep_is_over_for_jobs_that_have_not_begun(tmp_path, monkeypatch):
    begin(monkeypatch)
    failed = job(tmp_path, "seed=1-0", error="broken")
    assert not jobs.is_over(tmp_path, True)  # it may be of an earlier sweep
    jobs.note_ending(failed, 0, code=1)
    assert jobs.is_over(tmp_path, True) and not jobs.is_over(tmp_path, False)
    left = tmp_path / "seed=2-0"
    (left / ".hydra").mkdir(parents=True)
    (left / ".hydra" / "overrides.yaml").write_text("")
    jobs.pass_over(left, 1)
    assert not left.exists()
    begin(monkeypatch)
    assert not jobs.is_over(tmp_path, True)  # the next sweep begins anew


def test_a_job_notices_that_the_sweep_is_gone(monkeypatch):
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    child.start()
    from seqlab.run.provenance import process_started, this_process

    process = {**this_process(), "pid": child.pid, "started": process_started(child.pid)}
    begin(monkeypatch, process=process)
    assert jobs.apart() and not jobs.abandoned()
    child.kill()
    child.join()
    assert jobs.abandoned()
    begin(monkeypatch, process={**process, "host": "elsewhere"})
    assert jobs.apart() and not jobs.abandoned()  # nobody here can tell
    begin(monkeypatch, process=this_process())
    assert not jobs.apart()


@pytest.fixture
def locks(tmp_path, monkeypatch):
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(devices, "_POLL_SECONDS", 0.01)
    return tmp_path


def _hold(folder, ready):
    devices.tempfile.gettempdir = lambda: folder
    os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"
    with devices.one_gpu() as name:
        ready.put(name)
        time.sleep(60)


def test_a_gpu_belongs_to_one_job_until_its_process_ends_however_it_does(locks, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    context = multiprocessing.get_context("spawn")
    ready = context.Queue()
    holder = context.Process(target=_hold, args=(str(locks), ready))
    holder.start()
    assert ready.get(timeout=60) == "0"
    with devices.own_gpu(True):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"  # what a child of this process sees
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
        waited = iter([False, False, True])
        with devices.one_gpu(give_up=lambda: next(waited)) as third:
            assert third is None
        holder.kill()
        holder.join()
        with devices.one_gpu() as freed:
            assert freed == "0"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_all_gpus_of_the_machine_serve_where_none_are_named(locks, monkeypatch, tmp_path):
    listing = "GPU 0: Card (UUID: GPU-aa-1)\n  MIG 1g Device 0: (UUID: MIG-bb)\nGPU 1: Card (UUID: GPU-cc-2)\n"
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\nprintf '{listing}'\n")
    command.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert devices.gpus() == ["GPU-aa-1", "GPU-cc-2"]
    with devices.own_gpu(True):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-aa-1"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    command.write_text("#!/bin/sh\nexit 9\n")
    with pytest.raises(InputError, match=r"runtime\.gpu_per_job=true, but nvidia-smi -L lists none"):
        devices.gpus()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(InputError, match="CUDA_VISIBLE_DEVICES is ''"):
        devices.gpus()


def test_where_a_job_runs_is_no_part_of_its_configuration():
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        plain = OmegaConf.to_container(compose("train"), resolve=True)
        spread_out = OmegaConf.to_container(compose("train", overrides=["runtime.gpu_per_job=true"]), resolve=True)
    assert config_hash(plain) == config_hash(spread_out)


@pytest.mark.parametrize("group", ["hydra/launcher", "hydra/sweeper"])
def test_an_extra_that_is_missing_is_named(monkeypatch, capfd, group):
    monkeypatch.setitem(launchers.EXTRAS, group, {"absent": "extra"})
    assert cli.main(["train", "-m", "experiment=hello", "seed=1,2", f"{group}=absent"]) == 2
    mend = f"seqlab: {group}=absent is not installed; it comes with: pip install 'seqlab[extra]'\n"
    assert capfd.readouterr().err == mend


def test_a_run_that_a_job_of_a_sweep_starts_is_no_job_of_it(tmp_path, monkeypatch, capfd):
    other = {"started": 1.0, "process": {"pid": 1, "host": "elsewhere", "started": 0.0}}
    monkeypatch.setenv(jobs.VARIABLE, json.dumps(other))
    assert jobs.apart()
    monkeypatch.setattr(launch, "_supervise", lambda run_dir, *_: int(jobs.apart()))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.chdir(tmp_path)
    assert launch.train(["experiment=hello", "hydra.run.dir=run"]) == 0
