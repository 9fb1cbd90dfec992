"""Writing with a language model: filters, one step at a time against the whole prefix, beams against enumeration."""

import itertools
import math

import pytest
import torch

from seqlab.nn import GRUCell, LanguageModel, LSTMCell
from seqlab.nn.models.generation import Sampling, beam_search, filter_logits, generate
from tests.models import of_cell

VOCAB = 7


def make_model(cell=LSTMCell, vocab_size=VOCAB, **arguments) -> LanguageModel:
    torch.manual_seed(3)
    model = of_cell(
        LanguageModel, vocab_size, cell=cell, hidden_size=6, num_layers=2, init={"uniform": 1.0}, **arguments
    )
    return model.double().eval()


def kept_by_brute_force(logits: list[float], temperature: float, top_k: int | None, top_p: float | None) -> set[int]:
    """Temperature, then the k likeliest, then the fewest of those, made to sum to one, that reach p."""
    order = sorted(range(len(logits)), key=lambda i: -logits[i])[:top_k]
    weights = [math.exp(logits[i] / temperature) for i in order]
    kept, reached = set(), 0.0
    for index, weight in zip(order, weights, strict=True):
        if top_p is not None and reached >= top_p:
            break
        kept.add(index)
        reached += weight / sum(weights)
    return kept


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("top_k", [None, 1, 3, VOCAB, 50])
@pytest.mark.parametrize("top_p", [None, 0.05, 0.5, 0.9, 1.0])
def test_filters_keep_what_brute_force_keeps(temperature, top_k, top_p):
    logits = torch.randn(20, VOCAB, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
    found = filter_logits(logits, temperature, top_k, top_p)
    for row, filtered in zip(logits.tolist(), found.tolist(), strict=True):
        kept = kept_by_brute_force(row, temperature, top_k, top_p)
        assert {i for i, value in enumerate(filtered) if value > -math.inf} == kept
        assert all(filtered[i] == pytest.approx(row[i] / temperature) for i in kept)


@pytest.mark.parametrize("top_k", [1, 3, 8])
def test_no_more_than_k_are_kept_where_several_are_equally_likely(top_k):
    logits = torch.randint(3, (20, VOCAB), generator=torch.Generator().manual_seed(0)).float()
    for row, filtered in zip(logits.tolist(), filter_logits(logits, 1.0, top_k).tolist(), strict=True):
        kept = kept_by_brute_force(row, 1.0, top_k, None)
        assert {i for i, value in enumerate(filtered) if value > -math.inf} == kept


def test_top_p_counts_what_temperature_and_top_k_have_left():
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    assert (filter_logits(logits, 1.0, None, 0.75) > -math.inf).tolist() == [True, True, True, False]
    # Of 0.4 and 0.3 alone, the first is 0.57 and the two reach 0.5 with one.
    assert (filter_logits(logits, 1.0, 2, 0.5) > -math.inf).tolist() == [True, False, False, False]
    # Squared and made to sum to one they are 0.53, 0.3, 0.13 and 0.03.
    assert (filter_logits(logits, 0.5, None, 0.75) > -math.inf).tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0; expected a number above 0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0; expected a number of tokens, 1 or more"),
        ({"top_k": 2.5}, "top_k is 2.5; expected a number of tokens"),
        ({"top_p": 0.0}, r"top_p is 0.0; expected a probability in \(0, 1\]"),
        ({"top_p": 1.5}, "top_p is 1.5"),
    ],
)
def test_a_filter_out_of_range_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        filter_logits(torch.zeros(3), **arguments)


@pytest.mark.parametrize("temperature", [1e-37, 1e-39, 1e-44, 1e-300])
@pytest.mark.parametrize("top_p", [None, 0.9])
def test_a_temperature_that_numbers_cannot_hold_takes_the_likeliest(temperature, top_p):
    logits = torch.tensor([[3.0, -math.inf, 7.5, 7.4], [-2000.0, -1.0, -1.5, -9.0]])
    probabilities = filter_logits(logits, temperature, None, top_p).softmax(-1)
    assert probabilities.tolist() == [[0, 0, 1, 0], [0, 1, 0, 0]]
    assert filter_logits(torch.zeros(4), temperature).softmax(-1).tolist() == [0.25] * 4


def test_a_token_that_cannot_come_leaves_the_others_as_they_are():
    logits = torch.tensor([-math.inf, 0.3, -2.7])
    assert torch.equal(filter_logits(logits, 0.7), logits / 0.7)


@pytest.mark.parametrize("cell", [GRUCell, LSTMCell])
@pytest.mark.parametrize("how", [{"greedy": True}, {"temperature": 0.8, "top_k": 5, "top_p": 0.9}])
def test_one_step_at_a_time_equals_the_whole_prefix_each_time(cell, how):
    model, prompt = make_model(cell), [1, 2, 3]
    found = generate(model, prompt, 25, Sampling(**how), num_samples=2, generator=torch.Generator().manual_seed(5))

    generator, texts = torch.Generator().manual_seed(5), torch.tensor([prompt, prompt])
    for _ in range(25):
        with torch.no_grad():
            logits = model(texts)[0][:, -1].float()
        if how.get("greedy"):
            new = logits.argmax(-1, keepdim=True)
        else:
            new = torch.multinomial(filter_logits(logits, **how).softmax(-1), 1, generator=generator)
        texts = torch.cat([texts, new], dim=1)
    assert torch.equal(found, texts[:, 3:])


def test_a_seed_decides_the_text_and_the_global_generator_does_not():
    def written(seed: int) -> list[list[int]]:
        return generate(make_model(), [0], 40, num_samples=3, generator=torch.Generator().manual_seed(seed)).tolist()

    first = written(1)
    torch.rand(1)
    assert written(1) == first
    assert written(2) != first
    assert first[0] != first[1] and first[1] != first[2]


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_while_writing_and_the_mode_is_left_as_found(training):
    model = make_model(dropout=0.5, embedding_dropout=0.5, output_dropout=0.5)
    plain = generate(model, [1], 30, Sampling(greedy=True))
    model.train(training)
    assert torch.equal(generate(model, [1], 30, Sampling(greedy=True)), plain)
    with pytest.raises(ValueError, match="top_k"):
        generate(model, [1], 3, Sampling(top_k=0))
    beam_search(model, [1], lambda tokens: len(tokens) == 2, count=2)
    assert all(module.training is training for module in model.modules())


def test_an_empty_prompt_is_refused():
    for write in (lambda: generate(make_model(), [], 3), lambda: beam_search(make_model(), [], bool)):
        with pytest.raises(ValueError, match="the prompt is empty"):
            write()


def log_probability(model: LanguageModel, prompt: list[int], tokens: tuple[int, ...]) -> float:
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *tokens]]))[0][0]
    steps = logits[len(prompt) - 1 : -1].log_softmax(-1)
    return float(sum(steps[i, token] for i, token in enumerate(tokens)))


def ends_in_zero(tokens: tuple[int, ...]) -> bool:
    return tokens[-1] == 0


@pytest.mark.parametrize("count", [1, 2, 4, 10, 1000])
@pytest.mark.parametrize("prompt", [[2, 1], [0], [1, 1, 1], [0, 2, 2, 2]], ids=str)
def test_a_wide_beam_finds_what_enumeration_finds(count, prompt):
    model, longest = make_model(vocab_size=3), 5
    everything = {
        tokens[: tokens.index(0) + 1] if 0 in tokens else tokens
        for tokens in itertools.product(range(3), repeat=longest)
    }
    expected = sorted(((log_probability(model, prompt, t), t) for t in everything), reverse=True)[:count]
    found = beam_search(model, prompt, ends_in_zero, count=count, width=3**longest, max_new_tokens=longest)
    assert [tokens for tokens, _ in found] == [tokens for _, tokens in expected]
    assert [value for _, value in found] == pytest.approx([value for value, _ in expected], abs=1e-9)


def test_a_narrow_beam_finds_less_but_nothing_false():
    model, prompt = make_model(), [2]
    found = beam_search(model, prompt, ends_in_zero, count=5, width=3, max_new_tokens=6)
    best = beam_search(model, prompt, ends_in_zero, count=5, width=500, max_new_tokens=6)
    for tokens, value in found:
        assert value == pytest.approx(log_probability(model, prompt, tokens), abs=1e-9)
        assert 0 not in tokens[:-1] and (tokens[-1] == 0 or len(tokens) == 6)
    assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
    assert all(narrow[1] <= wide[1] for narrow, wide in zip(found, best, strict=False))
