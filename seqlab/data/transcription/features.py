"""Frames of sound: the logarithm of its energy in bands of the mel scale."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqlab.data.core.options import check_whole_number
from seqlab.errors import InputError

_FLOOR = 1e-6  # of an energy, so that silence has a logarithm


@dataclass(frozen=True, kw_only=True)
class LogMel:
    """How sound becomes frames: windows of ``window`` seconds every ``hop`` seconds, in ``num_mels`` bands.

    Args:
        rate: samples a second.
        num_mels: bands of the mel scale, from 20 Hz to half of the rate.
        window: seconds of a window (Hann).
        hop: seconds from one window to the next.
        stack: so many frames side by side make one step, which makes sequences shorter.
        subtract_mean: whether each band's mean over the recording is subtracted, which takes out much of what a voice
            and a microphone add to all frames alike. Only a whole recording has that mean, and no part of a stream.

    Raises:
        InputError: an option is out of range.

    Example:
        >>> LogMel(rate=8000, num_mels=40, stack=3).frames(np.zeros(8000, dtype=np.float32)).shape
        (33, 120)
    """

    rate: int = 8000
    num_mels: int = 40
    window: float = 0.025
    hop: float = 0.01
    stack: int = 3
    subtract_mean: bool = False

    def __post_init__(self) -> None:
        for name in ("rate", "num_mels", "stack"):
            check_whole_number(f"data.{name}", getattr(self, name), 1)
        if not isinstance(self.subtract_mean, bool):
            raise InputError(f"data.subtract_mean={self.subtract_mean} must be true or false")
        if not (0 < self.hop <= self.window) or self.rate * self.hop < 1:
            raise InputError(f"data.hop={self.hop} must be above 0, and at most data.window={self.window}")

    @property
    def num_features(self) -> int:
        """The numbers of a step."""
        return self.num_mels * self.stack

    def frames(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The frames of a sound, ``(T, num_features)`` float32; a sound shorter than a step has none.

        The energy of band m is the sum of the window's power spectrum under a triangle of the mel scale (O'Shaughnessy
        1987), and the frame its natural logarithm; of which, with ``subtract_mean``, the mean over all frames is
        subtracted.
        """
        size, hop = round(self.rate * self.window), round(self.rate * self.hop)
        length = 1 << (size - 1).bit_length()
        sound = torch.from_numpy(samples)
        if len(sound) < size:
            sound = torch.nn.functional.pad(sound, (0, size - len(sound)))
        spectrum = torch.stft(
            sound, length, hop, size, torch.hann_window(size), center=True, pad_mode="constant", return_complex=True
        )
        power = spectrum.abs().square().T  # (T, length / 2 + 1)
        energies = power @ mel_bands(self.rate, length, self.num_mels)
        frames = (energies + _FLOOR).log()
        if self.subtract_mean:
            frames = frames - frames.mean(0)
        steps = len(frames) // self.stack
        return frames[: steps * self.stack].reshape(steps, self.num_features).numpy()


@lru_cache(maxsize=8)
def mel_bands(rate: int, length: int, num_mels: int) -> Tensor:
    """The triangles of the mel scale, ``(length / 2 + 1, num_mels)``, each of height 1.

    mel(f) = 2595 log10(1 + f / 700) (O'Shaughnessy 1987). The bands overlap by half, from 20 Hz to rate / 2.
    """
    frequencies = torch.linspace(0, rate / 2, length // 2 + 1)
    hertz = _edges(rate, num_mels)
    rising = (frequencies[:, None] - hertz[:-2]) / (hertz[1:-1] - hertz[:-2])
    falling = (hertz[2:] - frequencies[:, None]) / (hertz[2:] - hertz[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)


def band_centres(rate: int, num_mels: int) -> NDArray[np.float64]:
    """The frequency in Hz at which each band is highest, ``(num_mels,)``."""
    centres: NDArray[np.float64] = _edges(rate, num_mels)[1:-1].double().numpy()
    return centres


def _edges(rate: int, num_mels: int) -> Tensor:
    """Where the bands begin and end, in Hz: the highest place of each is the beginning of the next."""
    edges = torch.linspace(_mel(20.0), _mel(rate / 2), num_mels + 2)
    return 700 * (10 ** (edges / 2595) - 1)


def _mel(frequency: float) -> float:
    return float(2595 * np.log10(1 + frequency / 700))
