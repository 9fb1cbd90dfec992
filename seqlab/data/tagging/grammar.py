"""A generated grammar whose words have parts of speech and whose names are entities: the answers are exactly known."""

import random
from collections.abc import Iterator, Sequence

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.options import check_whole_number
from seqlab.data.core.reading import EmbeddedSource
from seqlab.data.formats.sentences import TaggedSentence
from seqlab.errors import InputError

LAYERS = ("pos", "entities")
DETERMINERS = ("the", "a", "this", "every")
PREPOSITIONS = ("in", "near", "from", "at")
REGIONS = ("North", "South", "New")
FIRMS = ("Bank", "Group", "Union")
SUFFIXES = {"NOUN": ("ness", "tion", "ment"), "VERB": ("izes", "ates"), "ADJ": ("ful", "ous"), "ADV": ("ly",)}
PLACES = ("burg", "land", "stad")

Word = tuple[str, str, str]  # form, part of speech, entity
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"
_STEMS = 300  # in training; as many again that training never sees


class Grammar(EmbeddedSource):
    """Sentences of made-up words from a small grammar; each word has a part of speech and an entity tag.

    ::

        S      -> [ADV] clause ["and" clause] "."
        clause -> NP VERB NP [ADV] [("in" | ...) (LOC | common)]    after a PER a LOC may also stand alone
        NP     -> common | PER | ORG
        common -> (DET [ADJ] | NUM) NOUN
        PER    -> Name [Name],    ORG -> Name [Name] ("Bank" | ...),    LOC -> ["North" | ...] Placeburg

    A word of an open class is a stem of four letters with a suffix of its class (``kilaness``, ``kilaful``). A name
    begins with a capital, and so does each sentence. A bare stem is a noun after a determiner, adjective or number,
    else a verb. A name belongs to a person unless a word of a firm follows. So the letters decide most tags, the words
    before and after decide the others, and no tag is left to chance. In validation and test, a share of the stems never
    occurs in training.

    Args:
        layer: "pos" (parts of speech) or "entities" (PER, ORG and LOC in BIO).
        sizes: the number of sentences of train, validation and test.
        unseen: the share of open-class words in validation and test whose stem never occurs in training.
        grammar_seed: of stems and sentences, which are the same on every machine.

    Raises:
        InputError: an option is out of range.

    Example:
        >>> sentence = Grammar("entities").read("train")[0]
        >>> " ".join(map("/".join, zip(sentence.words, sentence.tags)))
        'Dafi/B-PER toko/O Rile/B-ORG Sara/I-ORG Union/I-ORG fakoly/O !/O'
    """

    def __init__(
        self,
        layer: str = "pos",
        sizes: Sequence[int] = (1000, 200, 400),
        unseen: float = 0.3,
        grammar_seed: int = 0,
    ) -> None:
        if layer not in LAYERS:
            raise InputError(f"data.layer={layer} must be one of {', '.join(LAYERS)}")
        if isinstance(sizes, str) or len(sizes) != len(SPLITS):
            raise InputError(f"data.sizes={sizes} must be three numbers of sentences, such as [1000,200,400]")
        if not 0.0 <= unseen <= 1.0:
            raise InputError(f"data.unseen={unseen} must be a share from 0 to 1")
        self._layer, self._unseen, self._seed = layer, unseen, check_whole_number("data.grammar_seed", grammar_seed, 0)
        self._sizes = {
            split: check_whole_number("data.sizes", size, 1) for split, size in zip(SPLITS, sizes, strict=True)
        }
        stems = [a + b + c + d for a in _CONSONANTS for b in _VOWELS for c in _CONSONANTS for d in _VOWELS]
        random.Random(f"{grammar_seed} stems").shuffle(stems)
        self._stems = {"seen": stems[:_STEMS], "unseen": stems[_STEMS : 2 * _STEMS]}
        self._sentences: dict[str, list[TaggedSentence]] = {}

    def __str__(self) -> str:
        return f"the grammar ({self._layer})"

    def read(self, split: str) -> Sequence[TaggedSentence]:
        """The sentences of a split."""
        if split not in self._sentences:
            draw = random.Random(f"{self._seed} {split}")
            writer = _Writer(draw, self._stems, 0.0 if split == "train" else self._unseen)
            self._sentences[split] = [
                self._sentence(list(writer.sentence()), f"{self}, {split} sentence {number}, word ")
                for number in range(1, self._sizes[split] + 1)
            ]
        return self._sentences[split]

    def _sentence(self, words: list[Word], origin: str) -> TaggedSentence:
        first = words[0][0]
        forms = (first[0].upper() + first[1:], *(form for form, _, _ in words[1:]))
        tags = tuple(pos if self._layer == "pos" else entity for _, pos, entity in words)
        return TaggedSentence(forms, tags, origin, range(1, len(forms) + 1))


class _Writer:
    """Draws sentences; one method for each production of the grammar."""

    def __init__(self, draw: random.Random, stems: dict[str, list[str]], unseen: float) -> None:
        self._draw, self._stems, self._unseen = draw, stems, unseen

    def sentence(self) -> Iterator[Word]:
        if self._chance(0.2):
            yield self._open("ADV")
        yield from self._clause()
        if self._chance(0.3):
            yield "and", "CCONJ", "O"
            yield from self._clause()
        yield self._draw.choice(".!"), "PUNCT", "O"

    def _clause(self) -> Iterator[Word]:
        yield from self._noun_phrase()
        yield self._open("VERB")
        objects = list(self._noun_phrase())
        yield from objects
        if objects[-1][2].endswith("PER") and self._chance(0.3):
            yield from self._place()
            return
        if self._chance(0.3):
            yield self._open("ADV")
        if self._chance(0.5):
            yield self._draw.choice(PREPOSITIONS), "ADP", "O"
            yield from self._place() if self._chance(0.6) else self._common()

    def _noun_phrase(self) -> Iterator[Word]:
        return self._draw.choices([self._common, self._person, self._firm], [2, 1, 1])[0]()

    def _common(self) -> Iterator[Word]:
        if self._chance(0.2):
            yield str(self._draw.randint(2, 9999)), "NUM", "O"
        else:
            yield self._draw.choice(DETERMINERS), "DET", "O"
            if self._chance(0.4):
                yield self._open("ADJ")
        yield self._open("NOUN")

    def _person(self) -> Iterator[Word]:
        yield self._name(), "PROPN", "B-PER"
        if self._chance(0.5):
            yield self._name(), "PROPN", "I-PER"

    def _firm(self) -> Iterator[Word]:
        yield self._name(), "PROPN", "B-ORG"
        if self._chance(0.3):
            yield self._name(), "PROPN", "I-ORG"
        yield self._draw.choice(FIRMS), "PROPN", "I-ORG"

    def _place(self) -> Iterator[Word]:
        region = self._chance(0.3)
        if region:
            yield self._draw.choice(REGIONS), "PROPN", "B-LOC"
        yield self._name() + self._draw.choice(PLACES), "PROPN", "I-LOC" if region else "B-LOC"

    def _open(self, pos: str) -> Word:
        bare = pos in ("NOUN", "VERB") and self._chance(0.4)
        return self._stem() + ("" if bare else self._draw.choice(SUFFIXES[pos])), pos, "O"

    def _name(self) -> str:
        return self._stem().capitalize()

    def _stem(self) -> str:
        return self._draw.choice(self._stems["unseen" if self._chance(self._unseen) else "seen"])

    def _chance(self, probability: float) -> bool:
        return self._draw.random() < probability
