"""The look of the report's pictures, and their forms as a file and as a part of a page."""

import io
import re
from typing import Any, Final

from seqlab.report.fit import fit_texts, scale_of

SIZE: Final = (8.0, 5.0)
"""Width and height of a picture in inches: 1200 x 750 pixels as PNG."""
DOTS_PER_INCH: Final = 150
PICTURES: Final = ("png", "pdf", "svg")
MAX_IN_LEGEND: Final = 20

# Okabe and Ito's colours, which colour-blind readers can tell apart. The marker changes when the colours repeat.
COLORS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS: Final = "osD^vPX"
GREY, PALE, PAPER = "#555555", "#dddddd", "#ffffff"

# On a page, a picture has the page's own colours, light or dark.
_ON_PAGE: Final = {"#000000": "currentColor", GREY: "var(--muted)", PALE: "var(--line)", PAPER: "var(--page)"} | {
    color: f"var(--series-{number})" for number, color in enumerate(COLORS[:-1], start=1)
}
_UNITS: Final = {"loss": "nats", "bits_per_character": "bits", "bpc": "bits", "accuracy": "fraction"}


def new_figure(size: tuple[float, float] = SIZE) -> tuple[Any, Any]:
    """A figure of ``size`` in inches without any window, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=size, dpi=DOTS_PER_INCH)
    scale = scale_of(figure)
    pad = 0.15 if scale == 1 else 0.06
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=pad, h_pad=pad))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.tick_params(labelsize=10 * scale)
    axes.xaxis.label.set_fontsize(10 * scale)
    axes.yaxis.label.set_fontsize(10 * scale)
    axes.grid(axis="y", color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def as_file(figure: Any, format: str) -> bytes:
    """The content of a file of one of `PICTURES`; the same figure gives the same bytes."""
    from matplotlib import rc_context

    metadata = {
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
        "svg": {"Date": None, "Creator": None},
    }
    out = io.BytesIO()
    with rc_context({"svg.hashsalt": "seqlab", "svg.fonttype": "none", "pdf.fonttype": 42}):
        figure.savefig(out, format=format, metadata=metadata.get(format))
    return out.getvalue()


def as_svg(figure: Any, name: str) -> str:
    """An ``<svg>`` element for a page that defines the colours ``--page``, ``--line``, ``--muted`` and ``--series-N``.

    Args:
        figure: The picture.
        name: The text for readers who cannot see the picture, and the prefix that makes its ids unique on the page.
    """
    from matplotlib import rc_context

    out = io.StringIO()
    # A fixed salt instead of random ids: the same report gives the same page.
    with rc_context({"svg.hashsalt": "seqlab"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    prefix = re.sub(r"\W+", "-", name)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    for color, on_page in _ON_PAGE.items():
        text = re.sub(rf"{color}\b", on_page, text, flags=re.IGNORECASE)
    size = re.search(r'viewBox="[^"]*"', text)
    box = size[0] if size else ""
    body = text[text.index(">") + 1 :].strip()
    links = 'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg"'
    return f'<svg role="img" aria-label="{name}" {box} {links} fill="currentColor">{body}\n'


def line_style(number: int, joined: bool) -> dict[str, Any]:
    """Color, marker and line style of a series."""
    marker = MARKERS[number // len(COLORS) % len(MARKERS)]
    return {"color": COLORS[number % len(COLORS)], "marker": marker, "linestyle": "-" if joined else "none"}


def unit_of(metric: str) -> str | None:
    """A metric's unit, by the last word of its name."""
    return _UNITS.get(metric.rpartition("/")[2].rpartition(".")[2])


def add_legend(figure: Any, axes: Any, title: str) -> None:
    """Adds a legend, with at most `MAX_IN_LEGEND` names: beside the axes, or below them in a small figure."""
    handles, names = axes.get_legend_handles_labels()
    texts = [clipped(name) for name in names]
    size = 9 * scale_of(figure)
    look = {"frameon": False, "fontsize": size, "title_fontsize": size}

    def place(count: int, **more: Any) -> Any:
        heading = title + (f"\n({count} of {len(names)})" if len(names) > count else "")
        return figure.legend(handles[:count], texts[:count], title=heading, **look, **more)

    most = min(MAX_IN_LEGEND, len(names))
    if scale_of(figure) == 1:
        place(most, loc="outside right center")
        return
    title = title.replace("\n", " ")
    below = {"loc": "outside lower center", "columnspacing": 1.0, "handlelength": 1.5, "borderpad": 0.1}
    # As many columns as there is width for, then as many names as leave height to the axes.
    for count in range(most, 0, -1):
        for columns in range(count, 0, -1):
            legend = place(count, ncols=columns, **below)
            box = legend.get_window_extent()
            fits = box.width <= 0.96 * figure.bbox.width
            if (fits and box.height <= 0.3 * figure.bbox.height) or count == columns == 1:
                return
            legend.remove()
            if fits:
                break  # fewer columns are higher still


def add_titles(axes: Any, title: str, subtitle: str) -> None:
    """Adds a bold title, and a subtitle in small print; then all texts are made to fit, so it is to be called last."""
    scale = scale_of(axes.figure)
    axes.set_title(title, loc="left", fontsize=13 * scale, fontweight="bold")
    # Not in the layout, which would take the width of a long line from the axes.
    small = axes.text(0, 1.02, subtitle, transform=axes.transAxes, fontsize=9 * scale, color=GREY, in_layout=False)
    fit_texts(axes.figure, axes, small)


def clipped(name: str) -> str:
    """A name cut to 28 characters."""
    return name if len(name) <= 28 else name[:27] + "…"
