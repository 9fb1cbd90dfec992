"""Tagged sentences of a Hugging Face data set."""

import math
from collections.abc import Sequence
from typing import Any, Final

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import LABELLED_SPLIT
from seqlab.data.core.labels import strip_label
from seqlab.data.core.reading import Reading, RowSource
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.hub_rows import HubRows, HubSource, read_columns, select_columns
from seqlab.data.formats.hub_sets import HubDataset
from seqlab.data.formats.sentences import TaggedSentence
from seqlab.errors import InputError

_IGNORED: Final = -100  # the target that PyTorch's losses leave out by default


class TaggedHub(HubSource, RowSource[TaggedSentence]):
    """Tagged sentences of a Hugging Face data set, in two columns: lists of words, and lists of as many tags.

    Where the data set names its tags, a tag's number reads as its name, and a number below 0 marks a hidden tag. Where
    it does not, -100 does, which PyTorch's losses ignore. A sentence with a hidden tag is left out and counted, before
    a cut. A split that the data set lacks is cut from its training split, which is shuffled first. Words and tags are
    stripped.

    Args:
        data_set: the data set, or its name.
        word_column: the column of words; None: "tokens".
        tag_column: the column of tags; None: "tags".
        split: the shares of train, validation and test, for the splits that are cut.
        split_seed: of the shuffling.

    Raises:
        InputError: an option is wrong; on first use: the data set or a split is missing or cannot be read, there is no
            such column of lists, a row has no words or another number of tags, a word or tag is empty, or all tags of a
            split are hidden.
    """

    def __init__(
        self,
        data_set: HubDataset | str = HubDataset(),
        word_column: str | int | None = None,
        tag_column: str | int | None = None,
        split: Sequence[float] = LABELLED_SPLIT,
        split_seed: int = 0,
    ) -> None:
        self._words = "tokens" if word_column is None else str(word_column)
        self._tags = "tags" if tag_column is None else str(tag_column)
        files = "as data.path=FILE in place of data.hub"
        self._hub = HubRows(
            data_set, self._choose, files=files, split=split, shuffle_seed=split_seed, leave_out=self._hidden
        )

    def _read_splits(self) -> dict[str, Reading[TaggedSentence]]:
        return {split: self._read(split) for split in SPLITS}

    def _read(self, split: str) -> Reading[TaggedSentence]:
        names = self._tag_names(self._hub.rows(split))
        rows = enumerate(self._hub.read(split, self._words, self._tags))
        sentences = [
            self._sentence(words, tags, names, self._hub.place(split, number)) for number, (words, tags) in rows
        ]
        return Reading(sentences, self._hub.left_out(split))

    def _tag_names(self, rows: Any) -> Sequence[str] | None:
        return getattr(rows.features[self._tags].feature, "names", None)

    def _hidden(self, rows: Any) -> dict[int, str]:
        """The numbers of the rows with a hidden tag, and why they are left out."""
        names = self._tag_names(rows)
        hidden: dict[int, str] = {}
        for number, (tags,) in enumerate(read_columns(rows, [self._tags])):
            for tag in tags or ():
                if isinstance(tag, int) and (tag == _IGNORED if names is None else tag < 0):
                    hidden[number] = f"sentences with a hidden tag ({tag})"
                    break
        return hidden

    def _choose(self, rows: Any) -> Any:
        columns = {"data.word_column": self._words, "data.tag_column": self._tags}
        selection = select_columns(rows, columns, self)
        for option, column in columns.items():
            if not hasattr(rows.features[column], "feature"):
                raise InputError(f"the column {column!r} of the data set {self} holds no lists: give {option}=NAME")
        return selection

    def _sentence(self, words: Any, tags: Any, names: Sequence[str] | None, place: str) -> TaggedSentence:
        if not words:
            raise InputError(f"{place}: the sentence has no words")
        if len(tags or ()) != len(words):
            raise InputError(f"{place}: expected a tag for each of {len(words)} words, got {len(tags or ())}")
        pairs = []
        for number, (word, tag) in enumerate(zip(words, tags, strict=True), start=1):
            if names is not None and tag is not None and tag >= len(names):
                raise InputError(
                    f"{place}, word {number}: expected a tag below {len(names)}, which have names, got {tag}"
                )
            name = tag if names is None or tag is None else names[tag]
            stripped = word.strip(" \t\n") if isinstance(word, str) else ""
            missing = name is None or (isinstance(name, float) and math.isnan(name)) or is_blank(str(name))
            if not stripped or missing:
                raise InputError(f"{place}, word {number}: expected a word and its tag, got {word!r} and {name!r}")
            pairs.append((stripped, strip_label(str(name))))
        stripped_words, tag_names = zip(*pairs, strict=True)
        return TaggedSentence(stripped_words, tag_names, f"{place}, word ", range(1, len(words) + 1))
