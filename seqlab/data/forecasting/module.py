"""Windows of series, as a LightningDataModule."""

import logging
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.data.core.batch import SPLITS, pad
from seqlab.data.core.examples import Batching, ExampleData
from seqlab.data.core.inputs import files_of
from seqlab.data.core.options import check_whole_number
from seqlab.data.core.statistics import constant_features, feature_statistics, warn_of_lost_digits
from seqlab.data.core.summary import SplitSummary, counted, percent
from seqlab.data.forecasting.batch import ForecastBatch, ForecastSpec, features_of
from seqlab.data.forecasting.beginnings import beginning, beginnings
from seqlab.data.forecasting.sources import SeriesFiles, SeriesSource
from seqlab.data.forecasting.windows import WindowCut, naive_scales
from seqlab.data.formats.missing import check_missing, filled
from seqlab.data.formats.series import Series, steps_of, warn_of_other_steps
from seqlab.errors import InputError

log = logging.getLogger("seqlab")


class ForecastData(ExampleData):
    """Series of numbers in windows: the steps before an origin, and the ``horizon`` steps after it.

    Each series is cut by time, so the test is later than all that training saw. Means and deviations are those of the
    training part; they go into the model, which takes and gives numbers in the user's units.

    Args:
        source: gives the series (:class:`SeriesFiles`, ...).
        cut: how they are cut into windows and splits.
        batching: how windows are put into batches.
        season: the steps of a season, for MASE; 1: none.
        missing: what is done about missing inputs. "refuse": nothing is missing, or it is an error. "forward": the last
            value is carried on. "mask": the model is told which values are there. A missing target is never judged.

    Raises:
        InputError: an option is wrong; on first use: a series is too short, or a value missing under "refuse".

    Example:
        >>> from seqlab.data.forecasting.generated import Sine
        >>> data = ForecastData(Sine(steps=60, gaps=0.0), WindowCut(horizon=2, context=8), Batching(4))
        >>> batch = next(iter(data.test_dataloader()))
        >>> batch.inputs.shape, batch.targets.shape, data.spec.targets
        (torch.Size([4, 8, 1]), torch.Size([4, 2, 1]), ('y',))
    """

    def __init__(
        self,
        source: SeriesSource,
        cut: WindowCut = WindowCut(horizon=1, context=32),
        batching: Batching = Batching(),
        season: int = 1,
        missing: str = "refuse",
    ) -> None:
        super().__init__(batching)
        self.source = source
        self.cut = cut
        self.season = check_whole_number("data.season", season, 1)
        self.missing = check_missing(missing)

    @cached_property
    def series(self) -> Sequence[Series]:
        """The series, each long enough for all three splits."""
        all_series = self.source.read()
        for series in all_series:
            train_end, least = self._train_end(series), self.cut.horizon + 1
            if train_end < least:
                raise InputError(
                    f"{series.places[-1]}: series {series.name} has {counted(len(series), 'steps')}, of which "
                    f"{max(train_end, 0)} are left for training; a forecast of data.horizon={self.cut.horizon} needs "
                    f"{least}: give a longer series, a shorter data.horizon, or fewer data.test_steps and "
                    "data.validation_steps"
                )
        return all_series

    @cached_property
    def spec(self) -> ForecastSpec:
        """What a model and a task need to know."""
        means, stds = self._statistics
        spec = ForecastSpec(
            targets=tuple(self.source.targets),
            covariates=tuple(self.source.covariates),
            known=tuple(self.source.known),
            horizon=self.cut.horizon,
            context=self.cut.context,
            season=self.season,
            missing=self.missing,
            means=tuple(means.tolist()),
            stds=tuple(stds.tolist()),
            format=self.source.format.plain(),
            steps=steps_of(self.series),
            from_files=isinstance(self.source, SeriesFiles),
            beginnings=beginnings(self.series, [self._train_end(series) for series in self.series]),
        )
        if self.trained is not None:
            warn_of_other_steps(self.series, self.trained.steps)
        self._inputs  # noqa: B018 - a missing value is refused
        return spec

    @cached_property
    def _statistics(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and deviation of each feature over the training parts."""
        parts = [series.values[: self._train_end(series)] for series in self.series]
        statistics = feature_statistics(np.concatenate(parts), self._names, self.source)
        named = [f"series {series.name}" for series in self.series]
        warn_of_lost_digits(zip(named, parts, strict=True), self._names, self.source)
        return statistics

    @property
    def _names(self) -> tuple[str, ...]:
        """The names of the features of a frame."""
        source = self.source
        return features_of(source.targets, source.covariates, source.known, source.format.time_gaps)

    def begins_before(self, other: WindowCut) -> bool:
        """Whether validation or test begins before that of another cut, in any series.

        Its first steps are then of the other cut's training, or have chosen its best model.
        """
        ends = [(self.cut.ends(len(series)), other.ends(len(series))) for series in self.series]
        return any(ours[split][0] < theirs[split][0] for ours, theirs in ends for split in ("validation", "test"))

    def _train_end(self, series: Series) -> int:
        return self.cut.ends(len(series))["train"][1]

    @cached_property
    def _inputs(self) -> list[NDArray[np.float32]]:
        means = self._statistics[0].tolist() if self.trained is None else self.trained.means
        return [filled(series, self._names, self.missing, means, len(series)) for series in self.series]

    @cached_property
    def _scales(self) -> list[NDArray[np.float32]]:
        """The scales of MASE, ``(K,)`` for each series."""
        targets = len(self.source.targets)
        return [naive_scales(each, targets, self._train_end(each), self.season) for each in self.series]

    @cached_property
    def _windows(self) -> dict[str, NDArray[np.int64]]:
        """The windows of each split as pairs (series, origin), ``(N, 2)``; those without any target are left out."""
        self._blank = dict.fromkeys(SPLITS, 0)
        windows = {}
        for split in SPLITS:
            pairs = []
            for number, series in enumerate(self.series):
                origins = self.cut.origins(series, split)
                seen = ~np.isnan(series.values[:, : len(self.source.targets)]).all(1)
                total = np.concatenate([[0], np.cumsum(seen)])
                kept = origins[total[origins + self.cut.horizon] > total[origins]]
                self._blank[split] += len(origins) - len(kept)
                pairs.append(np.column_stack([np.full(len(kept), number), kept]))
            windows[split] = np.concatenate(pairs).astype(np.int64)
            if not len(windows[split]):
                raise InputError(f"the {split} split of {self.source} has no window with a target; give more steps")
        return windows

    def input_files(self) -> list[str] | None:
        """The files that are read; None for a user's own source without ``files``."""
        return files_of(self.source)

    def summaries(self) -> list[SplitSummary]:
        """How many windows each split holds, of how many series, and what is missing in them."""
        self.spec  # noqa: B018 - a missing value is refused
        windows = self._windows
        summaries = []
        for split in SPLITS:
            ends = [self.cut.ends(len(series))[split] for series in self.series]
            values = [series.values[first:end] for series, (first, end) in zip(self.series, ends, strict=True)]
            missing = sum(int(np.isnan(each).sum()) for each in values)
            notes = []
            if missing:
                share = missing / sum(each.size for each in values)
                done = {"forward": "carried forward", "mask": "told to the model"}[self.missing]
                notes.append(f"{counted(missing, 'values')} missing ({percent(share)}), {done}")
            if split != "train" and (trained := self._trained_windows(split)):
                notes.append(f"{counted(trained, 'windows')} of steps that the model was trained on")
            if split == "train":
                notes += self._notes()
            counts = {"windows": len(windows[split]), "series": len(self.series), "steps": sum(map(len, values))}
            left_out = {"windows without a target": self._blank[split]}
            summaries.append(SplitSummary(split, counts, left_out, notes=tuple(notes)))
        return summaries

    def _trained_windows(self, split: str) -> int:
        """How many windows forecast a step that the trained model, for which these data are, has read in training."""
        if self.trained is None:
            return 0
        ends = np.array([self.trained.beginnings.get(beginning(series), 0) for series in self.series])
        series, origins = self._windows[split].T
        return int((origins < ends[series]).sum())

    def _notes(self) -> list[str]:
        """Facts of all splits, for the line of the first."""
        notes = []
        if inserted := sum(series.inserted for series in self.series):
            notes.append(f"{counted(inserted, 'steps')} in gaps of the times")
        if len(steps := steps_of(self.series)) > 1:
            notes.append(f"steps differ from series to series ({', '.join(steps[:4])})")
        if short := sum(self._train_end(series) < self.cut.context + self.cut.horizon for series in self.series):
            notes.append(f"{counted(short, 'series')} shorter than data.context={self.cut.context}")
        parts = np.concatenate([series.values[: self._train_end(series)] for series in self.series])
        if constant := constant_features(parts, self._names):
            notes.append(f"constant: {', '.join(constant[:4])}")
        if nowhere := sum(bool(np.isnan(scales).any()) for scales in self._scales):
            notes.append(f"no MASE for {counted(nowhere, 'series')}, whose seasonal differences are all 0 or unknown")
        return notes

    def lengths(self, split: str) -> NDArray[np.int64]:
        """The number of steps before the origin that each window reads, ``(N,)``."""
        return np.minimum(self._windows[split][:, 1], self.cut.context)

    def origin(self, split: str, number: int) -> tuple[Series, int]:
        """The series of a window, and the steps before its origin."""
        series, origin = self._windows[split][number].tolist()
        return self.series[series], origin

    def collate(self, split: str, numbers: list[int]) -> ForecastBatch:
        """The batch of the windows with these numbers."""
        targets, known = len(self.source.targets), len(self.source.known)
        first_known = len(self._names) - known
        contexts, futures, wanted = [], [], []
        pairs = self._windows[split][numbers]
        for series, origin in pairs.tolist():
            inputs = self._inputs[series]
            contexts.append(inputs[max(0, origin - self.cut.context) : origin])
            futures.append(inputs[origin : origin + self.cut.horizon, first_known:])
            wanted.append(self.series[series].values[origin : origin + self.cut.horizon, :targets])
        scales = np.stack([self._scales[series] for series in pairs[:, 0].tolist()])
        return ForecastBatch(
            *pad(contexts),
            future=torch.from_numpy(np.stack(futures)),
            targets=torch.from_numpy(np.stack(wanted).astype(np.float32)),
            scales=torch.from_numpy(scales),
        )
