"""Settings of PyTorch and of the process that trains: threads, precision, memory and warnings."""

import contextlib
import ctypes
import logging
import os
import resource
import sys
import warnings
from collections.abc import Iterator
from typing import Final

import torch
from lightning.pytorch.utilities.seed import isolate_rng

from seqlab.config import build

_SEED_VARIABLES: Final = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")  # Lightning's

log = logging.getLogger("seqlab")


def prepare_process(config: build.Config) -> None:
    """Sets threads, TF32, determinism and the allocator as the section ``runtime`` of the configuration says."""
    runtime = config["runtime"]
    if runtime["num_threads"] is not None:
        torch.set_num_threads(int(runtime["num_threads"]))
    torch.set_float32_matmul_precision("high" if runtime["tf32"] else "highest")
    torch.backends.cudnn.allow_tf32 = bool(runtime["tf32"])
    torch.use_deterministic_algorithms(bool(runtime["deterministic"]))
    if runtime["keep_freed_memory"]:
        keep_freed_memory()


@contextlib.contextmanager
def settings_put_back() -> Iterator[None]:
    """Puts back, after the block, what a run sets in its process: random states, threads, TF32 and determinism.

    The allocator keeps its buffers: glibc does not tell what it did before.
    """
    random_states = isolate_rng(include_cuda=torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    tf32 = torch.backends.cudnn.allow_tf32
    is_deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    variables = {name: os.environ.get(name) for name in _SEED_VARIABLES}
    random_states.__enter__()
    try:
        yield
    finally:
        random_states.__exit__(None, None, None)  # not by a with: after an error it would put nothing back
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = tf32
        torch.use_deterministic_algorithms(is_deterministic, warn_only=warn_only)
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def keep_freed_memory() -> bool:
    """Makes glibc keep freed buffers instead of returning them to the kernel; False where there is no glibc.

    A training step frees and requests the same large buffers again and again. Each time they come from the kernel, it
    maps fresh pages and zeroes them.
    """
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        log.info("runtime.keep_freed_memory has no effect: no glibc on this system")
        return False
    return bool(mallopt(mmap_threshold, 1 << 30) and mallopt(trim_threshold, 2**31 - 1))


def peak_memory() -> int:
    """The most memory that this process has used, in bytes: of the GPU if there is one, else of the machine.

    A forked process begins with its parent's memory, except for pages of files that it has not touched itself.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def ignore_foreign_warnings() -> None:
    """Silences warnings of Lightning and MLflow, each by its text, which the user can do nothing about."""
    # Lightning 2.6 on torch 2.13 itself uses a deprecated pytree class.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    # Training metrics are logged by the step, however long an epoch is.
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging interval")
    # MLflow 3.17's store on SQLAlchemy 2.1.
    warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
    # Our metrics add up the sums of all devices themselves before they are logged.
    warnings.filterwarnings("ignore", message="It is recommended to use `self.log.*sync_dist=True")
