"""Learning curves as a picture: each group's mean with a band over its seeds, and each seed as a thin line."""

from collections.abc import Sequence
from typing import Any

from seqlab.errors import InputError
from seqlab.report.curves import Curves, Points, band_of
from seqlab.report.groups import Report
from seqlab.report.labels import runs_text
from seqlab.report.plot import LOGARITHMIC_FROM, MAX_GROUPS
from seqlab.report.style import COLORS, SIZE, add_legend, add_titles, new_figure, unit_of

MAX_THIN_LINES = 10
FEW_POINTS = 20
_STYLES = ("-", "--", ":", "-.")


def draw_curves(report: Report, curves: Curves, size: tuple[float, float] = SIZE) -> Any:
    """The picture as a matplotlib figure of ``size`` in inches.

    Raises:
        InputError: There are more than `MAX_GROUPS` groups.
    """
    if len(curves.groups) > MAX_GROUPS:
        raise InputError(f"--curves: {len(curves.groups)} groups are too many to draw; take fewer keys with --by")
    figure, axes = new_figure(size)
    drawn = [(number, of_group) for number, (_, of_group) in enumerate(curves.groups) if of_group]
    keys = report.differing
    columns = [report.labels_of(key) for key in keys]
    for place, (number, of_group) in enumerate(drawn):
        name = ", ".join(column[number] for column in columns)
        # The line style changes when the colours repeat.
        look = {"color": COLORS[place % len(COLORS)], "linestyle": _STYLES[place // len(COLORS) % len(_STYLES)]}
        _draw_group(axes, of_group, look, name)
    values = [value for _, of_group in drawn for curve in of_group for value in curve.values()]
    logarithmic = min(values) > 0 and max(values) / min(values) >= LOGARITHMIC_FROM
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.ticklabel_format(axis="y", useOffset=False)
    remarks = [word for word in (unit_of(curves.metric), "log scale" if logarithmic else None) if word]
    metric = report.name_of(curves.metric)
    axes.set_ylabel(f"{metric} ({', '.join(remarks)})" if remarks else metric)
    axes.set_xlabel("optimizer step")
    axes.ticklabel_format(axis="x", style="plain")
    if len(drawn) > 1:
        add_legend(figure, axes, ",\n".join(map(report.name_of, keys)))
    add_titles(axes, _title(report, curves), _subtitle([of_group for _, of_group in drawn]))
    return figure


def _draw_group(axes: Any, curves: Sequence[Points], look: dict[str, Any], name: str) -> None:
    if 1 < len(curves) <= MAX_THIN_LINES:
        for curve in curves:
            axes.plot(list(curve), list(curve.values()), linewidth=0.7, alpha=0.45, zorder=1.5, **look)
    band = band_of(curves)
    if band is None:
        axes.plot([], [], label=name, linewidth=1.8, **look)
        return
    marker = {"marker": "o", "markersize": 4} if len(band.steps) <= FEW_POINTS else {}
    axes.plot(band.steps, band.means, label=name, linewidth=1.8, zorder=2.5, **look, **marker)
    if len(curves) > 1:
        low, high = band.means - band.deviations, band.means + band.deviations
        axes.fill_between(band.steps, low, high, color=look["color"], alpha=0.2, linewidth=0)


def _title(report: Report, curves: Curves) -> str:
    keys, metric = report.differing or report.by, report.name_of(curves.metric)
    return f"{metric} by {report.name_of(keys[0])}" if len(keys) == 1 else f"{metric} while training"


def _subtitle(groups: Sequence[Sequence[Points]]) -> str:
    text = runs_text(sum(map(len, groups)))
    if any(len(of_group) > 1 for of_group in groups):
        text += ". Band: mean ± sample sd over seeds, as far as all of them ran."
        if any(1 < len(of_group) <= MAX_THIN_LINES for of_group in groups):
            text += " Thin lines: seeds."
    return text
