"""Pictures as arrays: read from files, brought to one size."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqlab.data.formats.arrays import read_array
from seqlab.data.formats.clips import reading_errors
from seqlab.data.formats.kinds import other_kind
from seqlab.errors import InputError


class NamedPicture(NamedTuple):
    """A new picture: its file's name, and the array that a captioner reads."""

    name: str
    values: NDArray[np.float32]


def read_picture(file: Path, size: tuple[int, ...]) -> NDArray[np.float32]:
    """Reads a picture ``(C, H, W)`` of colours from 0 to 1, or the features ``(L, F)`` of a npy file.

    A picture of another size is scaled, without regard to its proportions; transparency is put on black, 16 bits of
    grey become 8, and a photograph is turned as its camera says.

    Args:
        file: a picture that Pillow reads, or a npy file.
        size: (3, H, W) or (1, H, W) for pictures in colour or grey, (L, F) for features.

    Raises:
        InputError: the file is not there or broken, has several pictures or pixels of another kind, or features have
            another shape.
    """
    if not file.is_file():
        raise InputError(f"{file} is {'a folder' if file.is_dir() else 'not there'}; give a picture")
    if len(size) == 2:
        return _features(file, size)
    from PIL import Image

    try:
        with Image.open(file) as picture:
            plain = _plain(file, picture).convert("RGB" if size[0] == 3 else "L")
            scaled = plain.resize((size[2], size[1]), Image.Resampling.BILINEAR)
    except InputError:
        raise
    except reading_errors() as error:
        reason = other_kind(file, "an image") or f"it is broken, or cut off ({' '.join(str(error).split())[:200]})"
        raise InputError(f"{file} is no picture that can be read: {reason}; give one, such as png or jpg") from error
    values: NDArray[np.float32] = np.asarray(scaled, dtype=np.float32) / np.float32(255)
    return values.transpose(2, 0, 1).copy() if values.ndim == 3 else values[None]


def _plain(file: Path, picture: Any) -> Any:
    """A picture of 8 bits without transparency, upright: Pillow's own conversion drops alpha and clips 16 bits."""
    from PIL import Image, ImageOps

    if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":  # a photograph with others of it behind
        raise InputError(f"{file} has {picture.n_frames} pictures; save the one that is described as a file of its own")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise InputError(
            f"{file} has the mode {picture.mode}, whose white is not known; save it as grey of 8 or 16 bits"
        )
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
    return picture


def _features(file: Path, size: tuple[int, ...]) -> NDArray[np.float32]:
    values = read_array(file)
    if values.shape != size or not np.issubdtype(values.dtype, np.floating):
        raise InputError(f"{file}: expected floats of shape {size}, got {values.dtype} of shape {values.shape}")
    with np.errstate(over="ignore"):  # what float32 cannot hold is not finite
        features: NDArray[np.float32] = values.astype(np.float32)
    if not np.isfinite(features).all():
        raise InputError(f"{file} has a value that is not finite, or too large for float32; mend it, or leave it out")
    return features
