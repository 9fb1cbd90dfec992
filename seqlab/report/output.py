"""The report's functions: they compare runs, and write the comparison as text or pictures."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab.errors import InputError
from seqlab.files import write_atomically
from seqlab.report.collect import collect
from seqlab.report.curves import Curves, read_curves
from seqlab.report.formats import FORMATS, WIDTH, as_csv, as_csv_of_groups, as_json, as_markdown, as_table
from seqlab.report.groups import Report
from seqlab.report.latex import as_latex
from seqlab.report.style import PICTURES, SIZE, as_file
from seqlab.report.summary import summarise


def compare(
    folders: Iterable[str | os.PathLike[str]],
    *,
    by: Sequence[str] | None = None,
    columns: Sequence[str] = (),
    metric: str | None = None,
    baseline: Mapping[str, str] | None = None,
    tune: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
) -> Report:
    """Reads all runs below ``folders`` and groups them.

    Args:
        folders: A run, a sweep, or folders with many of them; a run found twice counts once.
        by: Dotted config keys to group by, a table's rows; None takes the keys that tell the runs apart.
        columns: Further keys to group by; their values become a table's columns.
        metric: Name of the metric; None takes ``test/perplexity`` if every completed run has it, else the next in line.
        baseline: Key to value, as the report shows it, of the group to take differences from; None takes the best.
        tune: Dotted config keys whose values are chosen within each group, on validation: the seeds with which every
            value was started choose, the others judge.
        names: What tables and pictures are to show in place of a key, a value or a metric.

    Raises:
        InputError: A folder has no run, no run has a key or the metric, a key both groups and is tuned, the runs have
            no common metric to tune by, or the baseline is not one group.
    """
    runs, copies = collect(folders)
    report = summarise(runs, by, metric, columns=columns, baseline=baseline, tune=tune)
    report.names = dict(names or {})
    report.has_named_baseline = bool(baseline)
    if copies:
        report.notes.append(f"Copies of the same run found in other folders: {copies}; each run counts once.")
    return report


def render(
    report: Report, format: str = "table", *, width: int = WIDTH, color: bool = False, curves: Curves | None = None
) -> str:
    """A report as text, in one of `FORMATS`.

    Args:
        report: The report.
        format: One of `FORMATS`.
        width: Width of the table, in characters.
        color: Whether the table has colours, for a terminal.
        curves: Learning curves for the page of format ``html``, from `read_curves`.

    Raises:
        InputError: There is no such format.
    """
    if format == "table":
        return as_table(report, width=width, color=color)
    if format == "html":
        from seqlab.report.page import as_html

        return as_html(report, curves)
    writers = {
        "csv": as_csv,
        "csv-groups": as_csv_of_groups,
        "json": as_json,
        "markdown": as_markdown,
        "latex": as_latex,
    }
    if format not in writers:
        raise InputError(f"--format: expected one of {', '.join(FORMATS)}, got {format!r}")
    return writers[format](report)


def save_plot(report: Report, path: str | os.PathLike[str], size: tuple[float, float] = SIZE) -> None:
    """Draws the metric against the first key, with a line for each value of the others.

    Args:
        report: The report.
        path: The file; its name ends in ``.png``, ``.pdf`` or ``.svg``.
        size: Width and height in inches.

    Raises:
        InputError: There is nothing to draw, the name ends otherwise, or the file cannot be written.
    """
    from seqlab.report.plot import draw

    check_picture("--plot", path)
    save_picture("--plot", path, draw(report, size))


def save_curves(
    report: Report, path: str | os.PathLike[str], metric: str | None = None, size: tuple[float, float] = SIZE
) -> Curves:
    """Draws the runs' learning curves, a line with a band for each group.

    Args:
        report: The report; it gets a note about runs without a curve.
        path: The file; its name ends in ``.png``, ``.pdf`` or ``.svg``.
        metric: As in TensorBoard; None takes the report's metric on validation, else ``val/loss``.
        size: Width and height in inches.

    Returns:
        The curves.

    Raises:
        InputError: No run has such a curve, the name ends otherwise, or the file cannot be written.
    """
    from seqlab.report.plot_curves import draw_curves

    check_picture("--curves", path)
    curves = load_curves(report, metric)
    save_picture("--curves", path, draw_curves(report, curves, size))
    return curves


def load_curves(report: Report, metric: str | None = None) -> Curves:
    """`read_curves`; the report gets a note about runs without a curve.

    Raises:
        InputError: No run has such a curve.
    """
    curves = read_curves(report, metric)
    if curves.note and curves.note not in report.notes:
        report.notes.append(curves.note)
    return curves


def save_text(option: str, path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file in one step, and makes its folder.

    Raises:
        InputError: The file cannot be written; the line names the option.
    """
    _save(option, path, text.encode())


def check_picture(option: str, path: str | os.PathLike[str]) -> None:
    """Refuses a picture's file name that ends in none of `PICTURES`."""
    if _picture_format(path) not in PICTURES:
        endings = ", ".join(f".{format}" for format in PICTURES)
        raise InputError(f"{option}: expected a file name that ends in one of {endings}, got {os.fspath(path)!r}")


def _picture_format(path: str | os.PathLike[str]) -> str:
    return Path(path).suffix.lower().removeprefix(".")


def save_picture(option: str, path: str | os.PathLike[str], figure: Any) -> None:
    """Writes a figure into a file of the form that its name ends in, and makes its folder.

    Raises:
        InputError: The file cannot be written; the line names the option.
    """
    _save(option, path, as_file(figure, _picture_format(path)))


def _save(option: str, path: str | os.PathLike[str], content: bytes) -> None:
    target = Path(path)
    if target.exists() and not target.is_file():
        raise InputError(f"{option}: expected the name of a file, got {os.fspath(path)!r}, which is something else")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, content)
    except OSError as error:
        raise InputError(f"{option}: cannot write {os.fspath(path)!r} ({error.strerror})") from None
