"""Where sentence pairs come from: parallel files, and the Hugging Face hub."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from seqlab.data.batch import SPLITS
from seqlab.data.cut import cut_rows
from seqlab.data.examples import read_lines
from seqlab.data.files import Paths, expand_paths
from seqlab.data.hub_rows import HubRows, select_columns
from seqlab.data.sources import check_fractions
from seqlab.errors import InputError

PARALLEL_SPLIT = (0.9, 0.05, 0.05)


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


class ParallelFiles:
    """Parallel text files, plain or gzip: line n of the one is the translation of line n of the other.

    Args:
        path: one pair of files, as ``{"source": FILE, "target": FILE}``, shuffled and cut into the three splits; each
            is a file, a pattern or a list of these.
        train: the same for the training split; then ``validation`` and ``test`` are needed too.
        validation: the same for the validation split.
        test: the same for the test split.
        split: shares of train, validation and test when ``path`` is given.
        split_seed: of the shuffling before the cut.
        encoding: the files' encoding.

    Raises:
        InputError: both or neither of ``path`` and the three are given, a file is missing, or an option is wrong; on
            first use: a file is broken or in another encoding, or two files are of different lengths.
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
    ) -> None:
        self._fractions, self._split_seed, self._encoding = check_fractions(split), split_seed, encoding
        named = {"path": path, "train": train, "validation": validation, "test": test}
        given = [name for name, files in named.items() if _check_sides(name, files)]
        if given not in (["path"], list(SPLITS)):
            shown = " and ".join(f"data.{name}" for name in given) or "no file"
            raise InputError(
                f"parallel text: {shown} given; give data.path.source=FILE data.path.target=FILE, or source and target "
                "of all of data.train, data.validation and data.test, or data.hub.path=NAME"
            )
        self._files = {
            name: [expand_paths(named[name][side], f"data.{name}.{side}") for side in ("source", "target")]  # type: ignore[index,arg-type]
            for name in given
        }

    def __str__(self) -> str:
        first = next(iter(self._files.values()))
        return " and ".join(str(files[0]) for files in first)

    def read(self, split: str) -> Sequence[SentencePair]:
        """The pairs of a split."""
        return self._splits[split]

    @cached_property
    def _splits(self) -> dict[str, list[SentencePair]]:
        pairs = {name: self._read(name, *sides) for name, sides in self._files.items()}
        if "path" not in pairs:
            return pairs
        return cut_rows(pairs["path"], self._fractions, self._split_seed, str(self), "pairs")

    def _read(self, name: str, sources: Sequence[Any], targets: Sequence[Any]) -> list[SentencePair]:
        if len(sources) != len(targets):
            raise InputError(
                f"data.{name}: {len(sources)} source files and {len(targets)} target files; "
                "each source file needs its target file"
            )
        found = []
        for source, target in zip(sources, targets, strict=True):
            lines = [read_lines(file, self._encoding) for file in (source, target)]
            if len(lines[0]) != len(lines[1]):
                longer, shorter = (source, target) if len(lines[0]) > len(lines[1]) else (target, source)
                end = min(map(len, lines))
                raise InputError(
                    f"{longer}:{end + 1}: this line has no translation, for {shorter} ends at line {end}; parallel "
                    f"files have equally many lines, and these have {max(map(len, lines))} and {end}"
                )
            rows = enumerate(zip(*lines, strict=True), start=1)
            found += [SentencePair(one, other, f"{source}:{number}") for number, (one, other) in rows]
        return found


def _check_sides(name: str, files: Mapping[str, Paths | None] | None) -> bool:
    """Whether both sides are given; one without the other is refused."""
    if not isinstance(files, (Mapping, type(None))):
        raise InputError(
            f"data.{name}={files}: expected two files; give data.{name}.source=FILE data.{name}.target=FILE"
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
