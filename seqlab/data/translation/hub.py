"""Sentence pairs of a Hugging Face data set."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import DEFAULT_SPLIT
from seqlab.data.core.reading import Reading, RowSource
from seqlab.data.formats.hub_rows import HubRows, HubSource, select_columns
from seqlab.data.formats.hub_sets import HubDataset
from seqlab.data.formats.pair_tables import SentencePair
from seqlab.errors import InputError


class ParallelHub(HubSource, RowSource[SentencePair]):
    """Sentence pairs of a Hugging Face data set.

    The pairs stand in a column of translations, ``{"de": ..., "en": ...}``, or in two columns. A split that the data
    set lacks is cut from its training split, which is shuffled first.

    Args:
        data_set: the data set, or its name.
        source: the source's language in ``column``; without such a column, the column of sources.
        target: the target's language, or the column of targets.
        column: the column of translations.
        split: the shares of train, validation and test, for the splits that are cut.
        split_seed: of the shuffling.

    Raises:
        InputError: an option is wrong; on first use: the data set or a split is missing or cannot be read, there is no
            such language or column, or a row lacks a side.
    """

    def __init__(
        self,
        data_set: HubDataset | str,
        source: str,
        target: str,
        column: str = "translation",
        split: Sequence[float] = DEFAULT_SPLIT,
        split_seed: int = 0,
    ) -> None:
        self._sides, self._column = (source, target), column
        files = "as data.path.source=FILE data.path.target=FILE in place of data.hub.path"
        self._hub = HubRows(
            data_set, self._choose, options="data.hub", files=files, split=split, shuffle_seed=split_seed
        )

    def _read_splits(self) -> dict[str, Reading[SentencePair]]:
        return {split: Reading(list(self._rows(split))) for split in SPLITS}

    def _rows(self, split: str) -> Iterator[SentencePair]:
        for number, (source, target) in enumerate(self._texts(split)):
            place = self._hub.place(split, number)
            for side, text in zip(self._sides, (source, target), strict=True):
                if not isinstance(text, str):
                    raise InputError(f"{place}: expected text in {side!r}, got {text!r}")
            yield SentencePair(source, target, place)

    def _texts(self, split: str) -> Iterator[tuple[Any, ...]]:
        """The source and target of each row, before their types are checked."""
        if self._column not in self._hub.features(split):
            return self._hub.read(split, *self._sides)
        return (
            tuple((pair or {}).get(side) for side in self._sides) for (pair,) in self._hub.read(split, self._column)
        )

    def _choose(self, rows: Any) -> Any:
        options = dict(zip(("data.hub.source", "data.hub.target"), self._sides, strict=True))
        if self._column not in rows.features:
            return select_columns(rows, options, self)
        feature = rows.features[self._column]
        languages = getattr(feature, "languages", None) or (feature if isinstance(feature, Mapping) else ())
        for option, language in options.items():
            if language not in languages:
                shown = ", ".join(map(repr, languages)) or "none"
                raise InputError(
                    f"the data set {self} has no language in {self._column!r} {language!r} but {shown}: "
                    f"give {option}=NAME"
                )
        return rows.select_columns([self._column])
