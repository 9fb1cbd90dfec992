"""Where labelled texts come from: an embedded example, tables, a file a class, and the Hugging Face hub."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from seqlab.data.cut import cut_rows
from seqlab.data.examples import read_lines
from seqlab.data.files import Paths, expand_paths, files_of_splits
from seqlab.data.hub_rows import HubRows, check_text_column, select_columns
from seqlab.data.sources import check_fractions
from seqlab.data.tables import LabelledText, labelled_row, read_table

LABELLED_SPLIT = (0.8, 0.1, 0.1)


class LabelledSource(Protocol):
    """Three splits of labelled texts."""

    def __str__(self) -> str:
        """What the source is, for messages."""

    def read(self, split: str) -> Sequence[LabelledText]:
        """The examples of "train", "validation" or "test"."""


class TinySentiment:
    """Four plain sentences, two of each kind, and two test sentences of words that occur in the four.

    They stand for a lecture's example of that size; the wording is this project's own. Validation repeats training, as
    there is nothing else to choose by.

    Example:
        >>> [(row.text, row.label) for row in TinySentiment().read("test")]
        [('I love this story', 'positive'), ('what a boring film', 'negative')]
    """

    train = (
        ("I love this film", "positive"),
        ("what a wonderful story", "positive"),
        ("I hate this film", "negative"),
        ("what a boring story", "negative"),
    )
    test = (("I love this story", "positive"), ("what a boring film", "negative"))

    def __str__(self) -> str:
        return "the four sentences"

    def read(self, split: str) -> Sequence[LabelledText]:
        """The four sentences, or the two of "test"."""
        rows = self.test if split == "test" else self.train
        return [LabelledText(text, label, f"sentence {i + 1}") for i, (text, label) in enumerate(rows)]


class LabelledTables:
    """Tables with a column of texts and a column of labels: csv, tsv, jsonl or parquet, by the file's ending.

    Csv and tsv begin with a line of column names; csv quotes by double quotes, tsv not at all. They and jsonl may be
    gzip, and are read by Python's own readers, which tell the line of a mistake.

    Args:
        path: a file, a pattern or a list of these; shuffled, then cut into the three splits.
        train: the same for the training split; then ``validation`` and ``test`` are needed too.
        validation: the same for the validation split.
        test: the same for the test split.
        text: the column of texts.
        label: the column of labels.
        split: shares of train, validation and test when ``path`` is given.
        split_seed: of the shuffling before the cut.
        encoding: the files' encoding (parquet has none).

    Raises:
        InputError: both or neither of ``path`` and the three are given, or an option is wrong; on first use: a file is
            broken, a row has too many or too few columns, or lacks its text or label.
    """

    def __init__(
        self,
        path: Paths | None = None,
        train: Paths | None = None,
        validation: Paths | None = None,
        test: Paths | None = None,
        text: str = "text",
        label: str = "label",
        split: Sequence[float] = LABELLED_SPLIT,
        split_seed: int = 0,
        encoding: str = "utf-8",
    ) -> None:
        self._files = files_of_splits("labelled texts", path, train, validation, test)
        self._fractions, self._split_seed = check_fractions(split), split_seed
        self._columns, self._encoding = (text, label), encoding

    def __str__(self) -> str:
        return ", ".join(str(file) for files in self._files.values() for file in files[:3])

    def read(self, split: str) -> Sequence[LabelledText]:
        """The rows of a split."""
        return self._splits[split]

    @cached_property
    def _splits(self) -> dict[str, list[LabelledText]]:
        rows = {
            name: [row for file in files for row in read_table(file, *self._columns, self._encoding)]
            for name, files in self._files.items()
        }
        return cut_rows(rows["path"], self._fractions, self._split_seed, str(self)) if "path" in rows else rows


class LabelledLines:
    """Plain or gzip text files, one text a line, a file a class; shuffled, then cut into the three splits.

    Args:
        files: the file of each label.
        split: shares of train, validation and test.
        split_seed: of the shuffling: runs of different seeds share their test texts.
        encoding: the files' encoding.

    Raises:
        InputError: a file is missing; on first use: a file is broken or a line empty.
    """

    def __init__(
        self,
        files: Mapping[str, str | Path],
        split: Sequence[float] = LABELLED_SPLIT,
        split_seed: int = 0,
        encoding: str = "utf-8",
    ) -> None:
        self._fractions, self._split_seed, self._encoding = check_fractions(split), split_seed, encoding
        self._files = {label: expand_paths(file, f"the file of {label}")[0] for label, file in files.items()}

    def __str__(self) -> str:
        return ", ".join(map(str, self._files.values()))

    def read(self, split: str) -> Sequence[LabelledText]:
        """The lines of a split."""
        return self._splits[split]

    @cached_property
    def _splits(self) -> dict[str, list[LabelledText]]:
        rows = [
            LabelledText(line, label, f"{file}:{number}")
            for label, file in self._files.items()
            for number, line in enumerate(read_lines(file, self._encoding), start=1)
        ]
        return cut_rows(rows, self._fractions, self._split_seed, str(self))


class LabelledHub:
    """Two columns of a data set that ``datasets.load_dataset`` finds; a class number reads as the class's name.

    Splits that it lacks are cut from its training split, which is shuffled first: many such sets stand sorted by label.

    Args:
        path: the data set's name or folder.
        text: the column of texts.
        label: the column of labels.
        split_seed: of the shuffling.
        options: further ones of ``HubRows``.

    Raises:
        InputError: as ``HubRows``; on first use: there is no such column, or a row lacks its text or label.
    """

    def __init__(
        self, path: str, text: str = "text", label: str = "label", split_seed: int = 0, **options: Any
    ) -> None:
        self._text, self._label = text, label
        files = "as data.path=FILE in place of data.hub"
        self._hub = HubRows(path, self._choose, files=files, shuffle_seed=split_seed, **options)
        self._found: dict[str, list[LabelledText]] = {}

    def __str__(self) -> str:
        return str(self._hub)

    def read(self, split: str) -> Sequence[LabelledText]:
        """The rows of a split."""
        if split not in self._found:
            self._found[split] = list(self._rows(split))
        return self._found[split]

    def _rows(self, split: str) -> Iterator[LabelledText]:
        names = getattr(self._hub.features(split)[self._label], "names", None)
        for number, (content, given) in enumerate(self._hub.read(split, self._text, self._label)):
            if names is not None and given is not None:
                given = names[given] if given >= 0 else None  # -1 is the hub's mark of a hidden label
            yield labelled_row(content, given, f"{self}, {split} row {number}", self._text, self._label)

    def _choose(self, rows: Any) -> Any:
        check_text_column(rows, "data.text", self._text, self)
        return select_columns(rows, {"data.text": self._text, "data.label": self._label}, self)
