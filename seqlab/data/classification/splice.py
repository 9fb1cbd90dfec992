"""Splice junctions: made by a grammar of motifs, or those of primates (Noordewier, Towell & Shavlik 1991)."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

from seqlab.data.classification.motifs import Bases, Motif, MotifGrammar, Production, Stretch
from seqlab.data.core.batch import SPLITS
from seqlab.data.core.folds import Folds
from seqlab.data.core.options import check_whole_number
from seqlab.data.core.reading import EmbeddedSource, Reading, RowSource
from seqlab.data.formats.bases import CODES, BaseReading, strand_key
from seqlab.data.formats.paths import expand_paths
from seqlab.data.formats.sources import FileSource
from seqlab.data.formats.tables import LabelledText
from seqlab.data.formats.text import read_lines
from seqlab.errors import InputError

LENGTH: Final = 60
"""The bases of a sequence."""

_EXON: Final[Bases] = (0.25, 0.28, 0.30, 0.17)
_INTRON: Final[Bases] = (0.27, 0.17, 0.18, 0.38)
_PYRIMIDINES: Final[Bases] = (0.10, 0.38, 0.10, 0.42)


def _motif(codes: str, shares: Sequence[float]) -> Motif:
    """A motif of a code of bases a position, which has this share; the other bases have equal parts of the rest."""
    positions = []
    for code, share in zip(codes, shares, strict=True):
        among = CODES.get(code, code)
        rest = (1 - share) / max(4 - len(among), 1)
        positions.append(tuple(share / len(among) if base in among else rest for base in "ACGT"))
    return Motif(tuple(positions))  # type: ignore[arg-type]


_DONOR: Final = _motif("MAGGTRAGT", (0.8, 0.75, 0.9, 0.99, 0.99, 0.95, 0.8, 0.9, 0.6))
_BRANCH: Final = _motif("YTRAY", (0.75, 0.85, 0.75, 0.95, 0.75))
_TRACT: Final = Stretch(_PYRIMIDINES, 8, 12)
_ACCEPTOR: Final = _motif("NCAGG", (1.0, 0.8, 0.99, 0.99, 0.65))
_GAP: Final = Stretch(_INTRON, 4, 8)
_PRODUCTIONS: Final = (
    Production("EI", 0.25, _EXON, (_DONOR,), _INTRON),
    Production("IE", 0.25, _INTRON, (_BRANCH, _GAP, _TRACT, _ACCEPTOR), _EXON),
    Production("N", 0.20, _EXON, (), _EXON),
    Production("N", 0.15, _INTRON, (), _INTRON),
    Production("N", 0.05, _EXON, (_DONOR,), _EXON),
    Production("N", 0.05, _INTRON, (_DONOR,), _INTRON),
    Production("N", 0.05, _INTRON, (_ACCEPTOR, _GAP, _TRACT, _BRANCH), _INTRON),
)


class SpliceGrammar(EmbeddedSource):
    r"""Sequences like those at splice junctions, from a grammar whose best classifier is known exactly.

    ::

        EI  0.25  ->  E* donor I*                               an exon ends, an intron begins
        IE  0.25  ->  I* branch gap tract acceptor E*           an intron ends, an exon begins
        N   0.20  ->  E*                    0.15  ->  I*
            0.05  ->  E* donor E*           0.05  ->  I* donor I*
            0.05  ->  I* acceptor gap tract branch I*

    A sequence has 60 bases; its motifs begin at any place that leaves 8 bases on either side. ``donor`` is MAG|GTRAGT,
    ``acceptor`` NCAG|G and ``branch`` YTRAY, each position with the share of its bases; ``tract`` is 8 to 12
    bases of 80 % pyrimidines, ``gap`` 4 to 8 bases of an intron. E and I are bases of an exon and of an intron, which
    differ in composition. So a motif alone does not make a junction: what stands before and after it must change, and
    the parts of an acceptor must come in their order.

    The shapes follow the consensus of vertebrates' junctions (Shapiro & Senapathy 1987); the numbers are this
    project's own. :class:`MotifGrammar` says how the Bayes decision is computed.

    Args:
        sizes: the number of sequences of train, validation and test.
        grammar_seed: of the sequences, which runs of different seeds share.

    Raises:
        InputError: an option is out of range.

    Example:
        >>> source = SpliceGrammar(sizes=(2, 1, 1))
        >>> [(row.text[17:39], row.label) for row in source.read("train")]
        [('CCAAGGGCTTGGGCAGCCCTTC', 'N'), ('CGCCGCGGTAGTTATTTATGCG', 'EI')]
        >>> source.decide([row.text for row in source.read("train")])
        ['N', 'EI']
    """

    def __init__(self, sizes: Sequence[int] = (160_000, 2_000, 10_000), grammar_seed: int = 0) -> None:
        if isinstance(sizes, str) or len(sizes) != len(SPLITS):
            raise InputError(f"data.sizes={sizes} must be three numbers of sequences, such as [160000,2000,10000]")
        self._sizes = {
            split: check_whole_number("data.sizes", size, 1) for split, size in zip(SPLITS, sizes, strict=True)
        }
        self._seed = check_whole_number("data.grammar_seed", grammar_seed, 0)
        self._rows: dict[str, list[LabelledText]] = {}

    def __str__(self) -> str:
        return "the grammar of splice junctions"

    @cached_property
    def grammar(self) -> MotifGrammar:
        """The grammar."""
        return MotifGrammar(_PRODUCTIONS, LENGTH, margin=8)

    def read(self, split: str) -> Sequence[LabelledText]:
        """The sequences of a split."""
        if split not in self._rows:
            sequences, labels = self.grammar.sample(self._sizes[split], (self._seed, SPLITS.index(split)))
            self._rows[split] = [
                LabelledText(sequence, label, f"{self}, {split} sequence {number}")
                for number, (sequence, label) in enumerate(zip(sequences, labels, strict=True), start=1)
            ]
        return self._rows[split]

    def decide(self, sequences: Sequence[str]) -> list[str]:
        """The Bayes decision of each sequence."""
        return self.grammar.decide(sequences)


class SpliceJunctions(FileSource, RowSource[LabelledText]):
    """The splice junctions of primates of the UCI archive, in ARFF: 3,190 sequences of 60 bases, EI, IE or N.

    One fold of ten is the test, a share of the others validation. Equal sequences, and a sequence and its reverse
    complement, stay in one fold: 310 rows share their sequence with another.

    Args:
        file: the file, plain or gzip.
        folds: which fold is the test.
        reading: which letters are bases.

    Raises:
        InputError: the file is missing; on first use: it is broken, or a row has more or fewer bases or no class.
    """

    def __init__(self, file: str | Path, folds: Folds = Folds(10, 0), reading: BaseReading = BaseReading()) -> None:
        self._files = {"path": expand_paths(file, "data.root")[:1]}
        self._folds, self._reading = folds, reading

    def _read_splits(self) -> dict[str, Reading[LabelledText]]:
        (file,) = self._files["path"]
        rows = _read_arff(file)
        same = {row.place: strand_key(self.as_read(self._reading.read(row.text, row.place))) for row in rows}
        parts = self._folds.cut(rows, str(self), lambda row: same[row.place], lambda row: row.label)
        return {split: Reading(part) for split, part in parts.items()}


def _read_arff(file: Path) -> list[LabelledText]:
    """The rows ``name,base,...,base,class`` behind ``@data``; ``%`` begins a comment."""
    rows, in_data = [], False
    for number, line in enumerate(read_lines(file), start=1):
        text = line.strip()
        if not text or text.startswith("%"):
            continue
        if not in_data:
            in_data = text.lower().startswith("@data")
            continue
        values = [value.strip() for value in text.split(",")]
        if len(values) != LENGTH + 2:
            raise InputError(
                f"{file}:{number}: expected a name, {LENGTH} bases and a class, got {len(values)} values; restore the "
                "published file"
            )
        rows.append(LabelledText("".join(values[1:-1]), values[-1], f"{file}:{number}"))
    if not in_data or not rows:
        raise InputError(f"{file}: expected rows behind @data, got {'none' if in_data else 'no @data'}; is it ARFF?")
    return rows
