"""A process of its own: ``python -m seqlab.run.process train RUN_DIR`` for a run, ``dry_run FILE`` to estimate.

:mod:`seqlab.run.server` calls :func:`preload` once and then :func:`main` in each process that it forks.
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

# What a run imports on its way, beside what seqlab's modules import themselves. No library that starts a thread may
# stand here (`datasets` does, by pyarrow), nor one that most runs do without, for its memory counts as each run's.
_LIBRARIES: Final = (
    "faulthandler",
    "matplotlib.backends.backend_agg",
    "tensorboard.plugins.hparams.api_pb2",
    "tokenizers",
    "torch._inductor.compile_fx",
    "torch.utils.tensorboard",
)
_OTHERS: Final = ("seqlab.bench", "seqlab.cli", "seqlab.commands", "seqlab.testing")  # no run imports them
_THREADS: Final = ("MKL_NUM_THREADS", "OMP_NUM_THREADS")

_loaded_with: dict[str, str | None] | None = None  # of _THREADS, where the libraries were loaded before main()


def preload() -> None:
    """Imports all that a run may import of seqlab, so that an edit meanwhile changes no part of it, and most of the
    libraries."""
    global _loaded_with
    seqlab_git(), seqlab_hash()  # of what is imported now, for all of them
    _loaded_with = {name: os.environ.get(name) for name in _THREADS}
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
    return list(_below("seqlab", seqlab.__path__))


def _below(package: str, paths: Iterable[str]) -> Iterator[str]:
    """The modules of a package, found without importing it, as ``pkgutil.walk_packages`` would."""
    for found in pkgutil.iter_modules(paths, f"{package}."):
        if found.name.startswith(_OTHERS):
            continue
        yield found.name
        if found.ispkg:
            name = found.name.rpartition(".")[2]
            yield from _below(found.name, [os.path.join(path, name) for path in paths])


def main(argv: list[str]) -> int:
    """Runs one of the programs that need a process of their own; returns its exit code."""
    program, *arguments = argv
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while it imports, a Ctrl-C ends it as any other signal does
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # which its supervisor has blocked
    put_user_folders_last()
    print_any_text()
    with quick_imports():
        if program == "train":
            from seqlab.run.training import main as run
        else:
            from seqlab.sweep.dry_run import main as run
    _set_threads()
    return run(arguments)


def _set_threads() -> None:
    """Heeds the environment of a process that was forked: OpenMP and MKL read it when they are loaded."""
    if _loaded_with is None or all(os.environ.get(name) == value for name, value in _loaded_with.items()):
        return
    import torch

    given = next((os.environ[name] for name in _THREADS if name in os.environ), "")
    torch.set_num_threads(int(given) if given.isdecimal() and int(given) else len(os.sched_getaffinity(0)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
