"""Labelled sequences of frames in batches, and what a classifier needs to know of its data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from seqlab.data.core.batch import Spec, filled_before
from seqlab.data.formats.clips import Clip, ClipFormat, read_clip, warn_of_scale
from seqlab.data.formats.labelled_series import read_numbers
from seqlab.data.formats.series import TIME_GAP, Series, SeriesFormat, warn_of_other_steps
from seqlab.errors import InputError


@dataclass
class SeriesClassBatch:
    """B sequences of different lengths, each with its class. All numbers are in the user's units.

    Attributes:
        inputs: ``(B, T, F)`` float32, the numbers of each step, or ``(B, T, C, H, W)``, its picture. NaN is a missing
            value; beyond a row's length there are zeros, which mean nothing.
        lengths: ``(B,)`` int64, the number of steps of each row, 1 or more.
        targets: ``(B,)`` int64, the number of each row's class; ``IGNORE_INDEX`` for one that training never saw.
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor


@dataclass(frozen=True)
class SeriesClassSpec(Spec):
    """What a classifier needs to know of its data, and what it takes to read further sequences like those of training.

    Attributes:
        labels: the names of the classes, in the order of their numbers.
        frame: the shape of a step: ``(F,)``, or ``(C, H, W)`` where steps are pictures.
        means: the mean of each feature, or of each channel of pictures, in training.
        stds: its standard deviation.
        features: the names of the features; empty where steps are pictures.
        missing: what is done about missing inputs: "refuse", "forward" or "mask".
        format: how files hold series or clips, by the fields of ``SeriesFormat`` or ``ClipFormat``.
        steps: the steps of time of training's series, in words, by ``steps_of``; empty where they have no times.
        num_examples: the number of sequences in each split.
        majority: for each split, the share of the class that is commonest in training: the accuracy of always giving
            that class.
    """

    kind: ClassVar[str] = "series_classification"
    vocabularies: ClassVar[tuple[str, ...]] = ()
    reads_files: ClassVar[bool] = True
    labels: tuple[str, ...]
    frame: tuple[int, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]
    features: tuple[str, ...]
    missing: str
    format: dict[str, Any]
    steps: tuple[str, ...] = ()
    num_examples: dict[str, int] | None = None
    majority: dict[str, float] | None = None

    @property
    def reads_folders(self) -> bool:
        """Whether an input may be a folder, as a clip may be one of pictures."""
        return self.has_pictures

    @property
    def has_pictures(self) -> bool:
        """Whether a step is a picture."""
        return len(self.frame) == 3

    def model_arguments(self) -> dict[str, Any]:
        classes = {"num_classes": len(self.labels)}
        if self.has_pictures:
            return {**dict(zip(("num_channels", "height", "width"), self.frame, strict=True)), **classes}
        return {"num_features": self.frame[0], "observed": self.missing == "mask", **classes}

    def statistics(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.means), torch.tensor(self.stds)

    def data_arguments(self) -> dict[str, Any]:
        names = {"features": columns_of(self.features)} if self.features else {}
        return {"labels": list(self.labels), **names}

    def output_names(self) -> dict[str, Any]:
        names = {"features": list(self.features)} if self.features else {}
        return {"labels": list(self.labels), **names, **filled_before(self.missing, self.means)}

    def read_inputs(self, file: Path) -> list[Series] | list[Clip]:
        if not self.has_pictures:
            all_series = read_numbers(file, SeriesFormat(**self.format), columns_of(self.features), by_place=True)
            warn_of_other_steps(all_series, self.steps)
            return all_series
        frames = read_clip(file, ClipFormat(**self.format))
        if frames.shape[1:] != self.frame:
            shapes = " and ".join(shown_frame(shape) for shape in (self.frame, frames.shape[1:]))
            raise InputError(f"{file}: training's frames and these have different shapes: {shapes}")
        clip = Clip(file.stem, frames, "", str(file))
        warn_of_scale(clip, self.means, self.stds)
        return [clip]


def columns_of(features: Sequence[str]) -> list[str]:
    """The features that are columns of files: all but the time since the row before."""
    return [name for name in features if name != TIME_GAP]


def shown_frame(shape: tuple[int, ...]) -> str:
    """The shape of a frame, for a message.

    Example:
        >>> shown_frame((6,)), shown_frame((3, 32, 48))
        ('6 numbers', '3 x 32 x 48')
    """
    return f"{shape[0]} number{'s' * (shape[0] > 1)}" if len(shape) == 1 else " x ".join(map(str, shape))
