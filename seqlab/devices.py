"""The rank of this process in its run, and the one GPU of a job. Torch is not needed.

A job holds its GPU by a lock, which the kernel releases when the process ends, for whatever reason.
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
    """Whether this process has rank 0 in its run: it alone writes the record.

    Lightning, torchrun and Slurm set the ranks in the environment.
    """
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


def gpus() -> list[str]:
    """The GPUs of this machine: those of CUDA_VISIBLE_DEVICES if it is set, else all that nvidia-smi lists.

    Raises:
        InputError: there is no GPU.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    else:
        names = _uuids()
    if not names:
        where = "nvidia-smi -L lists none" if visible is None else f"CUDA_VISIBLE_DEVICES is {visible!r}"
        raise InputError(f"runtime.gpu_per_job=true, but {where}; on a machine without GPUs leave it false")
    return names


def _uuids() -> list[str]:
    """The UUIDs of the GPUs that nvidia-smi lists."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"^GPU \d+:.*\(UUID: ([^)]+)\)", done.stdout, flags=re.MULTILINE)


@contextmanager
def own_gpu(give_up: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Within it, this process and its children see one GPU, which no other job of this user has.

    Args:
        give_up: asked while the job waits for a GPU; true ends the wait, and the job sees all GPUs.

    Raises:
        InputError: there is no GPU.
    """
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
    """Waits for a GPU that no other job of this user has, and holds it; None once ``give_up`` is true.

    Only jobs that take a GPU by this function are seen. A GPU's number in CUDA_VISIBLE_DEVICES and its UUID count as
    two GPUs.

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
