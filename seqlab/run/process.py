"""A process of its own: ``python -m seqlab.run.process train RUN_DIR`` for a run, ``dry_run FOLDER`` to estimate."""

import sys

from seqlab.imports import put_user_folders_last, quick_imports


def main(argv: list[str]) -> int:
    """Runs one of the programs that need a process of their own; returns its exit code."""
    put_user_folders_last()
    program, *arguments = argv
    with quick_imports():
        if program == "train":
            from seqlab.run.training import main as run
        else:
            from seqlab.sweep.dry_run import main as run
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
