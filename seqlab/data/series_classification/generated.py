"""Series with a class each that are made, and of which the best possible accuracy is known."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.reading import EmbeddedSource
from seqlab.data.formats.labelled_series import LabelledSeries
from seqlab.data.formats.series import Series, SeriesFormat
from seqlab.errors import InputError

STEPS = 21
_PAIRS = ((0, 1), (0, 2), (1, 2))  # of triangles, for each class


def _triangles() -> NDArray[np.float64]:
    """The three triangles, ``(3, 21)``: of height 6, around steps 11, 15 and 7."""
    steps = np.arange(1, STEPS + 1)
    return np.stack([np.maximum(6 - np.abs(steps - middle), 0) for middle in (11, 15, 7)]).astype(np.float64)


class Waveforms(EmbeddedSource):
    r"""The waveforms of Breiman et al. (1984): three classes, 21 steps, mixtures of two of three triangles in noise.

    .. math::  x_t = u\,h_a(t) + (1 - u)\,h_b(t) + \epsilon_t, \qquad u \sim U(0, 1),\ \epsilon_t \sim N(0, 1)

    with the triangles :math:`h_1(t) = \max(6 - |t - 11|, 0)`, :math:`h_2(t) = h_1(t - 4)`,
    :math:`h_3(t) = h_1(t + 4)`, and (a, b) = (1, 2), (1, 3), (2, 3) for the classes 1, 2, 3. The best possible accuracy
    is about 86 %; :func:`waveform_posteriors` gives the answer that reaches it.

    Args:
        sizes: the number of series in train, validation and test.
        generator_seed: of all numbers drawn, which runs of different seeds share.

    Raises:
        InputError: ``sizes`` are not three numbers of 3 or more.

    Example:
        >>> rows = Waveforms(sizes=(6, 3, 3)).read("train")
        >>> sorted(row.label for row in rows), rows[0].values.shape
        (['1', '1', '2', '2', '3', '3'], (21, 1))
    """

    features: Sequence[str] = ("x",)
    format = SeriesFormat()

    def __init__(self, sizes: Sequence[int] = (3000, 500, 2000), generator_seed: int = 0) -> None:
        self.sizes = check_sizes(sizes, least=len(_PAIRS))
        self.generator_seed = generator_seed

    def __str__(self) -> str:
        return "the waveforms"

    def read(self, split: str) -> list[LabelledSeries]:
        """The series of a split, whose classes are equally frequent."""
        place = SPLITS.index(split)
        draw = np.random.default_rng([self.generator_seed, place])
        size, triangles = self.sizes[place], _triangles()
        classes = draw.permutation(np.arange(size) % len(_PAIRS))
        rows = []
        for number, kind in enumerate(classes.tolist(), start=1):
            share = draw.random()
            one, other = (triangles[triangle] for triangle in _PAIRS[kind])
            values = share * one + (1 - share) * other + draw.standard_normal(STEPS)
            name = f"{split} {number}"
            rows.append(LabelledSeries(Series(name, values[:, None], [name] * STEPS), str(kind + 1), name))
        return rows


def waveform_posteriors(values: NDArray[np.float64]) -> NDArray[np.float64]:
    r"""The probability of each class of waveforms: :math:`P(c \mid x) \propto \int_0^1 p(x \mid u, c)\,du`.

    Nothing is more often right than the class with the highest one. The integral is a sum over 201 values of u.

    Args:
        values: ``(N, 21)``.

    Returns:
        ``(N, 3)``; each row adds up to 1.

    Example:
        >>> waveform_posteriors(np.maximum(6 - np.abs(np.arange(1, 22) - 15), 0)[None].astype(float)).round(2).tolist()
        [[0.59, 0.0, 0.41]]
    """
    shares = np.linspace(0, 1, 201)[:, None]
    triangles = _triangles()
    likelihoods = []
    for a, b in _PAIRS:
        means = shares * triangles[a] + (1 - shares) * triangles[b]  # (201, 21)
        squares = (values**2).sum(1)[:, None] - 2 * values @ means.T + (means**2).sum(1)
        likelihoods.append(squares / -2)
    logs = np.stack(likelihoods, 1)  # (N, 3, 201)
    weights = np.exp(logs - logs.max((1, 2), keepdims=True))
    totals = weights.sum(2) - (weights[..., 0] + weights[..., -1]) / 2
    posteriors: NDArray[np.float64] = totals / totals.sum(1, keepdims=True)
    return posteriors


def check_sizes(sizes: Sequence[int], least: int) -> tuple[int, int, int]:
    """Checks ``data.sizes``: three whole numbers, each of at least ``least``.

    Raises:
        InputError: they are not.
    """
    whole = isinstance(sizes, Sequence) and all(isinstance(size, int) and size >= least for size in sizes)
    if not whole or len(sizes) != len(SPLITS):
        raise InputError(f"data.sizes={sizes} must be three whole numbers (train, validation, test), {least} or more")
    return sizes[0], sizes[1], sizes[2]
