"""What a launcher means for the jobs of a sweep: in which processes they run, how many at once, with how many threads.

Torch is not needed, and no launcher except the one in use.
"""

import os
from typing import Any, Final

from omegaconf import DictConfig, OmegaConf, open_dict

from seqlab.config.trust import ALLOW_VARIABLE
from seqlab.imports import keep_user_folders_last

BASIC: Final = {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}
"""Hydra's own launcher: one job after another, in this process."""

EXTRAS: Final = {
    "hydra/launcher": {
        "joblib": "joblib",
        "ray": "ray",
        "submitit_local": "submitit",
        "submitit_slurm": "submitit",
    },
}
"""The extra of this package that installs a launcher, by Hydra's group and name."""

_KINDS: Final = {
    "BasicLauncher": "basic",
    "JoblibLauncher": "joblib",
    "RayLauncher": "ray",
    "LocalLauncher": "submitit_local",
    "SlurmLauncher": "submitit_slurm",
}


def kind_of(config: DictConfig) -> str:
    """The launcher's name in Hydra's group; the name of its class if it is unknown here."""
    name = str(config.hydra.launcher.get("_target_")).rpartition(".")[2]
    return _KINDS.get(name, name)


def forks(config: DictConfig) -> bool:
    """Whether the processes of jobs are forked from a warm server. Submitit starts each job on its own."""
    return kind_of(config) in ("basic", "joblib", "ray")


def jobs_at_once(config: DictConfig, jobs: int | None) -> int | None:
    """How many of a sweep's ``jobs`` (None: unknown) run at the same time; None: the cluster decides."""
    kind, launcher = kind_of(config), config.hydra.launcher
    batch = config.hydra.sweeper.get("n_jobs")  # a search hands out this many jobs, and waits for all of them
    most = min(limit for limit in (jobs, batch, 1 << 30) if limit is not None)
    if kind == "basic":
        return 1
    if kind == "joblib":
        workers = int(launcher.n_jobs)
        return max(1, min(most, workers if workers > 0 else cores() + 1 + workers))
    if kind == "ray" and not launcher.ray.init.get("address"):
        cluster = launcher.ray.init.get("num_cpus") or cores()
        return max(1, min(most, int(cluster // (launcher.ray.remote.get("num_cpus") or 1))))
    if kind == "submitit_local":
        return most
    return None


def threads_of_a_job(config: DictConfig, at_once: int | None) -> int | None:
    """The number of threads of a job that shares its machine with others; None: PyTorch or the user decides.

    Jobs that each have as many threads as there are cores are many times slower at the same time than one by one.
    """
    kind, launcher = kind_of(config), config.hydra.launcher
    if kind == "basic" or "OMP_NUM_THREADS" in os.environ:
        return None
    if kind == "ray":
        return max(1, int(launcher.ray.remote.get("num_cpus") or 1))
    if launcher.get("cpus_per_task"):
        return int(launcher.cpus_per_task)
    return max(1, cores() // at_once) if at_once else None


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def announce(config: DictConfig, at_once: int | None, threads: int | None) -> list[str]:
    """The lines that are printed before jobs start that run at the same time; none for jobs one by one."""
    if kind_of(config) == "basic":
        return []
    user_threads = config.runtime.num_threads or os.environ.get("OMP_NUM_THREADS")
    several = "jobs" if at_once is None else "1 job" if at_once == 1 else f"{at_once} jobs"
    each = user_threads or threads
    lines = [f"{several} at once by {kind_of(config)}" + (f", threads of each: {each}" if each else "")]
    if not user_threads:
        lines[0] += " (runtime.num_threads=1 trains the same to the last digit, however many run at once)"
    if at_once and user_threads and at_once > 1 and at_once * int(user_threads) > cores():
        fair = max(1, cores() // at_once)
        lines.append(f"they will fight over {cores()} cores; runtime.num_threads={fair} would not")
    lines.append("each job prints into output.log in its folder; here, a line says how each has ended")
    return lines


def start_ray(config: DictConfig) -> None:
    """Starts Ray or joins a running cluster, as its launcher would do with the first job."""
    import ray

    settings: Any = OmegaConf.to_container(config.hydra.launcher.ray.init, resolve=True)
    if not ray.is_initialized():
        ray.init(**settings)


def carry_environment(config: DictConfig, names: tuple[str, ...]) -> None:
    """Passes variables to the workers of a Ray cluster that was running before, which lack this environment."""
    if kind_of(config) != "ray":
        return
    carried: dict[str, Any] = {name: os.environ[name] for name in (*names, ALLOW_VARIABLE) if name in os.environ}
    init = config.hydra.launcher.ray.init
    runtime_env = init.get("runtime_env") or {}
    with open_dict(init):
        init["runtime_env"] = {
            # With its first task, Ray puts the working folder first on a worker's path; the hook puts it last again.
            "worker_process_setup_hook": f"{keep_user_folders_last.__module__}.{keep_user_folders_last.__name__}",
            **runtime_env,
            "env_vars": {**carried, **(runtime_env.get("env_vars") or {})},
        }
