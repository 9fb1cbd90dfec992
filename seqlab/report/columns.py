"""The columns of a report's tables, and the sentences around them, for all text formats."""

from typing import Any

from seqlab.report.collect import speed_unit
from seqlab.report.groups import Group, Report
from seqlab.report.labels import (
    decimals_of,
    duration_text,
    listed,
    memory_text,
    number_text,
    shortened,
    sort_key,
    whole_text,
)
from seqlab.run.events import PRUNED

MAX_LISTED = 20

INCOMPLETE = "not completed"
CHOOSING = "choosing seeds"

Column = tuple[str, list[str]]
"""A title, and a cell for each group."""


def key_columns(report: Report) -> list[Column]:
    """Columns of the groups' keys."""
    return [(report.name_of(key), report.labels_of(key)) for key in report.by]


def choice_columns(report: Report) -> list[Column]:
    """Columns of what was tuned within the groups; none where nothing was."""
    if not report.tune:
        return []
    choices = [group.choice for group in report.groups]
    columns = []
    for key in report.tune:
        values = [choice.values[key] if choice and choice.values else "" for choice in choices]
        edges = [" ^" if choice and key in choice.at_edge else "" for choice in choices]
        marks = [edge + (" =" if choice and choice.tied else "") for choice, edge in zip(choices, edges, strict=True)]
        texts = [report.name_of(text) + mark for text, mark in zip(report.texts(key, values), marks, strict=True)]
        columns.append((chosen_title(report.name_of(key)), texts))
    every = frozenset[Any]().union(*(choice.tried for choice in choices if choice))
    tried = [f"{len(choice.tried)}{'' if choice.tried == every else ' ~'}" if choice else "" for choice in choices]
    seeds = [str(len(choice.seeds)) if choice else "" for choice in choices]
    return [*columns, ("tried", tried), (CHOOSING, seeds), *_deciding_column(report)]


def result_columns(report: Report) -> list[Column]:
    """Columns of the groups' results."""
    groups, decimals = report.groups, _decimals(report)
    columns = [
        ("n", [str(len(group.values)) for group in groups]),
        ("diverged", [str(group.diverged or "") for group in groups]),
        (INCOMPLETE, [_counts_text(group) for group in groups]),
        *([] if report.tune else _deciding_column(report)),
        (report.name_of(report.metric), [mean_text(group, decimals, not shows_deciding(report)) for group in groups]),
        ("95 % interval", [_interval_text(group.interval, decimals) for group in groups]),
    ]
    optional = ("diverged", INCOMPLETE, "95 % interval")
    return [(title, cells) for title, cells in columns if title not in optional or any(cells)]


def shows_deciding(report: Report) -> bool:
    """Whether the metric that chose the best has a column of its own, which then has the star."""
    several = len(report.groups) > 1 or bool(report.tune)
    return several and report.deciding not in (None, report.metric)


def _deciding_column(report: Report) -> list[Column]:
    if not shows_deciding(report):
        return []
    means = [group.validation for group in report.groups]
    decimals = decimals_of([mean.mean for mean in means if mean is not None])
    texts = ["" if mean is None else number_text(mean.mean, decimals) for mean in means]
    starred = [text + (" *" if group.best else "") for text, group in zip(texts, report.groups, strict=True)]
    return [(report.name_of(str(report.deciding)), starred)]


def _counts_text(group: Group) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(group.incomplete.items()))


def chosen_title(key: str) -> str:
    """The title of the column with the chosen values of a key."""
    return f"chosen {key}"


def cost_columns(report: Report) -> list[Column]:
    """Columns of the groups' costs: parameters, speed, time and memory."""
    groups = report.groups
    columns = [
        ("parameters", [whole_text(group.num_parameters) for group in groups]),
        (speed_title(report), [whole_text(group.tokens_per_second) for group in groups]),
        ("time", [duration_text(group.train_seconds) for group in groups]),
        ("memory", [memory_text(group.peak_memory_bytes) for group in groups]),
    ]
    return [(title, cells) for title, cells in columns if title != "memory" or any(cells)]


def speed_title(report: Report) -> str:
    """The title of the column with the groups' speeds."""
    return speed_unit(run for group in report.groups for run in group.runs)


def difference_columns(report: Report) -> list[Column]:
    """Columns of the differences from the baseline; none where there is no pair of runs."""
    if not any(group.difference for group in report.groups):
        return []
    decimals = _decimals(report)
    differences = [group.difference for group in report.groups]
    texts = ["" if difference is None else _signed(difference.mean, decimals) for difference in differences]
    p_values = [_p_text(each.p_value) if each and each.p_value is not None else "" for each in differences]
    detectable = [
        number_text(each.detectable, decimals) if each and each.detectable is not None else "" for each in differences
    ]
    columns = [
        ("difference", ["baseline" if g.baseline else text for g, text in zip(report.groups, texts, strict=True)]),
        ("95 % interval", [_interval_text(each.interval if each else None, decimals) for each in differences]),
        ("p", p_values),
        ("detectable", detectable),
        ("pairs", [str(each.n) if each else "" for each in differences]),
    ]
    return [(title, cells) for title, cells in columns if any(cells)]


def cross_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of a table of means; a row begins with the values of its keys."""
    texts = {key: report.labels_of(key) for key in report.by}
    decimals = _decimals(report)
    sizes = {len(group.values) for group in report.groups}
    heads: dict[str, None] = {}
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for number in sorted(range(len(report.groups)), key=lambda number: _column_order(report, number)):
        heads[", ".join(texts[key][number] for key in report.columns)] = None
    for number, group in enumerate(report.groups):
        head = ", ".join(texts[key][number] for key in report.columns)
        remarks = [f"n={len(group.values)}"] if len(sizes) > 1 else []
        remarks += [f"{group.diverged} diverged"] if group.diverged and group.mean is not None else []
        text = mean_text(group, decimals) + (f" ({', '.join(remarks)})" if remarks else "")
        rows.setdefault(tuple(texts[key][number] for key in report.rows), {})[head] = text
    titles = [*map(report.name_of, report.rows), *heads]
    return titles, [[*keys, *(cells.get(head, "") for head in heads)] for keys, cells in rows.items()]


def mean_text(group: Group, decimals: int | None, has_star: bool = True) -> str:
    """Mean and deviation, with a star for the best unless another column has it; else why there is no mean."""
    if group.mixed:
        return f"mixed: {', '.join(group.mixed)}"
    if group.mean is None:
        return group.choice.problem if group.choice and group.choice.problem else "diverged"
    spread = f" ± {number_text(group.sd, decimals)}" if group.sd is not None else ""
    marks = ("" if group.is_judged else " #") + (" *" if group.best and has_star else "")
    return number_text(group.mean, decimals) + spread + marks


def cell_lines(cell: str) -> list[str]:
    """The lines of a cell in the terminal: the names of mixed keys stand one below the other, which leaves room."""
    return cell.replace(", ", ",\n").split("\n") if cell.startswith("mixed: ") else [cell]


def group_name(report: Report, group: Group) -> str:
    """A group's keys and values: ``model.num_layers=2``."""
    number = next(number for number, other in enumerate(report.groups) if other is group)
    return ", ".join(f"{key}={cells[number]}" for key, cells in key_columns(report)) or "all runs"


def caption(report: Report) -> list[str]:
    """Sentences that explain the tables."""
    if not report.groups:
        return ["No completed run to compare."]
    lines, metric = [], report.name_of(report.metric)
    if any(group.sd is not None for group in report.groups):
        lines.append(f"{metric}: mean ± sample sd over seeds; 95 % interval of the mean by Student's t.")
    if report.tune:
        lines += _tuning_lines(report)
    if any(group.best for group in report.groups):
        lines.append(_best_line(report))
    memory = "; memory: highest peak" if any(group.peak_memory_bytes is not None for group in report.groups) else ""
    lines.append(f"{speed_title(report)}: median; time: mean time of training{memory}.")
    if any(group.diverged for group in report.groups):
        lines.append("Diverged seeds (not finite) are left out of the mean, and bar their group from being best.")
    undecided = [group for group in report.groups if not (group.validation or group.mixed or group.choice)]
    if report.deciding and undecided:
        names = shortened(group_name(report, group) for group in undecided)
        lines.append(f"{report.name_of(report.deciding)} is not finite in a run of {names}: it is never the best.")
    if any(group.difference for group in report.groups) and report.baseline is not None:
        origin = "the baseline" if report.has_named_baseline else "the best mean"
        line = f"difference: from {origin} ({group_name(report, report.baseline)}), "
        line += "mean over pairs of runs with a common seed"
        num_intervals = sum(bool(group.difference and group.difference.interval) for group in report.groups)
        if num_intervals:
            line += "; its interval by Student's t" + (
                f", so wide that all {num_intervals} hold together with 95 % (Bonferroni)" if num_intervals > 1 else ""
            )
        lines.append(f"{line}.")
        if any(group.difference and group.difference.p_value is not None for group in report.groups):
            lines.append(
                "p: paired t-test, by Holm; detectable: the true difference that so many pairs, as scattered as these, "
                "show with 80 % power."
            )
        elif num_intervals:
            lines.append(
                "Name a baseline beforehand (--baseline KEY=VALUE) for tests: the best was chosen by these runs."
            )
    return lines


def _tuning_lines(report: Report) -> list[str]:
    choices = [group.choice for group in report.groups if group.choice]
    keys, deciding = listed([*map(report.name_of, report.tune)]), report.name_of(str(report.deciding))
    lines = [
        f"{keys}: chosen by the mean {deciding} of the seeds that every value of a group was started with; "
        f"{report.name_of(report.metric)} is that of the other seeds, n of them."
    ]
    if any(choice.at_edge for choice in choices):
        lines.append("^ at the edge of the values tried: a better one may lie beyond, try more.")
    if any(choice.tied for choice in choices):
        lines.append("= others have the same mean: of equal ones the first is chosen, by size or alphabet.")
    if len({choice.tried for choice in choices}) > 1:
        lines.append("~ not all values that other groups tried: less tuned.")
    if any(not choice.judged and not choice.problem for choice in choices):
        lines.append("# of the seeds that chose, as there are no others: it looks better than it is; train more seeds.")
    return lines


def _best_line(report: Report) -> str:
    if report.deciding is None:
        chosen_by = f"{report.name_of(report.metric)} itself, as the runs have no common metric on validation"
        higher = report.higher_is_better
        return f"* best mean ({'higher' if higher else 'lower'} is better), by {chosen_by}."
    if report.deciding == report.metric:
        return f"* best mean ({'higher' if report.higher_is_better else 'lower'} is better)."
    return f"* best mean {report.name_of(str(report.deciding))}."


def command_title(report: Report) -> str:
    """The heading of the command that trains the best again."""
    return "Train the best again" if len(report.groups) > 1 else "Train it again"


def not_counted(report: Report, limit: int = MAX_LISTED) -> list[str]:
    """A heading with the number of runs of each status, then a line for each run that ended otherwise than meant."""
    runs = report.not_counted
    if not runs:
        return []
    counts = {status: sum(run.status == status for run in runs) for status in dict.fromkeys(run.status for run in runs)}
    listed = [run for run in runs if run.status != PRUNED]
    heading = f"Not counted: {', '.join(f'{count} {status}' for status, count in counts.items())}"
    lines = [f"{heading}:" if listed else f"{heading}."]
    for run in listed[:limit]:
        cell = "".join(f" {key}={report.texts(key, [run.value(key)])[0]}" for key in report.by) if run.config else ""
        seed = f" seed={run.seed}" if run.seed is not None and "seed" not in report.by else ""
        where = f" (on {run.host})" if run.status == "running" else ""
        lines.append(f"  {run.status}{where} {run.path}{cell}{seed}" + (f": {run.error}" if run.error else ""))
    if len(listed) > limit:
        lines.append(f"  and {len(listed) - limit} more")
    return lines


def _p_text(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _decimals(report: Report) -> int | None:
    return decimals_of([group.mean for group in report.groups if group.mean is not None])


def _column_order(report: Report, number: int) -> list[tuple[int, float, str]]:
    return [sort_key(report.groups[number].key[key]) for key in report.columns]


def _signed(value: float, decimals: int | None) -> str:
    text = number_text(value, decimals)
    return text if value < 0 else f"+{text}"


def _interval_text(interval: tuple[float, float] | None, decimals: int | None) -> str:
    return f"[{', '.join(number_text(bound, decimals) for bound in interval)}]" if interval else ""
