"""Where tagged sentences come from: CoNLL-U files, files of columns, and the Hugging Face hub."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from seqlab.data.conll import CONLLU_TAGS, TaggedSentence, read_columns, read_conllu
from seqlab.data.cut import cut_rows
from seqlab.data.files import Paths, files_of_splits
from seqlab.data.hub_rows import HubRows, select_columns
from seqlab.data.labelled import LABELLED_SPLIT
from seqlab.data.sources import check_fractions
from seqlab.errors import InputError

FORMATS = ("conllu", "columns")


class TaggedSource(Protocol):
    """Three splits of tagged sentences."""

    def __str__(self) -> str:
        """What the source is, for messages."""

    def read(self, split: str) -> Sequence[TaggedSentence]:
        """The sentences of "train", "validation" or "test"."""


class TaggedFiles:
    """CoNLL-U files, or files of columns with a word a line and a blank line after each sentence; plain or gzip.

    Args:
        path: a file, a pattern or a list of these; its sentences are shuffled, then cut into the three splits.
        train: the same for the training split; then ``validation`` and ``test`` are needed too.
        validation: the same for the validation split.
        test: the same for the test split.
        format: "conllu" or "columns"; None: conllu for files that end in .conllu or .conllu.gz, else columns.
        word_column: columns: where the words are, from 0; None: 0.
        tag_column: conllu: "upos" (None) or "xpos"; columns: where the tags are, from 0, or from the last by -1
            (None), -2, ...
        separator: columns: what stands between them; None: any run of spaces and tabs.
        split: shares of train, validation and test when ``path`` is given.
        split_seed: of the shuffling before the cut.
        encoding: the files' encoding.

    Raises:
        InputError: both or neither of ``path`` and the three are given, or an option is wrong; on first use: a file is
            broken or has no sentence; see ``read_conllu`` and ``read_columns``.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.conll"
        >>> _ = file.write_text("In O\\nYork B-place\\n\\nYes O\\n")
        >>> source = TaggedFiles(train=file, validation=file, test=file)
        >>> [(sentence.words, sentence.tags) for sentence in source.read("test")]
        [(('In', 'York'), ('O', 'B-place')), (('Yes',), ('O',))]
    """

    def __init__(
        self,
        path: Paths | None = None,
        train: Paths | None = None,
        validation: Paths | None = None,
        test: Paths | None = None,
        format: str | None = None,
        word_column: int | None = None,
        tag_column: str | int | None = None,
        separator: str | None = None,
        split: Sequence[float] = LABELLED_SPLIT,
        split_seed: int = 0,
        encoding: str = "utf-8",
    ) -> None:
        self._files = files_of_splits("tagged sentences", path, train, validation, test)
        self._fractions, self._split_seed = check_fractions(split), split_seed
        self._format = self._checked_format(format)
        self._encoding = encoding
        self._columns = self._checked_columns(word_column, tag_column, separator)

    def __str__(self) -> str:
        return ", ".join(str(file) for files in self._files.values() for file in files[:3])

    def read(self, split: str) -> Sequence[TaggedSentence]:
        """The sentences of a split."""
        return self._splits[split]

    @cached_property
    def _splits(self) -> dict[str, list[TaggedSentence]]:
        found = {name: [row for file in files for row in self._sentences(file)] for name, files in self._files.items()}
        return cut_rows(found["path"], self._fractions, self._split_seed, str(self)) if "path" in found else found

    def _sentences(self, file: Path) -> list[TaggedSentence]:
        found = list(
            read_conllu(file, self._columns["tag_column"], self._encoding)
            if self._format == "conllu"
            else read_columns(file, **self._columns, encoding=self._encoding)
        )
        if not found:
            raise InputError(f"{file}:1: the file has no sentence; expected {self._format}")
        return found

    def _checked_format(self, format: str | None) -> str:
        if format is None:
            files = [str(file) for files in self._files.values() for file in files]
            kinds = {file.removesuffix(".gz").lower().endswith(".conllu") for file in files}
            if len(kinds) > 1:
                raise InputError(f"data.format: some of {self} end in .conllu and some do not; give conllu or columns")
            return "conllu" if kinds == {True} else "columns"
        if format not in FORMATS:
            raise InputError(f"data.format={format} must be one of {', '.join(FORMATS)}")
        return format

    def _checked_columns(self, word: Any, tag: Any, separator: str | None) -> dict[str, Any]:
        if self._format == "conllu":
            for option, value in (("word_column", word), ("separator", separator)):
                if value is not None:
                    raise InputError(f"data.{option}={value!r} is for data.format=columns: CoNLL-U settles it")
            if tag not in (None, *CONLLU_TAGS):
                raise InputError(f"data.tag_column={tag} must be {' or '.join(CONLLU_TAGS)} in a CoNLL-U file")
            return {"tag_column": tag or CONLLU_TAGS[0]}
        for option, column in (("word_column", word), ("tag_column", tag)):
            if column is not None and (isinstance(column, bool) or not isinstance(column, int)):
                raise InputError(f"data.{option}={column} must be a whole number in a file of columns, from 0, or -1")
        if separator == "":
            raise InputError("data.separator is empty: give a character, or null for any run of spaces and tabs")
        columns = {"word_column": 0 if word is None else word, "tag_column": -1 if tag is None else tag}
        return {**columns, "separator": separator}


class TaggedHub:
    """Two columns of a data set that ``datasets.load_dataset`` finds: lists of words, and lists of as many tags.

    A tag's number reads as the tag's name, where the data set holds the names. Splits that it lacks are cut from its
    training split, which is shuffled first.

    Args:
        path: the data set's name or folder.
        word_column: the column of words; None: "tokens".
        tag_column: the column of tags; None: "tags".
        split_seed: of the shuffling.
        options: further ones of ``HubRows``.

    Raises:
        InputError: as ``HubRows``; on first use: there is no such column, it holds no lists, a row has no words or
            another number of tags, or a word or tag is empty.
    """

    def __init__(
        self,
        path: str,
        word_column: str | None = None,
        tag_column: str | int | None = None,
        split_seed: int = 0,
        **options: Any,
    ) -> None:
        self._words, self._tags = str(word_column or "tokens"), str(tag_column or "tags")
        files = "as data.path=FILE in place of data.hub"
        self._hub = HubRows(path, self._choose, files=files, shuffle_seed=split_seed, **options)
        self._found: dict[str, list[TaggedSentence]] = {}

    def __str__(self) -> str:
        return str(self._hub)

    def read(self, split: str) -> Sequence[TaggedSentence]:
        """The sentences of a split."""
        if split not in self._found:
            self._found[split] = list(self._rows(split))
        return self._found[split]

    def _rows(self, split: str) -> Iterator[TaggedSentence]:
        names = getattr(self._hub.features(split)[self._tags].feature, "names", None)
        for number, (words, tags) in enumerate(self._hub.read(split, self._words, self._tags)):
            yield self._sentence(words, tags, names, self._hub.place(split, number))

    def _choose(self, rows: Any) -> Any:
        columns = {"data.word_column": self._words, "data.tag_column": self._tags}
        chosen = select_columns(rows, columns, self)
        for option, column in columns.items():
            if not hasattr(rows.features[column], "feature"):
                raise InputError(f"the column {column!r} of the data set {self} holds no lists: give {option}=NAME")
        return chosen

    def _sentence(self, words: Any, tags: Any, names: Sequence[str] | None, place: str) -> TaggedSentence:
        if not words:
            raise InputError(f"{place}: the sentence has no words")
        if len(tags or ()) != len(words):
            raise InputError(f"{place}: expected a tag for each of {len(words)} words, got {len(tags or ())}")
        if names is not None:
            tags = [names[tag] if tag is not None and tag >= 0 else None for tag in tags]
        for number, (word, tag) in enumerate(zip(words, tags, strict=True), start=1):
            if not isinstance(word, str) or not word.strip() or tag is None or tag == "":
                raise InputError(f"{place}, word {number}: expected a word and its tag, got {word!r} and {tag!r}")
        return TaggedSentence(tuple(words), tuple(map(str, tags)), f"{place}, word ", range(1, len(words) + 1))
