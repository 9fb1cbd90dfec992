"""Captioners: places of a picture, first states, and what is written."""

from functools import partial

import pytest
import torch

from seqlab.nn import (
    Captioner,
    Decoder,
    Encoder,
    FeatureInput,
    GRUCell,
    LSTMCell,
    PictureInput,
    SLSTMCell,
    TokenHead,
    TokenInput,
)


def model_of(cell=GRUCell, attention="general", input=None):
    torch.manual_seed(0)
    layers = partial(Encoder, cell, hidden_size=6, num_layers=2)
    output = partial(TokenHead, vocab_size=9)
    options = {"feature_size": 6, "attention": attention}
    decoder = partial(Decoder, partial(TokenInput, 9, 5), layers, output, **options)
    return Captioner(input or partial(PictureInput, (3, 16, 24), 8, halvings=3), decoder).eval()


@pytest.mark.parametrize("cell", [GRUCell, LSTMCell, SLSTMCell])
@pytest.mark.parametrize("attention", ["general", "additive", None])
def test_what_is_written_step_by_step_is_what_teacher_forcing_scores(cell, attention):
    model = model_of(cell, attention)
    pictures = torch.rand(3, 3, 16, 24)
    answers = model.greedy(pictures, None, max_length=7, bos=7, eos=8)
    for row, tokens in enumerate(answers.best()):
        logits = model(pictures[row : row + 1], None, torch.tensor([[7, *tokens]])).log_softmax(-1)
        path = [*tokens, 8] if len(tokens) < 7 else tokens
        for step, token in enumerate(path):
            assert int(logits[0, step].argmax()) == token
    other = model(torch.rand(3, 3, 16, 24), None, torch.tensor([[7, 1]] * 3))
    assert not torch.allclose(other, model(pictures, None, torch.tensor([[7, 1]] * 3)))  # it looks at the picture
    if attention is not None:
        assert answers.attention.shape[2] == 2 * 3
        torch.testing.assert_close(answers.attention[:, 0].sum(1), torch.ones(3))


def test_every_parameter_has_a_gradient():
    model = model_of().train()
    model(torch.rand(2, 3, 16, 24), None, torch.tensor([[7, 1, 2]] * 2)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_places_know_where_they_are_and_sizes_are_checked():
    input = PictureInput((3, 16, 24), 8, halvings=3)
    assert input(torch.zeros(2, 3, 16, 24)).shape == (2, 6, 8)
    torch.nn.init.normal_(input.places)
    places = input(torch.zeros(1, 3, 16, 24))[0]
    assert not torch.allclose(places[2], places[3])
    for pictures in (torch.zeros(2, 3, 24, 16), torch.zeros(2, 3, 16, 24, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"pictures: expected floats of shape \(B, 3, 16, 24\)"):
            input(pictures)
    assert PictureInput((1, 5, 7), 8)(torch.zeros(1, 1, 5, 7)).shape == (1, 2 * 2, 8)
    with pytest.raises(ValueError, match="halvings"):
        PictureInput((3, 16, 24), 8, halvings=0)
    features = model_of(input=partial(FeatureInput, (5, 4), 8))
    assert features(torch.rand(2, 5, 4), None, torch.tensor([[7], [7]])).shape == (2, 1, 9)
    for wrong in (torch.rand(2, 4, 4), torch.ones(2, 5, 4, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"features: expected floats of shape \(B, 5, 4\)"):
            features.input(wrong)
