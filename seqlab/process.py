"""``python -m seqlab.process train RUN_DIR`` is a run's own process, ``dry_run FOLDER`` that which measures jobs."""

import sys

from seqlab.imports import quick_imports


def main(argv: list[str]) -> int:
    """Runs one of the programs that need a process of their own; returns its exit code."""
    program, *arguments = argv
    with quick_imports():
        if program == "train":
            from seqlab.train import main as run
        else:
            from seqlab.dry_run import main as run
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
