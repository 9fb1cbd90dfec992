"""The arguments of ``seqlab report``, and the command itself."""

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from seqlab.config.project import project_runs
from seqlab.errors import InputError
from seqlab.report import expected
from seqlab.report.curves import Curves
from seqlab.report.document import BEGIN, END, write_into
from seqlab.report.formats import FORMATS, WIDTH, as_markdown
from seqlab.report.groups import Report
from seqlab.report.names import check_names, find_names
from seqlab.report.output import (
    check_picture,
    compare,
    load_curves,
    render,
    save_curves,
    save_picture,
    save_plot,
    save_text,
)
from seqlab.report.style import SIZE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``seqlab report``."""
    parser.add_argument(
        "folders",
        nargs="*",
        metavar="DIR",
        help="a run, a sweep, or a folder of several (default: all runs, below runs or the project file's runs_dir)",
    )
    parser.add_argument(
        "--by",
        action="append",
        metavar="KEY[,KEY]",
        help="group by these config keys, such as model.num_layers (default: those that tell the runs apart)",
    )
    parser.add_argument(
        "--columns",
        action="append",
        metavar="KEY[,KEY]",
        help="group by these too, and show a table with --by down and these across",
    )
    parser.add_argument(
        "--tune",
        action="append",
        metavar="KEY[,KEY]",
        help="choose the best value of these within each group, on validation: seeds that have every value choose, "
        "the others judge",
    )
    parser.add_argument(
        "--expected",
        action="store_true",
        help="of searches (sweep=optuna) by random trials: the expected best validation value by the number of trials",
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="compare this metric (default: test/perplexity, if all completed runs have it)"
    )
    parser.add_argument(
        "--baseline",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="take differences from the group with this value, and test them; may be repeated (default: from the best "
        "group, without a test)",
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="the report's format (default: table)")
    parser.add_argument("--output", metavar="FILE", help="write the report there; standard output then shows the table")
    parser.add_argument(
        "--into",
        metavar="FILE",
        help=f"write it as markdown into a text file, between the lines {BEGIN} and {END}",
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the metric against the first key, as .png, .pdf or .svg")
    parser.add_argument(
        "--curves",
        metavar="FILE",
        help="draw learning curves of the groups, from their TensorBoard events, as .png, .pdf or .svg",
    )
    parser.add_argument("--size", metavar="WIDTHxHEIGHT", help="of the pictures, in inches (default: 8x5)")
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME=TEXT",
        help="show TEXT in place of a key, a value or a metric, as model.num_layers=Layers; may be repeated",
    )
    parser.add_argument(
        "--curve-metric",
        metavar="NAME",
        help="of --curves and of a page (default for --curves: the metric on validation, else val/loss)",
    )
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="write into DIR (only one) what `tensorboard --logdir DIR` shows of all its runs: the rows of HParams, "
        "curves of the groups",
    )


def run(arguments: argparse.Namespace) -> int:
    """Carries out ``seqlab report`` on parsed arguments; the exit code is 0.

    Raises:
        InputError: As `compare`, `render`, `save_plot`, `save_curves` and `write_into` do.
    """
    arguments.folders = arguments.folders or [project_runs()]
    _check_options(arguments)
    if arguments.expected:
        return _run_expected(arguments)
    report = compare(
        arguments.folders,
        by=_keys("--by", arguments.by),
        columns=_keys("--columns", arguments.columns) or (),
        metric=arguments.metric,
        baseline=_baseline(arguments.baseline),
        tune=_keys("--tune", arguments.tune) or (),
    )
    _name(report, arguments)
    size = _size(arguments.size)
    curves = None
    # Before any text is written: the curves may add a note to the report.
    if arguments.curves:
        curves = save_curves(report, arguments.curves, arguments.curve_metric, size)
    elif arguments.curve_metric:
        curves = load_curves(report, arguments.curve_metric)
    files = _write_files(arguments, report, curves, size)
    _print_report(arguments, report, curves)
    for path in files:
        print(f"written: {path}", file=sys.stderr)
    return 0


def _run_expected(arguments: argparse.Namespace) -> int:
    """Carries out ``seqlab report --expected``.

    Raises:
        InputError: An option does not go with it, or a search is not by random trials.
    """
    for name in (
        "by",
        "columns",
        "tune",
        "metric",
        "baseline",
        "into",
        "curves",
        "label",
        "curve_metric",
        "tensorboard",
    ):
        if getattr(arguments, name):
            raise InputError(f"--{name.replace('_', '-')}: does not go with --expected; leave one of them out")
    if arguments.format not in expected.FORMATS:
        raise InputError(f"--format {arguments.format}: with --expected, expected one of {', '.join(expected.FORMATS)}")
    searches = expected.compare_expected(arguments.folders)
    files = []
    if arguments.output:
        save_text("--output", arguments.output, expected.render_expected(searches, arguments.format))
        files.append(arguments.output)
    if arguments.plot:
        save_picture("--plot", arguments.plot, expected.draw_expected(searches, _size(arguments.size)))
        files.append(arguments.plot)
    _print(expected.render_expected(searches, "table" if arguments.output else arguments.format))
    for path in files:
        print(f"written: {path}", file=sys.stderr)
    return 0


def _check_options(arguments: argparse.Namespace) -> None:
    for option, path in (("--plot", arguments.plot), ("--curves", arguments.curves)):
        if path:
            check_picture(option, path)
    _size(arguments.size)
    if arguments.size and not (arguments.plot or arguments.curves):
        raise InputError("--size: is that of the pictures; add --plot FILE or --curves FILE, or leave it out")
    check_names(arguments.label)
    if arguments.curve_metric and not (arguments.curves or arguments.format == "html"):
        raise InputError("--curve-metric: draws nothing without --curves FILE or --format html")
    if arguments.tensorboard and len(arguments.folders) > 1:
        raise InputError(f"--tensorboard: expected one DIR to write into, got {len(arguments.folders)}")


def _write_files(
    arguments: argparse.Namespace, report: Report, curves: Curves | None, size: tuple[float, float]
) -> list[str]:
    """Writes the files that the options ask for; returns a text for each."""
    written = []
    if arguments.output:
        save_text("--output", arguments.output, render(report, arguments.format, curves=curves))
        written.append(arguments.output)
    if arguments.plot:
        save_plot(report, arguments.plot, size)
        written.append(arguments.plot)
    if arguments.curves:
        written.append(arguments.curves)
    if arguments.into:
        files = {f"{report.name_of(report.metric)} of each group": arguments.plot, "learning curves": arguments.curves}
        pictures = [(title, _address(path, arguments.into)) for title, path in files.items() if path]
        write_into(arguments.into, as_markdown(report, pictures))
        written.append(arguments.into)
    if arguments.tensorboard:
        from seqlab.report.tensorboard import save_for_tensorboard

        (folder,) = arguments.folders
        line = save_for_tensorboard(report, Path(folder))
        written.append(f"{line}; see them with: tensorboard --logdir {shlex.quote(folder)}")
    return written


def _print_report(arguments: argparse.Namespace, report: Report, curves: Curves | None) -> None:
    """Prints the report; the table, if another format goes into ``--output``."""
    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else WIDTH
    color = is_terminal and "NO_COLOR" not in os.environ
    format = "table" if arguments.output else arguments.format
    _print(render(report, format, width=width, color=color, curves=curves))
    if format.startswith("csv"):
        for note in report.notes:
            print(note, file=sys.stderr)


def _keys(option: str, texts: Sequence[str] | None) -> list[str] | None:
    if texts is None:
        return None
    text = ",".join(texts)
    keys = list(dict.fromkeys(key.strip().replace("/", ".") for key in text.split(",") if key.strip()))
    if not keys:
        raise InputError(f"{option}: expected config keys, separated by commas, got {text!r}")
    return keys


def _baseline(texts: Sequence[str]) -> dict[str, str]:
    baseline = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not key or not sign:
            raise InputError(f"--baseline: expected KEY=VALUE, such as model.num_layers=1, got {text!r}")
        key = key.strip().replace("/", ".")
        if key in baseline:
            raise InputError(f"--baseline: {key} is given twice; the baseline is one group, with one value of each key")
        baseline[key] = value.strip()
    return baseline


def _name(report: Report, arguments: argparse.Namespace) -> None:
    """Gives the report the names of ``--label``; a line says which of them it does not show."""
    metrics = [arguments.curve_metric] if arguments.curve_metric else []
    report.names, unused = find_names(report, arguments.label, metrics)
    for name in unused:
        print(f"--label {name}: not shown in this report", file=sys.stderr)


def _size(text: str | None) -> tuple[float, float]:
    if text is None:
        return SIZE
    try:
        width, height = map(float, text.lower().split("x"))
    except ValueError:
        width = height = 0.0
    if not (2 <= width <= 100 and 2 <= height <= 100):
        raise InputError(f"--size: expected WIDTHxHEIGHT in inches from 2 to 100, such as 3.3x2.5, got {text!r}")
    return width, height


def _address(picture: str, document: str) -> str:
    """A picture's address in a document, relative to the document."""
    relative = os.path.relpath(Path(picture).resolve(), Path(document).resolve().parent)
    return quote(Path(relative).as_posix())


def _print(text: str) -> None:
    """Prints a text, in plain characters where the output's encoding has no others."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("±", "+-").replace("─", "-").encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)
