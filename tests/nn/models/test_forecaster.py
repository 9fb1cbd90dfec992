"""Forecasters: units, missing values, levels and quantiles."""

from functools import partial

import pytest
import torch

from seqlab.nn import Encoder, Forecaster, FrameInput, GRUCell, QuantileHead

MEAN, STD = torch.tensor([5.0, -2.0, 1.0]), torch.tensor([2.0, 0.5, 4.0])


def forecaster(normalize="none", num_known=0, observed=False, num_targets=2, **options):
    torch.manual_seed(0)
    head = partial(QuantileHead, num_targets=num_targets, horizon=3, num_known=num_known, quantiles=[0.1, 0.5, 0.9])
    input = partial(FrameInput, 3, observed=observed, **options)
    model = Forecaster(input, partial(Encoder, GRUCell, hidden_size=5), head, normalize=normalize)
    model.input.load_statistics(MEAN, STD)
    return model.eval()


def frames(rows=4, steps=7):
    return MEAN + STD * torch.randn(rows, steps, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("normalize", ["none", "window", "last"])
def test_answers_are_in_the_units_of_the_targets(normalize):
    x, model = frames(), forecaster(normalize)
    before = model(x)
    scale, shift = torch.tensor([10.0, 3.0, 1.0]), torch.tensor([100.0, -7.0, 0.0])
    model.input.load_statistics(MEAN * scale + shift, STD * scale)
    after = model(x * scale + shift)
    expected = before * scale[:2].view(1, 1, 2, 1) + shift[:2].view(1, 1, 2, 1)
    torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("normalize", ["none", "window", "last"])
def test_padding_changes_nothing_and_quantiles_ascend(normalize):
    x, lengths, model = frames(), torch.tensor([7, 4, 1, 2]), forecaster(normalize)
    answers = model(x, lengths)
    assert (answers.diff(dim=-1) >= 0).all() and answers.shape == (4, 3, 2, 3)
    changed = x.clone()
    changed[torch.arange(7) >= lengths.unsqueeze(1)] = 1e4
    torch.testing.assert_close(model(changed, lengths), answers)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(model(x[row : row + 1, :length]), answers[row : row + 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("normalize", ["window", "last"])
def test_a_window_of_another_level_and_scale_moves_the_answer_with_it(normalize):
    x, model = frames(), forecaster(normalize)
    moved = x.clone()
    moved[..., :2] = moved[..., :2] * 3 + 50
    torch.testing.assert_close(model(moved), model(x) * 3 + 50, rtol=1e-4, atol=1e-2)
    constant = x.clone()
    constant[..., :2] = MEAN[:2] + 1
    level = (MEAN[:2] + 1).view(1, 1, 2, 1)
    torch.testing.assert_close(model(constant), level.expand_as(model(constant)), rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("normalize", ["window", "last"])
def test_a_series_that_is_far_smaller_than_the_others_is_forecast_as_well(normalize, size):
    x, model = frames(), forecaster(normalize)
    moved = x.clone()
    moved[..., :2] = (x[..., :2] - MEAN[:2]) * size + MEAN[:2]
    mean = MEAN[:2].view(1, 1, 2, 1)
    torch.testing.assert_close((model(moved) - mean) / size, model(x) - mean, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("normalize", ["none", "window", "last"])
def test_a_missing_value_reads_as_missing_whatever_stood_there(normalize):
    x, model = frames(), forecaster(normalize, observed=True)
    x[0, 2, 0] = x[1, :, 1] = x[2, 6, 0] = x[3] = float("nan")
    answers = model(x)
    assert answers.isfinite().all() and not torch.equal(answers, model(x.nan_to_num(0.0)))
    if normalize == "last":  # the last value that is there
        level, _ = model._window(model.input.standardize(x)[..., :2], None)
        torch.testing.assert_close(level[2, 0, 0], model.input.standardize(x)[2, 5, 0])


def test_what_is_known_beforehand_is_standardised_and_changes_the_answer():
    x, model = frames(), forecaster(num_known=1)
    future = torch.randn(4, 3, 1)
    answers = model(x, None, future)
    assert not torch.equal(answers, model(x, None, future + 1))
    seen = []
    model.head.register_forward_pre_hook(lambda module, args: seen.append(args[2]))
    model(x, None, future)
    torch.testing.assert_close(seen[0], (future - MEAN[2]) / STD[2])
    with pytest.raises(ValueError, match="future: expected the 1 features that are known beforehand, got None"):
        model(x)
    with pytest.raises(ValueError, match=r"future: expected shape \(4, 3, 1\)"):
        model(x, None, future[:, :2])
    with pytest.raises(ValueError, match=r"future: expected shape \(4, 3, 2\), got \(4, 3, 1\)"):
        forecaster(num_targets=1, num_known=2)(x, None, future)


def test_statistics_are_saved_with_the_weights():
    model, other = forecaster(), forecaster()
    other.input.load_statistics(torch.zeros(3), torch.ones(3))
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(frames()), model(frames()))


def test_wrong_parts_and_frames_are_refused():
    head = partial(QuantileHead, num_targets=2, horizon=3)
    encoder = partial(Encoder, GRUCell, hidden_size=5)
    for quantiles, error in (
        ([0.9, 0.5], "ascending"),
        ([0.1, 0.9], "0.5 among them"),
        ([0.0, 0.5], "between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=error):
            Forecaster(partial(FrameInput, 3), encoder, partial(head, quantiles=quantiles))
    with pytest.raises(ValueError, match="at most the 1 features of a frame, got 2 targets"):
        Forecaster(partial(FrameInput, 1), encoder, head)
    with pytest.raises(ValueError, match="normalize: expected one of none, window, last"):
        Forecaster(partial(FrameInput, 3), encoder, head, normalize="batch")
    input = FrameInput(3, 4)
    with pytest.raises(ValueError, match=r"frames: expected shape \(B, T, 3\), got \(2, 5, 4\)"):
        input(torch.zeros(2, 5, 4))
    for kind, error in ((torch.int64, "floating-point"), (torch.bfloat16, "too few digits")):
        with pytest.raises(TypeError, match=error):
            input(torch.zeros(2, 5, 3, dtype=kind))
    with torch.autocast("cpu", torch.bfloat16):  # which leaves the frames as they are
        assert input(torch.zeros(2, 5, 3)).shape == (2, 5, 4)
    for mean, std, error in (
        (torch.zeros(2), torch.ones(2), "3 finite numbers"),
        (torch.full((3,), float("nan")), torch.ones(3), "3 finite numbers"),
        (torch.zeros(3), torch.zeros(3), "above 0"),
    ):
        with pytest.raises(ValueError, match=error):
            input.load_statistics(mean, std)
