"""Where sentence pairs come from: parallel files, and the Hugging Face hub."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import check_fractions, check_split_unique, cut_rows, few
from seqlab.data.core.inputs import flat
from seqlab.data.core.summary import counted
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.hub_rows import HubRows, select_columns
from seqlab.data.formats.pair_tables import PairFormat, read_pairs
from seqlab.data.formats.pairing import pair_files
from seqlab.data.formats.tables import without_surrogates
from seqlab.data.formats.text import Paths, check_distinct, files_of_splits, read_lines
from seqlab.errors import InputError

PARALLEL_SPLIT = (0.9, 0.05, 0.05)
EMPTY = "pairs with an empty side"

log = logging.getLogger("seqlab")


class SentencePair(NamedTuple):
    """A sentence, its translation as it stands in the data, and where the pair stands, for messages: ``file:line``."""

    source: str
    target: str
    place: str


class ParallelSource(Protocol):
    """Three splits of sentence pairs."""

    def __str__(self) -> str:
        """What the source is, for messages."""

    def read(self, split: str) -> Sequence[SentencePair]:
        """The pairs of "train", "validation" or "test"."""


class _Cut:
    """Sentence pairs of files: read, empty ones left out on request, then cut where "path" is given."""

    def __init__(
        self,
        given: Sequence[str],
        split: Sequence[float],
        split_seed: int,
        skip_empty: bool,
        split_unique: bool,
    ) -> None:
        self._fractions, self._split_seed = check_fractions(split), split_seed
        self._skip_empty = skip_empty
        self._split_unique = check_split_unique(split_unique, "path" in given)
        self._left_out: dict[str, dict[str, int]] = {}

    def read(self, split: str) -> Sequence[SentencePair]:
        """The pairs of a split."""
        return self._splits[split]

    def left_out(self, split: str) -> Mapping[str, int]:
        """How many pairs a split lacks, by reason; of pairs that are cut, "train" tells those left out before."""
        return self._left_out.get(split, {})

    @cached_property
    def _splits(self) -> dict[str, list[SentencePair]]:
        found = self._read_all()
        if self._skip_empty:
            for name, pairs in found.items():
                found[name] = [pair for pair in pairs if not is_empty(pair)]
                if left_out := len(pairs) - len(found[name]):
                    reason = "pairs with an empty side, before the cut" if name == "path" else EMPTY
                    self._left_out["train" if name == "path" else name] = {reason: left_out}
        if "path" not in found:
            return found
        if len(found["path"]) < len(SPLITS) and self._left_out:
            omitted = ", ".join(counted(count, reason) for reason, count in self._left_out["train"].items())
            raise InputError(
                f"{self}: {few(len(found['path']), 'pairs')} to cut into train, validation and test, for "
                f"data.skip_empty=true left out {omitted}: are source and target the right columns or files?"
            )
        same = same_source if self._split_unique else None
        return cut_rows(found["path"], self._fractions, self._split_seed, str(self), "pairs", same)

    def _read_all(self) -> dict[str, list[SentencePair]]:
        raise NotImplementedError


def same_source(pair: SentencePair) -> str:
    """What pairs share that ``split_unique`` keeps in one split."""
    return pair.source.strip()


def is_empty(pair: SentencePair) -> bool:
    """Whether a side of the pair has nothing that can be seen."""
    return is_blank(pair.source) or is_blank(pair.target)


class ParallelFiles(_Cut):
    """Parallel text files, plain or gzip: line n of the one is the translation of line n of the other.

    Several files of a side pair up by their names, or in order where they are lists of files, see
    :func:`~seqlab.data.formats.pairing.pair_files`; a log line a pair says so.

    Args:
        path: one pair of files, as ``{"source": FILE, "target": FILE}``, shuffled and cut into the three splits; each
            is a file, a pattern or a list of these.
        train: the same for the training split; then ``validation`` and ``test`` are needed too.
        validation: the same for the validation split.
        test: the same for the test split.
        split: shares of train, validation and test when ``path`` is given.
        split_seed: of the shuffling before the cut.
        encoding: the files' encoding.
        skip_empty: leave pairs with an empty side out, before the cut, and count them.
        split_unique: pairs of equal sources stay in one split when ``path`` is given.

    Raises:
        InputError: both or neither of ``path`` and the three are given, a file is missing, on both sides or in two
            splits, files don't pair up, or an option is wrong; on first use: a file is broken or in another encoding,
            or two files are of different lengths.
    """

    def __init__(
        self,
        path: Mapping[str, Paths | None] | None = None,
        train: Mapping[str, Paths | None] | None = None,
        validation: Mapping[str, Paths | None] | None = None,
        test: Mapping[str, Paths | None] | None = None,
        split: Sequence[float] = PARALLEL_SPLIT,
        split_seed: int = 0,
        encoding: str = "utf-8",
        skip_empty: bool = False,
        split_unique: bool = False,
    ) -> None:
        self._encoding = encoding
        named = {"path": path, "train": train, "validation": validation, "test": test}
        given = [name for name, files in named.items() if _check_sides(name, files)]
        if given not in (["path"], list(SPLITS)):
            shown = " and ".join(f"data.{name}" for name in given) or "no file"
            raise InputError(
                f"parallel text: {shown} given; give data.path.source=FILE data.path.target=FILE, or source and target "
                "of all of data.train, data.validation and data.test, or data.hub.path=NAME"
            )
        super().__init__(given, split, split_seed, skip_empty, split_unique)
        self._files = {
            name: pair_files(name, {side: named[name][side] for side in ("source", "target")})  # type: ignore[index,misc]
            for name in given
        }
        check_distinct({name: [file for pair in pairs for file in pair] for name, pairs in self._files.items()})

    def __str__(self) -> str:
        return " and ".join(map(str, next(iter(self._files.values()))[0]))

    def files(self) -> list[Path]:
        """The files that are read."""
        return flat(self._files)

    def _read_all(self) -> dict[str, list[SentencePair]]:
        found: dict[str, list[SentencePair]] = {}
        for name, pairs in self._files.items():
            found[name] = []
            for source, target in pairs:
                log.info("%s: %s with %s", name, source, target)
                found[name] += self._read_pair(source, target)
        return found

    def _read_pair(self, source: Path, target: Path) -> list[SentencePair]:
        lines = [read_lines(file, self._encoding) for file in (source, target)]
        if len(lines[0]) != len(lines[1]):
            longer, shorter = (source, target) if len(lines[0]) > len(lines[1]) else (target, source)
            end = min(map(len, lines))
            raise InputError(
                f"{longer}:{end + 1}: this line has no translation, for {shorter} ends at line {end}; parallel "
                f"files have equally many lines, and these have {max(map(len, lines))} and {end}"
            )
        rows = enumerate(zip(*lines, strict=True), start=1)
        return [SentencePair(one, other, f"{source}:{number}") for number, (one, other) in rows]


class ParallelTables(_Cut):
    """Sentence pairs in two columns of tables: csv, tsv, jsonl or parquet, by the file's ending; tsv for others.

    Args:
        form: which columns, and how the tables are written.
        path: a file, a pattern or a list of these, shuffled and cut into the three splits.
        train: the same for the training split; then ``validation`` and ``test`` are needed too.
        validation: the same for the validation split.
        test: the same for the test split.
        split, split_seed, skip_empty, split_unique: as in :class:`ParallelFiles`.

    Raises:
        InputError: both or neither of ``path`` and the three are given, a file is missing or stands twice, or an option
            is wrong; on first use: a file is broken or a row is; names file and line.
    """

    def __init__(
        self,
        form: PairFormat,
        path: Paths | None = None,
        train: Paths | None = None,
        validation: Paths | None = None,
        test: Paths | None = None,
        split: Sequence[float] = PARALLEL_SPLIT,
        split_seed: int = 0,
        skip_empty: bool = False,
        split_unique: bool = False,
    ) -> None:
        self._form = form
        self._files = files_of_splits("sentence pairs", path, train, validation, test)
        super().__init__(list(self._files), split, split_seed, skip_empty, split_unique)

    def __str__(self) -> str:
        return ", ".join(str(file) for files in self._files.values() for file in files[:3])

    def files(self) -> list[Path]:
        """The files that are read."""
        return flat(self._files)

    def _read_all(self) -> dict[str, list[SentencePair]]:
        found: dict[str, list[SentencePair]] = {}
        replaced: list[tuple[str, int]] = []
        for name, files in self._files.items():
            found[name] = []
            for file in files:
                for row in read_pairs(file, self._form):
                    (source, one), (target, other) = without_surrogates(row.source), without_surrogates(row.target)
                    if one or other:
                        replaced.append((row.place, one + other))
                    found[name].append(SentencePair(source, target, row.place))
            if found[name]:
                log.info("%s: %s; the first: %.60r with %.60r", name, ", ".join(map(str, files)), *found[name][0][:2])
        if replaced:
            log.warning(
                "%s: lone surrogates are read as U+FFFD: %d, in rows: %d, the first at %s",
                *(self, sum(count for _, count in replaced), len(replaced), replaced[0][0]),
            )
        return found


def _check_sides(name: str, files: Mapping[str, Paths | None] | None) -> bool:
    """Whether both sides are given; one without the other is refused."""
    if not isinstance(files, (Mapping, type(None))):
        raise InputError(
            f"data.{name}={files}: expected two files; give data.{name}.source=FILE data.{name}.target=FILE, or for "
            "one file with both sides its columns: data.source=COLUMN data.target=COLUMN"
        )
    sides = {side: (files or {}).get(side) for side in ("source", "target")}
    unknown = [side for side in files or {} if side not in sides]
    if unknown:
        raise InputError(f"data.{name}.{unknown[0]}: expected source and target")
    missing = [side for side, given in sides.items() if not given]
    if len(missing) == 1:
        raise InputError(f"data.{name}: no {missing[0]} file given; give data.{name}.{missing[0]}=FILE")
    return not missing


class ParallelHub:
    """Sentence pairs of a data set that ``datasets.load_dataset`` finds.

    The pairs stand in a column of translations, ``{"de": ..., "en": ...}``, or in two columns. Splits that the set
    lacks are cut from its training split, which is shuffled first.

    Args:
        path: the data set's name or folder.
        source: the source's language in ``column``, or its column where there is no such ``column``.
        target: the same for the target.
        column: the column of translations.
        split_seed: of the shuffling.
        options: further ones of ``HubRows``.

    Raises:
        InputError: as ``HubRows``; on first use: there is no such language or column, or a row lacks a side.
    """

    def __init__(
        self,
        path: str,
        source: str,
        target: str,
        column: str = "translation",
        split_seed: int = 0,
        split: Sequence[float] = PARALLEL_SPLIT,
        **options: Any,
    ) -> None:
        self._sides, self._column = (source, target), column
        files = "as data.path.source=FILE data.path.target=FILE in place of data.hub.path"
        self._hub = HubRows(
            path, self._choose, options="data.hub", files=files, shuffle_seed=split_seed, split=split, **options
        )
        self._found: dict[str, list[SentencePair]] = {}

    def __str__(self) -> str:
        return str(self._hub)

    def files(self) -> list[str]:
        """The files that the data set is read from."""
        return self._hub.files()

    def read(self, split: str) -> Sequence[SentencePair]:
        """The pairs of a split."""
        if split not in self._found:
            self._found[split] = list(self._rows(split))
        return self._found[split]

    def _rows(self, split: str) -> Iterator[SentencePair]:
        for number, (source, target) in enumerate(self._texts(split)):
            place = self._hub.place(split, number)
            for side, text in zip(self._sides, (source, target), strict=True):
                if not isinstance(text, str):
                    raise InputError(f"{place}: expected text in {side!r}, got {text!r}")
            yield SentencePair(source, target, place)

    def _texts(self, split: str) -> Iterator[tuple[Any, ...]]:
        """Source and target of each row, of whatever type."""
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
                found = ", ".join(map(repr, languages)) or "none"
                raise InputError(
                    f"the data set {self} has no language in {self._column!r} {language!r} but {found}: "
                    f"give {option}=NAME"
                )
        return rows.select_columns([self._column])
