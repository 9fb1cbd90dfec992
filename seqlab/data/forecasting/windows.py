"""Windows of series: the origins of each split, and the scale of errors."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.options import check_limit, check_whole_number
from seqlab.data.formats.series import Series
from seqlab.errors import InputError


@dataclass(frozen=True, kw_only=True)
class WindowCut:
    """How series are cut into windows, and by time into splits.

    The last ``test_steps`` of each series are forecast in the test, the ``validation_steps`` before them in validation.
    Within a split the origin rolls: each is followed by ``horizon`` steps of that split alone, and preceded by all that
    is known then, earlier splits too.

    Args:
        horizon: H, the steps to forecast from each origin.
        context: the most steps before an origin that are read.
        test_steps: the steps of each series that the test forecasts; None: a tenth, ``horizon`` at least.
        validation_steps: likewise for validation.
        stride: the steps from one origin of training to the next.
        eval_stride: likewise for validation and test.

    Raises:
        InputError: a number is below 1, or a split has fewer steps than ``horizon``.

    Example:
        >>> WindowCut(horizon=2, context=3).ends(20)
        {'train': (0, 16), 'validation': (16, 18), 'test': (18, 20)}
    """

    horizon: int
    context: int
    test_steps: int | None = None
    validation_steps: int | None = None
    stride: int = 1
    eval_stride: int = 1

    def __post_init__(self) -> None:
        for name in ("horizon", "context", "stride", "eval_stride"):
            check_whole_number(f"data.{name}", getattr(self, name), 1)
        for name in ("test_steps", "validation_steps"):
            steps = check_limit(f"data.{name}", getattr(self, name))
            if steps is not None and steps < self.horizon:
                raise InputError(f"data.{name}={steps}: a forecast of data.horizon={self.horizon} steps needs as many")

    def ends(self, steps: int) -> dict[str, tuple[int, int]]:
        """The steps of each split of a series, as (first, one after the last)."""
        share = max(self.horizon, steps // 10)
        test = steps - (share if self.test_steps is None else self.test_steps)
        validation = test - (share if self.validation_steps is None else self.validation_steps)
        return {"train": (0, validation), "validation": (validation, test), "test": (test, steps)}

    def origins(self, series: Series, split: str) -> NDArray[np.int64]:
        """The origins of a split in a series: each is the number of steps before it.

        In training the first origin is ``context``, or less in a series that is too short for it.
        """
        first, end = self.ends(len(series))[split]
        if split == "train":
            first = min(self.context, max(1, end - self.horizon))
        return np.arange(first, end - self.horizon + 1, self.stride if split == "train" else self.eval_stride)


def naive_scales(series: Series, num_targets: int, end: int, season: int) -> NDArray[np.float32]:
    """The mean absolute error of the seasonal-naive forecast of a series' first ``end`` steps, ``(K,)``.

    It is what MASE divides by (Hyndman & Koehler 2006): mean |y_t - y_{t-season}|. NaN where it is 0 or unknown.
    """
    targets = series.values[:end, :num_targets]
    errors = np.abs(targets[season:] - targets[:-season])
    counts = (~np.isnan(errors)).sum(0)
    scales = np.where(counts > 0, np.nansum(errors, 0) / np.maximum(counts, 1), np.nan)
    return np.where(scales > 0, scales, np.nan).astype(np.float32)
