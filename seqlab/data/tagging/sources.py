"""Where tagged sentences come from: CoNLL-U files, files of columns, and the Hugging Face hub."""

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Protocol

from seqlab.data.core.cut import LABELLED_SPLIT, check_fractions, cut_rows
from seqlab.data.core.examples import read_lines
from seqlab.data.core.inputs import flat
from seqlab.data.core.labels import strip_label
from seqlab.data.core.summary import counted
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.columns import Columns, read_columns
from seqlab.data.formats.conllu import CONLLU_TAGS, is_conllu, read_conllu
from seqlab.data.formats.hub_rows import HubRows, select_columns
from seqlab.data.formats.sentences import TaggedSentence
from seqlab.data.formats.separators import separator_of
from seqlab.data.formats.text import Paths, files_of_splits
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

FORMATS = ("conllu", "columns")
_SOME: Final = 10  # words of a file that are enough to be surprised that they are one
_IGNORED: Final = -100  # what PyTorch's losses leave out by default
_LONG: Final = 100  # words of a file that is one sentence, from which on it is told


class TaggedSource(Protocol):
    """Three splits of tagged sentences. One that leaves lines or rows out says how many by ``left_out(split)``."""

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
        format: "conllu" or "columns"; None: conllu for files that end in .conllu or .conllup (and .gz), and for those
            that look like it where no option is for columns; else columns.
        word_column: columns: where the words are: a number from 0, or with ``header`` a name; None: 0.
        tag_column: conllu: "upos" (None) or "xpos"; columns: where the tags are, from 0, or from the last by -1
            (None), -2, ..., or with ``header`` a name.
        separator: columns: what stands between them: a character, or "tab", "space", "comma", "semicolon", "pipe", or
            "whitespace" for any run of spaces and tabs; None: tabs where these read every line alike, else whitespace.
        split: shares of train, validation and test when ``path`` is given.
        split_seed: of the shuffling before the cut.
        encoding: the files' encoding.
        comments: columns: what comments begin with, or a list of such; None: there are none.
        header: columns: true: the first line of each file holds the columns' names; None: it does not, and a first
            line that looks so is told.
        split_unique: sentences of the same words stay in one split where ``path`` is cut.

    Raises:
        InputError: both or neither of ``path`` and the three are given, or an option is wrong; on first use: a file is
            broken or has no sentence, or some look like CoNLL-U and some do not; see ``read_conllu`` and
            ``read_columns``.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for split in ("train", "validation", "test"):
        ...     _ = (folder / split).write_text(f"In O\\nYork B-{split}\\n\\nYes O\\n")
        >>> source = TaggedFiles(None, *(folder / split for split in ("train", "validation", "test")))
        >>> [(sentence.words, sentence.tags) for sentence in source.read("test")]
        [(('In', 'York'), ('O', 'B-test')), (('Yes',), ('O',))]
    """

    def __init__(
        self,
        path: Paths | None = None,
        train: Paths | None = None,
        validation: Paths | None = None,
        test: Paths | None = None,
        format: str | None = None,
        word_column: str | int | None = None,
        tag_column: str | int | None = None,
        separator: str | None = None,
        split: Sequence[float] = LABELLED_SPLIT,
        split_seed: int = 0,
        encoding: str = "utf-8",
        comments: str | Sequence[str] | None = None,
        header: bool | None = None,
        split_unique: bool = False,
    ) -> None:
        self._files = files_of_splits("tagged sentences", path, train, validation, test)
        self._fractions, self._split_seed = check_fractions(split), split_seed
        if split_unique and path is None:
            raise InputError("data.split_unique=true is for what is cut, data.path=FILE: the three splits are given")
        self._split_unique = split_unique
        self._encoding = encoding
        if format not in (None, *FORMATS):
            raise InputError(f"data.format={format} must be one of {', '.join(FORMATS)}")
        self._format = format
        self._separator = separator_of(separator)
        self._comments, self._header = check_comments(comments), header
        self._word_column, self._tag_column = word_column, tag_column
        if format is not None:
            self._check_columns(format)
        self._left_out: dict[str, Counter[str]] = {}
        self._widths: dict[int, Path] = {}  # numbers of columns, and the first file of each

    def __str__(self) -> str:
        return ", ".join(str(file) for files in self._files.values() for file in files[:3])

    def files(self) -> list[Path]:
        """The files that are read."""
        return flat(self._files)

    def read(self, split: str) -> Sequence[TaggedSentence]:
        """The sentences of a split."""
        return self._splits[split]

    def left_out(self, split: str) -> Mapping[str, int]:
        """How many lines were left out of a split, by kind; those of files that are cut stand in train."""
        self._splits  # noqa: B018
        if "path" in self._left_out:
            whole = self._left_out["path"] if split == "train" else {}
            return {f"{kind} (before the cut)": count for kind, count in whole.items()}
        return self._left_out[split]

    @cached_property
    def _splits(self) -> dict[str, list[TaggedSentence]]:
        formats: dict[str, Path] = {}
        found: dict[str, list[TaggedSentence]] = {}
        for name, files in self._files.items():
            self._left_out[name] = Counter()
            found[name] = [row for file in files for row in self._sentences(file, self._left_out[name], formats)]
            if len(found[name]) == 1 and _SOME <= len(found[name][0].words) <= _LONG:
                log.warning(
                    "data.%s is one sentence of %d words: sentences end with a blank line, and a line has one word",
                    *(name, len(found[name][0].words)),
                )
        if "path" not in found:
            return found
        same = attrgetter("words") if self._split_unique else None
        return cut_rows(found["path"], self._fractions, self._split_seed, str(self), "sentences", same)

    def _sentences(self, file: Path, left_out: Counter[str], formats: dict[str, Path]) -> list[TaggedSentence]:
        lines = read_lines(file, self._encoding)
        format = self._format or self._format_of(file, lines)
        formats.setdefault(format, file)
        if len(formats) > 1:
            shown = " and ".join(f"{other} like {name}" for name, other in formats.items())
            raise InputError(f"{shown}: expected files of one format; give data.format={' or '.join(FORMATS)} for all")
        columns = self._check_columns(format)
        if format == "conllu":
            found = list(read_conllu(file, lines, str(columns.tag), left_out))
        else:
            widths: list[int] = []
            found = list(read_columns(file, lines, columns, left_out, widths))
            self._check_width(file, widths)
        if not found:
            raise InputError(f"{file}:1: the file has no sentence; expected {format}")
        _check_words(file, found, format)
        return found

    def _check_width(self, file: Path, widths: Sequence[int]) -> None:
        """Refuses files whose columns differ in their number, where nobody said which of them holds the tags."""
        self._widths.update({width: file for width in widths if width not in self._widths})
        if len(self._widths) > 1 and self._tag_column is None:
            (width, first), (other, second) = self._widths.items()
            raise InputError(
                f"{second} has {counted(other, 'columns')} and {first} {width}: are the tags of both in the last? "
                "Give data.tag_column=-1 where they are, or its number from 0"
            )

    def _format_of(self, file: Path, lines: Sequence[str]) -> str:
        if file.name.lower().removesuffix(".gz").endswith((".conllu", ".conllup")):
            return "conllu"
        for_columns = (self._word_column, self._separator, self._comments or None, self._header)
        told = any(option is not None for option in for_columns) or isinstance(self._tag_column, int)
        if told or not is_conllu(lines):
            return "columns"
        log.info("%s looks like CoNLL-U and is read so; data.format=columns reads it as columns", file)
        return "conllu"

    def _check_columns(self, format: str) -> Columns:
        """How the files are read; for CoNLL-U the column of tags alone counts."""
        word, tag = self._word_column, self._tag_column
        if format == "conllu":
            given = {"word_column": word, "separator": self._separator, "header": self._header}
            for option, value in {**given, "comments": self._comments or None}.items():
                if value is not None:
                    raise InputError(f"data.{option}={value!r} is for data.format=columns: CoNLL-U settles it")
            if tag not in (None, *CONLLU_TAGS):
                raise InputError(f"data.tag_column={tag} must be {' or '.join(CONLLU_TAGS)} in a CoNLL-U file")
            return Columns(tag=tag or CONLLU_TAGS[0])
        for option, column in (("word_column", word), ("tag_column", tag)):
            if isinstance(column, str) and self._header:
                continue
            if column is not None and (isinstance(column, bool) or not isinstance(column, int)):
                raise InputError(
                    f"data.{option}={column} must be a whole number in a file of columns, from 0, or -1; a name needs "
                    "a line of names and data.header=true"
                )
        columns = {"word": 0 if word is None else word, "tag": -1 if tag is None else tag}
        return Columns(**columns, separator=self._separator, comments=self._comments, header=self._header)


def check_comments(comments: str | Sequence[str] | None) -> tuple[str, ...]:
    """What comments begin with, as a user gives it.

    Raises:
        InputError: something is no text, or empty.
    """
    marks = [comments] if isinstance(comments, str) else comments or []
    if not all(isinstance(mark, str) and mark.strip() for mark in marks):
        raise InputError(f"data.comments={comments} must be what comments begin with, such as '#', or a list of such")
    return tuple(marks)


def _check_words(file: Path, sentences: Sequence[TaggedSentence], format: str) -> None:
    """Refuses a file of one word, over and over; tells of one that is a single long sentence.

    Raises:
        InputError: it is so.
    """
    first = sentences[0].words[0]
    if sum(len(one.words) for one in sentences) >= _SOME and all({first} == set(one.words) for one in sentences):
        hidden = "the treebank comes without its text" if first == "_" else "these are no words"
        mend = "merge the text into the file" if format == "conllu" else "give data.word_column=NUMBER"
        raise InputError(f"{sentences[0].place(0)}: the word of each line is {first!r}, so {hidden}: {mend}")
    if len(sentences) == 1 and len(sentences[0].words) > _LONG:
        log.warning(
            "%s: no line is blank, so the file is one sentence of %d words; sentences end with a blank line",
            file,
            len(sentences[0].words),
        )


class TaggedHub:
    """Two columns of a data set that ``datasets.load_dataset`` finds: lists of words, and lists of as many tags.

    A tag's number reads as the tag's name, where the data set holds the names; a number below 0 then marks a hidden
    tag, and a sentence with one is left out and counted. So is one with the number -100, which PyTorch's losses ignore,
    where the tags are numbers without names. Splits that it lacks are cut from its training split, which is shuffled
    first. Words and tags are stripped of spaces.

    Args:
        path: the data set's name or folder.
        word_column: the column of words; None: "tokens".
        tag_column: the column of tags; None: "tags".
        split_seed: of the shuffling.
        options: further ones of ``HubRows``.

    Raises:
        InputError: as ``HubRows``; on first use: there is no such column, it holds no lists, a row has no words or
            another number of tags, a word or tag is empty, or all tags of a split are hidden.
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
        self._left_out: dict[str, Counter[str]] = {}

    def __str__(self) -> str:
        return str(self._hub)

    def files(self) -> list[str]:
        """The files that the data set is read from."""
        return self._hub.files()

    def read(self, split: str) -> Sequence[TaggedSentence]:
        """The sentences of a split."""
        if split not in self._found:
            self._left_out[split] = Counter()
            self._found[split] = list(self._rows(split))
            hidden = self._left_out[split].total()
            if hidden and not self._found[split]:
                raise InputError(
                    f"all tags of the {split} split of {self} are hidden ({counted(hidden, 'sentences')}): "
                    f"give data.{split}=SPLIT"
                )
        return self._found[split]

    def left_out(self, split: str) -> Mapping[str, int]:
        """How many sentences of a split were left out, by reason."""
        self.read(split)
        return self._left_out[split]

    def _rows(self, split: str) -> Iterator[TaggedSentence]:
        names = getattr(self._hub.features(split)[self._tags].feature, "names", None)
        for number, (words, tags) in enumerate(self._hub.read(split, self._words, self._tags)):
            place = self._hub.place(split, number)
            hidden = [
                tag for tag in tags or () if isinstance(tag, int) and (tag == _IGNORED if names is None else tag < 0)
            ]
            if hidden:
                self._left_out[split][f"sentences with a hidden tag ({hidden[0]})"] += 1
                continue
            yield self._sentence(words, tags, names, place)

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
        found = []
        for number, (word, tag) in enumerate(zip(words, tags, strict=True), start=1):
            if names is not None and tag is not None and tag >= len(names):
                raise InputError(
                    f"{place}, word {number}: expected a tag below {len(names)}, which have names, got {tag}"
                )
            read = tag if names is None or tag is None else names[tag]
            stripped = word.strip(" \t\n") if isinstance(word, str) else ""
            missing = read is None or (isinstance(read, float) and math.isnan(read)) or is_blank(str(read))
            if not stripped or missing:
                raise InputError(f"{place}, word {number}: expected a word and its tag, got {word!r} and {read!r}")
            found.append((stripped, strip_label(str(read))))
        forms, read_tags = zip(*found, strict=True)
        return TaggedSentence(forms, read_tags, f"{place}, word ", range(1, len(words) + 1))
