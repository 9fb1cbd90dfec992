"""The conditional random field against the enumeration of every tag sequence."""

from itertools import pairwise, product

import pytest
import torch

from seqlab.nn import CRF, bio_constraints
from seqlab.nn.models.crf import Constraints

N, T = 3, 4
LENGTHS = torch.tensor([4, 1, 0, 3, 2])
BIO = bio_constraints(["O", "B-x", "I-x"])


def make(constraints=None):
    torch.manual_seed(0)
    crf = CRF(N, constraints).double()
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_()
    return crf


def draw():
    torch.manual_seed(1)
    return 2 * torch.randn(5, T, N).double()


def score_of(crf, emissions, tags):
    """The score of one row's tags, written out."""
    total = emissions.new_zeros(())
    for t, tag in enumerate(tags):
        total = total + emissions[t, tag] + (crf.start[tag] if t == 0 else crf.transitions[tags[t - 1], tag])
    return total + crf.end[tags[-1]] if tags else total


def sequences(length, constraints):
    for tags in product(range(N), repeat=length):
        moves = [] if constraints is None else [constraints.transitions[pair] for pair in pairwise(tags)]
        if tags and constraints is not None:
            moves += [constraints.start[tags[0]], constraints.end[tags[-1]]]
        if all(moves):
            yield tags


@pytest.mark.parametrize("constraints", [None, BIO])
def test_partition_score_likelihood_and_best_tags_are_those_of_all_sequences(constraints):
    crf, emissions = make(constraints), draw()
    partition, (best, best_score) = crf.log_partition(emissions, LENGTHS), crf.decode(emissions, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        scores = {tags: score_of(crf, emissions[row], tags) for tags in sequences(length, constraints)}
        expected = torch.stack(list(scores.values())).logsumexp(0)
        torch.testing.assert_close(partition[row], expected, rtol=1e-10, atol=1e-10)
        likeliest = max(scores, key=lambda tags: scores[tags])
        assert best[row].tolist() == [*likeliest, *[0] * (T - length)]
        torch.testing.assert_close(best_score[row], scores[likeliest], rtol=1e-10, atol=1e-10)
        for tags, score in scores.items():
            padded = torch.tensor([[*tags, *[-100] * (T - length)]])
            one, count = emissions[row : row + 1], LENGTHS[row : row + 1]
            torch.testing.assert_close(crf.score(one, padded, count)[0], score, rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(crf(one, padded, count)[0], expected - score, rtol=1e-10, atol=1e-10)


def test_probabilities_of_all_sequences_add_to_one():
    crf, emissions = make(), draw()[:1]
    each = [crf(emissions, torch.tensor([tags])) for tags in product(range(N), repeat=T)]
    torch.testing.assert_close(torch.cat(each).neg().exp().sum(), torch.ones(()).double(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("constraints", [None, BIO])
def test_gradients_are_exact(constraints):
    crf, emissions = make(constraints), draw().requires_grad_()
    tags = torch.tensor([[0, 1, 2, 2], [1, 0, 0, 0], [0, 0, 0, 0], [1, 2, 0, 0], [0, 0, 0, 0]])
    inputs = (emissions, *crf.parameters())
    assert torch.autograd.gradcheck(lambda e, *_: crf(e, tags, LENGTHS), inputs)


def test_padding_and_the_other_rows_never_change_an_answer():
    crf, emissions = make(BIO), draw()
    tags = torch.tensor([[0, 1, 2, 2], [1, 0, 0, 0], [0, 0, 0, 0], [1, 2, 0, 0], [0, 0, 0, 0]])
    padding = torch.arange(T) >= LENGTHS.unsqueeze(1)
    results = []
    for filling, tag in ((0.0, 0), (torch.nan, 77)):
        padded = emissions.masked_fill(padding.unsqueeze(2), filling).requires_grad_()
        nll = crf(padded, tags.masked_fill(padding, tag), LENGTHS)
        gradients = torch.autograd.grad(nll.sum(), [padded, *crf.parameters()])
        assert (gradients[0][padding] == 0).all()
        results.append((nll, *gradients, *crf.decode(padded, LENGTHS)))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)
    nll, found = results[0][0], results[0][-2]
    for row, length in enumerate(LENGTHS.tolist()):
        if length:
            one = emissions[row : row + 1, :length]
            torch.testing.assert_close(crf(one, tags[row : row + 1, :length])[0], nll[row], rtol=1e-12, atol=1e-12)
            assert crf.decode(one)[0][0].tolist() == found[row, :length].tolist()
        else:
            assert nll[row] == 0
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(crf(emissions[order], tags[order], LENGTHS[order]), nll[order], rtol=1e-12, atol=1e-12)


def test_without_lengths_every_step_counts():
    crf, emissions = make(), draw()
    whole = torch.full((5,), T)
    torch.testing.assert_close(crf.log_partition(emissions), crf.log_partition(emissions, whole), rtol=0, atol=0)


def test_constraints_hold_against_any_emission():
    crf = make(BIO)
    emissions = torch.full((1, 6, N), -1e4).double()
    emissions[..., 2] = 1e4  # all for I, which may not begin
    assert crf.decode(emissions)[0].tolist() == [[1, 2, 2, 2, 2, 2]]
    free = make()
    assert free.decode(emissions)[0].tolist() == [[2] * 6]


def test_constraints_keep_gradients_finite_where_nothing_reaches_a_tag():
    transitions = torch.tensor([[True, True, False]] * 3)  # none to tag 2
    crf = make(Constraints(transitions, BIO.start, BIO.end)).float()
    emissions = draw().float().requires_grad_()
    gradients = torch.autograd.grad(crf.log_partition(emissions, LENGTHS).sum(), [emissions, *crf.parameters()])
    assert all(each.isfinite().all() for each in gradients)
    assert (gradients[0][..., 2] == 0).all()
    assert (gradients[1][:, 2] == 0).all()


def test_sixteen_bits_are_computed_in_thirty_two():
    crf, tags = make().float(), torch.zeros(5, T, dtype=torch.int64)
    short = draw().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        nll = crf(short, tags, LENGTHS)
    assert nll.dtype == torch.float32
    torch.testing.assert_close(nll, crf(short.float(), tags, LENGTHS), rtol=0, atol=0)


def test_bio_constraints_are_those_of_bio():
    labels = ["B-a", "I-a", "O", "B-b", "I-b"]
    allowed = bio_constraints(labels)
    for i, before in enumerate(labels):
        for j, after in enumerate(labels):
            fits = after[0] != "I" or before[1:] == after[1:]
            assert bool(allowed.transitions[i, j]) == fits, (before, after)
    assert allowed.start.tolist() == [True, False, True, True, False]
    assert allowed.end.all()


def test_a_loaded_crf_is_the_saved_one():
    crf, other = make(BIO), CRF(N, BIO).double()
    other.load_state_dict(crf.state_dict())
    torch.testing.assert_close(other.log_partition(draw()), crf.log_partition(draw()), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["O", "B-a", "NOUN"], "labels: expected O, B-X and I-X, got 'NOUN'"),
        (["O", "B-"], "labels: expected O, B-X and I-X, got 'B-'"),
        (["O", "I-a"], "labels: expected B-a beside I-a"),
    ],
)
def test_labels_that_are_not_bio_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        bio_constraints(labels)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([[0, 2, 0, 0]], "got tag 2 in row 0, step 1; mend the tags"),
        ([[2, 2, 0, 0]], "got tag 2 in row 0, step 0; mend the tags"),
        ([[0, 3, 0, 0]], "tags: expected values from 0 to 2, got 0 to 3"),
        ([[0, 0, -1, 0]], "tags: expected values from 0 to 2, got -1 to 0"),
        ([[0, 0, 0]], r"tags: expected int64 \(1, 4\), one for each step"),
    ],
)
def test_wrong_tags_are_refused(tags, message):
    with pytest.raises(ValueError, match=message):
        make(BIO)(draw()[:1], torch.tensor(tags))


def test_tags_that_may_not_end_are_refused():
    constraints = BIO._replace(end=torch.tensor([True, False, True]))
    emissions, lengths = draw()[:1], torch.tensor([2])
    with pytest.raises(ValueError, match="got tag 1 in row 0, step 1"):
        make(constraints)(emissions, torch.tensor([[0, 1, 0, 0]]), lengths)
    make(constraints)(emissions, torch.tensor([[1, 2, 1, 1]]), lengths)


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (BIO._replace(start=torch.ones(3)), r"constraints.start: expected a boolean tensor \(3,\), got torch.float32"),
        (BIO._replace(transitions=torch.ones(2, 2, dtype=torch.bool)), r"constraints.transitions: .* shape \(2, 2\)"),
        (BIO._replace(end=torch.zeros(3, dtype=torch.bool)), "they allow none of 1"),
        (
            Constraints(torch.zeros(3, 3, dtype=torch.bool), BIO.start, BIO.end),
            "some sequence of every length, but they allow none of 2",
        ),
    ],
)
def test_wrong_constraints_are_refused(constraints, message):
    with pytest.raises(ValueError, match=message):
        CRF(N, constraints)
