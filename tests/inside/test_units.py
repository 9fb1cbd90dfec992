"""Units that follow a label: scores against simple ones, chance by shifts, and a unit that is planted."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from seqlab.errors import InputError
from seqlab.inside import LABELS, LayerStates, States, rank_units


def states_with(values):
    """States of one layer with these values, ``(T, units)``, as h."""
    values = torch.as_tensor(values, dtype=torch.float32)
    layer = LayerStates(1, "forward", "layers.0", {"h": values}, {}, values)
    return States(("x",) * len(values), values, (layer,))


def slow_noise(steps, units, seed):
    """A random walk that is drawn to zero: neighbours are alike, as those of states are."""
    random = np.random.default_rng(seed)
    values = np.zeros((steps, units))
    for t in range(1, steps):
        values[t] = 0.95 * values[t - 1] + random.normal(size=units)
    return values


def blocks(steps, seed):
    """A label of two values in stretches of some twenty tokens."""
    return np.repeat(np.random.default_rng(seed).integers(0, 2, steps // 20 + 1), 20)[:steps]


def test_scores_are_the_auc_and_spearmans_correlation():
    random = np.random.default_rng(0)
    values = random.normal(size=(100, 3)).round(1)  # with ties
    binary, numeric = random.integers(0, 2, 100), random.integers(0, 9, 100)
    ranking = rank_units(states_with(values), binary, held_out=0.4, top=3)
    assert ranking.measure == "AUC" and ranking.tried == 3
    for unit in ranking.units:
        for part, score in ((slice(0, 60), unit.chosen), (slice(60, 100), unit.held_out)):
            column = torch.as_tensor(values)[part, unit.unit]
            positive, negative = column[binary[part] == 1], column[binary[part] == 0]
            above = (positive[:, None] > negative).double() + 0.5 * (positive[:, None] == negative).double()
            assert score == pytest.approx(float(above.mean()), abs=1e-6)
    ranking = rank_units(states_with(values), numeric, held_out=0.4, top=3)
    assert ranking.measure == "Spearman's rho"
    for unit in ranking.units:
        assert unit.held_out == pytest.approx(spearmanr(values[60:, unit.unit], numeric[60:]).statistic, abs=1e-5)
    assert [abs(unit.chosen) for unit in ranking.units] == sorted((abs(u.chosen) for u in ranking.units), reverse=True)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_planted_unit_is_found_and_holds_on_the_rest(sign):
    label = blocks(2000, 1)
    values = slow_noise(2000, 20, 2)
    values[:, 7] += sign * 4 * label
    ranking = rank_units(states_with(values), label, name="blocks", seed=1)
    assert ranking.best.unit == 7 and ranking.best.p == 1 / 200
    assert abs(ranking.best.held_out - 0.5) > ranking.threshold and (ranking.best.held_out > 0.5) == (sign > 0)
    assert "blocks: AUC, 20 units" in str(ranking) and ranking.frame()["unit"][0] == 7


def test_a_unit_that_turns_about_on_the_rest_has_not_held():
    label = blocks(400, 5)
    values = np.concatenate([label[:200], -label[200:]]).astype(float)[:, None]
    best = rank_units(states_with(values), label).best
    assert (best.chosen, best.held_out, best.p) == (1.0, 0.0, 1.0)


def test_by_chance_few_are_found_although_neighbours_are_alike():
    """Of labels that nothing follows, one in twenty or so is said to be followed; independent draws would say most."""
    found = 0
    for seed in range(60):
        ranking = rank_units(states_with(slow_noise(400, 10, seed)), blocks(400, 100 + seed), shifts=39, top=10)
        found += any(unit.p <= 0.05 for unit in ranking.units)
    assert found <= 8  # 5 % of 60 are 3


def test_a_constant_unit_is_at_chance_and_gates_are_tried_when_asked_for():
    label = blocks(400, 3)
    values = np.stack([np.ones(400), label.astype(float)], 1)
    ranking = rank_units(states_with(values), label)
    assert [unit.chosen for unit in ranking.units] == [1.0, 0.5]
    assert rank_units(states_with(values), np.arange(400)).units[-1].chosen == 0.0
    states = states_with(values)
    layer = LayerStates(1, "backward", "layers.0", {"h": torch.ones(400, 1)}, {"f": torch.as_tensor(values)}, values)
    ranking = rank_units(States(states.labels, states.input, (layer,)), label, parts=["f"])
    assert (ranking.best.part, ranking.best.unit, ranking.best.direction) == ("f", 1, "backward")


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        (np.ones(100), {}, "it is 1 at every token of the first part"),
        (np.r_[np.arange(50), np.zeros(50)], {"name": "mine"}, "mine: it is 0 at every token of the held-out part"),
        (np.ones(99), {}, r"for each of 100 tokens, got an array \(99,\)"),
        (np.full(100, np.nan), {}, "not finite"),
        (np.arange(100), {"held_out": 1}, "held_out=1"),
        (np.arange(100), {"shifts": 0}, "shifts=0"),
        (np.arange(100), {"parts": ["c"]}, "part 'c': layer 1 has h"),
    ],
)
def test_what_can_not_be_ranked_is_refused(labels, options, words):
    with pytest.raises(InputError, match=words):
        rank_units(states_with(np.random.default_rng(0).normal(size=(100, 2))), labels, **options)


def test_a_short_text_is_refused():
    with pytest.raises(InputError, match="39 tokens; give at least 40"):
        rank_units(states_with(np.ones((39, 2))), np.arange(39))


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("text", ["", "a", '\n("A b) c\u201d.\n', "((", '"', "))"])
def test_every_label_has_a_number_for_each_token_of_any_text(name, text):
    assert LABELS[name](text).shape == (len(text),)


def test_labels_of_names_and_nested_marks():
    text = "O Lord's son (a [b) c] \u201cNo\u201d"
    assert "".join(t for t, inside in zip(text, LABELS["in_name"](text), strict=True) if inside) == "OLord'sNo"
    assert "".join(t for t, inside in zip(text, LABELS["in_quotes"](text), strict=True) if inside) == "\u201cNo\u201d"
    words = ["Ann", "said", ",", '"', "Go", '"', "."]
    assert LABELS["in_name"](words).tolist() == [1, 0, 0, 0, 1, 0, 0]
    assert LABELS["in_quotes"](words).tolist() == [0, 0, 0, 1, 1, 1, 0]
    assert LABELS["position_in_line"](["a", "<eos>", "b"]).tolist() == [0, 1, 0]
