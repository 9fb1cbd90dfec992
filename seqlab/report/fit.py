"""Makes the texts of a picture fit into it, at any size: smaller print, broken lines, and the title last to stay."""

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any, Final

SMALLEST: Final = 0.7
"""The smallest print, as a part of the usual one: 7 points for the axes."""
MIN_AXES: Final = 0.4
"""The part of the picture's height that the axes get at least, before titles are left out."""
_MARGIN: Final = 0.05  # inches between a text and the edge


def scale_of(figure: Any) -> float:
    """The size of print in a figure: 1 from 6 x 4 inches on.

    Example:
        >>> from matplotlib.figure import Figure
        >>> scale_of(Figure(figsize=(8, 5))), scale_of(Figure(figsize=(3.3, 2.5)))
        (1.0, 0.7)
    """
    width, height = figure.get_size_inches()
    return float(min(1.0, max(SMALLEST, min(width / 6, height / 4))))


def fit_texts(figure: Any, axes: Any, subtitle: Any) -> None:
    """Breaks the titles and the axes' labels into lines that lie inside the figure.

    Where that leaves too little height to the axes, the title goes, then the subtitle.
    """
    texts = {text: text.get_text() for text in (axes._left_title, subtitle, axes.xaxis.label, axes.yaxis.label)}
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    title = axes._left_title
    # The subtitle has no place of its own in the layout, so in the end it takes that of the title.
    for left in ((texts[title], texts[subtitle]), (texts[subtitle], ""), ("", "")):
        if left[0] == texts[subtitle]:
            title.set(size=subtitle.get_size(), color=subtitle.get_color(), weight="normal")
        texts[title], texts[subtitle] = left
        for _ in range(3):  # broken lines move the axes, which have other room then
            figure.draw_without_rendering()
            before = [text.get_text() for text in texts]
            _fit_once(figure, axes, subtitle, texts, ticks)
            if before == [text.get_text() for text in texts]:
                break
        figure.draw_without_rendering()
        if axes.bbox.height >= MIN_AXES * figure.bbox.height:
            return


def _fit_once(figure: Any, axes: Any, subtitle: Any, texts: dict[Any, str], ticks: Sequence[str]) -> None:
    margin, page, box = _MARGIN * figure.dpi, figure.bbox, axes.bbox
    room = page.x1 - box.x0 - margin
    across = 2 * min(box.x0 + box.width / 2, page.x1 - box.x0 - box.width / 2) - 2 * margin
    upright = 2 * min(box.y0 + box.height / 2, page.y1 - box.y0 - box.height / 2) - 2 * margin
    _break(axes._left_title, texts[axes._left_title], room)
    _break(subtitle, texts[subtitle], room)
    _break(axes.xaxis.label, texts[axes.xaxis.label], across)
    _break(axes.yaxis.label, texts[axes.yaxis.label], upright)
    has_subtitle = bool(subtitle.get_text())
    height = subtitle.get_window_extent().height * 72 / figure.dpi if has_subtitle else 0.0
    axes._set_title_offset_trans(height + (10 if has_subtitle else 4) * scale_of(figure))
    if any(ticks) and axes.xaxis.get_majorticklocs().size == len(ticks):
        _fit_ticks(axes, ticks, page.width)


def _fit_ticks(axes: Any, names: Sequence[str], width: float) -> None:
    """Breaks the names below the axis into lines between two ticks; turns them where a word is longer than that."""
    labels, places = axes.get_xticklabels(), axes.transData.transform([(x, 0) for x in axes.get_xticks()])[:, 0]
    gap = min((after - before for before, after in itertools.pairwise(sorted(places))), default=axes.bbox.width)
    for label in labels:
        label.set(rotation=0, ha="center")
    for label, name in zip(labels, names, strict=True):
        _break(label, name, 0.94 * gap)
    extents = [label.get_window_extent() for label in labels]
    if all(box.width <= 0.97 * gap for box in extents) and max(_lines(label) for label in labels) <= 4:
        axes.set_xticks(axes.get_xticks(), [label.get_text() for label in labels], rotation=0, ha="center")
        return
    for label, name in zip(labels, names, strict=True):
        _break(label, name, 0.3 * width)
    turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(axes.get_xticks(), [label.get_text() for label in labels], **turned)


def _lines(label: Any) -> int:
    return int(label.get_text().count("\n")) + 1


def _break(text: Any, whole: str, room: float) -> None:
    """Breaks a text into lines of at most ``room`` pixels, between words where it can; cuts a part that is longer."""
    lines = [""]
    for part in re.findall(r"\n|\(?[^\s./_,(]*[./_,]*[^\S\n]*", whole):
        if part == "\n":
            lines.append("")
        elif _length(text, (lines[-1] + part).rstrip()) <= room or not lines[-1]:
            lines[-1] += part
        else:
            lines.append(part)
    text.set_text("\n".join(_cut(text, line.rstrip(), room) for line in lines))


def _cut(text: Any, line: str, room: float) -> str:
    while len(line) > 2 and _length(text, line) > room:
        line = line[:-2].rstrip("…") + "…"
    return line


def _length(text: Any, line: str) -> float:
    """The length of a line of a text in pixels, along its direction."""
    text.set_text(line)
    box, angle = text.get_window_extent(), math.radians(text.get_rotation())
    return float(max(box.width * abs(math.cos(angle)), box.height * abs(math.sin(angle))))
