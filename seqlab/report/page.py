"""A report as one HTML page with its styles, script and pictures inside."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from seqlab.report.columns import (
    CHOOSING,
    INCOMPLETE,
    Column,
    caption,
    choice_columns,
    chosen_title,
    command_title,
    cost_columns,
    cross_table,
    difference_columns,
    group_name,
    key_columns,
    not_counted,
    result_columns,
    speed_title,
)
from seqlab.report.curves import Curves
from seqlab.report.groups import Group, Report
from seqlab.report.labels import listed, runs_text, sort_key
from seqlab.report.page_style import SCRIPT, SHELL, STYLE

MAX_LISTED = 200


def as_html(report: Report, curves: Curves | None = None) -> str:
    """The whole page, with the learning curves in ``curves``."""
    metric = report.name_of(report.metric)
    title = f"{metric} by {listed([*map(report.name_of, report.by)])}" if report.by else metric
    parts = [f"<h1>{escape(title)}</h1>", f'<p class="muted">{escape(_lead(report))}</p>']
    if report.notes:
        parts.append(f'<ul class="notes">{_items(report.notes)}</ul>')
    parts += _figures(report, curves)
    if report.columns and report.groups:
        parts += [f"<h2>{escape(metric)}</h2>", _cross_table(report)]
    if report.groups:
        parts += ["<h2>Groups</h2>", _table(report)]
    parts += [f'<p class="muted">{escape(line)}</p>' for line in caption(report)]
    if report.command:
        parts += [f"<h2>{command_title(report)}</h2>", f"<pre><code>{escape(report.command.line)}</code></pre>"]
        parts.append(f'<p class="muted">{escape(" ".join(report.command.remarks))}</p>')
    left_out = not_counted(report, MAX_LISTED)
    if len(left_out) > 1:
        parts.append(f"<details open><summary>{escape(left_out[0])}</summary><ul>{_items(left_out[1:])}</ul></details>")
    elif left_out:  # only trials that were pruned, which are not listed
        parts.append(f"<p>{escape(left_out[0])}</p>")
    parts.append(_origin(report))
    return SHELL.format(title=escape(title), style=STYLE, script=SCRIPT, body="\n".join(parts))


def as_part(report: Report) -> str:
    """The report's tables and notes as a part of another page, such as a notebook, without styles and pictures."""
    title = f"{report.name_of(report.metric)} by {listed([*map(report.name_of, report.by)])}"
    parts = [f"<p><b>{escape(title if report.by else report.name_of(report.metric))}</b>: {escape(_lead(report))}</p>"]
    parts += [f"<ul>{_items(report.notes)}</ul>"] if report.notes else []
    if report.groups:
        parts += [_cross_table(report)] if report.columns else []
        parts.append(_table(report))
    parts += [f"<p>{escape(line)}</p>" for line in caption(report)]
    left_out = not_counted(report, MAX_LISTED)
    parts += [f"<p>{escape(left_out[0])}</p>"] if left_out else []
    parts += [f"<ul>{_items(left_out[1:])}</ul>"] if len(left_out) > 1 else []
    return f'<div class="seqlab-report">{"".join(parts)}</div>'


def _lead(report: Report) -> str:
    runs = sum(len(group.values) for group in report.groups)
    groups = len(report.groups)
    text = f"{runs_text(runs)} in {groups} group{'s' if groups != 1 else ''}"
    best = next((group for group in report.groups if group.best), None)
    return text + (f"; best: {group_name(report, best)}." if best else ".")


def _items(lines: Iterable[str]) -> str:
    return "".join(f"<li>{escape(line.strip())}</li>" for line in lines)


def _figures(report: Report, curves: Curves | None) -> list[str]:
    from seqlab.report.plot import MAX_GROUPS, draw
    from seqlab.report.plot_curves import draw_curves
    from seqlab.report.style import as_svg

    if len(report.groups) > MAX_GROUPS:
        return ['<p class="muted">There are too many groups to draw.</p>']
    pictures = []
    if any(group.mean is not None for group in report.groups):
        pictures.append(as_svg(draw(report), f"{report.name_of(report.metric)} of each group"))
    if curves is not None:
        pictures.append(as_svg(draw_curves(report, curves), f"learning curves, {report.name_of(curves.metric)}"))
    shown = "".join(f"<figure>{picture}</figure>" for picture in pictures)
    return [f'<div class="figures">{shown}</div>'] if pictures else []


def _cross_table(report: Report) -> str:
    titles, rows = cross_table(report)
    keys = len(report.rows)
    over = f'<th class="key" colspan="{keys}"></th>' if keys else ""
    columns = ", ".join(map(report.name_of, report.columns))
    over += f'<th colspan="{len(titles) - keys}" scope="colgroup">{escape(columns)}</th>'
    head = "".join(
        f"<th{_key_class(place < keys)} scope='col'>{_broken(title)}</th>" for place, title in enumerate(titles)
    )
    body = ""
    for row in rows:
        cells = [f'<th class="key" scope="row">{escape(cell)}</th>' for cell in row[:keys]]
        cells += [f"<td{' class=best' if '*' in cell else ''}>{escape(cell)}</td>" for cell in row[keys:]]
        body += f"<tr>{''.join(cells)}</tr>\n"
    return (
        f'<div class="scroll"><table><thead><tr>{over}</tr><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _table(report: Report) -> str:
    """All columns in one table; a click on a title sorts the rows by that column. What all rows share stands above."""
    by = report.differing or report.by
    columns_of_keys = dict(zip(report.by, key_columns(report), strict=True))
    keys = [columns_of_keys[key] for key in by]
    all_numbers = [
        *choice_columns(report),
        *result_columns(report),
        *_renamed(difference_columns(report)),
        *cost_columns(report),
    ]
    values_of_groups = [_sort_values(report, group) for group in report.groups]
    shared = [column for column in all_numbers if _is_shared(report, column, values_of_groups)]
    numbers = [column for column in all_numbers if column not in shared]
    shared = [*(column for key, column in columns_of_keys.items() if key not in by), *shared]
    ranks = [_ranks([group.key[key] for group in report.groups]) for key in by]
    head = "".join(
        f"<th{_key_class(place < len(keys))} scope='col'><button>{_broken(title)}</button></th>"
        for place, (title, _) in enumerate([*keys, *numbers])
    )
    body = ""
    for number, group in enumerate(report.groups):
        row = [
            f'<th class="key" scope="row" data-value="{of_key[number]}">{escape(cells[number])}</th>'
            for of_key, (_, cells) in zip(ranks, keys, strict=True)
        ]
        for title, cells in numbers:
            value = values_of_groups[number].get(title)
            data = "" if value is None else f' data-value="{value!r}"'
            row.append(f"<td{data}>{escape(cells[number])}</td>")
        body += f"<tr{' class=best' if group.best else ''}>{''.join(row)}</tr>\n"
    table = f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'{_shared_line(shared)}<div class="scroll">{table}</div>'


def _is_shared(report: Report, column: Column, values: Sequence[Mapping[str, float | None]]) -> bool:
    """Whether a column has one value in all rows, not only one text. The metric stays in the table."""
    title, cells = column
    if len(cells) < 2 or title == report.name_of(report.metric):
        return False
    return len({(text, each.get(title)) for text, each in zip(cells, values, strict=True)}) == 1


def _shared_line(columns: Sequence[Column]) -> str:
    """The columns that have one value in all rows, as a line."""
    if not columns:
        return ""
    texts = [f"{title} {cells[0] or 'unknown'}" for title, cells in columns]
    return f'<p class="muted">The same in all rows: {escape("; ".join(texts))}.</p>'


def _renamed(columns: Sequence[Column]) -> list[Column]:
    return [("its 95 % interval" if "interval" in title else title, cells) for title, cells in columns]


def _sort_values(report: Report, group: Group) -> dict[str, float | None]:
    """The number that a row is sorted by, for each column of numbers."""
    difference, choice = group.difference, group.choice
    chosen = choice.values or {} if choice else {}
    numbers = {key: value for key, value in chosen.items() if sort_key(value)[0] == 0}
    return {
        "n": len(group.values),
        "diverged": group.diverged,
        **{chosen_title(report.name_of(key)): numbers.get(key) for key in report.tune},
        "tried": len(choice.tried) if choice else None,
        CHOOSING: len(choice.seeds) if choice else None,
        report.name_of(str(report.deciding)): group.validation.mean if group.validation else None,
        report.name_of(report.metric): group.mean,
        "95 % interval": group.interval[0] if group.interval else None,
        INCOMPLETE: sum(group.incomplete.values()),
        "difference": 0.0 if group.baseline else difference.mean if difference else None,
        "p": difference.p_value if difference else None,
        "detectable": difference.detectable if difference else None,
        "its 95 % interval": difference.interval[0] if difference and difference.interval else None,
        "pairs": difference.n if difference else None,
        "parameters": group.num_parameters,
        speed_title(report): group.tokens_per_second,
        "time": group.train_seconds,
        "memory": group.peak_memory_bytes,
    }


def _ranks(values: Sequence[Any]) -> list[int]:
    ranks = {key: rank for rank, key in enumerate(sorted({sort_key(value) for value in values}))}
    return [ranks[sort_key(value)] for value in values]


def _key_class(is_key: bool) -> str:
    return " class=key" if is_key else ""


def _broken(key: str) -> str:
    """A title that may be broken into several lines."""
    return re.sub(r"(?<=[._/])(?=\w\w)", "<wbr>", escape(key))


def _origin(report: Report) -> str:
    """The code, versions, devices and hosts of the runs."""
    origin = report.provenance
    counters: list[tuple[str, Counter[str]]] = [
        ("code", origin.code),
        ("versions", origin.versions),
        ("device", origin.devices),
        ("host", origin.hosts),
    ]
    lines = []
    for name, counts in counters:
        entries = [f"{text or 'unknown'} ({runs_text(count)})" for text, count in counts.most_common()]
        lines += [f"{name}: {'; '.join(entries)}"] if entries else []
    items = _items(lines)
    return (
        f'<details><summary>Where the runs come from</summary><ul class="muted">{items}</ul></details>' if items else ""
    )
