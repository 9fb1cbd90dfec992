"""The hidden size that meets a parameter budget."""

import logging
from functools import partial

import pytest
import torch
from torch import nn

from seqlab.nn import Encoder, GRUCell, LanguageModel, LSTMCell, match_parameters
from seqlab.nn.size import common_budget, count_parameters, nearest_size
from tests.models import of_cell


def language_model(hidden_size, **arguments):
    return of_cell(LanguageModel, 100, cell=LSTMCell, hidden_size=hidden_size, **arguments)


@pytest.mark.parametrize("budget", [20_000, 150_000, 1_000_000, 20_000_000])
@pytest.mark.parametrize(
    "arguments",
    [
        {"num_layers": 1},
        {"num_layers": 3, "dropout": 0.5},
        {"num_layers": 3, "connect": "dense"},
        {"num_layers": 2, "tie_weights": True},
        {"num_layers": 2, "bidirectional": True, "init": {"uniform": 0.1, "orthogonal": True, "forget_bias": 1.0}},
    ],
)
def test_no_other_size_comes_nearer(arguments, budget):
    build = partial(language_model, **arguments)
    size = match_parameters(build, budget, tolerance=0.1)
    with torch.device("meta"):
        distances = [abs(count_parameters(build(each)) - budget) for each in (size - 1, size, size + 1)]
    assert distances[1] == min(distances)


def test_tied_weights_count_once():
    tied, free = (language_model(10, tie_weights=tie) for tie in (True, False))
    assert count_parameters(free) - count_parameters(tied) == 100 * 10


def test_depths_meet_one_budget_within_a_percent():
    for depth in (1, 2, 3, 4):
        build = partial(Encoder, GRUCell, 64, num_layers=depth)
        size = match_parameters(lambda hidden_size, build=build: build(hidden_size), 500_000)
        assert count_parameters(build(size)) == pytest.approx(500_000, rel=0.01)


def test_an_exact_budget_is_met_exactly():
    for size in (1, 2, 3, 4, 7, 8, 9, 100):
        assert match_parameters(language_model, count_parameters(language_model(size)), tolerance=0) == size


def test_a_budget_between_two_sizes_names_both():
    three, four = (count_parameters(language_model(size)) for size in (3, 4))
    assert three < 1_000 < four
    message = f"1,000 parameters within 1.0%, but the nearest are 3 with {three:,} and 4 with {four:,}"
    with pytest.raises(ValueError, match=message):
        match_parameters(language_model, 1_000)


def test_a_budget_below_the_smallest_model_is_refused():
    with pytest.raises(
        ValueError, match=r"budget: expected a hidden size with 10 parameters .* nearest are 1 with 316"
    ):
        match_parameters(language_model, 10)


@pytest.mark.parametrize(("budget", "tolerance"), [(500, 0.03), (70, 0.01)])
def test_a_common_budget_is_met_by_all_and_no_nearer_one_is(budget, tolerance):
    builds = [partial(lambda size, depth: Encoder(LSTMCell, 10, size, num_layers=depth), depth=n) for n in (1, 4)]

    def is_met(candidate):
        return all(nearest_size(build, candidate).misses(candidate, tolerance) is None for build in builds)

    common = common_budget(builds, budget, tolerance)
    assert is_met(common)
    gap = abs(common - budget)
    assert not any(is_met(budget + step) for step in range(1 - gap, gap) if budget + step > 0)


def test_models_without_a_common_budget_have_none():
    builds = [lambda size: nn.Linear(size, 1000), lambda size: nn.Linear(size, 999)]
    assert common_budget(builds, 5_000, tolerance=0.0) is None


def test_a_model_that_does_not_grow_is_refused():
    with pytest.raises(ValueError, match="budget: expected a model that grows with its hidden size, got 16 at 2 too"):
        match_parameters(lambda hidden_size: nn.Linear(3, 4), 100)


def test_matching_draws_no_random_number_and_logs_no_engine(caplog):
    before = torch.get_rng_state()
    with caplog.at_level(logging.INFO, logger="seqlab"):
        match_parameters(partial(language_model, init={"uniform": 0.1}), 100_000, tolerance=0.05)
    assert torch.equal(torch.get_rng_state(), before)
    assert not caplog.records
