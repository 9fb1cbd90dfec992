"""Clips: series of pictures, of a user's own files."""

import numpy as np
import pytest
import torch

from seqlab.data import (
    Batching,
    ClipFiles,
    SeriesClassData,
    clips_data,
)
from seqlab.errors import InputError
from tests.data.series_classification.clips import write_clips


def test_clips_are_pictures_a_step_with_the_statistics_of_their_channels(tmp_path):
    table = write_clips(tmp_path, shape=(3, 2, 4, 5))
    data = SeriesClassData(ClipFiles(table), Batching(4))
    train = np.concatenate([row.values for row in data.rows("train")]).astype(np.float64)
    mean, std = data.spec.statistics()
    torch.testing.assert_close(mean, torch.tensor(train.mean((0, 2, 3)), dtype=torch.float32))
    torch.testing.assert_close(std, torch.tensor(train.std((0, 2, 3)), dtype=torch.float32))
    assert data.spec.model_arguments() == {"num_channels": 2, "height": 4, "width": 5, "num_classes": 2}
    assert data.spec.output_names() == {"labels": list(data.labels)}
    batch = data.collate("train", [0, 1])
    assert batch.inputs.shape == (2, 3, 2, 4, 5) and batch.inputs.dtype == torch.float32
    np.testing.assert_array_equal(batch.inputs[1], data.rows("train")[1].values)
    assert data.summaries()[0].line().startswith("train: 10 clips, 30 frames; 2 classes")
    assert data.spec.read_inputs(tmp_path / "0.npy")[0].name == "0"
    np.save(tmp_path / "other.npy", np.zeros((3, 2, 8, 8)))
    with pytest.raises(InputError, match=r"different shapes: 2 x 4 x 5 and 2 x 8 x 8"):
        data.spec.read_inputs(tmp_path / "other.npy")


def test_a_channel_that_never_changes_is_divided_by_one(tmp_path):
    table = write_clips(tmp_path)
    for number, file in enumerate(sorted(tmp_path.glob("*.npy"))):
        clip = np.full((3, 2, 4, 5), 0.1)
        clip[:, 1] = number
        np.save(file, clip)
    data = SeriesClassData(ClipFiles(table), Batching(4))
    assert data.spec.stds[0] == 1 and data.spec.means[0] == pytest.approx(0.1)
    values = np.concatenate([row.values[:, 1] for row in data.rows("train")])
    assert (data.spec.means[1], data.spec.stds[1]) == pytest.approx((values.mean(), values.std()))


def test_clips_of_other_sizes_are_refused_unless_they_are_scaled(tmp_path):
    table = write_clips(tmp_path)
    np.save(tmp_path / "4.npy", np.zeros((3, 8, 9), dtype=np.uint8))
    with pytest.raises(
        InputError, match=r"clips.csv:\d+: a step of \w+ is 1 x \d x \d.*data.frame_size=\[HEIGHT,WIDTH\]"
    ):
        clips_data(str(table)).spec  # noqa: B018
    assert clips_data(str(table), frame_size=[4, 4]).spec.frame == (1, 4, 4)


def test_clips_of_two_scales_are_told(tmp_path, caplog):
    table = write_clips(tmp_path)
    for file in sorted(tmp_path.glob("*.npy")):
        clip = np.load(file)
        np.save(file, np.full(clip.shape, 0.5) if file.stem == "4" else clip.astype(np.float64))
    clips_data(str(table)).spec  # noqa: B018
    (line,) = [each for each in caplog.messages if "0 to 255" in each]
    assert "clips.csv:6: its values are from 0 to 1, and from 0 to 255 at " in line


@pytest.mark.parametrize("odd", [np.float32, np.int64, bool])
def test_clips_whose_values_have_another_type_are_refused(tmp_path, odd):
    table = write_clips(tmp_path)
    first, other = np.load(tmp_path / "0.npy"), np.load(tmp_path / "3.npy")
    assert first.dtype == other.dtype == np.uint8
    np.save(tmp_path / "3.npy", other.astype(odd))
    with pytest.raises(InputError, match=r"csv:5: the values of 3.npy are \w.*, and those of 0.npy bytes: save all"):
        clips_data(path=table).spec  # noqa: B018
