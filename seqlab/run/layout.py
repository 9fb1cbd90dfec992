"""The names of the files in a run's folder. Torch is not needed."""

from pathlib import Path
from typing import Final

EVENTS_NAME: Final = "events.jsonl"
"""What happened to the run, one JSON object a line: the truth about its state."""

RECORD_NAME: Final = "run.json"
"""The record for readers, made from the events; never read back to decide anything."""

REPLACEMENT: Final = ".replacement"
"""The subfolder in which a new run trains until it completes and replaces the run of the folder."""

CODE_COPIES: Final = "code"
"""The subfolder with copies of the user's own modules; nothing in it is ever executed."""

CHECKPOINT_NAMES: Final = ("last.ckpt", "previous.ckpt", "best.ckpt")
"""The files in the subfolder ``checkpoints``."""

OUTPUT_NAME: Final = "output.log"
"""What a job printed that ran at the same time as others."""

CRASH_NAME: Final = ".crash.txt"
"""Where Python's stack is written when the run's process crashes."""


def checkpoint_folder(run_dir: Path) -> Path:
    """The folder of a run's checkpoints."""
    return run_dir / "checkpoints"
