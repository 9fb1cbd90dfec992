"""Windows of series in batches, and what a forecaster needs to know of its data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from seqlab.data.core.batch import Spec, filled_before
from seqlab.data.formats.series import TIME_GAP, Series, SeriesFormat, read_series, warn_of_other_steps


@dataclass
class ForecastBatch:
    """B windows of series: what was, and what came then. All numbers are in the user's units.

    Attributes:
        inputs: ``(B, T, F)`` float32, the steps before the origin: the targets first, then covariates. NaN is a missing
            value; beyond a row's length there are zeros, which mean nothing.
        lengths: ``(B,)`` int64, the number of steps of each row, 1 or more.
        future: ``(B, H, N)`` float32, the covariates that are known beforehand, at the steps to forecast; N may be 0.
        targets: ``(B, H, K)`` float32, what came; NaN where it is missing.
        scales: ``(B, K)`` float32, the mean error of the seasonal-naive forecast over the training part of the row's
            series, which MASE divides by; NaN where there is none.
    """

    inputs: Tensor
    lengths: Tensor
    future: Tensor
    targets: Tensor
    scales: Tensor


@dataclass(frozen=True)
class ForecastSpec(Spec):
    """What a forecaster needs to know of its data, and what it takes to read further series like those of training.

    Attributes:
        targets: the names of the features to forecast.
        covariates: those of features known up to the origin alone.
        known: those of features known beforehand, such as a holiday.
        horizon: H, the steps to forecast.
        context: the most steps before the origin that are read.
        season: the steps of a season, for seasonal-naive forecasts; 1: none.
        missing: what is done about missing inputs: "refuse", "forward" or "mask".
        means: the mean of each feature in training.
        stds: its standard deviation.
        format: how files hold series, by the fields of ``SeriesFormat``.
        steps: the steps of time of training's series, in words, by ``steps_of``; empty where they have no times.
        from_files: whether the series are read from the user's own files, by these names of columns.
        beginnings: the number of steps that training read of each series, by the hash of the series' first steps.
    """

    kind: ClassVar[str] = "forecasting"
    vocabularies: ClassVar[tuple[str, ...]] = ()
    reads_files: ClassVar[bool] = True
    targets: tuple[str, ...]
    covariates: tuple[str, ...]
    known: tuple[str, ...]
    horizon: int
    context: int
    season: int
    missing: str
    means: tuple[float, ...]
    stds: tuple[float, ...]
    format: dict[str, Any]
    steps: tuple[str, ...] = ()
    from_files: bool = False
    beginnings: dict[str, int] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return (*self.targets, *self.covariates, *self.known)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the numbers of a frame, in their order."""
        return features_of(self.targets, self.covariates, self.known, self.format["time_gaps"])

    def model_arguments(self) -> dict[str, Any]:
        return {
            "num_features": len(self.means),
            "num_targets": len(self.targets),
            "num_known": len(self.known),
            "horizon": self.horizon,
            "observed": self.missing == "mask",
        }

    def data_arguments(self) -> dict[str, Any]:
        names = {"targets": self.targets, "covariates": self.covariates, "known": self.known}
        return {name: list(columns) for name, columns in names.items()} if self.from_files else {}

    def statistics(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.means), torch.tensor(self.stds)

    def read_by(self) -> dict[str, Any]:
        return {"context": self.context}

    def output_names(self) -> dict[str, Any]:
        names = {"targets": list(self.targets), "features": list(self.features), "known": list(self.known)}
        return {**names, "horizon": self.horizon, "context": self.context, **filled_before(self.missing, self.means)}

    def read_inputs(self, file: Path) -> list[Series]:
        all_series = read_series(file, SeriesFormat(**self.format), self.columns, len(self.known))
        warn_of_other_steps(all_series, self.steps)
        return all_series


def features_of(
    targets: Sequence[str], covariates: Sequence[str], known: Sequence[str], time_gaps: bool
) -> tuple[str, ...]:
    """The names of the numbers of a frame, in their order.

    Example:
        >>> features_of(["y"], ["wind"], ["holiday"], time_gaps=True)
        ('y', 'wind', 'the time since the row before', 'holiday')
    """
    return (*targets, *covariates, *((TIME_GAP,) if time_gaps else ()), *known)
