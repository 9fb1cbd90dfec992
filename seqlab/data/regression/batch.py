"""Sequences of numbers with a number each, in batches, and what a regressor needs to know of its data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from seqlab.data.core.batch import Spec, filled_before
from seqlab.data.formats.series import Series, SeriesFormat, read_series, warn_of_other_steps


@dataclass
class RegressionBatch:
    """B sequences of up to T frames. All numbers are in the user's units.

    Attributes:
        inputs: ``(B, T, F)`` float32. NaN is a missing value; beyond a row's length there are zeros, which mean
            nothing.
        lengths: ``(B,)`` int64, the number of frames of each row.
        targets: ``(B, K)`` float32, the numbers of each row.
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor


@dataclass(frozen=True)
class RegressionSpec(Spec):
    """What a regressor needs to know of its data, and what it takes to read further series like those of training.

    Attributes:
        columns: the columns of a user's files that are read of each step; empty where the data are no files of columns.
        features: the names of the numbers of a frame.
        targets: the names of the numbers that are asked.
        missing: what is done about missing inputs: "refuse", "forward" or "mask".
        means: what is subtracted from each feature: its mean in training, or 0.
        stds: what it is divided by: its standard deviation in training, or 1.
        target_means: the same of each target.
        target_stds: the same of each target.
        format: how files hold series, by the fields of ``SeriesFormat``.
        steps: the steps of time of training's series, in words, by ``steps_of``; empty where they have no times.
    """

    kind: ClassVar[str] = "regression"
    vocabularies: ClassVar[tuple[str, ...]] = ()
    reads_files: ClassVar[bool] = True
    columns: tuple[str, ...]
    features: tuple[str, ...]
    targets: tuple[str, ...]
    missing: str
    means: tuple[float, ...]
    stds: tuple[float, ...]
    target_means: tuple[float, ...]
    target_stds: tuple[float, ...]
    format: dict[str, Any]
    steps: tuple[str, ...] = ()

    def model_arguments(self) -> dict[str, Any]:
        return {
            "num_features": len(self.features),
            "num_targets": len(self.targets),
            "observed": self.missing == "mask",
        }

    def data_arguments(self) -> dict[str, Any]:
        return {"features": list(self.columns), "targets": list(self.targets)} if self.columns else {}

    def statistics(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.means), torch.tensor(self.stds)

    def target_statistics(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.target_means), torch.tensor(self.target_stds)

    def output_names(self) -> dict[str, Any]:
        return {
            "targets": list(self.targets),
            "features": list(self.features),
            **filled_before(self.missing, self.means),
        }

    def read_inputs(self, file: Path) -> list[Series]:
        all_series = read_series(file, SeriesFormat(**self.format), self.columns or self.features)
        warn_of_other_steps(all_series, self.steps)
        return all_series
