"""Sequences of numbers with a number each, as LightningDataModules: of files, and drawn by a generator."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.data.core.batch import SPLITS, pad
from seqlab.data.core.drawn import Drawn, DrawnData, Draws
from seqlab.data.core.examples import Batching, ExampleData
from seqlab.data.core.fingerprint import same_numbers
from seqlab.data.core.inputs import files_of
from seqlab.data.core.labels import shortened
from seqlab.data.core.reading import left_out_of
from seqlab.data.core.statistics import constant_features, feature_statistics, warn_of_lost_digits
from seqlab.data.core.summary import SplitSummary, counted, equal_rows, percent
from seqlab.data.formats.missing import check_missing, filled
from seqlab.data.formats.series import SeriesFormat, steps_of, steps_of_training
from seqlab.data.regression.batch import RegressionBatch, RegressionSpec
from seqlab.data.regression.generated import Adding
from seqlab.data.regression.sources import NumberedSeries, NumberedSource
from seqlab.errors import InputError


class RegressionData(ExampleData):
    """Series of numbers, each with numbers of its own, read from a source.

    Means and deviations are those of training; they go into the model, which takes and gives numbers in the user's
    units.

    Args:
        source: gives the series (:class:`NumberedSeriesFiles`, ...).
        batching: how they are put into batches.
        missing: what is done about missing inputs. "refuse": nothing is missing, or it is an error. "forward": the last
            value is carried on. "mask": the model is told which values are there.

    Raises:
        InputError: an option is wrong; on first use: a split is empty, or a value missing under "refuse".
    """

    def __init__(self, source: NumberedSource, batching: Batching = Batching(), missing: str = "refuse") -> None:
        super().__init__(batching)
        self.source = source
        self.missing = check_missing(missing)

    def rows(self, split: str) -> Sequence[NumberedSeries]:
        """The series of a split, with their numbers."""
        return self.source.read(split)

    @cached_property
    def spec(self) -> RegressionSpec:
        """What a model and a task need to know."""
        for split in SPLITS:
            if not len(self.rows(split)):
                raise InputError(f"the {split} split of {self.source} has no series; give it one")
        frames = np.concatenate([row.series.values for row in self.rows("train")])
        targets = np.stack([row.targets for row in self.rows("train")])
        means, stds = feature_statistics(frames, self.source.features, self.source)
        named = [f"series {row.series.name}" for row in self.rows("train")]
        frames_of_each = (row.series.values for row in self.rows("train"))
        warn_of_lost_digits(zip(named, frames_of_each, strict=True), self.source.features, self.source)
        target_means, target_stds = feature_statistics(targets, self.source.targets, self.source)
        self._means = means.tolist() if self.trained is None else self.trained.means
        for split in SPLITS:  # a missing value is refused
            self._inputs(split)
        series = {split: [row.series for row in self.rows(split)] for split in SPLITS}
        return RegressionSpec(
            columns=tuple(getattr(self.source, "columns", ())),
            features=tuple(self.source.features),
            targets=tuple(self.source.targets),
            missing=self.missing,
            means=tuple(means.tolist()),
            stds=tuple(stds.tolist()),
            target_means=tuple(target_means.tolist()),
            target_stds=tuple(target_stds.tolist()),
            format=asdict(self.source.format),
            steps=steps_of_training(series, None if self.trained is None else self.trained.steps),
        )

    def _inputs(self, split: str) -> list[NDArray[np.float32]]:
        if split not in self._filled:
            self._filled[split] = [
                filled(row.series, self.source.features, self.missing, self._means, len(row.series))
                for row in self.rows(split)
            ]
        return self._filled[split]

    @cached_property
    def _filled(self) -> dict[str, list[NDArray[np.float32]]]:
        return {}

    def input_files(self) -> list[str] | None:
        """The files that are read; None for a user's own source without ``files``."""
        return files_of(self.source)

    def lengths(self, split: str) -> NDArray[np.int64]:
        """The number of frames of each series of a split, ``(N,)``."""
        return np.array([len(row.series) for row in self.rows(split)], dtype=np.int64)

    def collate(self, split: str, numbers: list[int]) -> RegressionBatch:
        """The batch of the series with these numbers."""
        self.spec  # noqa: B018 - the means, which fill what is missing
        inputs = self._inputs(split)
        rows = self.rows(split)
        return _batch([inputs[number] for number in numbers], [rows[number].targets for number in numbers])

    def summaries(self) -> list[SplitSummary]:
        """How many series and steps each split holds, what is missing, and the spread of the targets."""
        self.spec  # noqa: B018 - a missing value is refused
        shared = equal_rows(
            {split: (same_numbers(row.series.values) for row in self.rows(split)) for split in SPLITS}, "series"
        )
        summaries = []
        for split in SPLITS:
            rows = self.rows(split)
            steps = int(self.lengths(split).sum())
            notes = [shared[split]] if split in shared else []
            if missing := sum(int(np.isnan(row.series.values).sum()) for row in rows):
                share = missing / (steps * len(self.source.features))
                done = {"forward": "carried forward", "mask": "told to the model"}[self.missing]
                notes.append(f"{counted(missing, 'values')} missing ({percent(share)}), {done}")
            if inserted := sum(row.series.inserted for row in rows):
                notes.append(f"{counted(inserted, 'steps')} in gaps of the times")
            if len(lengths := steps_of(row.series for row in rows)) > 1:
                notes.append(f"steps differ from series to series ({', '.join(lengths[:4])})")
            targets = np.stack([row.targets for row in rows])
            if split == "train":
                constant = constant_features(np.concatenate([row.series.values for row in rows]), self.source.features)
                constant += constant_features(targets, self.source.targets)
                notes += [f"constant: {shortened(constant)}"] if constant else []
            for name, values in zip(self.source.targets, targets.T, strict=True):
                notes.append(f"{name} {values.mean():.4g} ± {values.std():.4g}")
            counts = {"series": len(rows), "steps": steps}
            summaries.append(SplitSummary(split, counts, left_out_of(self.source, split), notes=tuple(notes)))
        return summaries


class AddingData(DrawnData):
    """The adding problem, drawn anew in each epoch. Numbers are read and answered as they are, not standardised.

    Args:
        source: draws the sequences.
        draws: how many are drawn, how long they are, and from which seed.
        batching: how they are put into batches.

    Raises:
        InputError: an option is wrong, or a length below 2.

    Example:
        >>> data = AddingData(Adding(), Draws(length=6, sizes=(8, 2, 2)), Batching(4))
        >>> batch = next(iter(data.test_dataloader()))
        >>> batch.inputs.shape, batch.targets.shape, data.spec.targets
        (torch.Size([2, 6, 2]), torch.Size([2, 1]), ('sum',))
    """

    def __init__(self, source: Adding, draws: Draws = Draws(), batching: Batching = Batching()) -> None:
        super().__init__(draws, batching)
        self.source = source
        for split, option in (("train", "data.length"), ("test", "data.test_length")):
            if (shortest := min(draws.lengths(split))) < source.least_length:
                raise InputError(f"{option}={shortest}: {source} needs {source.least_length} steps or more")

    @property
    def spec(self) -> RegressionSpec:
        """What a model and a task need to know."""
        return RegressionSpec(
            columns=(),
            features=self.source.features,
            targets=self.source.targets,
            missing="refuse",
            means=(0.0, 0.0),
            stds=(1.0, 1.0),
            target_means=(0.0,),
            target_stds=(1.0,),
            format=asdict(SeriesFormat()),
        )

    def draw(self, random: np.random.Generator, split: str, count: int, length: int) -> Drawn:
        """Draws sequences, and their sums."""
        return self.source.draw(random, count, length)

    def batch(self, inputs: list[NDArray[Any]], targets: list[NDArray[Any]]) -> RegressionBatch:
        """The batch of some sequences and their sums."""
        return _batch(inputs, targets)

    def summaries(self) -> list[SplitSummary]:
        """How many sequences each split holds, and the error of the best constant."""
        summaries = []
        for split in SPLITS:
            lengths, size = self.draws.lengths(split), self.draws.size(split)
            notes = [f"{self.source}, {' and '.join(f'{length:,}' for length in lengths)} steps each"]
            notes.append(f"the mean squared error of answering 1 is {self.source.baseline:.4f}")
            if split == "train" and self.draws.fresh:
                notes.append("other sequences in each epoch")
            counts = {"sequences": len(lengths) * size, "steps": size * sum(lengths)}
            summaries.append(SplitSummary(split, counts, notes=tuple(notes)))
        return summaries


def _batch(inputs: list[NDArray[Any]], targets: list[NDArray[Any]]) -> RegressionBatch:
    frames, lengths = pad(inputs)
    return RegressionBatch(frames, lengths, torch.from_numpy(np.stack(targets).astype(np.float32)))
