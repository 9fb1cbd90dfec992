"""Pictures of what happens inside a network: values over the tokens of a text, and gradients over time."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from torch import Tensor

from seqlab.errors import InputError

MOST_TOKENS: Final = 2_000
"""The most tokens of a picture: it would be longer than a page can show."""

_LINE: Final = 80  # tokens in a line
# Okabe and Ito's colours, which colour-blind readers can tell apart.
_COLORS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES: Final = ("-", "--", ":", "-.")
_NAMED_UNITS: Final = 40  # up to so many, each unit's row has its number


def draw_states(values: Tensor, labels: Sequence[str], *, units: Sequence[int] | None = None, title: str = "") -> Any:
    """Draws values over the tokens of a text, in lines of 80 tokens: a row for each unit.

    Values of one sign are drawn from white to green, others from red below zero over white to blue. All lines have one
    scale.

    Args:
        values: ``(T, size)``, such as a state over time.
        labels: the T tokens.
        units: the columns to draw, from 0; None: all.
        title: what the values are.

    Returns:
        The Matplotlib figure.

    Raises:
        InputError: there is no token or more than 2,000, or no such unit.

    Example:
        >>> import torch
        >>> len(draw_states(torch.rand(100, 8), "ab" * 50, units=[3, 5]).axes)  # two lines, and the scale
        3
    """
    from matplotlib.figure import Figure

    if not 0 < len(labels) <= MOST_TOKENS:
        raise InputError(f"a picture has room for 1 to {MOST_TOKENS:,} tokens, and the text has {len(labels):,}")
    shown = check_units(units, values.size(1))
    table = values.detach().float().cpu()[:, shown].T.numpy()  # (units, T)
    wide = max(map(len, labels)) > 2
    width = min(len(labels), _LINE)
    starts = range(0, len(labels), _LINE)
    height = min(max(0.22 * len(shown), 0.4), 3.5)
    below = 0.09 * min(max(map(len, labels)), 20) if wide else 0.15
    figure = Figure(
        figsize=(max(1.6 + (0.2 if wide else 0.15) * width, 4), 0.7 + len(starts) * (height + below + 0.25)),
        dpi=150,
        layout="constrained",
    )
    lines = figure.subplots(len(starts), 1, squeeze=False)[:, 0]
    bound = float(abs(table).max()) or 1.0
    signed = bool((table < 0).any())
    style: dict[str, Any] = {"cmap": "RdBu" if signed else "Greens", "vmin": -bound if signed else 0.0, "vmax": bound}
    for axes, start in zip(lines, starts, strict=True):
        part = table[:, start : start + _LINE]
        image = axes.imshow(part, aspect="auto", interpolation="nearest", **style)
        texts = [visible(label) for label in labels[start : start + _LINE]]
        axes.set_xticks(range(len(texts)), texts, fontsize=8, rotation=90 if wide else 0)
        axes.set_xlim(-0.5, width - 0.5)  # a last line that is short keeps the width of a token
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if len(shown) <= _NAMED_UNITS:
            axes.set_yticks(range(len(shown)), list(map(str, shown)), fontsize=8)
    figure.supylabel("unit")
    figure.suptitle(title)
    figure.colorbar(image, ax=list(lines), aspect=12, shrink=min(1.0, 2 / len(lines)), pad=0.01)
    return figure


def draw_norms_by_lag(norms: Mapping[str, Tensor], title: str = "gradient by lag") -> Any:
    """Draws norms of gradients by lag, of :func:`seqlab.nn.norms_by_lag`: a line for each layer and part.

    The norms are on a logarithmic scale. A norm of 0, as of a part of the last state that no loss reads, is left out.

    Args:
        norms: ``(T,)`` by the name of the layer and part.
        title: what the picture shows.

    Returns:
        The Matplotlib figure.

    Example:
        >>> import torch
        >>> len(draw_norms_by_lag({"layers.0.h": torch.tensor([1.0, 0.5, 0.25])}).axes[0].lines)
        1
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    axes = figure.subplots()
    parts = list(dict.fromkeys(name.rpartition(".")[2] for name in norms))
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in norms))
    for name, values in norms.items():
        layer, _, part = name.rpartition(".")
        positive = values.detach().double().cpu().masked_fill(values.cpu() <= 0, float("nan"))
        style: dict[str, Any] = {
            "color": _COLORS[layers.index(layer) % len(_COLORS)],
            "linestyle": _DASHES[parts.index(part) % 4],
        }
        axes.plot(range(len(values)), positive.numpy(), label=name, marker="." if len(values) < 3 else None, **style)
    axes.set_yscale("log")
    axes.set_xlabel("lag k, in steps")
    axes.set_ylabel("mean norm of the gradient of the loss at t by the state at t - k")
    axes.set_title(title)
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8)
    return figure


def check_units(units: Sequence[int] | None, size: int) -> list[int]:
    """The numbers of the units, checked; None: all.

    Raises:
        InputError: a number is not from 0 to ``size`` - 1, or there is none.
    """
    if units is None:
        return list(range(size))
    if not units or not all(0 <= unit < size for unit in units):
        raise InputError(f"units {', '.join(map(str, units)) or 'none'}: expected numbers from 0 to {size - 1}")
    return list(units)


def visible(token: str) -> str:
    """A token as a label: spaces and line ends become visible, and a dollar begins no formula."""
    token = token.replace(" ", "\u2423").replace("\n", "\u21b5")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in token).replace("$", r"\$")
