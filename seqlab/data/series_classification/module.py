"""Labelled sequences of numbers or pictures, as a LightningDataModule."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.data.core.batch import SPLITS, pad
from seqlab.data.core.examples import Batching, ExampleData
from seqlab.data.core.inputs import files_of
from seqlab.data.core.labels import LabelNames, Labels, majority_shares, shortened
from seqlab.data.core.reading import left_out_of
from seqlab.data.core.statistics import (
    check_resolved,
    constant_features,
    feature_statistics,
    warn_of_lost_digits,
)
from seqlab.data.core.summary import SplitSummary, alike_names, counted, equal_rows, percent
from seqlab.data.formats.labelled_series import LabelledSeries
from seqlab.data.formats.missing import check_missing, filled
from seqlab.data.formats.series import steps_of, steps_of_training
from seqlab.data.series_classification.batch import SeriesClassBatch, SeriesClassSpec, columns_of, shown_frame
from seqlab.data.series_classification.sources import LabelledRow, LabelledSource, same_values
from seqlab.errors import InputError


class SeriesClassData(ExampleData):
    """Sequences of numbers or pictures with a class each, in padded batches.

    The classes come from the training split, and so do the mean and deviation of each feature (of pictures: of each
    channel). These go into the model, which takes numbers in the user's units. A sequence of validation or test whose
    class training never saw counts as wrong. A log line gives their number.

    Args:
        source: gives the sequences (:class:`LabelledSeriesFiles`, :class:`ClipFiles`, ...).
        batching: how they are put into batches.
        missing: what is done about missing values. "refuse": nothing is missing, or it is an error. "forward": the last
            value is carried on. "mask": the model is told which values are there.
        labels: the classes in the order of their numbers; None: those of the training split, sorted.
        features: the names that the numbers of a step must have, in order; None: any.

    Raises:
        InputError: an option is wrong; on first use: two sequences differ in the shape of their steps, one is empty, a
            value is missing under "refuse", or there are fewer than two classes. The message names the place.

    Example:
        >>> from seqlab.data.series_classification.generated import Waveforms
        >>> data = SeriesClassData(Waveforms(sizes=(30, 6, 6)), Batching(batch_size=4))
        >>> data.spec.labels, data.spec.model_arguments()
        (('1', '2', '3'), {'num_features': 1, 'observed': False, 'num_classes': 3})
        >>> batch = next(iter(data.test_dataloader()))
        >>> batch.inputs.shape, batch.lengths.tolist()
        (torch.Size([4, 21, 1]), [21, 21, 21, 21])
    """

    def __init__(
        self,
        source: LabelledSource,
        batching: Batching = Batching(),
        missing: str = "refuse",
        labels: Sequence[str] | None = None,
        features: Sequence[str] | None = None,
    ) -> None:
        super().__init__(batching)
        self.source = source
        self.missing = check_missing(missing)
        self._features = features
        self._fixed_labels = None if labels is None else Labels.of_option(labels, "class", "data.labels", _class_name)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in the order of their numbers."""
        return self._labels.names

    @cached_property
    def _labels(self) -> Labels:
        return self._fixed_labels or Labels.of_training(
            (row.label for row in self._rows["train"]), "class", self.source
        )

    @cached_property
    def _rows(self) -> dict[str, Sequence[LabelledRow]]:
        splits = {split: self.source.read(split) for split in SPLITS}
        for split, rows in splits.items():
            if not rows:
                raise InputError(f"the {split} split of {self.source} is empty")
        first = splits["train"][0]
        shape = first.values.shape[1:]
        for row in (row for rows in splits.values() for row in rows):
            if not len(row):
                raise InputError(f"{row.place}: {row.name} has no step; give it at least one, or leave it out")
            if (own := row.values.shape[1:]) != shape:
                mend = "; give data.frame_size=[HEIGHT,WIDTH] to scale them" if len(own) == 3 else ""
                raise InputError(
                    f"{row.place}: a step of {row.name} is {shown_frame(own)}, and {shown_frame(shape)} in "
                    f"{first.name}{mend}"
                )
        if self._features is not None and list(self._features) != columns_of(self.source.features):
            wanted, found = (", ".join(each) for each in (self._features, self.source.features))
            raise InputError(f"{self.source}: expected the features {wanted}, got {found}")
        return splits

    @cached_property
    def _frame(self) -> tuple[int, ...]:
        """The shape of a step."""
        return tuple(self._rows["train"][0].values.shape[1:])

    @property
    def has_pictures(self) -> bool:
        """Whether a step is a picture."""
        return len(self._frame) == 3

    @cached_property
    def spec(self) -> SeriesClassSpec:
        """What a model and a task need to know."""
        means, stds = self._statistics
        spec = SeriesClassSpec(
            labels=self.labels,
            frame=self._frame,
            means=tuple(means.tolist()),
            stds=tuple(stds.tolist()),
            features=tuple(self.source.features),
            missing=self.missing,
            format=self.source.format.plain(),
            steps=() if self.has_pictures else self._steps(),
            num_examples={split: len(targets) for split, targets in self._targets.items()},
            majority=majority_shares(self._targets),
        )
        self._inputs  # noqa: B018 - a missing value is refused
        return spec

    def _steps(self) -> tuple[str, ...]:
        series = {split: [*map(_series, rows)] for split, rows in self._rows.items()}
        return steps_of_training(series, None if self.trained is None else self.trained.steps)

    @cached_property
    def _statistics(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and deviation of each feature or channel over all steps of training."""
        rows = self._rows["train"]
        if not self.has_pictures:
            named = ((row.place, row.values) for row in rows)
            warn_of_lost_digits(named, self.source.features, self.source)
            return feature_statistics(np.concatenate([row.values for row in rows]), self.source.features, self.source)
        channels = range(self._frame[0])
        first = np.array([rows[0].values[0, channel, 0, 0] for channel in channels], dtype=np.float64)
        sums, squares, count = np.zeros(self._frame[0]), np.zeros(self._frame[0]), 0
        for row in rows:
            values = row.values - first[:, None, None]  # so that a channel that never changes has a deviation of 0
            sums += values.sum((0, 2, 3))
            squares += (values**2).sum((0, 2, 3))
            count += values.size // self._frame[0]
        means = first + sums / count
        stds = np.sqrt(np.maximum(squares / count - (sums / count) ** 2, 0))
        for channel, (mean, std) in enumerate(zip(means.tolist(), stds.tolist(), strict=True)):
            check_resolved(f"channel {channel}", mean, std, self.source)
        return means, np.where(stds > 0, stds, 1.0)

    @cached_property
    def _inputs(self) -> dict[str, list[NDArray[np.float32]]]:
        """The inputs of series, with missing values handled; pictures are made when they are asked for."""
        if self.has_pictures:
            return {}
        means = self._statistics[0].tolist() if self.trained is None else self.trained.means
        names = self.source.features
        return {
            split: [filled(_series(row), names, self.missing, means, len(row)) for row in rows]
            for split, rows in self._rows.items()
        }

    def _input(self, split: str, number: int) -> NDArray[np.float32]:
        if self.has_pictures:
            return self._rows[split][number].values.astype(np.float32)
        return self._inputs[split][number]

    @cached_property
    def _targets(self) -> dict[str, NDArray[np.int64]]:
        return {split: self._numbers_of(split, rows) for split, rows in self._rows.items()}

    def _numbers_of(self, split: str, rows: Sequence[LabelledRow]) -> NDArray[np.int64]:
        return self._labels.numbers([row.label for row in rows], split, "sequences", lambda at: rows[at].place)

    def input_files(self) -> list[str] | None:
        """The files that are read; None for a user's own source without ``files``."""
        return files_of(self.source)

    def summaries(self) -> list[SplitSummary]:
        """How many sequences each split holds, how long they are, what is missing, and how often each class occurs."""
        self.spec  # noqa: B018
        shared = equal_rows({split: map(same_values, rows) for split, rows in self._rows.items()}, "sequences")
        alike = alike_names(self.labels)
        unit, step = ("clips", "frames") if self.has_pictures else ("series", "steps")
        summaries = []
        for split, rows in self._rows.items():
            classes = Counter(row.label for row in rows)
            named = {label: classes.pop(label) for label in self.labels if label in classes}
            lengths = self.lengths(split)
            notes = []
            if lengths.min() < lengths.max():
                notes.append(f"{lengths.min():,} to {lengths.max():,} {step} each")
            if unseen := sum(classes.values()):
                notes.append(f"{counted(unseen, unit)} of classes that training lacks ({shortened(sorted(classes))})")
            notes += [] if self.has_pictures else self._missing_notes(split)
            if split == "train" and alike:
                notes.append(f"classes whose names differ little: {shortened(alike)}")
            notes += [shared[split]] if split in shared else []
            counts = {unit: len(rows), step: int(lengths.sum())}
            summaries.append(SplitSummary(split, counts, left_out_of(self.source, split), named, notes=tuple(notes)))
        return summaries

    def _missing_notes(self, split: str) -> list[str]:
        """What is missing in the series of a split, and which features never change."""
        series = [_series(row) for row in self._rows[split]]
        notes = []
        if missing := sum(int(np.isnan(each.values).sum()) for each in series):
            share = missing / sum(each.values.size for each in series)
            done = {"forward": "carried forward", "mask": "told to the model"}[self.missing]
            notes.append(f"{counted(missing, 'values')} missing ({percent(share)}), {done}")
        if inserted := sum(each.inserted for each in series):
            notes.append(f"{counted(inserted, 'steps')} in gaps of the times")
        if len(steps := steps_of(series)) > 1:
            notes.append(f"steps differ from series to series ({', '.join(steps[:4])})")
        if split == "train":
            constant = constant_features(np.concatenate([each.values for each in series]), self.source.features)
            notes += [f"constant: {shortened(constant)}"] if constant else []
        return notes

    def check_training(self) -> None:
        rows = self._rows["train"]
        self._labels.check_training(
            [row.label for row in rows], lambda at: rows[at].place, "leave the sequences labelled {name} out"
        )

    def rows(self, split: str) -> Sequence[LabelledRow]:
        """The sequences of a split as they stand in the data, in the order of their numbers."""
        return self._rows[split]

    def lengths(self, split: str) -> NDArray[np.int64]:
        """The number of steps of each sequence, ``(N,)``."""
        return np.fromiter(map(len, self._rows[split]), np.int64, len(self._rows[split]))

    def collate(self, split: str, numbers: list[int]) -> SeriesClassBatch:
        """The batch of the sequences with these numbers."""
        return SeriesClassBatch(
            *pad([self._input(split, number) for number in numbers]),
            targets=torch.from_numpy(self._targets[split][numbers]),
        )


def _series(row: LabelledRow) -> Any:
    assert isinstance(row, LabelledSeries)
    return row.series


def _class_name(label: Any) -> str:
    """The name of a class in ``data.labels``, made like that of a row's label."""
    return LabelNames("labels").name(label, "data.labels", written=True)
