"""How the report's pictures look, and how they become a file or a part of a page."""

import io
import re
from typing import Any, Final

SIZE: Final = (8.0, 5.0)
DOTS_PER_INCH: Final = 150  # 1200 x 750 pixels
MAX_IN_LEGEND: Final = 20

# Okabe and Ito's colours, which colour-blind readers can tell apart; markers go on where the colours begin again.
COLORS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS: Final = "osD^vPX"
GREY, PALE, PAPER = "#555555", "#dddddd", "#ffffff"

# On a page, a picture follows the page's own colours, be they light or dark.
_ON_PAGE: Final = {"#000000": "currentColor", GREY: "var(--muted)", PALE: "var(--line)", PAPER: "var(--page)"} | {
    color: f"var(--series-{number})" for number, color in enumerate(COLORS[:-1], start=1)
}
_UNITS: Final = {"loss": "nats", "bits_per_character": "bits", "bpc": "bits", "accuracy": "fraction"}


def new_figure() -> tuple[Any, Any]:
    """A figure without any window, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=SIZE, dpi=DOTS_PER_INCH, layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.15))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(axis="y", color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def as_png(figure: Any) -> bytes:
    """The content of a PNG file."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def as_svg(figure: Any, name: str) -> str:
    """An ``<svg>`` element for a page that defines the colours ``--page``, ``--line``, ``--muted`` and ``--series-N``.

    Args:
        name: Told to those who cannot see the picture; its letters begin every id, of which a page must have one each.
    """
    from matplotlib import rc_context

    out = io.StringIO()
    # A salt in the place of random ids: the same report gives the same page.
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
    """Color, marker and line of the series of that number."""
    marker = MARKERS[number // len(COLORS) % len(MARKERS)]
    return {"color": COLORS[number % len(COLORS)], "marker": marker, "linestyle": "-" if joined else "none"}


def unit_of(metric: str) -> str | None:
    """What a metric is counted in, by the last word of its name."""
    return _UNITS.get(metric.rpartition("/")[2].rpartition(".")[2])


def add_legend(figure: Any, axes: Any, title: str) -> None:
    """Beside the axes, cut where it would be longer than they are high."""
    handles, names = axes.get_legend_handles_labels()
    shown = [clipped(name) for name in names[:MAX_IN_LEGEND]]
    title += f"\n({MAX_IN_LEGEND} of {len(names)})" if len(names) > MAX_IN_LEGEND else ""
    look = {"loc": "outside right center", "frameon": False, "fontsize": 9, "title_fontsize": 9}
    figure.legend(handles[:MAX_IN_LEGEND], shown, title=title, **look)


def add_titles(axes: Any, title: str, told: str) -> None:
    """A bold line over a fine one."""
    axes.set_title(title, loc="left", pad=22, fontsize=13, fontweight="bold")
    axes.text(0, 1.02, told, transform=axes.transAxes, fontsize=9, color=GREY)


def clipped(name: str) -> str:
    """At most 28 characters."""
    return name if len(name) <= 28 else name[:27] + "…"
