"""Generators against their rules, written again for one sequence at a time; and which sequences a split may hold."""

import numpy as np
import pytest
import torch

from seqlab.config import build
from seqlab.data import (
    IGNORE_INDEX,
    AssociativeRecall,
    Batching,
    Copy,
    DelayedRecall,
    Draws,
    Dyck,
    LabellingData,
    ModularArithmetic,
    Parity,
    Permutations,
    SelectiveCopy,
    WordVocabulary,
)
from seqlab.data.labelling.sources import part_of
from seqlab.errors import InputError
from tests.conftest import config_of


def parity(words):
    return [str(words[: step + 1].count("1") % 2) for step in range(len(words))]


def arithmetic(words):
    return [str(eval(" ".join(words[: step + 1])) % 5) if step % 2 == 0 else None for step in range(len(words))]


def permutations(words):
    things, labels = list(range(len(words[0]))), []
    for word in words:
        things = [int(word[thing]) for thing in things]
        labels.append("".join(map(str, things)))
    return labels


def brackets(words):
    labels = []
    for step, word in enumerate(words):
        rest = "".join(words[: step + 1])
        while (shorter := rest.replace("()", "").replace("[]", "")) != rest:
            rest = shorter
        assert set(rest) <= set("([") and len(rest) <= 4
        labels.append(None if word in "([" else {"(": ")", "[": "]", "": "none"}[rest[-1:]])
    return labels


def copied(words):
    letters = words[:3]
    assert words[3:] == ["."] * (len(words) - 7) + ["?", ".", ".", "."] and not {".", "?"} & set(letters)
    return [None] * (len(words) - 3) + letters


def selected(words):
    letters = [word for word in words if word not in ".?"]
    assert words[-3:] == ["?"] * 3 and len(letters) == 3 and "?" not in words[:-3]
    return [None] * (len(words) - 3) + letters


def recalled(words):
    assert words[-1] == "?" and words[0].isupper() and all(word.islower() for word in words[1:-1])
    return [None] * (len(words) - 1) + [words[0]]


def associated(words):
    pairs = dict(zip(words[:6:2], words[1:6:2], strict=True))
    assert len(pairs) == 3 and sorted(word for word in words[6:] if word != ".") == sorted(pairs)
    return [None] * 6 + [pairs.get(word) for word in words[6:]]


RULES = {
    "parity": (Parity(), parity),
    "modular": (ModularArithmetic(5), arithmetic),
    "s3": (Permutations(3), permutations),
    "s5": (Permutations(5), permutations),
    "dyck": (Dyck(2, max_depth=4), brackets),
    "copy": (Copy(symbols=3, alphabet=4), copied),
    "selective_copy": (SelectiveCopy(symbols=3, alphabet=4), selected),
    "delayed_recall": (DelayedRecall(cues=3, distractors=2), recalled),
    "mqar": (AssociativeRecall(pairs=3, keys=5, values=4), associated),
}


@pytest.mark.parametrize("name", RULES)
def test_labels_are_those_of_the_rule(name):
    source, rule = RULES[name]
    for length in (source.least_length, source.least_length + 1, 21):
        tokens, labels = source.draw(np.random.default_rng(length), 40, length)
        assert tokens.shape == labels.shape == (40, length)
        for row, answers in zip(tokens.tolist(), labels.tolist(), strict=True):
            words = [source.tokens[token] for token in row]
            given = [None if answer == IGNORE_INDEX else source.labels[answer] for answer in answers]
            assert given == rule(words), words


@pytest.mark.parametrize("name", RULES)
def test_chance_is_the_share_of_the_commonest_label(name):
    source, _ = RULES[name]
    _, labels = source.draw(np.random.default_rng(0), 600, 200)
    share = np.bincount(labels[labels >= 0]).max() / (labels >= 0).sum()
    assert share == pytest.approx(source.chance(200), abs=0.07 if name == "delayed_recall" else 0.03)
    assert set(np.unique(labels[labels >= 0])) == set(range(len(source.labels)))


def test_copying_may_ask_for_blanks_too():
    source = Copy(symbols=3, alphabet=4, ask_blanks=True)
    tokens, labels = source.draw(np.random.default_rng(0), 50, 30)
    assert (labels[:, :-3] == source.labels.index(".")).all() and (labels[:, -3:] == tokens[:, :3]).all()
    assert source.chance(30) == 0.9


def test_places_of_what_is_selected_and_asked_are_drawn_as_stated():
    tokens, _ = SelectiveCopy(symbols=1, alphabet=2).draw(np.random.default_rng(0), 4000, 9)
    counts = (tokens[:, :-1] < 2).sum(0)
    assert counts.sum() == 4000 and counts.min() > 400 and counts.max() < 600
    _, labels = AssociativeRecall(1, 2, 2, power=0.01).draw(np.random.default_rng(0), 4000, 12)
    shares = (labels >= 0).mean(0)[2:]
    expected = np.arange(1, 11) ** -0.99
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.03)


def data_of(source=None, seed=0, batch_size=16, **draws):
    return LabellingData(source or Parity(), Draws(**draws), Batching(batch_size, seed=seed))


def rows_of(data, split, part=0):
    return {tuple(row) for row in data.examples(split, part)[0].tolist()}


def test_no_sequence_of_the_test_is_ever_trained_on_however_few_there_are():
    data = data_of(length=7, sizes=(200, 60, 60))
    test, validation = rows_of(data, "test"), rows_of(data, "validation")
    trained = set().union(*(rows_of(data, "train", epoch) for epoch in range(5)))
    assert len(trained) > 85 and not trained & test and not trained & validation and not test & validation
    with pytest.raises(InputError, match=r"data.length=1: parity has so few sequences of 1 steps.*give longer ones"):
        data_of(length=1).spec  # noqa: B018


def test_a_sequences_part_is_a_hash_of_its_tokens_alone():
    tokens = np.random.default_rng(0).integers(7, size=(4000, 9))
    parts = part_of(tokens)
    np.testing.assert_array_equal(parts[::-1], part_of(tokens[::-1].copy()))
    assert np.bincount(parts, minlength=8).min() > 400 and parts[:5].tolist() == [3, 7, 7, 2, 2]


def test_each_epoch_and_seed_draws_other_training_sequences_and_all_share_the_test():
    one, same, other = (
        data_of(seed=1, length=50, sizes=(60, 9, 9)),
        data_of(seed=1, length=50, sizes=(60, 9, 9)),
        data_of(seed=2, length=50, sizes=(60, 9, 9)),
    )
    assert rows_of(one, "train", 3) == rows_of(same, "train", 3)
    assert not rows_of(one, "train", 3) & (rows_of(one, "train", 2) | rows_of(other, "train", 3))
    assert rows_of(one, "test") == rows_of(other, "test") != rows_of(one, "validation")
    assert (
        one.fingerprint() == other.fingerprint() != data_of(length=50, sizes=(60, 9, 9), generator_seed=1).fingerprint()
    )
    fixed, again = (data_of(seed=seed, length=50, sizes=(60, 9, 9), fresh=False) for seed in (1, 2))
    assert rows_of(fixed, "train", 0) == rows_of(fixed, "train", 5) == rows_of(again, "train", 1)
    assert fixed.fingerprint() == again.fingerprint() != one.fingerprint()


def test_an_epoch_goes_on_where_a_checkpoint_stood():
    data = data_of(length=12, sizes=(40, 8, 8))
    loader = data.train_dataloader()
    epochs = [[batch.inputs for batch in loader] for _ in range(3)]
    assert [len(epoch) for epoch in epochs] == [3, 3, 3]
    assert {tuple(row) for row in torch.cat(epochs[2]).tolist()} == rows_of(data, "train", 2)
    stopped = data.train_dataloader()
    iterators = [iter(stopped) for _ in range(1)]
    list(iterators[0])
    next(iter(stopped))
    resumed = data_of(length=12, sizes=(40, 8, 8)).train_dataloader()
    resumed.load_state_dict(stopped.state_dict())
    assert all(map(torch.equal, [batch.inputs for batch in resumed], epochs[1][1:]))


def test_a_fixed_set_has_the_same_sequences_in_every_epoch():
    loader = data_of(length=12, sizes=(40, 8, 8), fresh=False).train_dataloader()
    first, second = ({tuple(row) for batch in loader for row in batch.inputs.tolist()} for _ in range(2))
    assert first == second


def test_the_test_may_have_longer_sequences_and_several_lengths():
    data = data_of(length=8, test_length=[8, 20], sizes=(32, 10, 10))
    assert data.lengths("validation").tolist() == [8] * 10 and data.lengths("test").tolist() == [8] * 10 + [20] * 10
    batch = data.collate("test", [9, 10])
    assert batch.lengths.tolist() == [8, 20] and batch.targets[0, 8:].eq(IGNORE_INDEX).all()
    assert data.spec.test_lengths == (8, 20) and rows_of(data, "test") == rows_of(
        data_of(length=8, sizes=(32, 10, 10)), "test"
    )
    assert data.spec.output_names() == {"labels": list(data.spec.labels)}
    lines = [summary.line() for summary in data.summaries()]
    assert "other sequences in each epoch" in lines[0] and "8 and 20 steps each" in lines[2]
    assert "the commonest label is right in 0.5, 0.5" in lines[2]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: data_of(length=0), "data.length=0 must be a whole number, 1 or more"),
        (lambda: data_of(test_length=[64, 0]), "data.test_length=0 must"),
        (lambda: data_of(test_length=[64, 64]), r"data.test_length=\[64, 64\] must be a number of steps, or different"),
        (lambda: data_of(test_length=[]), "data.test_length"),
        (lambda: data_of(sizes=[1, 2]), r"data.sizes=\[1, 2\] must be three numbers"),
        (lambda: data_of(fresh="no"), "data.fresh=no must be true or false"),
        (lambda: data_of(Copy(), length=20), "data.length=20: copying of 10 letters of 8 needs 21 steps or more"),
        (lambda: data_of(Copy(), test_length=20), "data.test_length=20: copying"),
        (lambda: Copy(alphabet=27), "data.alphabet=27 must be at most 26"),
        (lambda: Copy(ask_blanks=1), "data.ask_blanks=1 must be true or false"),
        (lambda: Permutations(7), "data.degree=7 must be at most 6"),
        (lambda: Dyck(5), "data.kinds=5 must be at most 4"),
        (lambda: ModularArithmetic(1), "data.modulus=1 must be a whole number, 2 or more"),
        (lambda: AssociativeRecall(4, keys=3), "data.keys=3: the keys of a sequence differ, and data.pairs=4"),
        (lambda: AssociativeRecall(power=0), "data.power=0 must be above 0"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(make, error):
    with pytest.raises(InputError, match=error):
        make()


def test_a_vocabulary_of_other_data_is_refused(tmp_path):
    WordVocabulary(Parity().tokens).save(tmp_path)
    LabellingData(Parity(), vocabulary=tmp_path)
    with pytest.raises(InputError, match=r"S_3 has the tokens 012, .* those of other data: 0, 1"):
        LabellingData(Permutations(3), vocabulary=tmp_path)


CHOICES = {
    "data=copy": Copy,
    "data=delayed_recall": DelayedRecall,
    "data=dyck": Dyck,
    "data=modular": ModularArithmetic,
    "data=mqar": AssociativeRecall,
    "data=parity": Parity,
    "data=s3": Permutations,
    "data=s5": Permutations,
    "data=selective_copy": SelectiveCopy,
}


def test_the_choices_of_a_configuration_make_them():
    for choice, source in CHOICES.items():
        data = build.build_data(config_of(choice, "data.sizes=[64,8,8]"))
        assert isinstance(data.source, source) and data.draws.length == 64 and data.batch_size == 64
        data.prepare_data()
        assert data.spec.vocab_size == len(data.vocabulary) == len(data.source.tokens)
        assert data.input_files() == []
