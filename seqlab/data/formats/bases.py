"""Bases of DNA: which letters are read, as what, and the opposite strand."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from seqlab.data.core.summary import counted
from seqlab.errors import InputError

BASES: Final = "ACGT"
UNKNOWN_BASE: Final = "N"
CODES: Final = {
    "R": "AG",
    "Y": "CT",
    "S": "CG",
    "W": "AT",
    "K": "GT",
    "M": "AC",
    "B": "CGT",
    "D": "AGT",
    "H": "ACT",
    "V": "ACG",
    "N": "ACGT",
}
"""The bases that each ambiguity code of IUPAC stands for (NC-IUB 1985)."""

AMBIGUOUS_CHOICES: Final = ("refuse", "n", "keep")
SOFT_MASKED_CHOICES: Final = ("read", "n", "refuse")
_LETTERS: Final = f"{BASES}U{''.join(CODES)}"
_COMPLEMENTS: Final = str.maketrans(f"{BASES}RYSWKMBDHVN", "TGCAYRSWMKVHDBN")
_OTHER: Final = re.compile(f"[^{_LETTERS}{_LETTERS.lower()}]")
_GAPS: Final = "-.~"
_LONGEST: Final = 40  # characters of a sequence in a message


def reverse_complement(sequence: str) -> str:
    """The opposite strand in its own direction: the complement of each base, last to first.

    Args:
        sequence: bases and ambiguity codes in upper case; the complement of a code is the code of the complements.

    Example:
        >>> reverse_complement("AACGT"), reverse_complement("RAN")
        ('ACGTT', 'NTY')
    """
    return sequence.translate(_COMPLEMENTS)[::-1]


def strand_key(sequence: str) -> str:
    """The strand that comes first in the alphabet: equal for a sequence and its reverse complement.

    Example:
        >>> strand_key("TTG"), strand_key("CAA")
        ('CAA', 'CAA')
    """
    return min(sequence, reverse_complement(sequence))


@dataclass(frozen=True)
class BaseReading:
    """What becomes of letters other than A, C, G and T. U is read as T, and told.

    Args:
        ambiguous: N and the other codes of IUPAC. "refuse": they are an error. "n": all are read as N. "keep": each is
            a token of its own.
        soft_masked: bases in lower case, which mark repeats. "read": as in upper case. "n": as N. "refuse": they are an
            error.

    Raises:
        InputError: an option has another value.

    Example:
        >>> reading = BaseReading(ambiguous="n")
        >>> reading.letters, reading.read("acGUR", "a.fasta:2")
        ('ACGTN', 'ACGTN')
    """

    ambiguous: str = "n"
    soft_masked: str = "read"

    def __post_init__(self) -> None:
        for name, choices in (("ambiguous", AMBIGUOUS_CHOICES), ("soft_masked", SOFT_MASKED_CHOICES)):
            if (value := getattr(self, name)) not in choices:
                raise InputError(f"data.{name}={value} must be one of {', '.join(choices)}")

    @property
    def letters(self) -> str:
        """The letters that a sequence has once it is read: those of the vocabulary."""
        if self.ambiguous == "keep":
            return BASES + "".join(CODES)
        return BASES + UNKNOWN_BASE if "n" in (self.ambiguous, self.soft_masked) else BASES

    def read(self, sequence: str, place: str) -> str:
        """The sequence as a model reads it.

        Args:
            sequence: the letters of a sequence, or of a line of it.
            place: where it stands, for messages.

        Raises:
            InputError: a letter is no base, or is refused; names it, and the mend.
        """
        self._check(sequence, place)
        if self.soft_masked == "n":
            sequence = re.sub("[a-z]", UNKNOWN_BASE, sequence)
        sequence = sequence.upper().replace("U", "T")
        return re.sub(f"[^{BASES}]", UNKNOWN_BASE, sequence) if self.ambiguous == "n" else sequence

    def _check(self, sequence: str, place: str) -> None:
        if (other := _OTHER.search(sequence)) is not None:
            raise InputError(f"{place}: {other[0]!r} is no base{_mend_of_letter(other[0], sequence)}")
        if self.soft_masked == "refuse" and (low := re.search("[a-z]", sequence)) is not None:
            mend = "give data.soft_masked=read to read such bases, or data.soft_masked=n to read them as N"
            raise InputError(f"{place}: {low[0]!r} is in lower case, a soft-masked base; {mend}")
        if self.ambiguous == "refuse" and (code := re.search(f"[^{BASES}U]", self._unmasked(sequence))) is not None:
            stands = "/".join(CODES[code[0]])
            mend = "give data.ambiguous=n to read such codes as N, or data.ambiguous=keep for a token each"
            raise InputError(f"{place}: {code[0]!r} is ambiguous ({stands}); {mend}")

    def _unmasked(self, sequence: str) -> str:
        """The letters whose ambiguity counts: those that are not read as N anyhow."""
        return re.sub("[a-z]", "", sequence) if self.soft_masked == "n" else sequence.upper()

    def told(self, counts: Mapping[str, int]) -> list[str]:
        """What became of letters other than A, C, G and T, each as a phrase.

        Args:
            counts: how often each letter occurs in the sequences as they stand, as :func:`count_letters` gives it.

        Example:
            >>> BaseReading("n").told(count_letters(["acGUR", "RN"]))
            ['2 soft-masked bases read as bases', '3 ambiguous bases read as N (R 2, N 1)', '1 U read as T']
        """
        phrases = []
        if masked := sum(count for letter, count in counts.items() if letter.islower()):
            as_what = "N" if self.soft_masked == "n" else "bases"
            phrases.append(f"{counted(masked, 'soft-masked bases')} read as {as_what}")
        upper: Counter[str] = Counter()
        for letter, count in counts.items():
            upper[letter.upper()] += 0 if self.soft_masked == "n" and letter.islower() else count
        codes = {code: upper[code] for code in CODES if upper[code]}
        if codes:
            as_what = "read as N" if self.ambiguous == "n" else "kept"
            shown = ", ".join(f"{code} {count:,}" for code, count in codes.items())
            phrases.append(f"{counted(sum(codes.values()), 'ambiguous bases')} {as_what} ({shown})")
        if upper["U"]:
            phrases.append(f"{upper['U']:,} U read as T")
        return phrases

    def as_values(self) -> dict[str, Any]:
        """The options as plain values."""
        return {"ambiguous": self.ambiguous, "soft_masked": self.soft_masked}


def count_letters(sequences: list[str]) -> Counter[str]:
    """How often each letter occurs in sequences.

    Example:
        >>> sorted(count_letters(["AC", "Aa"]).items())
        [('A', 2), ('C', 1), ('a', 1)]
    """
    counts: Counter[str] = Counter()
    for sequence in sequences:
        counts.update({letter: sequence.count(letter) for letter in set(sequence)})
    return counts


def _mend_of_letter(letter: str, sequence: str) -> str:
    """What a letter that is no base shows about a file, and the mend."""
    if letter in _GAPS:
        return ", but a gap of an alignment: take the gaps out"
    if letter == "*" or letter.upper() in "EFILPQ":
        return f": is {sequence[:_LONGEST]!r} of a protein? Give DNA"
    if letter.isdigit():
        return ": take numbers out of the sequence"
    return f" in {sequence[:_LONGEST]!r}: expected A, C, G, T, U or a code of IUPAC, such as N"
