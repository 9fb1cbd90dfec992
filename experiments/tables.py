"""What studies share beside ``command.py``: figures with their spread, and a README's table between its two marks.

A study in a folder of its own finds this module as it finds ``command.py``.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path

from seqlab.files import write_atomically


def with_table(text: str, content: str, name: str = "table") -> str:
    """A text with what stands between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->`` replaced.

    Raises:
        SystemExit: a marker is missing, or they are in another order: all behind the place would be lost.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"README.md: expected the markers {begin} and {end}, in that order; put them back")
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


def write_table(lines: Sequence[str], output: Path, template: Path, name: str = "table") -> None:
    """Prints a table, and writes it into ``output``, which begins as the ``template`` where it is not there yet."""
    print("\n".join(lines))
    text = (output if output.exists() else template).read_text()
    write_atomically(output, with_table(text, "\n".join(lines), name).encode())


def spread(values: Sequence[float], style: str = ".3f") -> str:
    """The mean and the sample standard deviation of values, as ``2.10 ± 0.04``; ``not run`` where there are none."""
    if not values:
        return "not run"
    mean = format(statistics.mean(values), style)
    return f"{mean} ± {statistics.stdev(values):.2g}" if len(values) > 1 else mean
