"""Python's stack at a crash of a run's process, which the supervisor notes. Torch is not needed."""

from pathlib import Path
from typing import Final

from seqlab.run.layout import CRASH_NAME

_MAX_LINES: Final = 20


def write_stack_on_crash(run_dir: Path) -> None:
    """From now on, a crash of this process writes Python's stack into the run's folder."""
    import faulthandler

    # Not closed: the handler needs the file as long as the process lives.
    faulthandler.enable(open(run_dir / CRASH_NAME, "w"))  # noqa: SIM115


def crash_stack(run_dir: Path) -> str:
    """What crashed, and the innermost calls of the thread that crashed, each line with its newline; empty if unknown.

    faulthandler lists other threads before that one, the innermost call first, and a list of modules at the end.
    """
    try:
        text = (run_dir / CRASH_NAME).read_text()
    except OSError:
        return ""
    text = text.partition("Extension modules:")[0].strip()
    cause = text.splitlines()[:1]
    _, marker, calls = text.partition("Current thread")
    lines = [*cause, *(marker + calls).splitlines()] if marker else text.splitlines()
    return "".join(f"{line}\n" for line in lines[:_MAX_LINES])


def remove_stack(run_dir: Path) -> None:
    """Removes the file with the stack."""
    (run_dir / CRASH_NAME).unlink(missing_ok=True)
