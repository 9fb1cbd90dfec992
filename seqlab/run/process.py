"""A process of its own: ``python -m seqlab.run.process train RUN_DIR`` for a run, ``dry_run FILE`` to estimate."""

import signal
import sys

from seqlab.imports import put_user_folders_last, quick_imports


def main(argv: list[str]) -> int:
    """Runs one of the programs that need a process of their own; returns its exit code."""
    put_user_folders_last()
    program, *arguments = argv
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while it imports, a Ctrl-C ends it as any other signal does
    with quick_imports():
        if program == "train":
            from seqlab.run.training import main as run
        else:
            from seqlab.sweep.dry_run import main as run
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
