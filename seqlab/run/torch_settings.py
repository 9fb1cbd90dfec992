"""Settings of PyTorch and of the process that trains: threads, precision, memory and warnings."""

import ctypes
import logging
import resource
import sys
import warnings

import torch

from seqlab.config import build

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
