"""What a search leaves beside its runs for reports: a line of JSON for the study, with all of its trials."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from seqlab.errors import InputError
from seqlab.files import write_atomically

NAME: Final = "search.json"
"""The file's name in the folder of a sweep."""

RANDOM: Final = "RandomSampler"
"""The sampler whose trials are independent draws from one distribution."""


@dataclass(frozen=True)
class Trial:
    """A trial of a search.

    Attributes:
        number: its number in the study, from 0.
        state: ``complete``, ``pruned``, ``fail``, ``running`` (or cut short) or ``waiting``.
        value: the judged metric of the run, or of a pruned one at its last rung; None where there is none.
        sampler: the class that drew it; ``queued`` where somebody chose its values.
        space: how each key was drawn.
        params: the values.
        run: the name of its run's folder; empty where it has none.
    """

    number: int
    state: str
    value: float | None = None
    sampler: str = ""
    space: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    run: str = ""


@dataclass(frozen=True)
class SearchRecord:
    """A search.

    Attributes:
        study: the name of the study.
        metric: the judged metric.
        mode: ``min`` or ``max``: which values of it are better.
        trials: all trials of the study.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> SearchRecord("s", "val/loss", "min", [Trial(0, "complete", 1.5, RANDOM)]).write(Path(folder.name))
        >>> read_search(Path(folder.name)).trials[0].value
        1.5
        >>> folder.cleanup()
    """

    study: str
    metric: str
    mode: str
    trials: Sequence[Trial]

    def write(self, folder: Path) -> None:
        """Writes the file into the folder of a sweep, in one step."""
        content = asdict(self)
        for row in content["trials"]:  # JSON has no number that is not finite
            if row["value"] is not None and not math.isfinite(row["value"]):
                row["value"] = str(row["value"])
        write_atomically(folder / NAME, (json.dumps(content, indent=1) + "\n").encode())


def read_search(folder: Path) -> SearchRecord:
    """Reads what a search has left in the folder of its sweep.

    Raises:
        InputError: there is no search, or its file is damaged.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_bytes())
        trials = [
            Trial(**{**row, "value": None if row["value"] is None else float(row["value"])})
            for row in content.pop("trials")
        ]
        return SearchRecord(**content, trials=trials)
    except OSError:
        raise InputError(
            f"{folder} holds no search: there is no {NAME} in it; expected the folder of a sweep by sweep=optuna"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InputError(f"{path} can't be read; the command of the search writes it again") from None
