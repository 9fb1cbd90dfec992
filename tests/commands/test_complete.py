"""``seqlab complete`` on trained models of words and of characters."""

import math

import pytest
import torch

from seqlab.cli import main
from seqlab.commands.generate import complete, encode_prompt
from seqlab.errors import InputError
from seqlab.run import load
from seqlab.run.load import load_run
from tests.conftest import run_here

SENTENCES = ("the cat sat on the mat.", "the dog, the cat and the cow didn't run.", "a cow ran on the moor.")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run over words and one over characters, which know a few sentences by heart."""
    folder = tmp_path_factory.mktemp("complete")
    text = folder / "text.txt"
    text.write_text("\n".join(SENTENCES * 60) + "\n")
    shared = [
        "data=text",
        f"data.path={text}",
        "data.split=[0.8,0.1,0.1]",
        f"data.cache_dir={folder / 'cache'}",
        "data.batch_size=4",
        "data.tbptt_steps=16",
        "model.num_layers=1",
        "model.hidden_size=32",
        "optimizer.lr=0.02",
        "trainer.gradient_clip_val=1.0",
        "logger=none",
    ]
    words = ["data.unit=word", "data.punctuation=true", "data.end_of_line='<eos>'", "data.max_vocab_size=15"]
    run_here(folder / "word", *shared, *words, "trainer.max_steps=100")
    run_here(folder / "character", *shared, "trainer.max_steps=150")
    return folder


def next_probability(run: load.SavedRun, text: str, following: str) -> float:
    """P(following | text), token by token from the model itself."""
    model, start = run.model(), encode_prompt(run.vocabulary, text)
    tokens = encode_prompt(run.vocabulary, text + following)
    assert tokens[: len(start)] == start
    with torch.no_grad():
        steps = model(torch.tensor([tokens]))[0][0].log_softmax(-1)
    return math.exp(sum(float(steps[i - 1, tokens[i]]) for i in range(len(start), len(tokens))))


@pytest.mark.parametrize("unit", ["word", "character"])
@pytest.mark.parametrize("text", ["the", "the cat ", "the cat and the c", "on the moor.\n"])
@pytest.mark.parametrize("num_words", [1, 2])
def test_continuations_are_whole_words_likeliest_first(runs, unit, text, num_words):
    if unit == "word" and text.endswith("c"):
        pytest.skip("a model over words knows no half words")
    found = complete(load_run(runs / unit), text, count=6, num_words=num_words)
    shown, values = zip(*found, strict=True)
    assert 1 < len(found) <= 6 and len(set(shown)) == len(shown)
    assert list(values) == sorted(values, reverse=True)
    assert all(0 < value <= 1 for value in values) and sum(values) <= 1 + 1e-9
    assert all(continuation[-1].isalnum() for continuation in shown)
    known = {word.strip(".,") for sentence in SENTENCES for word in sentence.split()}
    assert (text + shown[0]).split()[-1] in known
    assert not any("<unk>" in continuation for continuation in shown)


def test_text_and_continuation_join_without_a_second_space(runs):
    assert " and" in dict(complete(load_run(runs / "word"), "the cat"))
    assert "and" in dict(complete(load_run(runs / "word"), "the cat "))


def test_words_come_with_the_models_own_probabilities(runs):
    run = load.load_run(runs / "word")
    found = dict(complete(load_run(runs / "word"), "the", count=3))
    assert " cat" in found
    for continuation, probability in found.items():
        assert probability == pytest.approx(next_probability(run, "the", continuation), rel=1e-4)


def test_characters_finish_the_word_that_is_begun(runs):
    run = load.load_run(runs / "character")
    found = complete(load_run(runs / "character"), "the dog, the ca", count=3)
    assert found[0][0] == "t" and found[0][1] > 0.8
    ends = [token for token in run.vocabulary.tokens if not token.isalnum() and token != "'"]
    expected = sum(next_probability(run, "the dog, the ca", "t" + end) for end in ends)
    assert found[0][1] == pytest.approx(expected, rel=1e-3)


def test_a_probability_is_that_of_the_word_whatever_follows_it_and_however_many_are_asked_for(runs):
    run = load.load_run(runs / "character")
    with torch.no_grad():
        run.model().head.output.weight.mul_(0.2)  # many characters may follow
    few, many = (dict(complete(run, "the ca", count=count)) for count in (1, 30))
    ends = [token for token in run.vocabulary.tokens if not token.isalnum() and token != "'"]
    for word, probability in few.items():
        exact = sum(next_probability(run, "the ca", word + end) for end in ends)
        assert probability == pytest.approx(exact, rel=0.01) == pytest.approx(many[word], rel=0.01)
    assert list(few) == list(many)[:1]


def test_a_longer_completion_crosses_word_boundaries(runs):
    assert complete(load_run(runs / "character"), "and the cow d", count=1, num_words=2)[0][0] == "idn't run"
    assert complete(load_run(runs / "word"), "the dog, the cat", count=1, num_words=3)[0][0] == " and the cow"


def test_what_the_vocabulary_lacks_is_named(runs):
    with pytest.raises(InputError, match=r"characters that the model's vocabulary of \d+ lacks: 'X', 'é'"):
        complete(load_run(runs / "character"), "the XéX")
    with pytest.raises(InputError, match="the prompt is empty"):
        complete(load_run(runs / "character"), "")


@pytest.mark.parametrize("unit", ["word", "character"])
def test_a_prompt_is_read_as_a_file_of_it_would_be(runs, unit):
    vocabulary = load.load_run(runs / unit).vocabulary
    plain = encode_prompt(vocabulary, "the cat\nthe dog")
    assert (
        encode_prompt(vocabulary, "\ufeffthe cat\r\nthe dog") == encode_prompt(vocabulary, "the cat\rthe dog") == plain
    )


def test_a_prompt_that_names_a_file_is_told(runs, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    vocabulary = load.load_run(runs / "character").vocabulary
    encode_prompt(vocabulary, "moor.ran")
    assert "file" not in caplog.text
    (tmp_path / "moor.ran").touch()
    encode_prompt(vocabulary, "moor.ran")
    assert "the prompt is 'moor.ran', the name of a file" in caplog.text


def test_a_prompt_that_is_not_utf_8_is_one_line(runs, capsys):
    for arguments in (
        ["generate", str(runs / "word"), "--prompt", "the \udce9t"],
        ["complete", str(runs / "word"), "the \udce9"],
    ):
        assert main(arguments) == 2
        shown = capsys.readouterr()
        assert shown.err.count("\n") == 1 and "not UTF-8" in shown.err
    with pytest.raises(InputError, match="the prompt is empty"):
        complete(load_run(runs / "word"), " \t ")
