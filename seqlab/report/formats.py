"""A report as a table for the terminal, and as csv, json and markdown."""

import csv
import dataclasses
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from seqlab.report.collect import Run
from seqlab.report.columns import (
    Column,
    caption,
    cell_lines,
    choice_columns,
    chosen_title,
    command_title,
    cost_columns,
    cross_table,
    difference_columns,
    key_columns,
    not_counted,
    result_columns,
)
from seqlab.report.groups import Group, Report
from seqlab.report.labels import full_text, full_texts

FORMATS = ("table", "csv", "csv-groups", "json", "markdown", "latex", "html")
WIDTH = 100
MAX_SHOWN = 200
"""The most groups in the terminal's table: thousands would take half a minute to lay out."""
KEY_WIDTHS = (20, 8, 1)
"""Widths of a column of keys, in characters; the first that leaves room for the numbers is taken."""


def as_table(report: Report, *, width: int = WIDTH, color: bool = False) -> str:
    """The tables; below them the caption, the warnings, the command of the best group and the runs not counted."""
    from rich.console import Console
    from rich.text import Text

    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=color, no_color=not color, highlight=False, soft_wrap=False)
    shown = [group for number, group in enumerate(report.groups) if number < MAX_SHOWN or group.best or group.baseline]
    if shown:
        for table in _rich_tables(dataclasses.replace(report, groups=shown), console):
            console.print(table)
    hidden = len(report.groups) - len(shown)
    remark = [f"{hidden} more groups are not shown here; --format csv, json, markdown and html have all."]
    for line in [*(remark if hidden else []), *caption(report), *report.notes]:
        console.print(Text(line))
    if report.command:
        # Not wrapped: the command is to be copied.
        console.print(Text(f"{command_title(report)}:\n  {report.command.line}"), soft_wrap=True)
        console.print(Text(" ".join(report.command.remarks)))
    for line in not_counted(report):
        console.print(Text(line, style="" if line.endswith(":") else "red"), soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def as_markdown(report: Report, pictures: Sequence[tuple[str, str]] = ()) -> str:
    """The tables in GitHub's markdown, with caption, warnings and ``pictures``, which are titles and addresses."""
    keys, parts = key_columns(report), []
    if report.columns and report.groups:
        titles, rows = cross_table(report)
        parts.append(_markdown_table(titles, rows, len(report.rows)))
    if report.groups:
        if choices := choice_columns(report):
            parts.append(_markdown_columns(keys, choices))
        parts.append(_markdown_columns(keys, [*result_columns(report), *cost_columns(report)]))
        if differences := difference_columns(report):
            parts.append(_markdown_columns(keys, differences))
    parts.append("  \n".join(_escaped(line) for line in [*caption(report), *report.notes]))
    parts += [f"![{_escaped(title)}]({address})" for title, address in pictures]
    if report.command:
        parts.append(f"{command_title(report)}:\n\n```sh\n{report.command.line}\n```")
        parts.append(_escaped(" ".join(report.command.remarks)))
    listed = not_counted(report)
    if listed:
        parts += [listed[0], "\n".join(f"- {_escaped(line.strip())}" for line in listed[1:])]
    return "\n\n".join(parts).strip() + "\n"


def as_csv(report: Report) -> str:
    """A line for each run of the groups, and for those not counted, in full precision, as statistics programs read it.

    ``role`` is ``counted``, or ``choosing`` for a run that only chose a tuned value, or the status of a run that did
    not complete. Metrics have a column each.
    """
    counted = {run.path for group in report.groups for run in group.runs}
    choosing = {(*key, seed) for group in report.groups for key, seed in _choosing_seeds(report, group)}
    metrics = sorted({name for run in report.runs for name in run.metrics})
    keys = [*report.by, *report.tune]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    costs = ("num_parameters", "tokens_per_second", "train_seconds", "peak_memory_bytes")
    writer.writerow([*keys, "seed", "role", *metrics, *costs, "config_hash", "path"])
    values = [iter(full_texts([run.value(key) for run in report.runs])) for key in keys]
    for run in report.runs:
        identity = (*(run.identity(key) for key in report.by), run.seed)
        role = run.status
        if run.status == "completed":
            role = "counted" if run.path in counted else "choosing" if identity in choosing else "not counted"
        numbers = [run.metrics.get(name) for name in metrics] + [getattr(run, name) for name in costs]
        writer.writerow([*map(next, values), run.seed, role, *numbers, run.config_hash, run.path])
    return out.getvalue()


def _choosing_seeds(report: Report, group: Group) -> Iterator[tuple[tuple[Any, ...], int]]:
    if group.choice and group.runs:
        key = tuple(group.runs[0].identity(name) for name in report.by)
        yield from ((key, seed) for seed in group.choice.seeds)


def as_csv_of_groups(report: Report) -> str:
    """A line for each group, numbers in full precision; a field without a value is empty."""
    out = io.StringIO()
    columns = ["n", "seeds", "diverged", "mean", "sd", "interval_low", "interval_high"]
    columns += ["num_parameters", "tokens_per_second", "train_seconds", "peak_memory_bytes", "best"]
    columns += ["difference", "difference_low", "difference_high", "pairs", "p", "detectable"]
    columns += ["mixed", "incomplete", "deciding", "deciding_mean"]
    if report.tune:
        columns += [*map(chosen_title, report.tune), "tried", "at_edge", "tied", "choosing_seeds", "judged"]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*report.by, "metric", *columns])
    keys = [iter(full_texts([group.key[name] for group in report.groups])) for name in report.by]
    for group in report.groups:
        entry = _entry(group)
        low, high = group.interval or (None, None)
        entry.update(interval_low=low, interval_high=high, best="true" if group.best else "false")
        entry["seeds"] = " ".join(map(str, group.seeds))
        gap = group.difference
        low, high = (gap and gap.interval) or (None, None)
        entry.update(difference=gap and gap.mean, difference_low=low, difference_high=high, pairs=gap and gap.n)
        entry.update(p=gap and gap.p_value, detectable=gap and gap.detectable)
        entry.update(mixed=" ".join(group.mixed), incomplete=sum(group.incomplete.values()))
        entry.update(deciding=report.deciding, deciding_mean=group.validation and group.validation.mean)
        if choice := group.choice:
            chosen = choice.values or {}
            entry.update({chosen_title(key): full_text(chosen[key]) if key in chosen else None for key in report.tune})
            entry.update(tried=len(choice.tried), at_edge=" ".join(sorted(choice.at_edge)), tied=choice.tied)
            entry.update(choosing_seeds=" ".join(map(str, choice.seeds)), judged="true" if choice.judged else "false")
        writer.writerow([*map(next, keys), report.metric, *(entry[column] for column in columns)])
    return out.getvalue()


def as_json(report: Report) -> str:
    """The whole report as strict JSON: a diverged value is ``"nan"`` or ``"inf"``, an unknown one is null."""
    command, origin = report.command, report.provenance
    content = {
        "by": report.by,
        "columns": report.columns,
        "metric": report.metric,
        "better": "higher" if report.higher_is_better else "lower",
        "deciding": report.deciding,
        "tune": report.tune,
        "spread": "sd: sample standard deviation over seeds; interval: 95 % for the mean, Student t; "
        "difference: mean over runs of equal seed of the group's value less the baseline's, its intervals together "
        "95 %; p: paired t-test, by Holm; detectable: the true difference shown with 80 % power",
        "groups": [{"key": group.key, **_entry(group)} for group in report.groups],
        "command": command and {"line": command.line, "remarks": command.remarks},
        "not_counted": [_not_counted_entry(run, report.by) for run in report.not_counted],
        "runs_by": {
            "code": origin.code,
            "versions": origin.versions,
            "device": origin.devices,
            "host": origin.hosts,
        },
        "notes": report.notes,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _rich_tables(report: Report, console: Any) -> list[Any]:
    keys, results, costs = key_columns(report), result_columns(report), cost_columns(report)
    best = [group.best for group in report.groups]
    tables = []
    if report.columns:
        titles, rows = cross_table(report)
        tables.append(_fitting(console, titles, rows, len(report.rows), [False] * len(rows)))
    whole = _table_of(keys, [*results, *costs])
    # Numbers are never cut: where they do not fit, the costs get a table of their own.
    fits = _fits(console, *whole, len(keys), KEY_WIDTHS[0])
    parts = [whole] if fits else [_table_of(keys, results), _table_of(keys, costs)]
    if choices := choice_columns(report):
        parts.insert(0, _table_of(keys, choices))
    if differences := difference_columns(report):
        parts.append(_table_of(keys, differences))
    return [*tables, *(_fitting(console, *part, len(keys), best) for part in parts)]


def _table_of(keys: Sequence[Column], numbers: Sequence[Column]) -> tuple[list[str], list[tuple[str, ...]]]:
    columns = [*keys, *numbers]
    return [title for title, _ in columns], list(zip(*(cells for _, cells in columns), strict=True))


def _fitting(
    console: Any, titles: Sequence[str], rows: Sequence[Sequence[str]], keys: int, best: Sequence[bool]
) -> Any:
    width = next((width for width in KEY_WIDTHS if _fits(console, titles, rows, keys, width)), KEY_WIDTHS[-1])
    return _rich_table(titles, rows, keys, best, width)


def _fits(console: Any, titles: Sequence[str], rows: Sequence[Sequence[str]], keys: int, key_width: int) -> bool:
    longest = [max((line for cell in cells for line in cell_lines(cell)), key=len) for cells in zip(*rows, strict=True)]
    probe = _rich_table(titles, [longest], keys, [False], key_width)  # as wide as the whole table, and faster
    unlimited = console.options.update(width=10_000)  # otherwise rich's answer is at most the console's width
    # Not rich's minimum, for which it would break numbers at their spaces: only columns of keys may be narrower.
    spare = 0
    for title, cell in zip(titles[:keys], longest, strict=False):
        widest = max(map(len, [*_key_title(title, keys, key_width).split("\n"), cell]))
        spare += widest - min(key_width, widest)
    return bool(console.measure(probe, options=unlimited).maximum - spare <= console.width)


def _key_title(title: str, keys: int, key_width: int) -> str:
    """A key's title, in several lines where that leaves room for the numbers."""
    return title.replace(".", ".\n") if keys > 1 or key_width < KEY_WIDTHS[0] else title


def _rich_table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], keys: int, best: Sequence[bool], key_width: int
) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for number, title in enumerate(titles):
        if number < keys:
            text = _key_title(title, keys, key_width)
            words = [*text.split("\n"), *(row[number] for row in rows)]
            table.add_column(Text(text), overflow="fold", min_width=min(key_width, max(map(len, words))))
        else:
            table.add_column(Text(title), justify="right", no_wrap=True)
    for row, is_best in zip(rows, best, strict=True):
        cells = (Text("\n".join(cell_lines(cell))) for cell in row)
        table.add_row(*cells, style="bold green" if is_best else None)
    return table


def _markdown_columns(keys: Sequence[Column], numbers: Sequence[Column]) -> str:
    return _markdown_table(*_table_of(keys, numbers), len(keys))


def _markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]], keys: int) -> str:
    head = [titles, [":--"] * keys + ["--:"] * (len(titles) - keys)]
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in (*head, *rows))


def _entry(group: Group) -> dict[str, Any]:
    difference, choice, deciding = group.difference, group.choice, group.validation
    entry = {
        "n": len(group.values),
        "seeds": group.seeds,
        "values": [value if math.isfinite(value) else str(value) for value in group.values],
        "diverged": group.diverged,
        "mean": group.mean,
        "sd": group.sd,
        "interval": group.interval,
        "num_parameters": group.num_parameters,
        "tokens_per_second": group.tokens_per_second,
        "train_seconds": group.train_seconds,
        "peak_memory_bytes": group.peak_memory_bytes,
        "best": group.best,
        "baseline": group.baseline,
        "difference": difference
        and {
            "mean": difference.mean,
            "interval": difference.interval,
            "pairs": difference.n,
            "p": difference.p_value,
            "detectable": difference.detectable,
        },
        "deciding": deciding and {"mean": deciding.mean, "sd": deciding.sd, "n": deciding.n},
        "mixed": group.mixed,
        "incomplete": group.incomplete,
    }
    if choice:
        entry["choice"] = {
            "values": choice.values,
            "tried": len(choice.tried),
            "at_edge": sorted(choice.at_edge),
            "tied": choice.tied,
            "seeds": choice.seeds,
            "judged": choice.judged,
            "problem": choice.problem,
        }
    return entry


def _not_counted_entry(run: Run, by: Sequence[str]) -> dict[str, Any]:
    key = {name: run.value(name) for name in by}
    return {"path": run.path, "status": run.status, "seed": run.seed, "key": key, "error": run.error}


def _escaped(text: str) -> str:
    """A text with markdown's characters escaped, except underscores within a word, which GitHub takes literally."""
    return re.sub(r"[\\|*<`]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", text).replace("\n", " ")
