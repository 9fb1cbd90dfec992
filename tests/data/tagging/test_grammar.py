"""The generated grammar: its answers follow from letters and neighbours alone, also of words that training lacks."""

import pytest

from seqlab.data import Grammar
from seqlab.data.tagging.grammar import DETERMINERS, FIRMS, PLACES, PREPOSITIONS, REGIONS, SUFFIXES
from seqlab.errors import InputError

CLOSED = {
    **dict.fromkeys(DETERMINERS, "DET"),
    **dict.fromkeys(PREPOSITIONS, "ADP"),
    **dict.fromkeys(".!", "PUNCT"),
    "and": "CCONJ",
}


def part_of_speech(words: tuple[str, ...], place: int) -> str:
    """The rule in words: closed classes, digits, suffixes, capitals; a bare stem by what stands before it."""
    word, before = words[place], part_of_speech(words, place - 1) if place else "PUNCT"
    if place == 0:
        word = word.lower() if word.lower() in CLOSED or any(map(word.endswith, SUFFIXES["ADV"])) else word
    if word in CLOSED:
        return CLOSED[word]
    if word.isdecimal():
        return "NUM"
    if word[0].isupper():
        return "PROPN"
    for tag, endings in SUFFIXES.items():
        if word.endswith(endings):
            return tag
    return "NOUN" if before in ("DET", "ADJ", "NUM") else "VERB"


def entities(words: tuple[str, ...]) -> list[str]:
    """Runs of capitals: a place by its ending, a firm by its last word, else a person."""
    names = [part_of_speech(words, place) == "PROPN" for place in range(len(words))]
    tags, start = ["O"] * len(words), 0
    while start < len(words):
        if not names[start]:
            start += 1
            continue
        place = words[start] in REGIONS or words[start].endswith(PLACES)
        end = start + 1
        while end < len(words) and names[end] and not (place and words[end - 1].endswith(PLACES)):
            if not place and (words[end] in REGIONS or words[end].endswith(PLACES)):
                break
            end += 1
        kind = "LOC" if place else "ORG" if words[end - 1] in FIRMS else "PER"
        tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
        start = end
    return tags


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_tag_follows_from_letters_and_neighbours(split):
    for sentence in Grammar("pos").read(split):
        found = tuple(part_of_speech(sentence.words, place) for place in range(len(sentence.words)))
        assert found == sentence.tags, sentence.words
    for sentence in Grammar("entities").read(split):
        assert tuple(entities(sentence.words)) == sentence.tags, sentence.words


def test_neither_letters_alone_nor_the_words_before_tell_everything():
    bare = {"NOUN": set(), "VERB": set()}
    for sentence in Grammar("pos").read("train"):
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            if tag in bare:
                bare[tag].add(word)
    assert len(bare["NOUN"] & bare["VERB"]) > 50, "stems that are both"
    first = {}
    for sentence in Grammar("entities").read("train"):
        first.setdefault(sentence.tags[0], set()).add(sentence.words[0])
    assert len(first["B-PER"] & first["B-ORG"]) > 5, "told by what comes after alone"


def test_test_has_words_that_training_lacks_and_a_share_decides_how_many():
    def unseen(**options) -> float:
        grammar = Grammar("pos", **options)
        seen = {word.lower() for sentence in grammar.read("train") for word in sentence.words}
        words = [word.lower() for sentence in grammar.read("test") for word in sentence.words if not word.isdecimal()]
        return sum(word not in seen for word in words) / len(words)

    assert unseen(unseen=0.0) < 0.15, "stems that training has with another suffix"
    assert 0.2 < unseen() < 0.3 and unseen(unseen=1.0) > 0.5


def test_the_same_seed_gives_the_same_sentences_on_every_machine():
    one, same, other = Grammar("pos"), Grammar("pos", sizes=(7, 5, 5)), Grammar("pos", grammar_seed=1)
    assert one.read("train")[:7] == same.read("train") and one.read("train") != other.read("train")
    assert [len(one.read(split)) for split in ("train", "validation", "test")] == [1000, 200, 400]
    assert one.read("train")[0].words == Grammar("entities").read("train")[0].words
    assert one.read("test")[2].place(1) == "the grammar (pos), test sentence 3, word 2"
    assert " ".join(one.read("train")[0].words) == "Dafi toko Rile Sara Union fakoly !"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": "chunks"}, r"data\.layer=chunks must be one of pos, entities"),
        ({"sizes": (1, 2)}, r"data\.sizes=\(1, 2\) must be three numbers of sentences"),
        ({"sizes": (1, 0, 2)}, r"data\.sizes=0 must be a whole number, 1 or more"),
        ({"unseen": 1.5}, r"data\.unseen=1\.5 must be a share from 0 to 1"),
        ({"grammar_seed": -1}, r"data\.grammar_seed=-1 must be a whole number, 0 or more"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        Grammar(**options)
