"""The data module: specification, vocabularies, splits, devices, and what it refuses."""

import gzip
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from seqlab.data import IGNORE_INDEX, Hello, LanguageModelData, StreamLoader, TextFiles, from_options, ptb_data
from seqlab.data.core.batch import SPLITS
from seqlab.data.language_model import corpus
from seqlab.errors import InputError

LINES = "".join(f"Line {i} of the text has words in it.\n" for i in range(200))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "text.txt"
    file.write_text(LINES)
    return file


def three(tmp_path: Path, train: str, validation: str, test: str) -> TextFiles:
    for name, text in (("train", train), ("validation", validation), ("test", test)):
        (tmp_path / f"{name}.txt").write_text(text)
    return from_options(TextFiles, **{name: tmp_path / f"{name}.txt" for name in ("train", "validation", "test")})


def epoch_text(data: LanguageModelData, loader: StreamLoader) -> str:
    """The targets of an epoch, decoded in the order of the text."""
    rows: list[list[int]] = [[] for _ in range(loader.stream.batch_size)]
    for batch in loader:
        for row, targets in zip(rows, batch.targets, strict=True):
            row += targets[targets != IGNORE_INDEX].tolist()
    return data.vocabulary.decode([i for row in rows for i in row])


def test_an_epoch_of_each_loader_spells_its_split(path):
    data = from_options(
        LanguageModelData, TextFiles(path), batch_size=7, tbptt_steps=11, eval_batch_size=3, eval_steps=5
    )
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    spelt = [epoch_text(data, loader) for loader in loaders]
    assert [loader.stream.batch_size for loader in loaders] == [7, 3, 3]
    assert [loader.stream.tbptt_steps for loader in loaders] == [11, 5, 5]
    splits = ["".join(text for text, _ in data.source.read(split)) for split in ("train", "validation", "test")]
    assert spelt == [split[1:] for split in splits]


@pytest.mark.parametrize("restart_documents", [False, True])
@pytest.mark.parametrize("batch", [1, 1 << 20])
def test_words_of_several_files_spell_each_target_once(tmp_path, monkeypatch, restart_documents, batch):
    monkeypatch.setattr(corpus, "_BATCH", batch)  # characters that are encoded together
    for split in SPLITS:
        (tmp_path / split).mkdir()
        for i in range(5):
            (tmp_path / split / f"{i}.txt").write_text(f"file {i} begins\nand ends {i}\n")
    data = from_options(LanguageModelData,
        from_options(TextFiles, **{split: str(tmp_path / split / "?.txt") for split in SPLITS}),
        unit="word", end_of_line="<eos>", batch_size=3, tbptt_steps=4, restart_documents=restart_documents,
    )  # fmt: skip
    expected = "".join(f"file {i} begins\nand ends {i}\n" for i in range(5)).removeprefix("file ")
    assert epoch_text(data, data.train_dataloader()) == expected
    assert data.corpus.documents["train"].tolist() == [0, 8, 16, 24, 32]


def test_hello_is_the_lectures_example_and_leaves_no_cache(token_cache):
    data = from_options(LanguageModelData, Hello(), batch_size=1, tbptt_steps=4)
    (batch,) = data.train_dataloader()
    assert data.vocabulary.tokens == ("e", "h", "l", "o")
    assert (batch.inputs.tolist(), batch.targets.tolist()) == ([[1, 0, 2, 2]], [[0, 2, 2, 3]])
    assert batch.is_first.tolist() == [True] and len(list(data.test_dataloader())) == 1
    assert not token_cache.exists()


def test_the_specification_counts_tokens_and_characters(tmp_path):
    source = three(tmp_path, "the cat sat\n" * 3, "the cat\n" * 2, "sat the\n" * 4)
    spec = from_options(LanguageModelData, source, unit="word", end_of_line="<eos>").spec
    assert spec.vocab_size == 4 and spec.unit == "word" and spec.ignore_index == IGNORE_INDEX
    assert spec.num_tokens == {"train": 12, "validation": 6, "test": 12}
    assert spec.characters_per_token == {"train": 3.0, "validation": 8 / 3, "test": 8 / 3}


def test_characters_are_one_a_token(path):
    assert set(LanguageModelData(TextFiles(path)).spec.characters_per_token.values()) == {1.0}


def test_a_character_that_training_lacks_reads_as_unk_with_a_log_line(tmp_path, caplog):
    data = from_options(LanguageModelData, three(tmp_path, "banana\n" * 9, "ban\u00e9\n", "naz\n"), batch_size=2)
    assert data.vocabulary.tokens == ("\n", "a", "b", "n", "<unk>")
    assert data.corpus.tokens["validation"].tolist() == [2, 1, 3, 4, 0]
    assert "validation: 1 different characters (20 % of the split) read as <unk>: '\u00e9'" in caplog.text


def test_a_split_of_unknown_characters_is_told_as_100_percent(tmp_path, caplog):
    data = from_options(LanguageModelData, three(tmp_path, "ab\n" * 9, "xyz", "xy"), batch_size=1)
    data.prepare_data()
    assert "(100 % of the split) read as <unk>" in caplog.text


@pytest.mark.parametrize(("validation", "test"), [("caf\u00e9", "a"), ("a", "caf\u00e9")])
def test_either_evaluation_split_makes_unk_needed(tmp_path, validation, test):
    data = from_options(
        LanguageModelData, three(tmp_path, "a face\n" * 9, f"a {validation}\n", f"a {test}\n"), unit="word"
    )
    assert data.vocabulary.tokens[-1] == "<unk>" and data.spec.vocab_size == 3


def test_a_closed_text_gets_no_unk(tmp_path):
    data = from_options(LanguageModelData, three(tmp_path, "banana\n" * 9, "ban\n", "nab\n"), batch_size=2)
    assert data.vocabulary.unknown_id is None


@pytest.mark.parametrize("options", [{"max_vocab_size": 3}, {"min_frequency": 3}])
def test_rare_words_are_left_out(tmp_path, options):
    data = from_options(
        LanguageModelData, three(tmp_path, "a a a b b b c d\n", "a b\n", "a d\n"), unit="word", **options
    )
    assert data.vocabulary.tokens == ("a", "b", "<unk>")
    assert data.corpus.tokens["train"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("unit", ["character", "word", "subword"])
def test_a_saved_vocabulary_keeps_its_ids_on_other_text(tmp_path, path, unit):
    options = {"unit": unit, "max_vocab_size": 260 if unit == "subword" else None}
    trained = from_options(LanguageModelData, TextFiles(path), **options).vocabulary
    other = three(tmp_path, "words text\n" * 20, "has it in\n", "of words\n")
    data = from_options(LanguageModelData, other, unit=unit, vocabulary=trained.save(tmp_path / "tokenizer.json"))
    assert data.vocabulary.tokens == trained.tokens
    assert data.corpus.tokens["test"].tolist() == trained.encode("of words\n").tolist()
    assert from_options(LanguageModelData, other, unit=unit, vocabulary=tmp_path).vocabulary.tokens == trained.tokens


def test_a_saved_vocabulary_that_lacks_characters_is_refused_by_name(tmp_path, path):
    saved = LanguageModelData(TextFiles(path)).vocabulary.save(tmp_path / "tokenizer.json")
    data = LanguageModelData(three(tmp_path, "w\u00f6rds\n", "text\n", "text\n"), vocabulary=saved)
    with pytest.raises(InputError, match=r"the train split of .* has characters the vocabulary lacks: '\u00f6'"):
        data.setup("fit")


def test_options_that_a_saved_vocabulary_contradicts_are_refused(tmp_path, path):
    saved = from_options(LanguageModelData, TextFiles(path), unit="word", end_of_line="<eos>").vocabulary.save(
        tmp_path / "v.json"
    )
    with pytest.raises(InputError, match=r"data.unit is character but .* was made with word: give data.unit=word"):
        LanguageModelData(TextFiles(path), vocabulary=saved).setup("fit")
    with pytest.raises(InputError, match=r"give data.end_of_line=<eos>"):
        from_options(LanguageModelData, TextFiles(path), unit="word", vocabulary=saved).setup("fit")
    with pytest.raises(InputError, match=r"no vocabulary at .*none.json"):
        LanguageModelData(TextFiles(path), vocabulary=tmp_path / "none.json").setup("fit")


@pytest.mark.parametrize("empty", ["train", "validation", "test"])
def test_an_empty_split_is_refused_by_name(tmp_path, empty):
    source = three(tmp_path, **({"train": "text\n", "validation": "text\n", "test": "text\n"} | {empty: ""}))
    with pytest.raises(InputError, match=f"the {empty} split of .* is empty: at least two tokens"):
        LanguageModelData(source).prepare_data()


def test_an_empty_file_and_a_split_of_one_token_are_refused(tmp_path):
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputError, match=r"the train split of .*empty\.txt is empty"):
        LanguageModelData(TextFiles(tmp_path / "empty.txt")).prepare_data()
    source = three(tmp_path, "a b\n", "a\n", "a b\n")
    with pytest.raises(InputError, match=r"the validation split of .* is 1 word: at least two tokens"):
        from_options(LanguageModelData, source, unit="word").prepare_data()


def test_training_text_shorter_than_the_batch_is_refused(tmp_path):
    data = from_options(LanguageModelData, three(tmp_path, "12345", "12345", "12345"), batch_size=5)
    with pytest.raises(InputError) as caught:
        data.train_dataloader()
    assert "has 4 targets, fewer than data.batch_size=5 rows: give more data or data.batch_size=4" in str(caught.value)


def test_the_evaluation_batch_is_clamped_with_a_log_line(tmp_path, caplog):
    data = from_options(LanguageModelData, three(tmp_path, "1234567890" * 9, "12345", "12"), batch_size=8)
    assert epoch_text(data, data.val_dataloader()) == "2345"
    assert data.val_dataloader().stream.batch_size == 4 and data.test_dataloader().stream.batch_size == 1
    assert "validation: batch size 4 instead of 8, all the split can fill" in caplog.text


@pytest.mark.parametrize("name", ["batch_size", "eval_batch_size", "tbptt_steps", "eval_steps"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(InputError, match=f"data.{name}=0 must be a whole number, 1 or more"):
        from_options(LanguageModelData, Hello(), **{name: 0})


def on_device(data: LanguageModelData, rank: int, world_size: int) -> LanguageModelData:
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size, limit_train_batches=None)
    return data


def test_each_device_takes_its_share_of_the_rows(path):
    def make() -> LanguageModelData:
        return from_options(LanguageModelData, TextFiles(path), batch_size=6, eval_batch_size=4, tbptt_steps=20)

    for loader in ("train_dataloader", "val_dataloader"):
        whole = list(getattr(make(), loader)())
        shares = [list(getattr(on_device(make(), rank, 2), loader)()) for rank in (0, 1)]
        for batch, left, right in zip(whole, *shares, strict=True):
            assert torch.equal(torch.cat([left.targets, right.targets]), batch.targets)
    with pytest.raises(InputError, match="give a multiple of 4"):
        on_device(make(), 0, 4).train_dataloader()


def test_a_clamped_evaluation_batch_still_divides_over_the_devices(tmp_path):
    data = from_options(LanguageModelData, three(tmp_path, "1234567890" * 9, "123456", "12"), batch_size=8)
    assert on_device(data, 1, 4).val_dataloader().stream.batch_size == 4
    with pytest.raises(InputError, match=r"test split of .* is too short to be shared by 4 devices"):
        on_device(data, 1, 4).test_dataloader()


def test_ptb_without_its_folder_is_one_line_with_the_mend():
    with pytest.raises(InputError, match=r"set the environment variable SEQLAB_DATA, or give data.root=FOLDER"):
        ptb_data()


@pytest.mark.data
@pytest.mark.skipif("SEQLAB_DATA" not in os.environ, reason="SEQLAB_DATA does not name a folder with ptb/")
def test_ptb_has_its_published_counts():
    data = ptb_data(os.environ["SEQLAB_DATA"], unit="word", end_of_line="<eos>", batch_size=20, tbptt_steps=20)
    assert data.spec.vocab_size == 10_000
    assert data.spec.num_tokens == {"train": 929_589, "validation": 73_760, "test": 82_430}
    with gzip.open(Path(os.environ["SEQLAB_DATA"]) / "ptb" / "ptb.test.txt.gz", "rt") as file:
        words = file.read().replace("\n", " <eos> ").split()
    ids = data.corpus.tokens["test"]
    assert [data.vocabulary.tokens[i] for i in ids] == words
    assert len(data.train_dataloader()) == 2_324  # ceil of the longest row's 46,480 targets over 20


@pytest.mark.parametrize("restart_documents", [False, True])
def test_a_window_is_no_longer_than_the_longest_row_and_it_is_said_once(path, caplog, restart_documents):
    options = {"batch_size": 8, "eval_batch_size": 2, "restart_documents": restart_documents}
    data = from_options(LanguageModelData, TextFiles(path), **options, tbptt_steps=100_000)
    train, _, again = data.train_dataloader(), data.val_dataloader(), data.val_dataloader()
    longest = -(-(data.spec.num_tokens["train"] - 1) // 8)
    assert train.stream.tbptt_steps == longest and len(train) == 1
    rows = 1 if restart_documents else 2  # the text is one document, which validation reads whole
    assert again.stream.tbptt_steps == -(-(data.spec.num_tokens["validation"] - 1) // rows)
    assert caplog.text.count("validation: batch size 1 instead of 2") == (2 - rows)
    (batch,) = train
    assert batch.inputs.shape == (8, longest)
    assert caplog.text.count(f"train: data.tbptt_steps {longest} instead of 100000") == 1
    assert caplog.text.count("validation: data.eval_steps") == 1
    exact = from_options(LanguageModelData, TextFiles(path), **options, tbptt_steps=longest)
    (same,) = exact.train_dataloader()
    assert torch.equal(same.inputs, batch.inputs) and torch.equal(same.targets, batch.targets)


def test_each_split_says_what_it_holds_from_the_cache_too(tmp_path):
    def data() -> LanguageModelData:
        return from_options(
            LanguageModelData, from_options(TextFiles, **splits), unit="word", max_vocab_size=3, batch_size=1
        )

    splits = {split: tmp_path / f"{split}.txt" for split in SPLITS}
    for split, text in zip(SPLITS, ("a a b b c d\n", "a b x y\n", "a b x y\n"), strict=True):
        splits[split].write_text(text)
    first, again = data(), data()
    assert first.summaries() == again.summaries()
    train, validation, test = again.summaries()
    assert train.counts == {"tokens": 6, "documents": 1, "characters": 12}
    assert train.notes == ("33 % of its words read as <unk>",)
    assert validation.notes == ("50 % of its words read as <unk>",)
    assert f"{splits['test']} has the content of {splits['validation']} of validation" in test.notes


def test_the_fingerprint_follows_the_order_of_the_text_and_not_its_place(path, tmp_path):
    def fingerprint(text: str, name: str = "text.txt") -> str:
        (tmp_path / name).write_text(text)
        return from_options(LanguageModelData, TextFiles(tmp_path / name), batch_size=1).fingerprint()

    one = fingerprint(LINES)
    assert fingerprint(LINES, "other.txt") == one
    middle = len(LINES) // 2
    swapped = LINES[:middle] + LINES[middle + 1] + LINES[middle] + LINES[middle + 2 :]
    assert sorted(swapped) == sorted(LINES) and fingerprint(swapped) != one
