"""Jobs at once, without running any: how many, with how many threads and which GPU, and what is said of it."""

import multiprocessing
import os
import pickle
import time
from pathlib import Path
from unittest.mock import Mock

import cloudpickle
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from seqlab import cli, devices
from seqlab.config.hash import config_hash
from seqlab.errors import InputError
from seqlab.run.folder import start_run
from seqlab.run.provenance import process_started, this_process
from seqlab.sweep import launchers
from seqlab.sweep.sweep import Sweep


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


def sweep_of(folder: Path, *overrides: str) -> Sweep:
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        given = ["experiment=hello", f"hydra.sweep.dir={folder}", *overrides]
        return Sweep(compose("train", overrides=given, return_hydra_config=True))


def test_a_job_in_another_process_knows_of_its_sweep_what_it_needs(tmp_path):
    sweep = sweep_of(tmp_path, "launcher=joblib", "hydra.launcher.n_jobs=2")
    sweep.start_watching()
    copy = pickle.loads(cloudpickle.dumps(sweep))
    sweep.stop_watching()
    for copied in (copy, pickle.loads(pickle.dumps(copy))):  # Ray's workers hand it on
        assert copied.folder == sweep.folder and copied.label(1) == sweep.label(1)
        assert not copied.is_worker() and copied.environment() == {}
        copied._command = {**copied._command, "pid": 1}
        assert copied.is_worker()
    copy._command = {**copy._command, "pid": 1}
    copy.note("start", 0, "seed=1-0")
    copy.note("end", 0, "seed=1-0", status="completed", seconds=1.0)
    sweep.read_log()
    assert sweep.progress.all_done and sweep.finish() == 0
    assert not sweep.log.folder.exists()


def test_a_sweep_that_is_over_begins_no_job(tmp_path):
    sweep = sweep_of(tmp_path, "fail_fast=true", "launcher=joblib")
    sweep.start_watching()
    job = pickle.loads(cloudpickle.dumps(sweep))
    parent = os.getppid()
    job._command = {**job._command, "pid": parent, "started": process_started(parent)}
    job.note("start", 0, "seed=1-0")
    assert not job.is_over()
    job.note("end", 0, "seed=1-0", status="failed", error="broken")
    assert job.is_over()  # at once, for the process that says so is free now
    sweep.read_log()
    sweep.stop_watching()
    assert job.is_over() and not sweep_of(tmp_path).is_over()  # the next sweep begins anew


def test_without_fail_fast_a_sweep_goes_on_after_a_failure(tmp_path):
    sweep = sweep_of(tmp_path)
    sweep.note("end", 0, "seed=1-0", status="failed", error="broken")
    assert not sweep.is_over() and sweep.progress.has_failure
    assert not list(tmp_path.glob(".*"))  # jobs one after another need no log


def test_a_job_whose_process_was_lost_is_told_by_its_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("seqlab.sweep.sweep._GRACE_SECONDS", 0.0)
    sweep = sweep_of(tmp_path, "logger=none")
    for number, name in enumerate(("a", "b", "c", "d")):
        sweep.note("start", number, name)
    with start_run(tmp_path / "a", {"seed": 1}) as claim:
        claim.complete({"val/loss": 2.5})
    with start_run(tmp_path / "b", {"seed": 2}) as claim:
        claim.fail("broken")
    with start_run(tmp_path / "d", {"seed": 4}):
        assert sweep.finish() == 1
    out = capsys.readouterr().out
    assert "1 completed, 2 failed, 1 running" in out
    assert "] completed  val/loss 2.5  the best so far" in out
    assert f"failed: {tmp_path}/b: broken" in out and f"failed: {tmp_path}/c: its process is gone" in out


def test_a_sweep_without_a_run_offers_no_report(tmp_path, capsys):
    sweep = sweep_of(tmp_path)  # of which the launcher could begin no job
    sweep.finish()
    out, err = capsys.readouterr()
    assert "no job was begun" in out and "seqlab report" not in out and not err
    with start_run(tmp_path / "a", {"seed": 1}) as claim:
        claim.complete({"val/loss": 2.5})
    sweep.finish()
    assert f"seqlab report {tmp_path}" in capsys.readouterr().out


def test_a_job_that_another_command_is_at_work_in_is_not_waited_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("seqlab.sweep.sweep.time.sleep", Mock(side_effect=AssertionError("it waits")))
    sweep = sweep_of(tmp_path, "logger=none")
    with start_run(tmp_path / "a", {"seed": 1}):
        sweep.note("start", 0, "a")
        sweep.note("end", 0, "a", status="running", is_quiet=True)
        assert sweep.finish() == 1
    assert "1 running" in capsys.readouterr().out


def test_what_cannot_be_told_ends_no_job(tmp_path, capsys):
    sweep = sweep_of(tmp_path)
    sweep._command = {**sweep._command, "pid": os.getppid()}
    sweep.note("end", 0, "seed=1-0", status="completed")  # the log is gone
    assert "its end could not be noted: " in capsys.readouterr().err


def test_a_job_notices_that_the_sweep_is_gone(tmp_path):
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    child.start()
    process = {**this_process(), "pid": child.pid, "started": process_started(child.pid)}
    sweep = sweep_of(tmp_path)
    sweep.log.create()
    assert not sweep.is_worker() and not sweep.is_abandoned()
    sweep._command = process
    assert sweep.is_worker() and not sweep.is_abandoned() and not sweep.is_over()
    child.kill()
    child.join()
    assert sweep.is_abandoned() and sweep.is_over()
    sweep._command = {**process, "boot": "elsewhere"}
    assert sweep.is_worker() and not sweep.is_abandoned()  # nobody here can tell


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
    with devices.own_gpu():
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
    with devices.own_gpu():
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
