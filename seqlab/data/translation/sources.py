"""Where sentence pairs come from: two files of lines, or two columns of tables. ``hub`` has Hugging Face data sets."""

import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import DEFAULT_SPLIT, Cut, few
from seqlab.data.core.inputs import flat
from seqlab.data.core.reading import Reading
from seqlab.data.core.summary import counted
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.pair_tables import PairFormat, SentencePair, read_pairs
from seqlab.data.formats.pairing import pair_files
from seqlab.data.formats.paths import Files, Paths, Sides, check_distinct, is_complete
from seqlab.data.formats.sources import FileRows
from seqlab.data.formats.tables import warn_of_surrogates, without_surrogates
from seqlab.data.formats.text import read_lines
from seqlab.errors import InputError

SIDES = ("source", "target")
EMPTY = "pairs with an empty side"

log = logging.getLogger("seqlab")


class ParallelSource(Protocol):
    """The contract of a source of sentence pairs.

    A source may also have ``files()``, the files that it reads, and ``left_out(split)``, how many pairs it left out, by
    reason.
    """

    def __str__(self) -> str:
        """The source's name in messages."""

    def read(self, split: str) -> Sequence[SentencePair]:
        """The pairs of "train", "validation" or "test"."""


class _Pairs(FileRows[SentencePair]):
    """Sentence pairs of files. Empty pairs are left out on request, before one set is cut."""

    unit = "pairs"

    def __init__(self, cut: Cut, skip_empty: bool) -> None:
        self._cut, self._skip_empty = cut, skip_empty
        cut.check_use("path" in self._files)

    def _key(self, row: SentencePair) -> Hashable:
        return self.as_read(row.source).strip()

    def _read_files(self) -> dict[str, Reading[SentencePair]]:
        return {name: self._without_empty(pairs) for name, pairs in self._read_all().items()}

    def _cut_set(self, whole: Reading[SentencePair]) -> dict[str, Reading[SentencePair]]:
        if len(whole.rows) < len(SPLITS) and whole.left_out:
            omitted = ", ".join(counted(count, reason) for reason, count in whole.left_out.items())
            raise InputError(
                f"{self}: {few(len(whole.rows), 'pairs')} to cut into train, validation and test, for "
                f"data.skip_empty=true left out {omitted}: are source and target the right columns or files?"
            )
        return super()._cut_set(whole)

    def _without_empty(self, pairs: list[SentencePair]) -> Reading[SentencePair]:
        if not self._skip_empty:
            return Reading(pairs)
        rows = [pair for pair in pairs if not is_empty(pair)]
        left_out = Counter({EMPTY: len(pairs) - len(rows)} if len(rows) < len(pairs) else ())
        return Reading(rows, left_out)

    @abstractmethod
    def _read_all(self) -> dict[str, list[SentencePair]]:
        """All pairs, by "path" or by split."""


def is_empty(pair: SentencePair) -> bool:
    """Whether a side of the pair has no visible character."""
    return is_blank(pair.source) or is_blank(pair.target)


class ParallelFiles(_Pairs):
    """Parallel text files, plain or gzip: line n of one file is the translation of line n of the other.

    Several files of a side are paired by their names, or, in lists of files, by their order; see
    :func:`~seqlab.data.formats.pairing.pair_files`. A log line names each pair of files.

    Args:
        files: the two sides of each split, as ``{"source": FILE, "target": FILE}``, each a file, a pattern or a list of
            these; or those of one set (``path``), which is cut.
        encoding: the files' encoding.
        skip_empty: whether pairs with an empty side are left out, before the cut, and counted.
        cut: how one set is cut; equal pairs are pairs with equal sources.

    Raises:
        InputError: both or neither of ``path`` and the three splits are given, a file is missing, on both sides or in
            two splits, files don't pair up, or an option is wrong; on first use: a file is broken or in another
            encoding, or two files are of different lengths.
    """

    _files: dict[str, list[tuple[Path, Path]]]

    def __init__(
        self,
        files: Files | Sides = Files(),
        encoding: str = "utf-8",
        skip_empty: bool = False,
        cut: Cut = Cut(DEFAULT_SPLIT),
    ) -> None:
        self._encoding = encoding
        named = Files.of(files).named()
        names = [name for name, sides in named.items() if _check_sides(name, sides)]
        if not is_complete(names):
            shown = " and ".join(f"data.{name}" for name in names) or "no file"
            raise InputError(
                f"parallel text: {shown} given; give data.path.source=FILE data.path.target=FILE, alone or with source "
                "and target of data.test, or those of all of data.train, data.validation and data.test, or "
                "data.hub.path=NAME"
            )
        self._files = {name: pair_files(name, {side: named[name][side] for side in SIDES}) for name in names}
        check_distinct({name: flat(pairs) for name, pairs in self._files.items()})
        super().__init__(cut, skip_empty)

    def __str__(self) -> str:
        return " and ".join(map(str, next(iter(self._files.values()))[0]))

    def _read_all(self) -> dict[str, list[SentencePair]]:
        pairs: dict[str, list[SentencePair]] = {}
        for name, files in self._files.items():
            pairs[name] = []
            for source, target in files:
                log.info("%s: %s with %s", name, source, target)
                pairs[name] += self._read_pair(source, target)
        return pairs

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


class ParallelTables(_Pairs):
    """Sentence pairs in two columns of tables: csv, tsv, jsonl or parquet, by the file's ending. Others read as tsv.

    Args:
        form: the columns, and how the tables are written.
        files: the tables of each split; or those of one set (``path``), which is cut.
        skip_empty: whether pairs with an empty side are left out, before the cut, and counted.
        cut: how one set is cut; equal pairs are pairs with equal sources.

    Raises:
        InputError: both or neither of ``path`` and the three splits are given, a file is missing or stands twice, or an
            option is wrong; on first use: a file is broken or a row is; names file and line.
    """

    _files: dict[str, list[Path]]

    def __init__(
        self,
        form: PairFormat,
        files: Files | Paths = Files(),
        skip_empty: bool = False,
        cut: Cut = Cut(DEFAULT_SPLIT),
    ) -> None:
        self._form = form
        self._files = Files.of(files).expanded("sentence pairs", ", or data.hub.path=NAME")
        super().__init__(cut, skip_empty)

    def _read_all(self) -> dict[str, list[SentencePair]]:
        pairs: dict[str, list[SentencePair]] = {}
        surrogates: list[tuple[str, int]] = []  # places, and how many each has
        for name, files in self._files.items():
            pairs[name] = []
            for file in files:
                for row in read_pairs(file, self._form):
                    (source, in_source), (target, in_target) = map(without_surrogates, (row.source, row.target))
                    if in_source or in_target:
                        surrogates.append((row.place, in_source + in_target))
                    pairs[name].append(SentencePair(source, target, row.place))
            if pairs[name]:
                log.info("%s: %s; the first: %.60r with %.60r", name, ", ".join(map(str, files)), *pairs[name][0][:2])
        warn_of_surrogates(str(self), surrogates)
        return pairs


def _check_sides(name: str, files: Any) -> bool:
    """Whether both sides are given. One without the other is refused."""
    if not isinstance(files, Mapping):
        raise InputError(
            f"data.{name}={files}: expected two files; give data.{name}.source=FILE data.{name}.target=FILE, or for "
            "one file with both sides its columns: data.source=COLUMN data.target=COLUMN"
        )
    unknown = [side for side in files if side not in SIDES]
    if unknown:
        raise InputError(f"data.{name}.{unknown[0]}: expected source and target")
    missing = [side for side in SIDES if not files.get(side)]
    if len(missing) == 1:
        raise InputError(f"data.{name}: no {missing[0]} file given; give data.{name}.{missing[0]}=FILE")
    return not missing
