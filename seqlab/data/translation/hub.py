"""Sentence pairs of a Hugging Face data set."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import DEFAULT_SPLIT
from seqlab.data.core.reading import Reading, RowSource
from seqlab.data.formats.hub_rows import HubRows, HubSource, read_columns, select_columns
from seqlab.data.formats.hub_sets import HubDataset
from seqlab.data.formats.pair_tables import SentencePair
from seqlab.data.translation.sources import EMPTY, is_empty
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
        skip_empty: whether pairs with an empty side are left out, before the cut, and counted.

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
        skip_empty: bool = False,
    ) -> None:
        self._sides, self._column = (source, target), column
        files = "as data.path.source=FILE data.path.target=FILE in place of data.hub.path"
        self._hub = HubRows(
            data_set,
            self._choose,
            options="data.hub",
            files=files,
            split=split,
            shuffle_seed=split_seed,
            leave_out=self._empty if skip_empty else None,
        )

    def _read_splits(self) -> dict[str, Reading[SentencePair]]:
        return {split: Reading(list(self._rows(split)), self._hub.left_out(split)) for split in SPLITS}

    def _empty(self, rows: Any) -> dict[int, str]:
        """The numbers of the rows with an empty side."""
        pairs = enumerate(self._texts(rows))
        return {number: EMPTY for number, pair in pairs if _are_texts(pair) and is_empty(SentencePair(*pair, ""))}

    def _rows(self, split: str) -> Iterator[SentencePair]:
        for number, (source, target) in enumerate(self._texts(self._hub.rows(split))):
            place = self._hub.place(split, number)
            for side, text in zip(self._sides, (source, target), strict=True):
                if not isinstance(text, str):
                    raise InputError(f"{place}: expected text in {side!r}, got {text!r}")
            yield SentencePair(source, target, place)

    def _texts(self, rows: Any) -> Iterator[tuple[Any, Any]]:
        """The source and target of each row, before their types are checked."""
        source, target = self._sides
        if self._column not in rows.features:
            yield from read_columns(rows, self._sides)
            return
        for (pair,) in read_columns(rows, [self._column]):
            yield (pair or {}).get(source), (pair or {}).get(target)

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


def _are_texts(pair: tuple[Any, Any]) -> bool:
    return all(isinstance(text, str) for text in pair)
