"""Linear probes: logistic regression against its optimum, and a feature that is there or is not."""

import pytest
import torch

from seqlab.errors import InputError
from seqlab.inside import fit_probe, majority_accuracy


def drawn(count, seed):
    random = torch.Generator().manual_seed(seed)
    x = 3 + 2 * torch.randn(count, 5, generator=random)
    scores = torch.stack([x[:, 0] - 3, 3 - x[:, 1], x[:, 2] - x[:, 3]], 1)
    return x, [("a", "b", "c")[index] for index in scores.argmax(1)]


def test_what_is_linear_in_the_states_is_read_off_other_states():
    probe = fit_probe(*drawn(600, 0))
    x, labels = drawn(600, 1)
    assert probe.classes == ("a", "b", "c") and probe.accuracy(x, labels) > 0.93
    assert probe.accuracy(x[:, [4] * 5], labels) < 0.6


def test_the_fit_is_the_optimum_of_its_loss():
    x, labels = drawn(300, 2)
    probe = fit_probe(x, labels, l2=0.01)
    weight, bias = probe.weight.double().requires_grad_(), probe.bias.double().requires_grad_()
    scaled = ((x - x.mean(0)) / x.std(0, correction=0)).double()
    targets = torch.tensor(["abc".index(label) for label in labels])
    loss = torch.nn.functional.cross_entropy(scaled @ weight.T + bias, targets) + 0.005 * weight.pow(2).sum()
    assert all(part.abs().max() < 1e-3 for part in torch.autograd.grad(loss, (weight, bias)))
    again = fit_probe(x, labels, l2=0.01)
    assert torch.equal(again.weight, probe.weight)


def test_a_constant_feature_and_half_precision_are_no_trouble():
    x, labels = drawn(100, 3)
    probe = fit_probe(torch.cat((x, torch.ones(100, 1)), 1).bfloat16(), labels)
    assert probe.weight.isfinite().all() and probe.weight[:, 5].abs().max() < 1e-5


def test_labels_never_seen_are_missed_and_the_commonest_is_a_baseline():
    x, labels = drawn(50, 4)
    probe = fit_probe(x, labels)
    assert probe.accuracy(x, ["z"] * 50) == 0
    assert majority_accuracy(["b", "a", "b"], ["b", "c", "b", "a"]) == 0.5


def test_it_fits_inside_inference_free_code_and_leaves_gradients_alone():
    x, labels = drawn(50, 5)
    x.requires_grad_()
    with torch.no_grad():
        fit_probe(x, labels)
    assert x.grad is None


@pytest.mark.parametrize(
    ("features", "labels", "words"),
    [
        (torch.ones(3, 2), ["a", "b"], r"got \(3, 2\) and 2"),
        (torch.ones(0, 2), [], r"got \(0, 2\) and 0"),
        (torch.ones(3, 2), ["a"] * 3, "got 'a' alone"),
        (torch.ones(3), ["a", "b", "a"], r"got \(3,\)"),
    ],
)
def test_wrong_input_is_refused(features, labels, words):
    with pytest.raises(InputError, match=words):
        fit_probe(features, labels)
