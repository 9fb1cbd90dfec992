"""A report as a table for the terminal, as csv, json and markdown."""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from seqlab.fingerprint import canonical_json, flatten
from seqlab.report.collect import Run
from seqlab.report.summary import Group, Report

FORMATS = ("table", "csv", "json", "markdown")
WIDTH = 100
MAX_LISTED = 20


def as_table(report: Report, *, width: int = WIDTH, color: bool = False) -> str:
    """The groups as a table, with the caption, the warnings and the runs that do not count below it."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=color, no_color=not color, highlight=False, soft_wrap=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    keys, numbers = _key_columns(report), _columns(report)
    for title, _ in keys:
        # Keys break at their dots, so that several of them still leave room for the numbers.
        table.add_column(Text(title.replace(".", ".\n") if len(keys) > 1 else title), overflow="fold")
    for title, _ in numbers:
        table.add_column(Text(title), justify="right", no_wrap=True)
    for number, group in enumerate(report.groups):
        cells = [Text(column[number]) for _, column in keys + numbers]
        table.add_row(*cells, style="bold green" if group.best else None)
    if report.groups:
        console.print(table)
    for line in [*_caption(report), *report.notes]:
        console.print(Text(line))
    for line in _not_counted(report):
        console.print(Text(line, style="" if line.endswith(":") else "red"), soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def as_markdown(report: Report) -> str:
    """The table in GitHub's markdown, with caption and warnings as paragraphs."""
    keys, numbers = _key_columns(report), _columns(report)
    titles = [title for title, _ in keys + numbers]
    rows = list(zip(*(cells for _, cells in keys + numbers), strict=True))
    head = [titles, [":--"] * len(keys) + ["--:"] * len(numbers)]
    lines = ["| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in (*head, *rows)] if rows else []
    lines += ["", "  \n".join(_escaped(line) for line in [*_caption(report), *report.notes])]
    listed = _not_counted(report)
    if listed:
        lines += ["", listed[0], "", *(f"- {_escaped(line.strip())}" for line in listed[1:])]
    return "\n".join(lines).strip() + "\n"


def as_csv(report: Report) -> str:
    """One line a group, numbers in full precision, empty where there is none."""
    out = io.StringIO()
    columns = ["n", "seeds", "diverged", "mean", "sd", "interval_low", "interval_high"]
    columns += ["num_parameters", "tokens_per_second", "train_seconds", "best"]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*report.by, "metric", *columns])
    for group in report.groups:
        entry = _entry(group)
        low, high = group.interval or (None, None)
        entry.update(interval_low=low, interval_high=high, best="true" if group.best else "false")
        entry["seeds"] = " ".join(map(str, group.seeds))
        keys = [value if isinstance(value, str) else canonical_json(value) for value in group.key.values()]
        writer.writerow([*keys, report.metric, *(entry[column] for column in columns)])
    return out.getvalue()


def as_json(report: Report) -> str:
    """Everything, strictly JSON: a value that diverged is ``"nan"`` or ``"inf"``, what is unknown is null."""
    content = {
        "by": report.by,
        "metric": report.metric,
        "better": "higher" if report.higher_is_better else "lower",
        "spread": "sd: sample standard deviation over seeds; interval: 95 % for the mean, Student t",
        "groups": [{"key": group.key, **_entry(group)} for group in report.groups],
        "not_counted": [_not_counted_entry(run, report.by) for run in report.not_counted],
        "notes": report.notes,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def labels(key: str, values: Iterable[Any]) -> list[str]:
    """Words for the values of a config key: what a ``_target_`` names in short, unless two would then look alike.

    Example:
        >>> labels("model.cell._target_", ["seqlab.nn.GRUCell", "seqlab.nn.LSTMCell"])
        ['GRUCell', 'LSTMCell']
        >>> labels("model.cell", [{"_target_": "seqlab.nn.GRUCell", "_partial_": True, "bias": False}, None])
        ['GRUCell(bias=false)', 'null']
    """
    values = list(values)
    full = [value if isinstance(value, str) else canonical_json(value) for value in values]
    short = [_short(key, value, text) for value, text in zip(values, full, strict=True)]
    return short if len(set(short)) == len(set(full)) else full


def _short(key: str, value: Any, full: str) -> str:
    if isinstance(value, str) and key.rpartition(".")[2] == "_target_":
        return value.rpartition(".")[2]
    if not isinstance(value, dict):
        return full
    flat = dict(flatten(value))
    name = str(flat.get("_target_", "")).rpartition(".")[2]
    arguments = [(name, entry) for name, entry in sorted(flat.items()) if not name.startswith("_")]
    words = [f"{name}={entry if isinstance(entry, str) else canonical_json(entry)}" for name, entry in arguments]
    return f"{name}({', '.join(words)})" if words else name or full


def _columns(report: Report) -> list[tuple[str, list[str]]]:
    """Title and cells of each column after the keys'."""
    groups = report.groups
    means = [group.mean for group in groups if group.mean is not None]
    columns = [
        ("n", [str(len(group.values)) for group in groups]),
        ("diverged", [str(group.diverged or "") for group in groups]),
        (report.metric, [_mean_text(group, means) for group in groups]),
        ("95 % interval", [_interval_text(group, means) for group in groups]),
        ("parameters", [_whole(group.num_parameters) for group in groups]),
        ("tokens/s", [_whole(group.tokens_per_second) for group in groups]),
        ("time", [_duration(group.train_seconds) for group in groups]),
    ]
    return [(title, cells) for title, cells in columns if title not in ("diverged", "95 % interval") or any(cells)]


def _key_columns(report: Report) -> list[tuple[str, list[str]]]:
    return [(key, labels(key, (group.key[key] for group in report.groups))) for key in report.by]


def _mean_text(group: Group, means: Sequence[float]) -> str:
    if group.mean is None:
        return "diverged"
    spread = f" ± {number_text(group.sd, means)}" if group.sd is not None else ""
    return number_text(group.mean, means) + spread + (" *" if group.best else "")


def _interval_text(group: Group, means: Sequence[float]) -> str:
    return f"[{', '.join(number_text(bound, means) for bound in group.interval)}]" if group.interval else ""


def _whole(number: float | None) -> str:
    return "" if number is None else f"{number:,.0f}"


def number_text(value: float, column: Sequence[float]) -> str:
    """A number with as many decimals as show four digits of the smallest number in its column."""
    smallest = min((abs(number) for number in column if number), default=1.0)
    if max(map(abs, [*column, value])) >= 1e6 or smallest < 1e-4:
        return f"{value:.4g}"
    return f"{value:.{max(0, 3 - math.floor(math.log10(smallest)))}f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m {rest:02d}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02d}m"


def _caption(report: Report) -> list[str]:
    if not report.groups:
        return ["No completed run to compare."]
    better = "higher" if report.higher_is_better else "lower"
    lines = []
    if any(group.sd is not None for group in report.groups):
        lines.append(f"{report.metric}: mean ± sample sd over seeds; 95 % interval of the mean by Student's t.")
    if any(group.best for group in report.groups):
        lines.append(f"* best mean ({better} is better).")
    lines.append("tokens/s: median; time: mean time of training.")
    if any(group.diverged for group in report.groups):
        lines.append("Diverged seeds (not finite) are left out of the mean, and bar their group from being best.")
    return lines


def _not_counted(report: Report) -> list[str]:
    """A heading with the counts, then a line a run."""
    runs = report.not_counted
    if not runs:
        return []
    counts = {status: sum(run.status == status for run in runs) for status in dict.fromkeys(run.status for run in runs)}
    lines = [f"Not counted: {', '.join(f'{count} {status}' for status, count in counts.items())}:"]
    for run in runs[:MAX_LISTED]:
        cell = "".join(f" {key}={labels(key, [run.value(key)])[0]}" for key in report.by) if run.config else ""
        seed = f" seed={run.seed}" if run.seed is not None else ""
        where = f" (on {run.host})" if run.status == "running" else ""
        lines.append(f"  {run.status}{where} {run.path}{cell}{seed}" + (f": {run.error}" if run.error else ""))
    if len(runs) > MAX_LISTED:
        lines.append(f"  and {len(runs) - MAX_LISTED} more")
    return lines


def _entry(group: Group) -> dict[str, Any]:
    return {
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
        "best": group.best,
    }


def _not_counted_entry(run: Run, by: Sequence[str]) -> dict[str, Any]:
    key = {name: run.value(name) for name in by}
    return {"path": run.path, "status": run.status, "seed": run.seed, "key": key, "error": run.error}


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("\n", " ")
