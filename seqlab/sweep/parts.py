"""Checks the parts of the model and the task that all jobs of a sweep share. :mod:`seqlab.run.process` starts it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from seqlab.config.build import check_parts
from seqlab.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """Checks the configuration in a JSON file; prints a mistake, and then returns 2."""
    (file,) = sys.argv[1:] if argv is None else argv
    try:
        check_parts(json.loads(Path(file).read_text()))
    except InputError as error:
        print(error, flush=True)
        return 2
    return 0
