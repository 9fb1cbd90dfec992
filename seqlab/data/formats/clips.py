"""Clips: frames one after the other, as arrays in .npy files or as folders of pictures."""

import itertools
import logging
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from seqlab.data.formats.arrays import read_array
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

UNIT: Final = "0 to 1"
BYTES: Final = "0 to 255"
SCALES: Final = (UNIT, BYTES)
"""How the values of pictures are counted."""

PICTURES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
"""The endings of files that are frames of a folder."""

_MODES: Final = {"1": "L", "L": "L", "RGB": "RGB", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "I;16": "I;16"}


@dataclass(frozen=True)
class ClipFormat:
    """How clips are read.

    Args:
        frame_size: height and width to which every frame is scaled; None: frames stay as they are.

    Raises:
        InputError: ``frame_size`` is not two whole numbers.
    """

    frame_size: Sequence[int] | None = None

    def __post_init__(self) -> None:
        size = self.frame_size
        if size is None:
            return
        if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
            raise InputError(f"data.frame_size={size} must be two whole numbers: height and width, such as [32,32]")
        object.__setattr__(self, "frame_size", tuple(size))

    def plain(self) -> dict[str, Any]:
        """The fields as plain values, which make the same format again."""
        return {"frame_size": None if self.frame_size is None else list(self.frame_size)}


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip and its class.

    Attributes:
        name: the name of its file or folder.
        values: ``(T, C, H, W)``: T frames of C channels; uint8 or float32.
        label: the name of its class; empty where it has none.
        place: where it stands, for messages.
    """

    name: str
    values: NDArray[Any]
    label: str
    place: str

    def __len__(self) -> int:
        return len(self.values)


def read_clip(path: Path, form: ClipFormat = ClipFormat()) -> NDArray[Any]:
    """The frames of a clip, ``(T, C, H, W)``, uint8 or float32: pictures from 0 to 255, arrays as they are.

    Args:
        path: a ``.npy`` file of shape ``(T, H, W)`` or ``(T, C, H, W)``, or a folder of pictures, whose order is that
            of their names; numbers in names count as numbers, so 2 comes before 10.
        form: how clips are read.

    Raises:
        InputError: there is nothing to read, an array has another shape or values that are not finite, or two pictures
            differ in size or colours; names the file.
    """
    frames = _of_folder(path) if path.is_dir() else _of_array(path)
    if form.frame_size is None or frames.shape[2:] == tuple(form.frame_size):
        return frames
    scaled = functional.interpolate(
        torch.from_numpy(frames.astype(np.float32)), tuple(form.frame_size), mode="bilinear", antialias=True
    ).numpy()
    return np.rint(scaled).clip(0, 255).astype(np.uint8) if frames.dtype == np.uint8 else scaled


def warn_of_two_scales(clips: Iterable[Clip]) -> None:
    """Warns where some clips have values from 0 to 255, as pictures have, and some from 0 to 1.

    It may be right, as rain on a dry and on a wet day is, so nothing is refused.
    """
    of_scale: dict[str, str] = {}
    for clip in clips:
        if scale := _scale(clip.values):
            of_scale.setdefault(scale, clip.place)
    if len(of_scale) == len(SCALES):
        log.warning(
            "%s: its values are from %s, and from %s at %s, as those of pictures are; if one kind is meant, save the "
            "array anew, as np.round(255 * array).astype(np.uint8)",
            *(of_scale[UNIT], UNIT, BYTES, of_scale[BYTES]),
        )


def warn_of_scale(clip: Clip, means: Sequence[float], stds: Sequence[float]) -> None:
    """Warns of a clip with values from 0 to 255 where those of training were from 0 to 1, or the other way round.

    Args:
        clip: the clip.
        means: the mean of each channel in training.
        stds: its deviation.
    """
    if all(0 <= mean <= 1 and std <= 0.5 for mean, std in zip(means, stds, strict=True)):
        trained = UNIT
    elif min(means) >= 0 and max(mean + std for mean, std in zip(means, stds, strict=True)) > 5:
        trained = BYTES
    else:
        return
    scale = _scale(clip.values)
    if scale not in (None, trained):
        mend = "array / 255, frames of pictures too" if trained == UNIT else "255 * array"
        log.warning(
            "%s: its values are from %s, and those of training seem to be from %s; if so, give it as %s",
            *(clip.place, scale, trained, mend),
        )


def _scale(values: NDArray[Any]) -> str | None:
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 255:
        return None
    if high > 20:
        return BYTES
    return UNIT if values.dtype != np.uint8 and 0 < high <= 1 else None


def reading_errors() -> tuple[type[Exception], ...]:
    """What Pillow raises where a file is broken: a damaged header may name any size, or none."""
    from PIL import Image

    return OSError, ValueError, SyntaxError, TypeError, EOFError, struct.error, Image.DecompressionBombError


def frame_files(folder: Path) -> list[Path]:
    """The files of a clip's folder in the order of its frames, without hidden ones.

    Raises:
        InputError: the numbers in their names have another order as decimals, such as 0.10 and 0.9.
    """
    files = sorted((file for file in folder.iterdir() if not file.name.startswith(".")), key=_natural)
    for one, other in itertools.pairwise(files):
        if _decimal(one) > _decimal(other):
            raise InputError(
                f"{folder}: {one.name} comes before {other.name} if the numbers in their names are whole, and after it "
                "if they are decimals; name frames by whole numbers, such as 0001.png"
            )
    return files


def value_type(path: Path) -> str:
    """The type of a clip's values, whose scale goes with it: bytes, integers, floats or booleans.

    Args:
        path: a clip that :func:`read_clip` reads.
    """
    if path.is_dir():
        from PIL import Image

        with Image.open(frame_files(path)[0]) as picture:
            return "integers of 16 bits" if picture.mode.startswith("I;16") else "bytes"
    values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if values.dtype == np.uint8:
        return "bytes"
    if values.dtype.kind in "iu":
        return f"integers of {8 * values.dtype.itemsize} bits"
    return "booleans" if values.dtype == bool else "floats"


def _of_array(path: Path) -> NDArray[Any]:
    if not path.name.lower().endswith(".npy"):
        raise InputError(f"{path}: a clip is a .npy file or a folder of pictures; {_instead(path)}")
    array = read_array(path)
    real = np.issubdtype(array.dtype, np.number) and not np.iscomplexobj(array)
    if array.ndim not in (3, 4) or not (real or array.dtype == bool) or not array.size:
        wanted = "numbers (T, H, W) or (T, C, H, W), none of them 0"
        raise InputError(f"{path}: expected {wanted}, got {array.dtype} of shape {array.shape}")
    if array.ndim == 4 and array.shape[3] in (1, 3, 4) and array.shape[1] not in (1, 3, 4):
        raise InputError(
            f"{path}: the shape {array.shape} looks like (T, H, W, C); expected (T, C, H, W): save "
            "array.transpose(0, 3, 1, 2)"
        )
    if array.dtype != np.uint8:
        with np.errstate(over="ignore"):  # what float32 cannot hold is not finite
            array = array.astype(np.float32)
        wrong = np.argwhere(~np.isfinite(array))
        if wrong.size:
            raise InputError(f"{path}: frame {int(wrong[0][0]) + 1} has a value that is not finite; mend or drop it")
    frames: NDArray[Any] = array[:, None] if array.ndim == 3 else array
    return frames


def _instead(path: Path) -> str:
    if path.suffix.lower() in (".mp4", ".avi", ".mov", ".mkv", ".webm", ".gif"):
        return f"write the frames of this film into a folder, such as by ffmpeg -i {path.name} frames/%05d.png"
    if path.suffix.lower() in PICTURES:
        return "name the folder of this picture"
    return "give one of these"


def _of_folder(folder: Path) -> NDArray[Any]:
    from PIL import Image

    files = frame_files(folder)
    if not files:
        raise InputError(f"{folder} is an empty folder; give it a picture for each frame, or leave the clip out")
    others = [file.name for file in files if file.suffix.lower() not in PICTURES or not file.is_file()]
    if others:
        raise InputError(
            f"{folder}: {len(others)} of {len(files)} files are no pictures, such as {others[0]}; a clip's folder has "
            "a picture for each frame and nothing else"
        )
    frames: list[NDArray[Any]] = []
    for file in files:
        try:
            with Image.open(file) as picture:
                frame = _frame(file, picture)
        except InputError:
            raise
        except reading_errors() as error:
            raise InputError(f"{file} is not a picture that can be read ({error}); save it anew") from error
        if frames and frame.dtype != frames[0].dtype:
            raise InputError(f"{file}: its pixels have other bits than those of {files[0].name}; save all frames alike")
        if frames and frame.shape != frames[0].shape:
            raise InputError(
                f"{file}: a frame of {_shape(frame)}, and {_shape(frames[0])} in {files[0].name}; the frames of a clip "
                "are alike"
            )
        frames.append(frame)
    return np.stack(frames)


def _frame(file: Path, picture: Any) -> NDArray[Any]:
    """A picture as ``(C, H, W)``: one channel of grey or three of colour, upright as a viewer shows it."""
    from PIL import ImageOps

    if getattr(picture, "n_frames", 1) > 1:
        raise InputError(f"{file} has {picture.n_frames} pictures; save each as a file of its own")
    picture = ImageOps.exif_transpose(picture)
    if "transparency" in picture.info:
        picture = picture.convert("LA" if picture.mode == "L" else "RGBA")
    mode = picture.mode
    if mode in ("RGBA", "LA"):
        alpha = np.asarray(picture.getchannel("A"))
        if alpha.min() < 255:
            raise InputError(f"{file} is partly transparent; save it on a background, without alpha")
        picture, mode = picture.convert(mode[:-1]), mode[:-1]
    if mode not in _MODES:
        raise InputError(f"{file} has the mode {mode}; save it as grey or RGB")
    pixels = np.asarray(picture if mode == _MODES[mode] else picture.convert(_MODES[mode]))
    pixels = pixels.astype(np.float32) if pixels.dtype != np.uint8 else pixels
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _shape(frame: NDArray[Any]) -> str:
    channels, height, width = frame.shape
    return f"{height} x {width} pixels in {'colour' if channels == 3 else 'grey'}"


def _natural(file: Path) -> list[tuple[bool, int, str]]:
    """A key that sorts numbers in names by value: frame2 before frame10."""
    pieces = re.findall(r"\d+|\D+", file.name)
    return [(piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece) for piece in pieces]


def _decimal(file: Path) -> list[tuple[bool, float, str]]:
    """The same, with a point inside a number, as in frame0.25."""
    pieces = re.findall(r"\d+(?:\.\d+)?|\D+", file.stem)
    return [(piece[0].isdecimal(), float(piece) if piece[0].isdecimal() else 0.0, piece) for piece in pieces]
