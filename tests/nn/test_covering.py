"""The combinations that other tests try."""

from itertools import combinations, product

import pytest

from tests.nn.covering import covering


@pytest.mark.parametrize("strength", [1, 2, 3])
def test_any_few_options_have_all_their_values_together(strength):
    options = ["abcd", (1, 2), (None, True), "xyz", [0.5, 1.5, 2.5, 3.5]]
    rows = covering(*options, strength=strength)
    assert rows == covering(*options, strength=strength) and len({*rows}) == len(rows) < 96
    for places in combinations(range(5), strength):
        wanted = {*product(*(options[place] for place in places))}
        assert {tuple(row[place] for place in places) for row in rows} == wanted
