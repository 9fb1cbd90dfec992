"""Sentence pairs in batches: vocabularies, lengths, and the beginning and end of a translation."""

from itertools import pairwise

import numpy as np
import pytest

from seqlab.data import SentencePair, TokenizerSettings, TranslationData, TranslationSpec, from_options, read_spec
from seqlab.data.core.batch import IGNORE_INDEX
from seqlab.errors import InputError

PAIRS = [(f"Satz {i} Ä", f"sentence {i} ä" + " so" * (i % 4)) for i in range(40)]


class Given:
    """Pairs that are given; the same ones for validation and test."""

    def __init__(self, train, other=None):
        self.splits = {"train": train, "validation": other or train, "test": other or train}

    def __str__(self):
        return "what is given"

    def read(self, split):
        return [SentencePair(*pair, f"{split}:{i}") for i, pair in enumerate(self.splits[split], start=1)]


def test_batches_hold_the_pairs_with_a_beginning_to_read_and_an_end_to_write():
    data = from_options(TranslationData, Given(PAIRS), batch_size=8, bucket_batches=2)
    spec = data.spec
    assert data.lengths("train").tolist() == [6 + i % 4 for i in range(40)]
    found = []
    for batch in data.train_dataloader():
        assert batch.references == ()
        assert batch.inputs.shape == batch.targets.shape and (batch.inputs[:, 0] == spec.bos).all()
        for row, length, inputs, targets in zip(
            batch.source, batch.source_lengths, batch.inputs, batch.targets, strict=True
        ):
            written = targets[targets != IGNORE_INDEX].tolist()
            assert written.pop() == spec.eos and inputs[1 : len(written) + 1].tolist() == written
            assert not row[length:].any() and (targets[len(written) + 1 :] == IGNORE_INDEX).all()
            assert not inputs[len(written) + 1 :].any()
            source, target = (data.vocabularies[side] for side in ("source", "target"))
            found.append((source.decode(row[:length]), target.decode(written)))
    assert sorted(found) == sorted(PAIRS)
    references = [text for batch in data.test_dataloader() for text in batch.references]
    assert sorted(references) == sorted(target for _, target in PAIRS)
    batch = data.collate("validation", [5, 2])
    assert batch.references == (PAIRS[5][1], PAIRS[2][1])


def test_lengths_of_both_sides_decide_what_is_batched_together():
    pairs = [("a", "b " * 9), ("a " * 9, "b"), ("a", "b"), ("a " * 9, "b " * 9)]
    data = from_options(TranslationData, Given(pairs), batch_size=2, bucket_batches=2)
    assert data.lengths("train").tolist() == [10, 10, 2, 18]
    assert [sorted(batch.tolist()) for batch in data.loader("test", 2, None).batches(0)] == [[0, 2], [1, 3]]


def test_vocabularies_come_from_training_alone_and_know_the_unknown():
    data = from_options(TranslationData, Given([("Ja ja", "Yes yes")], [("nein ja", "no Yes")]), lowercase=True)
    assert [vocabulary.tokens for vocabulary in data.vocabularies.values()] == [("ja", "<unk>"), ("yes", "<unk>")]
    assert data.vocabulary is data.vocabularies["source"]
    batch = data.collate("test", [0])
    assert batch.source.tolist() == [[1, 0]] and batch.targets.tolist() == [[1, 0, data.spec.eos]]
    assert batch.references == ("no Yes",), "a reference is untouched"
    letters = from_options(TranslationData, Given([("ab", "c")]), unit="character")
    assert [vocabulary.tokens for vocabulary in letters.vocabularies.values()] == [("a", "b", "<unk>"), ("c", "<unk>")]


def test_no_text_spells_the_beginning_or_the_end():
    text = "a <eos> <bos> b"
    for unit in ("character", "word", "subword"):
        data = from_options(TranslationData, Given([(text, text)]), unit=unit)
        targets = data.collate("train", [0]).targets[0].tolist()
        assert sorted(targets)[-1] == data.spec.eos == len(data.vocabularies["target"]) + 1
        assert max(targets[:-1]) < data.spec.bos == data.spec.eos - 1
        assert data.vocabularies["target"].decode(targets[:-1]) == text
        assert data.spec.model_arguments()["target_vocab_size"] == data.spec.eos + 1


def test_a_joint_vocabulary_is_one_of_both_sides():
    apart = from_options(TranslationData, Given(PAIRS), unit="subword", max_vocab_size=300)
    joint = from_options(TranslationData, Given(PAIRS), unit="subword", max_vocab_size=300, joint_vocabulary=True)
    assert joint.vocabularies["source"] is joint.vocabularies["target"]
    assert apart.vocabularies["source"].tokens != apart.vocabularies["target"].tokens
    known = joint.vocabulary.pieces("Satz sentence")
    assert len(known) < len(apart.vocabulary.pieces("Satz sentence"))
    assert joint.spec.source_size == joint.spec.target_size == len(joint.vocabulary)


@pytest.mark.parametrize("unit", ["character", "word", "subword"])
def test_saved_vocabularies_give_the_same_ids_on_other_data(tmp_path, unit):
    options = {"unit": unit, "lowercase": True}
    data = from_options(TranslationData, Given(PAIRS), **options)
    (tmp_path / "target").mkdir()
    for side, place in (("source", tmp_path), ("target", tmp_path / "target")):
        data.vocabularies[side].save(place)
    other = from_options(TranslationData, Given(PAIRS[:2], PAIRS), vocabulary=tmp_path, **options)
    assert other.spec.model_arguments() == data.spec.model_arguments()
    for side in ("source", "targets"):
        one, two = (getattr(each.collate("test", [7, 3]), side) for each in (data, other))
        assert one.tolist() == two.tolist()


def test_one_saved_vocabulary_serves_both_sides_where_it_is_said_to_be_joint(tmp_path):
    joint = TranslationData(Given(PAIRS), joint_vocabulary=True)
    file = joint.vocabulary.save(tmp_path)
    for path in (file, tmp_path):
        other = TranslationData(Given(PAIRS[:1]), joint_vocabulary=True, vocabulary=path)
        assert [found.tokens for found in other.vocabularies.values()] == [joint.vocabulary.tokens] * 2
        with pytest.raises(InputError, match=r"holds no target/tokenizer\.json: give data\.joint_vocabulary=true"):
            TranslationData(Given(PAIRS), vocabulary=path).prepare_data()
    with pytest.raises(InputError, match=r"data\.unit is subword but the vocabulary .* was made with word"):
        TranslationData(
            Given(PAIRS), TokenizerSettings("subword"), joint_vocabulary=True, vocabulary=file
        ).prepare_data()


def test_long_pairs_of_training_are_left_out_and_counted_and_never_those_of_a_test():
    pairs = [("a", "b b b"), ("a a", "b b"), ("a a a", "b"), ("a", "b")]
    data = TranslationData(Given(pairs), max_length=2)
    assert data.spec.num_pairs == {"train": 2, "validation": 4, "test": 4}
    assert [pair.place for pair in data.rows("train")] == ["train:2", "train:4"]
    assert data.collate("train", [0]).source_lengths.tolist() == [2] and data.lengths("train").tolist() == [4, 2]
    train, validation, _ = data.summaries()
    assert train.left_out == {"pairs with a side of over 2 tokens": 2} and not validation.left_out
    assert train.counts == {"pairs": 2, "source tokens": 3, "target tokens": 3}
    with pytest.raises(InputError, match=r"data\.max_length=2 leaves no training pair; give more"):
        TranslationData(Given(pairs[:1]), max_length=2).prepare_data()


@pytest.mark.parametrize("unit", ["word", "character"])
def test_words_of_training_pairs_that_are_left_out_are_in_no_vocabulary(unit):
    pairs = [("a b", "x y"), ("a c d e f", "x z"), ("b", "x"), ("a", "u v w q r s t")]
    settings = TokenizerSettings(unit, min_frequency=1)
    data, kept = (
        TranslationData(Given(rows), settings, max_length=most)
        for rows, most in ((pairs, 4 if unit == "character" else 3), (pairs[::2], None))
    )
    for side in ("source", "target"):
        assert data.vocabularies[side].tokens == kept.vocabularies[side].tokens
    assert [pair.place for pair in data.rows("train")] == ["train:1", "train:3"]
    assert data.summaries()[0].left_out == {f"pairs with a side of over {data.max_length} tokens": 2}


def test_wrong_options_of_the_data_are_refused():
    for name, value in (("max_length", 0), ("batch_size", 0), ("unit", "letter"), ("max_vocab_size", 1)):
        with pytest.raises(InputError, match=rf"data\.{name}="):
            from_options(TranslationData, Given(PAIRS), **{name: value})


def test_the_spec_is_read_back():
    spec = TranslationSpec(9, 5, "word", {"train": 3})
    fields = {"kind": "translation", "source_size": 9, "target_size": 5, "unit": "word", "num_pairs": {"train": 3}}
    assert read_spec(fields) == spec and spec.vocabularies == ("source", "target")
    assert spec.model_arguments() == {"source_vocab_size": 9, "target_vocab_size": 7} and spec.data_arguments() == {}
    assert spec.output_names() == {"bos_id": 5, "eos_id": 6}


def test_bucketed_lengths_waste_little_padding():
    draw = np.random.default_rng(0)
    pairs = [("a " * int(count), "b " * int(count)) for count in draw.integers(1, 40, 400)]
    data = from_options(TranslationData, Given(pairs), batch_size=10, bucket_batches=20)
    batches = list(data.train_dataloader())
    padded = sum(batch.source.numel() for batch in batches)
    assert padded < 1.1 * sum(int(batch.source_lengths.sum()) for batch in batches)
    widths = [batch.source.size(1) for batch in batches]
    assert any(one > two for one, two in pairwise(widths)) and any(one < two for one, two in pairwise(widths))
