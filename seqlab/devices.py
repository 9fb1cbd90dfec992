"""Which of a run's processes this is, and which GPU a job may have. Torch is not needed.

One GPU a job, where a machine has several: by locks that the kernel releases when a process ends, however it does.
"""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from seqlab.errors import InputError

_POLL_SECONDS = 0.5
_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")


def is_first_process() -> bool:
    """Whether this is the run's first process, or its only one.

    Lightning, torchrun and Slurm number the processes of a run in the environment; the first keeps its record.
    """
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


def gpus() -> list[str]:
    """The names of this machine's GPUs: those of CUDA_VISIBLE_DEVICES where it is set, else all that nvidia-smi lists.

    Raises:
        InputError: there are none.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        found = [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    else:
        found = _listed()
    if not found:
        where = "nvidia-smi -L lists none" if visible is None else f"CUDA_VISIBLE_DEVICES is {visible!r}"
        raise InputError(f"runtime.gpu_per_job=true, but {where}; on a machine without GPUs leave it false")
    return found


def _listed() -> list[str]:
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"^GPU \d+:.*\(UUID: ([^)]+)\)", done.stdout, flags=re.MULTILINE)


@contextmanager
def own_gpu(wanted: bool, give_up: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """While it lasts, this process and its children see one GPU, which is nobody else's; if it is ``wanted`` at all.

    Raises:
        InputError: there is no GPU.
    """
    if not wanted:
        yield
        return
    with one_gpu(give_up) as name:
        before = os.environ.get("CUDA_VISIBLE_DEVICES")
        if name is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = name
        try:
            yield
        finally:
            if before is None:
                os.environ.pop("CUDA_VISIBLE_DEVICES", None)
            else:
                os.environ["CUDA_VISIBLE_DEVICES"] = before


@contextmanager
def one_gpu(give_up: Callable[[], bool] = lambda: False) -> Iterator[str | None]:
    """Waits for a GPU that no other job of this user has, and keeps it; None once ``give_up`` says so.

    It knows of jobs that ask in the same way alone, and takes ``0`` of CUDA_VISIBLE_DEVICES and the same GPU's UUID for
    two.

    Raises:
        InputError: there is no GPU.
    """
    folder = Path(tempfile.gettempdir(), f"seqlab-gpus-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    names = gpus()
    while not give_up():
        for name in names:
            lock = FileLock(folder / (re.sub(r"[^\w-]", "_", name) + ".lock"))
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                yield name
            finally:
                lock.release()
            return
        time.sleep(_POLL_SECONDS)
    yield None
