"""The program of a run's own process: ``python -m seqlab.run.process train RUN_DIR``, ``dry_run FILE`` or
``check_parts FILE``.

:mod:`seqlab.run.forks.server` calls :func:`preload` once and then :func:`main` in each process that it forks.
"""

import importlib
import os
import pkgutil
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Final

import seqlab
from seqlab.imports import put_user_folders_last, quick_imports
from seqlab.run.provenance import seqlab_git, seqlab_hash
from seqlab.streams import print_any_text

# Libraries that a run imports late, beyond what seqlab's modules import. No library that starts a thread may be listed
# (`datasets` does, through pyarrow), nor one that most runs do not need: its memory would count for each run.
_LIBRARIES: Final = (
    "faulthandler",
    "matplotlib.backends.backend_agg",
    "tensorboard.plugins.hparams.api_pb2",
    "tokenizers",
    "torch._inductor.compile_fx",
    "torch.utils.tensorboard",
)
_NOT_FOR_RUNS: Final = ("seqlab.bench", "seqlab.cli", "seqlab.commands", "seqlab.testing")
_THREADS: Final = ("MKL_NUM_THREADS", "OMP_NUM_THREADS")

_preload_threads: dict[str, str | None] | None = None  # the variables of _THREADS when preload() was called


def preload() -> None:
    """Imports all modules of seqlab that a run may import, and most libraries.

    All runs that are forked later have this code, even if seqlab's files are edited meanwhile.
    """
    global _preload_threads
    seqlab_git(), seqlab_hash()  # they are cached, and belong to the code that is imported now
    _preload_threads = {name: os.environ.get(name) for name in _THREADS}
    with quick_imports():
        for name in modules():
            importlib.import_module(name)
        for name in _LIBRARIES:
            importlib.import_module(name)
    from seqlab.nn.engine.scan.cpp import KERNEL_TEXTS, kernel_text

    for name in KERNEL_TEXTS:
        kernel_text(name)


def modules() -> list[str]:
    """The modules of seqlab that a run may import."""
    return list(_modules_below("seqlab", seqlab.__path__))


def _modules_below(package: str, paths: Iterable[str]) -> Iterator[str]:
    """The modules of a package, without importing it as ``pkgutil.walk_packages`` would."""
    for module in pkgutil.iter_modules(paths, f"{package}."):
        if module.name.startswith(_NOT_FOR_RUNS):
            continue
        yield module.name
        if module.ispkg:
            name = module.name.rpartition(".")[2]
            yield from _modules_below(module.name, [os.path.join(path, name) for path in paths])


def main(argv: list[str]) -> int:
    """Runs the program ``train``, ``dry_run`` or ``check_parts``; returns the exit code."""
    program, *arguments = argv
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # during the imports, Ctrl-C ends this process like any other signal
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # the supervisor has blocked it
    put_user_folders_last()
    print_any_text()
    with quick_imports():
        if program == "train":
            from seqlab.run.training_process import main as run
        elif program == "check_parts":
            from seqlab.sweep.parts import main as run
        else:
            from seqlab.sweep.dry_run import main as run
    _set_threads()
    return run(arguments)


def _set_threads() -> None:
    """Sets the number of threads in a forked process: OpenMP and MKL read the environment only when they are loaded."""
    if _preload_threads is None or all(os.environ.get(name) == value for name, value in _preload_threads.items()):
        return
    import torch

    number = next((os.environ[name] for name in _THREADS if name in os.environ), "")
    torch.set_num_threads(int(number) if number.isdecimal() and int(number) else len(os.sched_getaffinity(0)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
