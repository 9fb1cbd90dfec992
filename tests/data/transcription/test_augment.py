"""Recordings changed in training: what each change does, and that nothing else is changed."""

import itertools

import numpy as np
import pytest
import torch

from seqlab.data import Augmentation, LogMel
from seqlab.errors import InputError
from tests.data.transcription import test_transcription as transcription
from tests.data.transcription.test_transcription import of_table, tone

table = transcription.table  # a fixture


def frames_of(frequency, seconds=1.0, **options):
    form = LogMel(rate=8000, num_mels=40, **options)
    return form, form.frames(tone(frequency, seconds=seconds).astype(np.float32))


@pytest.mark.parametrize("stack", [1, 3])
def test_a_warp_moves_a_tone_to_the_band_of_the_scaled_frequency(stack):
    form, frames = frames_of(1000, stack=stack)
    for seed in range(5):
        share = 1 + 0.3 * np.random.default_rng(seed).uniform(-1, 1)
        changed = Augmentation(warp=0.3).change(frames, form, np.random.default_rng(seed))
        wanted = frames_of(1000 / share, stack=stack)[1]
        assert changed.shape == frames.shape
        band, other = (each[len(each) // 2, :40].argmax() for each in (changed, wanted))
        assert abs(int(band) - int(other)) <= 1


def test_a_stretch_changes_the_time_and_no_band_and_leaves_the_steps_that_are_needed():
    draw = np.random.default_rng(0)
    form, frames = LogMel(stack=3), np.repeat(draw.normal(size=(1, 40)), 60, 0).reshape(20, 120).astype(np.float32)
    lengths = set()
    for seed in range(20):
        changed = Augmentation(stretch=0.25).change(frames, form, np.random.default_rng(seed), least_steps=19)
        np.testing.assert_allclose(changed, np.broadcast_to(frames[0], changed.shape), atol=1e-5)
        lengths.add(len(changed))
    assert min(lengths) == 19 and max(lengths) > 20 and max(lengths) <= 25
    rising = np.repeat(np.arange(60.0), 40).reshape(20, 120).astype(np.float32)
    changed = Augmentation(stretch=0.25).change(rising, form, np.random.default_rng(1)).reshape(-1, 40)
    np.testing.assert_allclose(changed[:, 7], np.linspace(0, 59, len(changed)), atol=1e-3)
    assert len(Augmentation(stretch=0.9).change(frames[:1], form, np.random.default_rng(2), least_steps=4)) == 1


def test_masks_hide_one_run_of_bands_and_one_of_steps_behind_the_means_of_the_bands():
    draw, form = np.random.default_rng(0), LogMel(stack=3)
    frames = draw.normal(size=(20, 120)).astype(np.float32)
    before = frames.copy()
    means, hidden = frames.reshape(-1, 40).mean(0), np.zeros((60, 40), dtype=bool)
    for seed in range(50):
        changed = Augmentation(mask_bands=8, mask_steps=4).change(frames, form, np.random.default_rng(seed))
        bands = changed.reshape(-1, 40)
        other = bands != frames.reshape(-1, 40)
        hidden |= other
        np.testing.assert_allclose(bands[other], np.broadcast_to(means, bands.shape)[other], atol=1e-6)
        columns, steps = np.flatnonzero(other.all(0)), np.flatnonzero(other.reshape(20, 120).all(1))
        assert len(columns) <= 8 and (np.diff(columns) == 1).all() and len(steps) <= 4 and (np.diff(steps) == 1).all()
        assert other.sum() == 60 * len(columns) + 3 * len(steps) * (40 - len(columns))
    assert hidden.all()
    np.testing.assert_array_equal(frames, before)


def test_training_alone_is_changed_in_each_epoch_anew_and_equally_for_one_seed(table):
    options = (
        "data.warp=0.2",
        "data.stretch=0.2",
        "data.mask_bands=4",
        "data.split=[0.6,0.2,0.2]",
        "data.batch_size=4",
    )
    plain, data, again = of_table(table, *options[3:]), of_table(table, *options), of_table(table, *options)
    assert data.fingerprint() == plain.fingerprint() and data.spec == plain.spec
    for one, other in zip(data.val_dataloader(), plain.val_dataloader(), strict=True):
        torch.testing.assert_close(one.inputs, other.inputs, rtol=0, atol=0)
    loader, other = data.train_dataloader(), again.train_dataloader()
    first, second = list(loader), list(loader)
    for one, two in zip(first + second, [*other, *other], strict=True):
        torch.testing.assert_close(one.inputs, two.inputs, rtol=0, atol=0)
        assert torch.equal(one.targets, two.targets)

    def by_text(batches):
        rows = [row for batch in batches for row in zip(batch.targets, batch.target_lengths, strict=True)]
        return sorted(tuple(targets[:size].tolist()) for targets, size in rows)

    assert by_text(first) == by_text(second) == by_text(plain.train_dataloader())
    sums = [sorted(float(row.sum()) for batch in batches for row in batch.inputs) for batches in (first, second)]
    assert not set(sums[0]) & set(sums[1])
    resumed = again.train_dataloader()
    position = data.train_dataloader()
    next(iter(position))
    resumed.load_state_dict(position.state_dict())
    torch.testing.assert_close(next(iter(resumed)).inputs, first[1].inputs, rtol=0, atol=0)
    seeded = of_table(table, *options, "seed=5").train_dataloader()
    assert not set(sums[0]) & {float(row.sum()) for batch in seeded for row in batch.inputs}
    for option in ("warp=1.0", "stretch=-0.1", "mask_bands=-1", "mask_steps=2.5"):
        with pytest.raises(InputError, match=f"data.{option.partition('=')[0]}"):
            of_table(table, f"data.{option}")


def test_each_changed_recording_keeps_what_is_said_in_it_and_the_steps_that_that_needs(table):
    data = of_table(table, "data.stretch=0.9", "data.split=[0.6,0.2,0.2]", "data.batch_size=4", "data.stack=1")
    spellings, shortest = set(), set()
    loader = data.train_dataloader()
    for _ in range(5):
        for batch in loader:
            for frames, length, ids, count in zip(
                batch.inputs, batch.lengths, batch.targets, batch.target_lengths, strict=True
            ):
                text = data.vocabulary.decode(ids[:count].tolist())
                band = int(frames[:length].mean(0).argmax())
                assert text == ("low" if band < 20 else "high high")  # tones of 300 and 2500 Hz
                spellings.add(text)
    tight = of_table(table, "data.stretch=0.9", "data.split=[0.6,0.2,0.2]", "data.batch_size=4", "data.stack=3")
    loader = tight.train_dataloader()
    for _ in range(5):
        for batch in loader:
            for length, ids, count in zip(batch.lengths, batch.targets, batch.target_lengths, strict=True):
                said = ids[:count].tolist()
                needed = len(said) + sum(one == other for one, other in itertools.pairwise(said))
                assert length >= needed
                shortest.add(int(length) - needed)
    assert spellings == {"low", "high high"} and 0 in shortest
