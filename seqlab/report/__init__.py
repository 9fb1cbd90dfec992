"""``seqlab report``: compare the runs below some folders, from their ``run.json`` files alone.

Nothing heavy is imported before it is needed: rich for a table, matplotlib for a plot, torch never.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from seqlab.atomic import write_atomically
from seqlab.errors import InputError
from seqlab.report.collect import collect
from seqlab.report.formats import FORMATS, WIDTH, as_csv, as_json, as_markdown, as_table
from seqlab.report.summary import Group, Report, summarise

__all__ = ["FORMATS", "Group", "Report", "add_arguments", "compare", "render", "run", "save_plot"]


def compare(
    folders: Iterable[str | os.PathLike[str]], *, by: Sequence[str] | None = None, metric: str | None = None
) -> Report:
    """Read all runs below ``folders`` and group them.

    Args:
        folders: A run, a sweep, or folders with many of them; a run found twice counts once.
        by: Dotted config keys to group by; None takes the keys that tell the runs apart.
        metric: Name of the metric; None takes ``test/perplexity`` if every completed run has it, else the next in line.

    Raises:
        InputError: A folder without a run, a key or metric that no run has.
    """
    runs, copies = collect(folders)
    report = summarise(runs, by, metric)
    if copies:
        report.notes.append(f"Copies of the same run found in other folders: {copies}; each run counts once.")
    return report


def render(report: Report, format: str = "table", *, width: int = WIDTH, color: bool = False) -> str:
    """A report as text, in one of `FORMATS`; ``width`` and ``color`` are for the table.

    Raises:
        InputError: Another format is asked for.
    """
    if format == "table":
        return as_table(report, width=width, color=color)
    writers = {"csv": as_csv, "json": as_json, "markdown": as_markdown}
    if format not in writers:
        raise InputError(f"--format: expected one of {', '.join(FORMATS)}, got {format!r}")
    return writers[format](report)


def save_plot(report: Report, path: str | os.PathLike[str]) -> None:
    """Draw the metric against the first key, a line for each value of the others, into a PNG of 1200 x 750 pixels.

    Raises:
        InputError: Nothing to draw, a name that does not end in ``.png``, or a file that cannot be written.
    """
    from seqlab.report.plot import draw

    if Path(path).suffix.lower() != ".png":
        raise InputError(f"--plot: expected a file name that ends in .png, got {os.fspath(path)!r}")
    _save("--plot", path, draw(report))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``seqlab report``."""
    parser.add_argument("folders", nargs="+", metavar="DIR", help="a run, a sweep, or a folder of several")
    parser.add_argument(
        "--by",
        metavar="KEY[,KEY]",
        help="group by these config keys, such as model.num_layers (default: those that tell the runs apart)",
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="compare this metric (default: test/perplexity, if all completed runs have it)"
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="of what is written (default: table)")
    parser.add_argument("--output", metavar="FILE", help="write the report there; standard output then shows the table")
    parser.add_argument("--plot", metavar="FILE", help="draw a PNG: the metric against the first key")


def run(arguments: argparse.Namespace) -> int:
    """Carry out ``seqlab report`` on parsed arguments; the exit code is 0.

    Raises:
        InputError: As `compare`, `render` and `save_plot` do.
    """
    by = None if arguments.by is None else _split_keys(arguments.by)
    report = compare(arguments.folders, by=by, metric=arguments.metric)
    written = []
    if arguments.output:
        _save("--output", arguments.output, render(report, arguments.format).encode())
        written.append(arguments.output)
    if arguments.plot:
        save_plot(report, arguments.plot)
        written.append(arguments.plot)
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else WIDTH
    shown = "table" if arguments.output else arguments.format
    _print(render(report, shown, width=width, color=terminal and "NO_COLOR" not in os.environ))
    if shown == "csv":
        for note in report.notes:
            print(note, file=sys.stderr)
    for path in written:
        print(f"written: {path}", file=sys.stderr)
    return 0


def _split_keys(text: str) -> list[str]:
    keys = list(dict.fromkeys(key.strip() for key in text.split(",") if key.strip()))
    if not keys:
        raise InputError(f"--by: expected config keys, separated by commas, got {text!r}")
    return keys


def _save(option: str, path: str | os.PathLike[str], content: bytes) -> None:
    target = Path(path)
    if target.exists() and not target.is_file():
        raise InputError(f"{option}: expected the name of a file, got {os.fspath(path)!r}, which is none")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, content)
    except OSError as error:
        raise InputError(f"{option}: cannot write {os.fspath(path)!r} ({error.strerror})") from None


def _print(text: str) -> None:
    """Print, in plain characters where the terminal knows no others."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("±", "+-").replace("─", "-").encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)
