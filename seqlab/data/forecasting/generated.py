"""Series whose structure is known: what can be forecast of them is known too."""

from collections.abc import Sequence

import numpy as np

from seqlab.data.core.options import check_whole_number
from seqlab.data.core.reading import EmbeddedSource
from seqlab.data.formats.series import Series, SeriesFormat
from seqlab.errors import InputError


class _Generated(EmbeddedSource):
    """A generated series "y", without further features."""

    targets: Sequence[str] = ("y",)
    covariates: Sequence[str] = ()
    known: Sequence[str] = ()
    format = SeriesFormat()

    def _of(self, name: str, values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> Series:
        return Series(name, values[:, None], [f"{name}, step {step}" for step in range(1, len(values) + 1)])


class Sine(_Generated):
    r"""A sine with noise, of which values are missing: :math:`y_t = \sin(2\pi t / p) + \sigma\epsilon_t`.

    No forecast has a smaller mean absolute error than :math:`\sigma\sqrt{2/\pi}`, that of the sine itself.

    Args:
        steps: the number of steps.
        period: p, in steps.
        noise: :math:`\sigma`.
        gaps: the share of values that are missing.
        generator_seed: of the noise and the gaps, which runs of different seeds share.

    Raises:
        InputError: an option is out of range.
    """

    def __init__(
        self, steps: int = 2000, period: float = 25.0, noise: float = 0.1, gaps: float = 0.05, generator_seed: int = 0
    ) -> None:
        self.steps = check_whole_number("data.steps", steps, 1)
        if not (period > 0 and noise >= 0 and 0 <= gaps < 1):
            raise InputError(
                f"data.period={period}, data.noise={noise}, data.gaps={gaps}: "
                "expected above 0, 0 or more, and 0 to below 1"
            )
        self.period, self.noise, self.gaps, self.generator_seed = period, noise, gaps, generator_seed

    def __str__(self) -> str:
        return "the noisy sine"

    def read(self) -> list[Series]:
        """The one series."""
        draw = np.random.default_rng(self.generator_seed)
        values = np.sin(2 * np.pi * np.arange(self.steps) / self.period) + self.noise * draw.standard_normal(self.steps)
        values[draw.random(self.steps) < self.gaps] = np.nan
        return [self._of("sine", values)]


class Threshold(_Generated):
    r"""A threshold autoregression (SETAR, Tong & Lim 1980), which no linear model follows.

    .. math::  y_t = 0.6\,y_{t-1} + 1.2 + \sigma\epsilon_t \quad \text{where } y_{t-2} \leq 0

    .. math::  y_t = -0.8\,y_{t-1} - 0.6 + \sigma\epsilon_t \quad \text{elsewhere}

    The best one-step forecast is the formula without its noise, whose mean absolute error is
    :math:`\sigma\sqrt{2/\pi}`.

    Args:
        steps: the number of steps, after 200 that are dropped.
        noise: :math:`\sigma`.
        generator_seed: of the noise, which runs of different seeds share.

    Raises:
        InputError: an option is out of range.
    """

    def __init__(self, steps: int = 4000, noise: float = 0.2, generator_seed: int = 0) -> None:
        self.steps = check_whole_number("data.steps", steps, 1)
        if not noise >= 0:
            raise InputError(f"data.noise={noise} must be 0 or more")
        self.noise, self.generator_seed = noise, generator_seed

    def __str__(self) -> str:
        return "the threshold autoregression"

    def read(self) -> list[Series]:
        """The one series."""
        draw = np.random.default_rng(self.generator_seed)
        noise = self.noise * draw.standard_normal(self.steps + 200)
        values = [0.0, 0.0]
        for error in noise.tolist():
            last, before = values[-1], values[-2]
            values.append((0.6 * last + 1.2 if before <= 0 else -0.8 * last - 0.6) + error)
        return [self._of("threshold", np.array(values[-self.steps :]))]
