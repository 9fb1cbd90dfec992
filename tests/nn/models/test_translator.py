"""The encoder-decoder: teacher forcing, padding, and its searches against every answer there is."""

from itertools import product

import pytest
import torch
from torch.nn import functional

from seqlab.nn import GRUCell, LSTMCell, MinGRUCell, RNNCell, SLSTMCell, Translator
from tests.models import of_cell

BOS, EOS = 1, 2
MODELS = [
    {},
    {"attention": None},
    {"attention": "additive", "encoder": {"bidirectional": True, "num_layers": 2}},
    {"attention": "general", "input_feeding": True, "encoder": {"bidirectional": True}, "tie_weights": True},
]
SOURCE_LENGTHS, TARGET_LENGTHS = torch.tensor([5, 2, 0, 3]), torch.tensor([4, 1, 3, 2])


def make(cell=LSTMCell, vocab=7, hidden_size=4, seed=0, sharp=2.0, eos_bias=-1.0, **arguments):
    """A model whose probabilities are far from even, and that ends its answers the later the lower ``eos_bias``."""
    torch.manual_seed(seed)
    model = of_cell(Translator, 8, vocab, cell=cell, hidden_size=hidden_size, embedding_size=5, **arguments).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(sharp)
        model.decoder.head.output.bias[EOS] += eos_bias
    return model


def draw(vocab=7):
    torch.manual_seed(1)
    return torch.randint(8, (4, 5)), torch.randint(vocab, (4, 4))


def nll(model, source, source_lengths, inputs, lengths):
    """A loss over the valid steps, each weighed otherwise."""
    logits = model(source, source_lengths, inputs, lengths)
    valid = torch.arange(inputs.size(1)) < lengths.unsqueeze(1)
    targets = (inputs + 1) % logits.size(2)
    each = functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    return (each * (1 + torch.arange(inputs.size(1))))[valid].sum()


@pytest.mark.parametrize("arguments", MODELS)
def test_logits_are_encoder_bridge_and_decoder(arguments):
    model = make(**arguments)
    source, inputs = draw()
    output, final = model.encoder(model.input.embedding.weight[source], lengths=SOURCE_LENGTHS)
    decoder = model.decoder
    memory = None if decoder.attention is None else decoder.attention.prepare(output, SOURCE_LENGTHS)
    start = decoder.start(model.bridge(final, decoder.recurrent.initial_state(4, like=output)))
    expected = decoder.logits(decoder(inputs, start, memory)[0])
    actual = model(source, SOURCE_LENGTHS, inputs)
    torch.testing.assert_close(actual, expected)
    valid = torch.arange(4) < TARGET_LENGTHS.unsqueeze(1)
    padded = model(source, SOURCE_LENGTHS, inputs, TARGET_LENGTHS)
    torch.testing.assert_close(padded[valid], expected[valid], rtol=0, atol=0)
    torch.testing.assert_close(padded[~valid], decoder.head.output.bias.expand_as(padded[~valid]), rtol=0, atol=0)


@pytest.mark.parametrize("cell", [LSTMCell, GRUCell, SLSTMCell])
@pytest.mark.parametrize("arguments", MODELS)
def test_padding_and_the_other_rows_never_change_an_answer(arguments, cell):
    model = make(cell, **arguments)
    source, inputs = draw()
    garbage_source = torch.where(torch.arange(5) < SOURCE_LENGTHS.unsqueeze(1), source, 7 - source)
    garbage_inputs = torch.where(torch.arange(4) < TARGET_LENGTHS.unsqueeze(1), inputs, 6 - inputs)
    parameters = list(model.parameters())

    def gradients(*arguments):
        return torch.autograd.grad(nll(model, *arguments), parameters, allow_unused=True, materialize_grads=True)

    together = gradients(source, SOURCE_LENGTHS, inputs, TARGET_LENGTHS)
    other = gradients(garbage_source, SOURCE_LENGTHS, garbage_inputs, TARGET_LENGTHS)
    torch.testing.assert_close(other, together, rtol=1e-10, atol=1e-10)
    logits, alone = model(source, SOURCE_LENGTHS, inputs, TARGET_LENGTHS), []
    for row, (length, steps) in enumerate(zip(SOURCE_LENGTHS.tolist(), TARGET_LENGTHS.tolist(), strict=True)):
        one = source[row : row + 1, : max(length, 1)], SOURCE_LENGTHS[row : row + 1], inputs[row : row + 1, :steps]
        torch.testing.assert_close(model(*one)[0], logits[row, :steps], rtol=1e-10, atol=1e-10)
        alone.append(gradients(*one, TARGET_LENGTHS[row : row + 1]))
    torch.testing.assert_close(
        [torch.stack(each).sum(0) for each in zip(*alone, strict=True)], list(together), rtol=1e-9, atol=1e-9
    )
    order = torch.tensor([2, 0, 3, 1])
    permuted = model(source[order], SOURCE_LENGTHS[order], inputs[order], TARGET_LENGTHS[order])
    torch.testing.assert_close(permuted, logits[order], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("cell", "backend"), [(LSTMCell, "native"), (MinGRUCell, "parallel"), (RNNCell, "native"), (RNNCell, "scan")]
)
@pytest.mark.parametrize("arguments", MODELS[1:])
def test_engines_agree(arguments, cell, backend):
    reference = make(cell, backend="loop", **arguments)
    source, inputs = draw()
    batch = source, SOURCE_LENGTHS, inputs, TARGET_LENGTHS
    learned = [name for name, _ in reference.named_parameters()]
    expected = torch.autograd.grad(nll(reference, *batch), list(reference.parameters()), allow_unused=True)
    model = make(cell, backend=backend, **arguments)
    model.load_state_dict(reference.state_dict())
    torch.testing.assert_close(model(*batch), reference(*batch), rtol=1e-10, atol=1e-10)
    actual = torch.autograd.grad(nll(model, *batch), list(model.parameters()), allow_unused=True)
    for name, one, other in zip(learned, actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("arguments", MODELS)
def test_gradients_are_exact(arguments):
    model = make(GRUCell, hidden_size=2, vocab=4, sharp=1.0, **arguments)
    source, inputs, lengths = torch.tensor([[3, 1, 2], [4, 0, 0]]), torch.tensor([[1, 3], [1, 0]]), torch.tensor([2, 1])
    parameters = tuple(model.parameters())

    def run(*_):
        return model(source, torch.tensor([3, 1]), inputs, lengths)

    assert torch.autograd.gradcheck(run, parameters, fast_mode=True)


@pytest.mark.parametrize("arguments", MODELS)
def test_answers_written_step_by_step_have_the_logits_of_teacher_forcing(arguments):
    model = make(**arguments)
    source, inputs = draw()
    memory, state = model.encode(source, SOURCE_LENGTHS)
    steps, weights = [], []
    for tokens in inputs.unbind(1):
        logits, state, weight = model.step(tokens, state, memory)
        steps.append(logits)
        weights.append(weight)
    expected = model(source, SOURCE_LENGTHS, inputs)
    torch.testing.assert_close(torch.stack(steps, 1), expected, rtol=1e-10, atol=1e-10)
    attended = model.features(source, SOURCE_LENGTHS, inputs)[1]
    if attended is None:
        assert weights == [None] * 4
    else:
        torch.testing.assert_close(torch.stack(weights, 1), attended, rtol=1e-10, atol=1e-10)


def log_p(model, source, answer):
    """log P(answer, eos | source) by teacher forcing."""
    inputs = torch.tensor([[BOS, *answer]])
    each = model(source.unsqueeze(0), None, inputs)[0].log_softmax(1)
    return sum(each[t, token] for t, token in enumerate([*answer, EOS])).item()


def ranked(model, source, max_length, alpha):
    """Every answer there is with its score, best first."""
    tokens = [token for token in range(model.decoder.head.vocab_size) if token != EOS]
    answers = [answer for length in range(max_length + 1) for answer in product(tokens, repeat=length)]
    scores = [(log_p(model, source, answer) / ((5 + len(answer) + 1) / 6) ** alpha, answer) for answer in answers]
    return sorted(scores, reverse=True)


@pytest.mark.parametrize("alpha", [0.0, 0.7, 2.5])
@pytest.mark.parametrize("arguments", MODELS)
def test_a_full_beam_finds_every_answer_in_its_order(arguments, alpha):
    model = make(vocab=4, sharp=3.0, **arguments)
    source, lengths = torch.tensor([[3, 4, 5], [6, 7, 0]]), torch.tensor([3, 2])
    limits = torch.tensor([3, 2])
    search = {"max_length": limits, "length_penalty": alpha, "bos": BOS, "eos": EOS}
    found = model.beam_search(source, lengths, beam_size=45, **search)
    for row in range(2):
        expected = ranked(model, source[row, : lengths[row]], int(limits[row]), alpha)
        assert len(expected) == int(found.scores[row].isfinite().sum()) == (40, 13)[row]
        for rank, (score, answer) in enumerate(expected):
            assert found.tokens[row, rank, : found.lengths[row, rank]].tolist() == list(answer)
            assert found.scores[row, rank].item() == pytest.approx(score, abs=1e-10)
        assert (found.tokens[row, len(expected) :] == EOS).all()
        assert (found.lengths[row, len(expected) :] == 0).all()


def plain_beam(model, source, size, max_length, alpha):
    """The search of one source as its docstring tells it, hypothesis by hypothesis."""
    memory, start = model.encode(source.unsqueeze(0))
    beam, answers = [(0.0, (), start)], []
    for step in range(max_length + 1):
        grown = []
        for score, tokens, state in beam:
            logits, state, _ = model.step(torch.tensor([tokens[-1] if tokens else BOS]), state, memory)
            for token, more in enumerate(logits[0].log_softmax(0).tolist()):
                if step < max_length or token == EOS:
                    grown.append((score + more, (*tokens, token), state))
        grown.sort(key=lambda item: -item[0])
        answers += [(s / ((6 + step) / 6) ** alpha, t[:-1]) for s, t, _ in grown[:size] if t[-1] == EOS]
        beam = [item for item in grown if item[1][-1] != EOS][:size]
        if len(answers) >= size:
            break
    return sorted(answers, key=lambda item: -item[0])[:size]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("arguments", MODELS)
def test_a_narrow_beam_is_the_search_hypothesis_by_hypothesis(arguments, alpha):
    model = make(vocab=6, sharp=3.0, seed=5, **arguments)
    source, lengths = draw()[0], torch.tensor([5, 2, 1, 3])
    search = {"max_length": 6, "length_penalty": alpha, "bos": BOS, "eos": EOS}
    for size in (1, 3, 4):
        found = model.beam_search(source, lengths, beam_size=size, **search)
        for row in range(4):
            expected = plain_beam(model, source[row, : lengths[row]], size, 6, alpha)
            assert len(expected) == size
            for rank, (score, answer) in enumerate(expected):
                assert found.tokens[row, rank, : found.lengths[row, rank]].tolist() == list(answer)
                assert found.scores[row, rank].item() == pytest.approx(score, abs=1e-10)


@pytest.mark.parametrize("arguments", MODELS)
def test_answers_depend_neither_on_the_other_sources_nor_on_padding(arguments):
    model = make(vocab=6, sharp=3.0, seed=5, eos_bias=-4.0, **arguments)
    source, limits = draw()[0], torch.tensor([6, 1, 4, 3])
    search = {"beam_size": 3, "length_penalty": 0.6, "bos": BOS, "eos": EOS}
    found = model.beam_search(source, SOURCE_LENGTHS, max_length=limits, **search)
    assert len(set(map(tuple, found.best()))) > 1
    for row, length in enumerate(SOURCE_LENGTHS.tolist()):
        one = model.beam_search(
            source[row : row + 1, : max(length, 1)],
            SOURCE_LENGTHS[row : row + 1],
            max_length=int(limits[row]),
            **search,
        )
        assert one.best()[0] == found.best()[row]
        torch.testing.assert_close(one.scores[0], found.scores[row], rtol=1e-10, atol=1e-10)
        assert torch.equal(one.lengths[0], found.lengths[row])
        if one.attention is not None:
            read = found.attention[row, : one.attention.size(1), : max(length, 1)]
            torch.testing.assert_close(one.attention[0], read, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("arguments", MODELS)
def test_answers_without_a_token_are_answers(arguments):
    model = make(eos_bias=100.0, **arguments)
    found = model.greedy(draw()[0], SOURCE_LENGTHS, max_length=3, bos=BOS, eos=EOS)
    assert found.best() == [[], [], [], []]
    torch.testing.assert_close(found.scores, torch.zeros(4, 1).double())
    if found.attention is not None:
        torch.testing.assert_close(found.attention.sum(2), (SOURCE_LENGTHS > 0).double().unsqueeze(1))


def test_greedy_takes_the_likeliest_token_at_each_step():
    model = make(sharp=3.0)
    source = draw()[0]
    found = model.greedy(source, SOURCE_LENGTHS, max_length=5, bos=BOS, eos=EOS)
    for row, length in enumerate(SOURCE_LENGTHS.tolist()):
        memory, state = model.encode(source[row : row + 1, : max(length, 1)], SOURCE_LENGTHS[row : row + 1])
        tokens, score = [BOS], 0.0
        while len(tokens) <= 6:
            logits, state, _ = model.step(torch.tensor(tokens[-1:]), state, memory)
            chosen = EOS if len(tokens) == 6 else int(logits[0].argmax())
            score += logits[0].log_softmax(0)[chosen].item()
            if chosen == EOS:
                break
            tokens.append(chosen)
        assert found.best()[row] == tokens[1:]
        assert found.scores[row, 0].item() == pytest.approx(score, abs=1e-10)


def test_the_attention_of_an_answer_is_that_of_reading_it():
    model = make(sharp=3.0, input_feeding=True, eos_bias=-9.0)
    source, limits = draw()[0], torch.tensor([5, 1, 3, 2])
    found = model.beam_search(source, SOURCE_LENGTHS, beam_size=3, max_length=limits, bos=BOS, eos=EOS)
    assert len({len(answer) for answer in found.best()}) > 1
    assert found.attention.shape == (4, found.tokens.size(2) + 1, 5)
    for row, answer in enumerate(found.best()):
        inputs, one = torch.tensor([[BOS, *answer]]), slice(row, row + 1)
        _, weights = model.features(source[one], SOURCE_LENGTHS[one], inputs)
        torch.testing.assert_close(found.attention[row, : len(answer) + 1], weights[0], rtol=1e-10, atol=1e-10)
        assert (found.attention[row, len(answer) + 1 :] == 0).all()


def test_a_search_leaves_no_gradients_no_dropout_and_the_mode_as_it_was():
    model = make(embedding_dropout=0.5, output_dropout=0.5)
    search = {"beam_size": 2, "max_length": 4, "bos": BOS, "eos": EOS}
    model.train()
    source = draw()[0]  # which seeds: not between the two
    one, two = (model.beam_search(source, SOURCE_LENGTHS, **search) for _ in range(2))
    assert model.training
    torch.testing.assert_close(one.scores, two.scores, rtol=0, atol=0)
    assert not one.scores.requires_grad


@pytest.mark.parametrize("arguments", MODELS)
def test_bfloat16_autocast_stays_near_and_searches_in_thirty_two_bits(arguments):
    model = make(sharp=1.0, **arguments).float()
    source, inputs = draw()
    batch = source, SOURCE_LENGTHS, inputs, TARGET_LENGTHS
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(*batch)
        found = model.beam_search(source, SOURCE_LENGTHS, beam_size=2, max_length=4, bos=BOS, eos=EOS)
    torch.testing.assert_close(logits.float(), model(*batch), rtol=0.05, atol=0.05)
    assert found.scores.dtype == torch.float32
    logits.float().square().sum().backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


@pytest.mark.parametrize("arguments", MODELS)
def test_a_loaded_model_is_the_saved_one(arguments):
    model, other = make(**arguments), make(seed=9, **arguments)
    other.load_state_dict(model.state_dict())
    source, inputs = draw()
    torch.testing.assert_close(other(source, None, inputs), model(source, None, inputs), rtol=0, atol=0)


def test_the_halves_have_their_own_sizes_and_cells():
    model = make(GRUCell, encoder={"num_layers": 3, "hidden_size": 6}, decoder={"cell": LSTMCell, "num_layers": 2})
    assert (model.encoder.num_layers, model.decoder.recurrent.num_layers) == (3, 2)
    assert (model.encoder.hidden_size, model.decoder.recurrent.hidden_size) == (6, 4)
    assert isinstance(model.decoder.recurrent.layers[1].cell, LSTMCell)
    source, inputs = draw()
    memory, state = model.encode(source, SOURCE_LENGTHS)
    logits, _, _ = model.step(inputs[:, 0], state, memory)
    torch.testing.assert_close(logits, model(source, SOURCE_LENGTHS, inputs)[:, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decoder": {"bidirectional": True}}, "decoder.bidirectional: expected false"),
        ({"decoder": {"layers": 2}}, "unexpected keyword argument 'layers'"),
        ({"encoder": {"input_size": 2}}, "encoder: expected a factory without input_size"),
        ({"hidden_size": 0}, "hidden_size: expected at least 1, got 0"),
        ({"embedding_dropout": 1.5}, r"embedding_dropout: expected a probability in \[0, 1\), got 1.5"),
        ({"attention": "dot", "encoder": {"bidirectional": True}}, '"dot" expects queries and keys of one width'),
    ],
)
def test_wrong_constructions_are_refused(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beam_size": 0}, "beam_size: expected at least 1, got 0"),
        ({"max_length": 0}, "max_length: expected at least 1, got 0"),
        ({"max_length": torch.tensor([1, 2])}, "max_length: expected 4 numbers of 1 or more, got"),
        ({"max_length": torch.tensor([1, 2, 0, 1])}, "max_length: expected 4 numbers of 1 or more, got"),
        ({"eos": 7}, "eos: expected a token of the target's 7"),
        ({"bos": -1}, "bos: expected a token of the target's 7"),
    ],
)
def test_wrong_searches_are_refused(arguments, message):
    search = {"beam_size": 2, "max_length": 4, "bos": BOS, "eos": EOS} | arguments
    with pytest.raises(ValueError, match=message):
        make().beam_search(draw()[0], SOURCE_LENGTHS, **search)


def test_sources_that_are_no_tokens_are_refused():
    with pytest.raises(ValueError, match=r"inputs: expected int64 \(B, T\), got torch.float32"):
        make()(torch.zeros(4, 5), SOURCE_LENGTHS, draw()[1])
