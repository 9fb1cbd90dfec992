"""The report as a picture: the metric against the first key, a line for each value of the others; dots are seeds."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from seqlab.errors import InputError
from seqlab.report.groups import Group, Report
from seqlab.report.labels import runs_text
from seqlab.report.means import is_finite
from seqlab.report.style import SIZE, add_legend, add_titles, clipped, line_style, new_figure, unit_of

MAX_TICKS = 12
MAX_GROUPS = 500
LOGARITHMIC_FROM = 20
"""An axis is logarithmic from this ratio of the largest to the smallest value on."""


def draw(report: Report, size: tuple[float, float] = SIZE) -> Any:
    """The picture as a matplotlib figure of ``size`` in inches.

    Raises:
        InputError: No completed run has a finite value, or there are more than `MAX_GROUPS` groups.
    """
    from matplotlib.transforms import ScaledTranslation

    if len(report.groups) > MAX_GROUPS:
        raise InputError(f"--plot: {len(report.groups)} groups are too many to draw; take fewer keys with --by")
    if not any(group.mean is not None for group in report.groups):
        raise InputError(f"--plot: nothing to draw, since no completed run has a finite {report.metric}")
    figure, axes = new_figure(size)
    places, joined = _set_up_x(axes, report)
    # Seeds stand beside the error bar of their mean, at a fixed distance on paper.
    beside = axes.transData + ScaledTranslation(0.1, 0, figure.dpi_scale_trans)
    series = _series(report)
    spots = sorted(set(places))
    gap = min((after - before for before, after in itertools.pairwise(spots)), default=1.0)
    for number, (name, members) in enumerate(series.items()):
        # Lines with common x values are shifted, so that error bars do not hide each other.
        shift = (number - (len(series) - 1) / 2) * min(0.08 if joined else 0.2, 0.6 / len(series)) * gap
        xs = [places[member] + shift for member in members]
        groups = [report.groups[member] for member in members]
        # There is room for the number of a single mean.
        _draw_means(axes, xs, groups, line_style(number, joined), name, write_value=len(report.groups) == 1)
        for x, member in zip(xs, members, strict=True):
            _draw_seeds(axes, x, report.groups[member], line_style(number, joined)["color"], beside)
            _draw_spread(axes, x, report.groups[member], line_style(number, joined)["color"], _shows_interval(report))
    _set_up_y(axes, report)
    if len(series) > 1:
        add_legend(figure, axes, ",\n".join(map(report.name_of, _series_keys(report))))
    _add_titles(axes, report)
    return figure


def _series(report: Report) -> dict[str, list[int]]:
    """The places of each line's groups, by the line's name."""
    columns = [report.labels_of(key) for key in _series_keys(report)]
    series: dict[str, list[int]] = {}
    for number in range(len(report.groups)):
        series.setdefault(", ".join(column[number] for column in columns), []).append(number)
    return series


def _series_keys(report: Report) -> list[str]:
    """The keys that name a line: all differing keys except the first, which is the x axis."""
    return [key for key in report.differing if key != report.by[0]]


def _shows_interval(report: Report) -> bool:
    """Whether error bars show the interval; over two seeds, where it is nine times as wide, they show the deviation."""
    return all(len(group.values) - group.diverged >= 3 for group in report.groups if group.sd is not None)


def _set_up_x(axes: Any, report: Report) -> tuple[list[float], bool]:
    """Labels the axis; returns the position of each group on it, and whether lines between groups make sense."""
    if not report.by:
        axes.set_xticks([0.0], ["all runs"])
        axes.set_xlim(-1, 1)
        return [0.0] * len(report.groups), False
    key = report.by[0]
    values = [group.key[key] for group in report.groups]
    names = report.labels_of(key)
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    if numeric:
        places = [float(value) for value in values]
        logarithmic = min(places) > 0 and max(places) / min(places) >= LOGARITHMIC_FROM
        # The logarithm is taken here, not by the axis: ticks are at the values, and shifted lines at even distances.
        places = [math.log10(place) for place in places] if logarithmic else places
        axes.set_xlabel(f"{report.name_of(key)} (log scale)" if logarithmic else report.name_of(key))
    else:
        order = {name: float(number) for number, name in enumerate(dict.fromkeys(names))}
        places = [order[name] for name in names]
        axes.set_xlabel(report.name_of(key))
    ticks = dict(sorted(zip(places, names, strict=True)))
    thinned = list(ticks.items())[:: math.ceil(len(ticks) / MAX_TICKS)]
    axes.set_xticks([place for place, _ in thinned], [clipped(name) for _, name in thinned])
    width = max(ticks) - min(ticks) or 1.0
    margin = 0.12 * width if numeric else 0.6
    axes.set_xlim(min(ticks) - margin, max(ticks) + margin)
    return places, numeric


def _draw_means(
    axes: Any, xs: Sequence[float], groups: Sequence[Group], style: dict[str, Any], name: str, *, write_value: bool
) -> None:
    means = [math.nan if group.mean is None else group.mean for group in groups]
    axes.plot(xs, means, label=name, linewidth=1.8, markersize=7, **style)
    if write_value:
        place = {"xytext": (-10, 0), "textcoords": "offset points", "ha": "right", "va": "center"}
        axes.annotate(f"{means[0]:.5g}", (xs[0], means[0]), **place)


def _draw_seeds(axes: Any, x: float, group: Group, color: str, beside: Any) -> None:
    finite = [value for value in group.values if is_finite(value)]
    if len(finite) > 1:
        axes.plot([x] * len(finite), finite, "o", markersize=4, mec=color, mfc="white", transform=beside, zorder=3)
    if group.diverged:
        place = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "top"}
        axes.text(x, 0.99, f"{group.diverged} diverged", color=color, fontsize=9, **place)


def _draw_spread(axes: Any, x: float, group: Group, color: str, interval: bool) -> None:
    if group.mean is not None and group.sd is not None and group.interval is not None:
        half = group.interval[1] - group.mean if interval else group.sd
        axes.errorbar(x, group.mean, half, color=color, capsize=4, linewidth=1.5, fmt="none")


def _set_up_y(axes: Any, report: Report) -> None:
    finite = [value for group in report.groups for value in group.values if is_finite(value)]
    logarithmic = min(finite) > 0 and max(finite) / min(finite) >= LOGARITHMIC_FROM
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.ticklabel_format(axis="y", useOffset=False)
    axes.margins(y=0.12)
    unit = unit_of(report.metric)
    remarks = [unit] if unit else []
    remarks.append("higher is better" if report.higher_is_better else "lower is better")
    remarks += ["log scale"] if logarithmic else []
    axes.set_ylabel(f"{report.name_of(report.metric)} ({', '.join(remarks)})")


def _add_titles(axes: Any, report: Report) -> None:
    runs = sum(len(group.values) for group in report.groups)
    subtitle = runs_text(runs)
    if all(group.sd is None for group in report.groups):
        subtitle += ", one seed each"
    else:
        subtitle += ". Small dots: seeds. Error bars: "
        subtitle += "95 % interval of the mean (Student t)." if _shows_interval(report) else "± sample sd."
    if mixed := sum(bool(group.mixed) for group in report.groups):
        what = "1 group is" if mixed == 1 else f"{mixed} groups are"
        subtitle += f"{'' if subtitle.endswith('.') else '.'} {what} not drawn: other settings differ within."
    metric = report.name_of(report.metric)
    title = f"{metric} by {report.name_of(report.by[0])}" if report.by else metric
    add_titles(axes, title, subtitle)
