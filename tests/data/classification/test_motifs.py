"""The grammar of motifs: the exact likelihood against an enumeration written again, and the Bayes decision."""

from itertools import product

import numpy as np
import pytest

from seqlab.data import Motif, MotifGrammar, Production, SpliceGrammar, Stretch
from seqlab.errors import InputError

EVEN, RICH, BIASED = (0.25, 0.25, 0.25, 0.25), (0.1, 0.4, 0.4, 0.1), (0.7, 0.1, 0.1, 0.1)
PARTS = (Motif(((0.9, 0.1, 0.0, 0.0),)), Stretch(BIASED, 1, 2))
TINY = [
    Production("one", 0.4, EVEN, PARTS, RICH),
    Production("two", 0.35, RICH, PARTS[::-1], EVEN),
    Production("two", 0.25, RICH, (), EVEN),
]
LENGTH, MARGIN = 5, 1


def chance(production, sequence):
    """p(x | production), a sum over each length and each place, letter by letter."""
    if not production.parts:
        middles = [[]]
    else:
        fixed = [(0.9, 0.1, 0.0, 0.0)]
        middles = [fixed + [BIASED] * n if production.label == "one" else [BIASED] * n + fixed for n in (1, 2)]
    total = 0.0
    for middle in middles:
        places = [at for at in range(LENGTH + 1) if at >= MARGIN and LENGTH - at - len(middle) >= MARGIN]
        for at in places:
            value = 1 / len(middles) / len(places)
            for step, letter in enumerate(sequence):
                inside = at <= step < at + len(middle)
                bases = middle[step - at] if inside else production.before if step < at else production.after
                value *= bases["ACGT".index(letter)]
            total += value
    return total


@pytest.fixture(scope="module")
def enumerated():
    """All sequences, and p(x, c) of each."""
    sequences = ["".join(letters) for letters in product("ACGT", repeat=LENGTH)]
    joint = np.array(
        [
            [sum(each.probability * chance(each, x) for each in TINY if each.label == c) for c in ("one", "two")]
            for x in sequences
        ]
    )
    return sequences, joint


def test_the_likelihood_is_that_of_an_enumeration_and_sums_to_one(enumerated):
    sequences, joint = enumerated
    grammar = MotifGrammar(TINY, LENGTH, MARGIN)
    found = np.exp(grammar.log_joint(grammar.numbers(sequences)))
    assert grammar.labels == ("one", "two") and found.sum(0) == pytest.approx([0.4, 0.6])
    np.testing.assert_allclose(found, joint, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(grammar.posterior(grammar.numbers(sequences)).sum(1), 1)


def test_no_decision_is_better_than_that_of_bayes(enumerated):
    sequences, joint = enumerated
    grammar = MotifGrammar(TINY, LENGTH, MARGIN)
    decided = np.array([grammar.labels.index(label) for label in grammar.decide(sequences)])
    rate = joint[np.arange(len(joint)), decided].sum()
    assert rate == pytest.approx(joint.max(1).sum()) and 0.7 < rate < 0.95
    drawn, labels = grammar.sample(20_000, (3,))
    right = np.mean([a == b for a, b in zip(grammar.decide(drawn), labels, strict=True)])
    assert right == pytest.approx(rate, abs=4 * (rate * (1 - rate) / 20_000) ** 0.5)


def test_sequences_are_drawn_with_their_probabilities(enumerated):
    sequences, joint = enumerated
    drawn, labels = MotifGrammar(TINY, LENGTH, MARGIN).sample(40_000, (5, 1))
    counts = np.zeros_like(joint)
    number = {sequence: at for at, sequence in enumerate(sequences)}
    for sequence, label in zip(drawn, labels, strict=True):
        counts[number[sequence], ("one", "two").index(label)] += 1
    expected = 40_000 * joint
    often = expected > 20
    chi = ((counts - expected)[often] ** 2 / expected[often]).sum()
    assert chi == pytest.approx(often.sum(), abs=5 * (2 * often.sum()) ** 0.5)
    assert counts[joint == 0].sum() == 0


def test_a_grammar_that_is_none_is_refused():
    with pytest.raises(ValueError, match="productions must add up to 1"):
        MotifGrammar(TINY[:2], LENGTH)
    with pytest.raises(ValueError, match="A, C, G and T must add up to 1"):
        MotifGrammar([Production("one", 1.0, (0.5, 0.5, 0.5, 0.5), (), EVEN)], LENGTH)
    with pytest.raises(ValueError, match="2 bases and twice 2 do not fit into 5"):
        MotifGrammar(TINY, LENGTH, 2)


def test_the_splice_grammar_is_between_easy_and_hopeless_and_the_same_everywhere():
    source = SpliceGrammar(sizes=(3, 2, 1500))
    rows = source.read("test")
    posterior = source.grammar.posterior(source.grammar.numbers([row.text for row in rows]))
    assert 0.85 < posterior.max(1).mean() < 0.95
    decided = source.decide([row.text for row in rows])
    right = np.mean([label == row.label for label, row in zip(decided, rows, strict=True)])
    assert right == pytest.approx(posterior.max(1).mean(), abs=0.03)
    assert sum(row.label == "N" for row in rows) == pytest.approx(750, abs=80)
    assert source.read("train") == SpliceGrammar(sizes=(5, 2, 1)).read("train")[:3]
    assert source.read("train")[0].text.startswith("CAAGTGGGTGATAGATG") and len(rows[0].text) == 60
    assert SpliceGrammar(sizes=(3, 2, 2), grammar_seed=1).read("train") != source.read("train")


def test_wrong_options_are_refused():
    with pytest.raises(InputError, match=r"data\.sizes=\[1, 2\] must be three numbers"):
        SpliceGrammar([1, 2])
    with pytest.raises(InputError, match=r"data\.sizes=0 must be a whole number, 1 or more"):
        SpliceGrammar([1, 0, 1])
