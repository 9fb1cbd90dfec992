"""Schemes of entities: told on training, learned as BIO, written back."""

import random
from collections import Counter

import pytest

from seqlab.data import tagged_data
from seqlab.data.formats.tag_schemes import TagScheme
from seqlab.errors import InputError
from seqlab.nn import LSTMCell, Tagger
from seqlab.tasks.tag_metrics import EntityMetrics
from tests.data.copies import thrice
from tests.models import of_cell

SPANS = ["B-PER", "O", "B-LOC", "I-LOC", "I-LOC", "B-LOC", "I-LOC"]


WRITTEN = {
    "BIO": SPANS,
    "IOB1": ["I-PER", "O", "I-LOC", "I-LOC", "I-LOC", "B-LOC", "I-LOC"],
    "BIOES": ["S-PER", "O", "B-LOC", "I-LOC", "E-LOC", "B-LOC", "E-LOC"],
    "BILOU": ["U-PER", "O", "B-LOC", "I-LOC", "L-LOC", "B-LOC", "L-LOC"],
    "BMES": ["S-PER", "O", "B-LOC", "M-LOC", "E-LOC", "B-LOC", "E-LOC"],
    "BMEWO": ["W-PER", "O", "B-LOC", "M-LOC", "E-LOC", "B-LOC", "E-LOC"],
}


def of_tags(tmp_path, train, test=None):
    files = {split: tmp_path / split for split in ("train", "validation", "test")}
    for name, tags in (("train", train), ("validation", train), ("test", test or train)):
        files[name].write_text("".join(f"w{i} {tag}\n" for i, tag in enumerate(tags)))
    return tagged_data(**files, entities=True)


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("name", WRITTEN)
def test_every_scheme_is_told_on_training_learned_as_bio_and_written_back(tmp_path, name, typed):
    tags = [tag if typed else tag[0] for tag in WRITTEN[name]]
    bio = [tag if typed else tag[0] for tag in SPANS]
    data = of_tags(tmp_path, tags)
    assert data.spec.scheme == name and list(data.rows("train")[0].tags) == bio
    assert TagScheme(name).write(bio) == tags
    summary = data.summaries()[0]
    assert summary.counts["entities"] == 3 and any(f"scheme {name}" in note for note in summary.notes)
    assert summary.classes == ({"LOC": 2, "PER": 1} if typed else {})
    assert (
        of_cell(Tagger, 9, data.tags, cell=LSTMCell, hidden_size=2, decoder="crf", entities=True).head.crf.allowed
        is not None
    )


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        ("S-PER O", "B-PER U-PER", r"test:2: the tag 'U-PER' is not of BIOES"),
        ("B-PER O", "O E-PER", r"test:2: the tag 'E-PER' is not of BIO"),
        ("B-PER I-PER O", "O I-PER", r"test:2: an entity begins with I-, .*\(IOB1\)"),
        ("I-PER O", "O B-PER", r"test:2: an entity begins with B-"),
        ("S-PER O U-PER", None, r"'S-PER' \(.*train:1\) and 'U-PER' \(.*train:3\) are of no one scheme"),
        ("B-PER O B", None, r"'B-PER' \(.*:1\) and 'B' \(.*:3\) one has a type"),
        ("B-PER o O", None, r"train:2: expected O, B-X or I-X.* got 'o'.*data\.entities=false"),
        ("B- O", None, r"train:1: expected O"),
        ("PER-B O", None, r"train:1: expected O"),
        ("label O", None, r"train:1: .*data\.header=true"),
    ],
)
def test_tags_that_contradict_the_scheme_are_refused_with_their_line(tmp_path, train, test, words):
    with pytest.raises(InputError, match=words):
        of_tags(tmp_path, train.split(), None if test is None else test.split()).prepare_data()


def test_entities_without_beginning_or_end_are_counted_and_other_marks_of_outside_are_read(tmp_path):
    data = of_tags(tmp_path, ["S-X", "_", "E-X", "_", "B-date-time", "_"])
    assert list(data.rows("train")[0].tags) == ["B-X", "O", "B-X", "O", "B-date-time", "O"]
    assert any(note.startswith("2 entities lack") for note in data.summaries()[0].notes)
    assert data.spec.outside == "_" and TagScheme("BIOES", "_").write(["O", "B-X"]) == ["_", "S-X"]


def spans(tags):
    """The entities of any scheme, as conlleval finds them, written independently: each word's end and beginning."""
    role = {"M": "I", "L": "E", "U": "S", "W": "S"}
    found, start = set(), None
    for place, (before, tag) in enumerate(zip(["O", *tags], [*tags, "O"], strict=True)):
        one, other = role.get(before[0], before[0]), role.get(tag[0], tag[0])
        differ = before[1:] != tag[1:]
        if start is not None and (one in "ES" or other in "BSO" or differ):
            found.add((start, place - 1, before[1:]))
            start = None
        if other != "O" and (other in "BS" or one in "ESO" or differ):
            start = place
    return found


@pytest.mark.parametrize("name", WRITTEN)
def test_any_sequence_of_any_scheme_means_what_it_means_to_conlleval(name):
    draw = random.Random(name)
    marks = sorted({tag[0] for tag in WRITTEN[name]} - {"O"})
    scheme, tags = TagScheme(name), ["O", *(f"{mark}-{kind}" for mark in marks for kind in ("X", "Y-Z"))]
    bio = ["O", *(f"{mark}-{kind}" for mark in "BI" for kind in ("X", "Y-Z"))]
    metrics, counts = EntityMetrics(bio), Counter()
    for _ in range(200):
        true, predicted = ([draw.choice(tags) for _ in range(12)] for _ in range(2))
        predicted = [one if draw.random() < 0.8 else other for one, other in zip(true, predicted, strict=True)]
        read_as = [scheme.read(row) for row in (predicted, true)]
        assert [spans(row) for row in read_as] == [spans(predicted), spans(true)]
        assert spans(scheme.write(read_as[1])) == spans(true), "and written back"
        metrics.update(*([[bio.index(tag) for tag in row]] for row in read_as))
        counts.update(
            correct=len(spans(true) & spans(predicted)), predicted=len(spans(predicted)), true=len(spans(true))
        )
    assert metrics.counts.sum(0).tolist() == [counts["correct"], counts["predicted"], counts["true"]]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_types_of_entities_are_in_all_splits_or_in_none(tmp_path, split):
    typed = "w B-PER\nx I-PER\ny O\n\n" * 5
    plain = typed.replace("-PER", "")
    for train, other, words in ((typed, plain, "'B' has no type"), (plain, typed, "'B-PER' has a type")):
        (tmp_path / "a").write_text(train)
        files = thrice(tmp_path / "a")
        files[split].write_text(other)
        with pytest.raises(InputError, match=rf"{split}/a:1: the tag {words}, and those of training have"):
            tagged_data(**files, entities=True).prepare_data()
        files[split].write_text("w O\n\n")
        assert tagged_data(**files, entities=True).summaries()[0].counts["entities"] == 5


def test_tags_that_were_learned_settle_whether_entities_have_types(tmp_path):
    (tmp_path / "a").write_text("w B\nx I\ny O\n\n" * 5)
    with pytest.raises(InputError, match="the tag 'B' has no type"):
        tagged_data(**thrice(tmp_path / "a"), entities=True, tags=["B-PER", "I-PER", "O"]).prepare_data()


def test_marks_in_small_letters_are_told(tmp_path):
    (tmp_path / "a").write_text("w B-PER\nx i-PER\ny O\n\n" * 5)
    with pytest.raises(InputError, match=r"a:2: expected a mark in capitals, such as 'I-PER', got 'i-PER'"):
        tagged_data(**thrice(tmp_path / "a"), entities=True).prepare_data()
