"""Frames changed at random in training, so that a network learns what voices do not share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.options import check_whole_number
from seqlab.data.transcription.features import LogMel, band_centres
from seqlab.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How each recording of training is changed, in each epoch anew; validation and test are not.

    Frequencies are warped as by a longer or shorter vocal tract (VTLP, Jaitly & Hinton 2013), time is stretched, and a
    run of bands and one of steps are masked by the bands' own means (SpecAugment, Park et al. 2019).

    Args:
        warp: the most by which the frequencies of a recording are scaled, as a share, in [0, 1).
        stretch: the most by which its time is stretched or shrunk, as a share, in [0, 1).
        mask_bands: the most bands of a mask; 0: none.
        mask_steps: the most steps of a mask; 0: none.

    Raises:
        InputError: a number is out of range.

    Example:
        >>> frames = np.random.default_rng(0).normal(size=(30, 120)).astype(np.float32)
        >>> changed = Augmentation(warp=0.2, mask_bands=8).change(frames, LogMel(), np.random.default_rng(1))
        >>> changed.shape, changed.dtype
        ((30, 120), dtype('float32'))
    """

    warp: float = 0.0
    stretch: float = 0.0
    mask_bands: int = 0
    mask_steps: int = 0

    def __post_init__(self) -> None:
        for name in ("warp", "stretch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
                raise InputError(f"data.{name}={value} must be a number from 0 to below 1")
        for name in ("mask_bands", "mask_steps"):
            check_whole_number(f"data.{name}", getattr(self, name), 0)

    def __bool__(self) -> bool:
        return any((self.warp, self.stretch, self.mask_bands, self.mask_steps))

    def change(
        self, frames: NDArray[np.float32], features: LogMel, random: np.random.Generator, least_steps: int = 1
    ) -> NDArray[np.float32]:
        """A recording's frames ``(T, F)``, changed: ``(T', F)`` float32.

        Args:
            frames: of the recording.
            features: how they were made of sound.
            random: draws the change.
            least_steps: the fewest steps that are left.
        """
        warp, stretch = (1 + share * random.uniform(-1, 1) for share in (self.warp, self.stretch))
        bands = frames.reshape(-1, features.num_mels)
        if warp != 1:
            centres = band_centres(features.rate, features.num_mels)
            bands = _between(bands.T, np.interp(warp * centres, centres, np.arange(len(centres)))).T
        steps = len(frames)
        if stretch != 1:
            steps = max(round(stretch * steps), min(steps, least_steps))
            bands = _between(bands, np.linspace(0, len(bands) - 1, steps * features.stack))
        bands = bands.copy()
        means = bands.mean(0)
        first, end = _run(random, self.mask_bands, features.num_mels)
        bands[:, first:end] = means[first:end]
        first, end = _run(random, self.mask_steps, steps)
        bands[first * features.stack : end * features.stack] = means
        return bands.reshape(steps, -1).astype(np.float32)


def _between(rows: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float32]:
    """The rows at these places, which may lie between two: the line from one to the other."""
    before = np.minimum(places.astype(int), max(len(rows) - 2, 0))
    share = (places - before).astype(np.float32)[:, None]
    between: NDArray[np.float32] = rows[before] * (1 - share) + rows[np.minimum(before + 1, len(rows) - 1)] * share
    return between


def _run(random: np.random.Generator, most: int, count: int) -> tuple[int, int]:
    """The first and the end of a run of 0 to ``most`` of ``count`` places."""
    width = int(random.integers(0, min(most, count) + 1))
    first = int(random.integers(0, count - width + 1))
    return first, first + width
