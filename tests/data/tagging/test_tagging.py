"""Batches of tagged sentences: words, letters, tags, and what training never saw."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from seqlab.data import (
    Grammar,
    TaggedFiles,
    TaggingData,
    TaggingSpec,
    from_options,
    grammar_data,
    read_spec,
    tagged_data,
)
from seqlab.data.tagging.batch import EncodedSentences
from seqlab.errors import InputError
from tests.data.copies import thrice

TRAIN = "The D\ncat N\nsat V\n\nThe D\ndog N\nran V\naway A\n\nThe D\ncat N\n"
TEST = "the D\nCat N\nsmiled V\n\nran V\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.conll").write_text(TRAIN)
    (tmp_path / "test.conll").write_text(TEST)
    return tmp_path


def small(folder: Path, **options) -> TaggingData:
    train, test = folder / "train.conll", folder / "test.conll"
    return tagged_data(**{**thrice(train), "test": test}, **options)


def words_of(data: TaggingData, split: str, number: int) -> list[str]:
    batch = data.collate(split, [number])
    return [data.vocabulary.tokens[word] for word in batch.words[0].tolist()]


def test_batches_hold_words_letters_and_tags_of_each_sentence_once_an_epoch(folder):
    data = small(folder, batch_size=2)
    letters = data.vocabularies["characters"]
    found = []
    for batch in data.train_dataloader():
        assert batch.words.shape == batch.targets.shape == batch.word_lengths.shape == batch.characters.shape[:2]
        for row, length in enumerate(batch.lengths.tolist()):
            assert not batch.word_lengths[row, length:].any() and not batch.characters[row, length:].any()
            spelt = [
                letters.decode(letter[:count].tolist())
                for letter, count in zip(batch.characters[row], batch.word_lengths[row].tolist(), strict=True)
            ][:length]
            assert [data.vocabulary.tokens[word] for word in batch.words[row, :length].tolist()] == spelt
            found.append((tuple(spelt), tuple(data.spec.tags[tag] for tag in batch.targets[row, :length].tolist())))
    assert sorted(found) == sorted((sentence.words, sentence.tags) for sentence in data.rows("train"))
    assert data.lengths("train").tolist() == [3, 4, 2]


def test_a_word_of_the_batch_is_padded_with_zeros_after_its_letters(folder):
    batch = small(folder).collate("train", [1])
    lengths = batch.word_lengths[0].tolist()
    assert lengths == [3, 3, 3, 4] and batch.characters.shape == (1, 4, 4)
    assert not batch.characters[0, :3, 3:].any()


def test_words_that_training_lacks_are_marked_and_read_as_unknown_but_spelt(folder):
    data = small(folder)
    batch = data.collate("test", [0, 1])
    assert batch.unseen.tolist() == [[True, True, True], [False, False, False]]
    assert words_of(data, "test", 0) == ["<unk>"] * 3
    letters = data.vocabularies["characters"]
    assert letters.decode(batch.characters[0, 2].tolist()) == "s<unk><unk><unk>ed"  # training has no m, i and l
    assert not data.collate("train", [0, 1, 2]).unseen.any()


def test_lowered_words_keep_the_letters_as_they_are(folder):
    data = small(folder, lowercase=True)
    assert words_of(data, "test", 0) == ["the", "cat", "<unk>"]
    batch = data.collate("test", [0])
    assert batch.unseen.tolist() == [[False, False, True]]
    assert data.vocabularies["characters"].decode(batch.characters[0, 1, :3].tolist()) == "<unk>at"
    assert data.vocabularies["characters"].decode(data.collate("train", [0]).characters[0, 0].tolist()) == "The"


def test_rare_words_are_unknown_but_not_unseen(folder):
    data = small(folder, min_frequency=2)
    assert words_of(data, "train", 1) == ["The", "<unk>", "<unk>", "<unk>"]
    assert set(data.vocabulary.tokens) == {"The", "cat", "<unk>"} and data.spec.unknown_index == 2
    batch = data.collate("test", [1])
    assert batch.words.tolist() == [[2]] and batch.unseen.tolist() == [[False]]  # ran


def test_long_sentences_are_cut_in_training_alone_and_long_words_in_their_middle(folder):
    data = small(folder, max_length=2, max_word_length=3)
    assert data.lengths("train").tolist() == [2, 2, 2] and data.lengths("validation").tolist() == [3, 4, 2]
    assert data.spec.tags == ("A", "D", "N", "V"), "also those of the words that are cut off"
    assert "2 sentences cut to their first 2 words" in data.summaries()[0].notes
    batch = data.collate("validation", [1])
    assert set(data.vocabulary.tokens) == {"The", "cat", "dog", "<unk>"}, "none that training does not read"
    assert words_of(data, "validation", 1) == ["The", "dog", "<unk>", "<unk>"]
    assert batch.unseen[0].tolist() == [False, False, True, True]
    letters = data.vocabularies["characters"]
    assert [letters.decode(word.tolist()) for word in batch.characters[0]] == [
        "The",
        "dog",
        "<unk>a<unk>",
        "a<unk><unk>",
    ]
    encoded = EncodedSentences([["doggoned", "dog"]], data.vocabularies, 3)
    assert [letters.decode(word.tolist()) for word in encoded.letters([0])[0][0]] == ["dod", "dog"]


def test_without_letters_the_model_is_told_and_given_none(folder):
    data = small(folder, characters=False)
    batch = data.collate("train", [0, 1])
    assert batch.characters is None and batch.word_lengths is None
    assert data.spec.model_arguments()["num_characters"] is None


def test_a_word_may_hold_spaces(tmp_path):
    (tmp_path / "a.txt").write_text("New York|B\nis|O\n")
    file = tmp_path / "a.txt"
    data = tagged_data(**thrice(file), separator="|")
    assert words_of(data, "train", 0) == ["New York", "is"]


def test_a_tag_that_training_never_saw_is_counted_and_has_a_number_after_those_that_are_learned(folder):
    (folder / "test.conll").write_text("The D\ncat N\n\nran V\nup P\n")
    data = small(folder)
    assert data.spec.tags == ("A", "D", "N", "V") and data.spec.unseen_tags == ("P",)
    assert data.collate("test", [1]).targets.tolist() == [[3, 4]]
    train, _, test = data.summaries()
    assert "1 word has a tag that training lacks (P) and counts as tagged wrongly" in test.notes
    assert test.classes["P"] == 1 and "P" not in train.classes
    (folder / "test.conll").write_text("up P\n")
    with pytest.raises(InputError, match=r"test\.conll:1: no tag of the test split occurs in training, which has A, D"):
        small(folder).prepare_data()


def test_a_tag_of_training_that_is_not_to_be_learned_is_refused_before_training_alone(folder):
    data = small(folder, tags=["D", "N"])
    assert data.spec.unseen_tags == ("A", "V") and data.spec.num_words["train"] == 9
    with pytest.raises(InputError, match=r"train\.conll:3: the tag 'V' is not among data\.tags=\[D,N\]: add it there"):
        data.train_dataloader()


def test_the_spec_is_read_back_from_plain_values_and_keeps_no_vectors(folder):
    from dataclasses import asdict

    spec = TaggingSpec(3, ("N", "V"), 2, num_characters=9, vectors=torch.ones(3, 4))
    assert torch.equal(spec.word_vectors(), torch.ones(3, 4))
    again = read_spec({"kind": "tagging", **asdict(spec), "tags": ["N", "V"]})
    assert again == spec and again.word_vectors() is None
    assert again.model_arguments() == {
        "vocab_size": 3,
        "tags": ["N", "V"],
        "entities": False,
        "num_characters": 9,
        "unknown_index": 2,
    }
    assert again.output_names() == {"tags": ["N", "V"], "max_word_length": None}


def test_a_saved_runs_words_letters_and_tags_are_kept_on_other_data(folder, tmp_path):
    first = small(folder)
    for name, vocabulary in first.vocabularies.items():
        place = tmp_path / "run" / ("" if name == "tokens" else name)
        place.mkdir(parents=True, exist_ok=True)
        vocabulary.save(place)
    (folder / "train.conll").write_text("zebra N\nThe V\n")
    (folder / "test.conll").write_text("zebra N\ncat V\n")
    other = small(folder, vocabulary=tmp_path / "run", **first.spec.data_arguments())
    assert other.spec.model_arguments() == first.spec.model_arguments()
    assert other.collate("test", [0]).words.tolist() == [[first.spec.unknown_index, first.vocabulary.index["cat"]]]
    with pytest.raises(InputError, match=r"data\.lowercase is True but the vocabulary .* was made with False"):
        small(folder, vocabulary=tmp_path / "run", lowercase=True).prepare_data()


def test_the_splits_are_batched_by_length(tmp_path):
    data = from_options(TaggingData, Grammar(sizes=(100, 20, 20)), batch_size=5, bucket_batches=20)
    epoch = list(data.train_dataloader())
    assert sum(len(batch.lengths) for batch in epoch) == 100
    padding = sum(batch.words.numel() - int(batch.lengths.sum()) for batch in epoch)
    assert padding < 0.2 * sum(batch.words.numel() for batch in epoch)


GLOVE = "the 1 2\ncat 3 4\nsmiled 5 6\nran 7 8\nof 9 9\n"


@pytest.fixture
def vectors(folder: Path) -> Path:
    (folder / "glove.txt").write_text(GLOVE)
    return folder / "glove.txt"


def test_vectors_are_given_to_the_words_that_have_one_also_to_words_of_the_test(folder, vectors):
    data = small(folder, vectors=vectors)
    rows = dict(zip(data.vocabulary.tokens, data.spec.word_vectors().tolist(), strict=True))
    assert rows["cat"] == [3.0, 4.0] and rows["ran"] == [7.0, 8.0]
    assert rows["The"] == [1.0, 2.0], "the vector of its lowered form"
    assert rows["smiled"] == [5.0, 6.0] and rows["Cat"] == [3.0, 4.0], "words of the test"
    assert np.isnan(rows["dog"]).all() and np.isnan(rows["<unk>"]).all() and "of" not in rows
    assert data.collate("test", [0]).unseen.tolist() == [[True, True, True]], "known, and yet unseen in training"
    rare = small(folder, vectors=vectors, min_frequency=2)
    assert "ran" in rare.vocabulary.index and "dog" not in rare.vocabulary.index


@pytest.mark.parametrize(
    ("content", "size", "words"),
    [
        ("the 1 2\ncat 3\n", None, r"glove\.txt:2: expected a word and 2 numbers as in the lines before, got 1"),
        ("the 1 2\ncat 3 4 5\n", None, r"glove\.txt:2: expected a word and 2 numbers as in the lines before, got 3"),
        ("the 1 2\ncat 3 x\n", None, r"glove\.txt:2: expected a word and 2 numbers, got .*'x'"),
        ("the 1 2\ncat 3 nan\n", None, r"glove\.txt:2: a number of 'cat' is not finite"),
        ("the 1 2\n", 3, r"glove\.txt:1: expected a word and 3 numbers, as model\.embedding_size says, got 2"),
        ("the 1 2 3 4\n", 3, r"glove\.txt:1: expected a word and 3 numbers, as model\.embedding_size says, got 4"),
        ("", None, r"glove\.txt:1: the file is empty"),
        ("the\n", None, r"glove\.txt:1: expected a word and 1 numbers"),
        ("far 1 2\n", None, r"none of its words occurs in"),
        (b"the 1 2\ncaf\xe9 1 2\n", None, r"glove\.txt:2: byte 0xe9 is not utf-8"),
    ],
)
def test_a_broken_file_of_vectors_is_one_line_with_file_and_line_number(folder, vectors, content, size, words):
    vectors.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=words) as caught:
        small(folder, vectors=vectors, vectors_size=size).prepare_data()
    assert "\n" not in str(caught.value)


def test_vectors_of_word2vec_gzip_and_words_with_spaces_are_read(folder, vectors):
    content = f"5 2\n{GLOVE}. . . 1 1\r\ncat 8 8\n"
    vectors.write_bytes(gzip.compress(content.encode()))
    data = small(folder, vectors=vectors, vectors_size=2)
    rows = dict(zip(data.vocabulary.tokens, data.spec.word_vectors().tolist(), strict=True))
    assert rows["cat"] == [3.0, 4.0], "the first of two"
    with pytest.raises(InputError, match=r"data\.vectors=none\.txt: there is no such file"):
        small(folder, vectors="none.txt").prepare_data()


def make(*overrides: str) -> TaggingData:
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        config = compose("train", overrides=list(overrides))
    return instantiate(config.data, _convert_="all")


def test_each_file_of_the_configuration_makes_its_data(folder, monkeypatch):
    (folder / "one.conll").write_text("the D\ncat N\n\n" * 10)
    own = make("data=tagging", f"data.path={folder / 'one.conll'}", "data.split=[0.5,0.3,0.2]", "seed=4")
    assert own.seed == 4 and own.spec.num_sentences == {"train": 5, "validation": 3, "test": 2}
    made = make("data=grammar", "data.layer=entities", "data.sizes=[50,5,5]", "data.lowercase=true")
    assert made.entities and made.words.lowercase and made.spec.num_sentences["train"] == 50
    monkeypatch.setenv("SEQLAB_DATA", str(folder))
    (folder / "ud_english_ewt").mkdir()
    row = "1\tGo\tgo\tVERB\tVB\t_\t0\troot\t_\t_\n2\tnow\tnow\tADV\tRB\t_\t1\tadvmod\t_\t_\n\n"
    for split in ("train", "dev", "test"):
        (folder / "ud_english_ewt" / f"en_ewt-ud-{split}.conllu.gz").write_bytes(gzip.compress(row.encode()))
    assert make("data=ewt_pos").spec.tags == ("ADV", "VERB")
    assert make("data=ewt_pos", "data.tag_column=xpos").spec.tags == ("RB", "VB")
    (folder / "wnut17").mkdir()
    for name in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"):
        (folder / "wnut17" / name).write_text("in\tO\nNew\tB-location\nYork City\tI-location\n\t\n")
    wnut = make("data=wnut17", "data.batch_size=1")
    assert (
        wnut.entities and wnut.spec.tags == ("B-location", "I-location", "O") and "York City" in wnut.vocabulary.index
    )


def test_the_width_of_the_vectors_is_the_models(folder, vectors):
    (folder / "one.conll").write_text("the D\ncat N\n\n" * 10)
    overrides = ("model=tagger", "data=tagging", f"data.path={folder / 'one.conll'}", f"data.vectors={vectors}")
    with pytest.raises(InputError, match=r"glove\.txt:1: expected a word and 100 numbers, as model\.embedding_size"):
        make(*overrides).prepare_data()
    assert make(*overrides, "model.embedding_size=2").spec.word_vectors().shape[1] == 2


def test_data_under_the_environments_folder_says_what_to_set(monkeypatch):
    monkeypatch.delenv("SEQLAB_DATA", raising=False)
    for name in ("ewt_pos", "wnut17"):
        with pytest.raises(Exception, match="set the environment variable SEQLAB_DATA"):
            make(f"data={name}")


def test_sources_name_themselves_and_the_grammar_its_layer(folder):
    file = folder / "train.conll"
    assert str(TaggedFiles(file)) == str(file)
    assert str(grammar_data(layer="entities").source) == "the grammar (entities)"
