"""A bag of steps: no step sees another, and a model with it knows nothing of their order."""

from functools import partial

import pytest
import torch

from seqlab.nn import BagEncoder, ClassHead, Classifier, FrameInput


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return BagEncoder(3, 5, num_layers=2, dropout=0.5).eval()


def test_it_computes_two_layers_of_each_step_by_itself(encoder):
    x = torch.randn(2, 4, 3)
    (w1, b1), (w2, b2) = ((layer.weight, layer.bias) for layer in encoder.layers)
    output, state = encoder(x)
    for row in range(2):
        for step in range(4):
            h = torch.relu(w1 @ x[row, step] + b1)
            torch.testing.assert_close(output[row, step], torch.relu(w2 @ h + b2))
    assert state == () == encoder.initial_state(2, like=x)


def test_padding_changes_nothing_and_pieces_give_what_the_whole_gives(encoder):
    x, lengths = torch.randn(2, 6, 3), torch.tensor([6, 2])
    whole, _ = encoder(x, lengths=lengths)
    assert not whole[1, 2:].any()
    x[1, 2:] = 1e9
    assert torch.equal(encoder(x, lengths=lengths)[0], whole)
    first, state = encoder(x[:1, :4])
    pieces = torch.cat([first, encoder(x[:1, 4:], state)[0]], 1)
    torch.testing.assert_close(pieces, whole[:1])  # a matrix of fewer rows may be rounded otherwise


def test_dropout_is_between_layers_and_for_training_alone(encoder):
    x = torch.randn(1, 50, 3)
    assert torch.equal(encoder(x)[0], encoder(x)[0])
    assert not torch.equal(encoder.train()(x)[0], encoder(x)[0])
    one = BagEncoder(3, 5, dropout=0.5).train()
    assert torch.equal(one(x)[0], one(x)[0])


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
def test_a_classifier_with_it_gives_any_order_of_steps_the_same_answer(pooling):
    torch.manual_seed(0)
    parts = (
        partial(FrameInput, 3),
        partial(BagEncoder, hidden_size=4),
        partial(ClassHead, num_classes=2, pooling=pooling),
    )
    model = Classifier(*parts).eval()
    x, lengths = torch.randn(2, 6, 3), torch.tensor([6, 3])
    shuffled = torch.stack([x[0, torch.randperm(6)], torch.cat([x[1, [2, 0, 1]], x[1, 3:]])])
    torch.testing.assert_close(model(x, lengths), model(shuffled, lengths))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"x": torch.zeros(1, 2, 4)}, r"x: expected shape \(B, T, 3\)"),
        ({"state": (torch.zeros(1, 5),)}, "state: expected none, as no step sees another, got 1 parts"),
        ({"lengths": torch.tensor([3])}, "lengths: expected values from 0 to T = 2"),
    ],
)
def test_what_does_not_fit_is_refused(encoder, arguments, error):
    with pytest.raises(ValueError, match=error):
        encoder(**{"x": torch.zeros(1, 2, 3), **arguments})
