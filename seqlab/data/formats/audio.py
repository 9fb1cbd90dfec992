"""Sound in wav files: read, mixed to one channel, and brought to one rate."""

import math
import re
import shlex
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from seqlab.data.formats.kinds import other_kind
from seqlab.errors import InputError

# What SciPy raises for a broken file: UnboundLocalError where a chunk is not there.
WAV_ERRORS: Final = (
    *(ValueError, OSError, EOFError, struct.error),
    *(UnboundLocalError, ZeroDivisionError, OverflowError, MemoryError),
)
_FASTEST: Final = 1_000_000  # samples a second; faster ones are of a broken header, and would take all memory
_MOST: Final = 16.0  # of floating point: sound that goes a little beyond 1 is common, 24 dB beyond it is another scale


@dataclass(frozen=True, eq=False)
class Sound:
    """A sound of one channel.

    Attributes:
        samples: ``(N,)`` float32 between -1 and 1.
        changed: what was done to it on the way, as phrases: "resampled", "mixed from several channels".
    """

    samples: NDArray[np.float32]
    changed: tuple[str, ...] = ()


def read_wav(file: Path, rate: int) -> Sound:
    """Reads a wav file as one channel at ``rate``.

    Several channels are mixed to their mean. Another rate is changed by a polyphase filter. What was changed is said in
    ``Sound.changed``.

    Args:
        file: the file: PCM of 8, 16, 24 or 32 bits, or floating point.
        rate: samples a second.

    Raises:
        InputError: the file is not there, no wav file, compressed, empty, or has values that are not finite or far
            beyond -1 to 1.
    """
    from scipy.io import wavfile

    if not file.is_file():
        raise InputError(f"{file} is {'a folder' if file.is_dir() else 'not there'}; give a wav file")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", wavfile.WavFileWarning)
            its_rate, values = wavfile.read(file)
    except WAV_ERRORS as error:
        kind = other_kind(file, "a wav")
        is_told = isinstance(error, (ValueError, OSError, EOFError)) and str(error)
        reason = kind or (" ".join(str(error).split())[:200] if is_told else "its header is broken, or cut off")
        mend = "give a wav file" if kind else "convert it to PCM of 16 bits"
        if "sound" in kind:
            mend = f"convert it, such as by ffmpeg -i {shlex.quote(file.name)} {shlex.quote(file.stem + '.wav')}"
        raise InputError(f"{file} is no wav file that can be read: {reason}; {mend}") from error
    if not 0 < its_rate <= _FASTEST:
        raise InputError(f"{file} has {its_rate} samples a second by its header, which is broken; save it anew")
    if not values.size:
        raise InputError(f"{file} has no sound")
    if any(map(_is_cut_off, (str(each.message) for each in told))):
        raise InputError(f"{file} ends before the sound that its header promises; get the whole file, or save it anew")
    changed = []
    samples = _scaled(values)
    if not np.isfinite(samples).all():
        raise InputError(f"{file} has values that are not finite")
    peak = float(np.abs(samples).max())
    if peak > _MOST:
        mend = "divide them by their full scale, such as 32768 for those of 16 bits, and save it anew"
        raise InputError(f"{file} has values up to {peak:g}, and a wav file of floating point holds -1 to 1: {mend}")
    if samples.ndim == 2:
        if samples.shape[1] > 1:
            changed.append("mixed from several channels")
        samples = samples.mean(1)
    if its_rate != rate:
        samples = resampled(samples, its_rate, rate)
        changed.append("resampled")
    return Sound(samples.astype(np.float32), tuple(changed))


def _is_cut_off(warning: str) -> bool:
    """Whether a warning tells of an end that comes too early; others tell of chunks without sound, such as a title.

    A program that writes into a pipe does not know the length, and promises the most that there can be.
    """
    match = re.search(r"EOF.*expected (\d+) bytes", warning)
    return match is not None and int(match[1]) < 2**31 - 2**16


def _scaled(values: NDArray[Any]) -> NDArray[np.float64]:
    """The values between -1 and 1, in either byte order; those of 8 bits are unsigned in wav files."""
    scaled = values.astype(np.float64)
    if values.dtype.kind == "f":
        return scaled
    full_scale = 2.0 ** (8 * values.dtype.itemsize - 1)
    return (scaled - full_scale if values.dtype.kind == "u" else scaled) / full_scale


def resampled(samples: NDArray[Any], rate: int, wanted: int) -> NDArray[np.float64]:
    """A sound at another rate, by a polyphase filter that leaves out what the new rate cannot hold.

    Args:
        samples: ``(N,)``.
        rate: its samples a second.
        wanted: those of the result.

    Example:
        >>> len(resampled(np.zeros(44_100), 44_100, 8_000))
        8000
    """
    from scipy.signal import resample_poly

    common = math.gcd(rate, wanted)
    made: NDArray[np.float64] = resample_poly(samples.astype(np.float64), wanted // common, rate // common)
    return made
