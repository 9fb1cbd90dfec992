"""Pictures a step: what the small network computes, and that frames do not touch each other."""

from functools import partial

import pytest
import torch
from torch import nn

from seqlab.nn import ClassHead, Classifier, ConvFrameInput, Encoder, GRUCell


@pytest.fixture
def input():
    torch.manual_seed(0)
    part = ConvFrameInput(2, 9, 6, 5, channels=[3, 4], embedding_dropout=0.5).eval()
    part.load_statistics(torch.tensor([10.0, -1.0]), torch.tensor([4.0, 0.5]))
    return part


def test_it_computes_halving_convolutions_of_standardised_channels_and_a_linear_layer_of_all_that_is_left(input):
    frames = 10 * torch.randn(2, 3, 2, 9, 6)
    output = input(frames)
    z = torch.stack([(frames[:, :, 0] - 10) / 4, (frames[:, :, 1] + 1) / 0.5], 2)
    for row in range(2):
        for step in range(3):
            h = z[row, step].unsqueeze(0)
            for layer in input.layers:
                h = nn.functional.conv2d(h, layer.weight, layer.bias, stride=2, padding=1).relu()
            assert h.shape == (1, 4, 3, 2)
            torch.testing.assert_close(output[row, step], input.projection(h.flatten()), rtol=1e-4, atol=1e-5)
    assert input.step_shape == (2, 9, 6) and output.shape == (2, 3, 5)


def test_a_frame_changes_its_own_vector_alone_and_padding_no_answer(input):
    frames = torch.randn(1, 4, 2, 9, 6)
    before = input(frames)
    frames[0, 2] += 1
    changed = (input(frames) != before).any(2)[0].tolist()
    assert changed == [False, False, True, False]
    model = Classifier(
        partial(ConvFrameInput, 2, 9, 6, 5), partial(Encoder, GRUCell, hidden_size=4), partial(ClassHead, num_classes=3)
    ).eval()
    clips = torch.randn(2, 4, 2, 9, 6)
    answer = model(clips, torch.tensor([4, 2]))
    clips[1, 2:] = 1e3
    torch.testing.assert_close(model(clips, torch.tensor([4, 2])), answer)
    torch.testing.assert_close(model(clips[1:, :2]), answer[1:])


def test_every_weight_learns_and_dropout_is_for_training_alone(input):
    frames = torch.randn(3, 2, 2, 9, 6)
    assert torch.equal(input(frames), input(frames))
    assert not torch.equal(input.train()(frames), input(frames))
    input.eval()(frames).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in input.parameters())


def test_what_does_not_fit_is_refused(input):
    for frames, error in (
        (torch.zeros(1, 2, 2, 6, 9), r"frames: expected shape \(B, T, 2, 9, 6\), got \(1, 2, 2, 6, 9\)"),
        (torch.zeros(1, 2, 9, 6), r"frames: expected shape"),
    ):
        with pytest.raises(ValueError, match=error):
            input(frames)
    with pytest.raises(TypeError, match=r"frames: expected floating-point numbers, got torch.uint8"):
        input(torch.zeros(1, 2, 2, 9, 6, dtype=torch.uint8))
    with pytest.raises(ValueError, match="channels: expected one number a layer, got none"):
        ConvFrameInput(1, 4, 4, 8, channels=[])
    with pytest.raises(ValueError, match="mean: expected 2 finite numbers"):
        input.load_statistics(torch.zeros(3), torch.ones(3))
