"""Folds of a cross-validation: every row is tested once, equal rows stay together, classes keep their shares."""

from collections import Counter

import pytest

from seqlab.data.core.folds import Folds, deal
from seqlab.errors import InputError

ROWS = [(f"{number % 70}", "ab"[number % 7 > 4]) for number in range(100)]  # thirty keys twice


def cut(fold, rows=ROWS, folds=5, seed=0, share=0.2):
    same = lambda row: row[0]  # noqa: E731
    return Folds(folds, fold, share, seed).cut(rows, "rows", same, lambda row: row[1])


def test_each_row_is_in_the_test_of_one_fold_and_no_split_shares_a_key():
    tested = []
    for fold in range(5):
        parts = cut(fold)
        assert sum(map(len, parts.values())) == len(ROWS)
        keys = [{key for key, _ in rows} for rows in parts.values()]
        assert not (keys[0] & keys[1] or keys[0] & keys[2] or keys[1] & keys[2])
        assert len(parts["validation"]) == pytest.approx(0.2 * 80, abs=2)
        tested += parts["test"]
    assert sorted(tested) == sorted(ROWS)


def test_each_fold_has_its_share_of_each_class():
    for fold in range(5):
        counts = Counter(label for _, label in cut(fold)["test"])
        assert counts["a"] == pytest.approx(72 / 5, abs=1.6) and counts["b"] == pytest.approx(28 / 5, abs=1.6)


def test_folds_depend_on_the_split_seed_alone():
    assert cut(2) == cut(2) != cut(2, seed=1)
    numbers = deal(ROWS, 5, 0, None, lambda row: row[1])
    assert numbers[:12] == [2, 4, 0, 2, 2, 1, 1, 3, 1, 4, 3, 2]  # on every machine
    assert sorted(Counter(numbers).values()) == [20] * 5


def test_a_group_of_two_classes_stays_together():
    rows = [("x", "a"), ("x", "b"), *(("y" + str(n), "ab"[n % 2]) for n in range(8))]
    numbers = deal(rows, 2, 0, lambda row: row[0], lambda row: row[1])
    assert numbers[0] == numbers[1] and Counter(numbers) == {0: 5, 1: 5}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fold": 1}, r"data\.fold=1 is for a cross-validation: give data\.folds too"),
        ({"folds": 10}, r"data\.folds=10: give data\.fold too, .* from 0 to 9"),
        ({"folds": 10, "fold": 10}, r"data\.fold=10 must be from 0 to 9"),
        ({"folds": 1, "fold": 0}, r"data\.folds=1 must be a whole number, 2 or more"),
        ({"folds": 3, "fold": 0, "validation_share": 1}, r"data\.validation_share=1 must be a share"),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        Folds(**options)


def test_too_few_different_rows_are_refused():
    with pytest.raises(InputError, match=r"rows: 2 different rows are too few for data\.folds=5"):
        cut(4, [("x", "a"), ("x", "a"), ("y", "b")])
    alike = [("x", "a"), ("x", "a"), ("x", "a"), *(("y", "b"),) * 2]
    with pytest.raises(
        InputError, match=r"rows: 1 different row is too few beside fold 1 .*data\.validation_share=0\.1"
    ):
        Folds(2, 1).cut(alike, "rows", lambda row: row[0], lambda row: row[1])
