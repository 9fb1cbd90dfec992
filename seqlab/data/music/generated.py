"""Music by rule, of which it is known how well it can be predicted."""

import math
import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.options import check_whole_number
from seqlab.data.core.reading import EmbeddedSource
from seqlab.data.music.sources import PIANO, Piece
from seqlab.errors import InputError

_WHITE = tuple(key for key in range(60, 85) if key % 12 in (0, 2, 4, 5, 7, 9, 11))  # C4 to C6
_STEPS = (-2, -1, 1, 2)


class Canon(EmbeddedSource):
    r"""Canons in two voices: the lower one repeats the upper one ``delay`` frames later, an octave below.

    The upper voice moves by one or two white keys up or down, each with equal chance among those that stay on the
    keyboard's part from C4 to C6. So the lower voice can be predicted exactly by who remembers ``delay`` frames, and
    the upper one not at all beyond its n choices. A model whose notes are independent of each other gives each choice
    1/n, which costs

    .. math::  n \, H(1/n), \qquad H(p) = -p \log p - (1 - p) \log(1 - p)

    nats; :meth:`least_loss` has its mean over a split.

    Args:
        sizes: the pieces of training, validation and test.
        frames: the frames of a piece.
        delay: how many frames the lower voice is behind.
        generator_seed: of the draws, which runs of different seeds share.

    Raises:
        InputError: an option is out of range.
    """

    steps_per_quarter = 1

    def __init__(
        self, sizes: Sequence[int] = (200, 40, 40), frames: int = 48, delay: int = 4, generator_seed: int = 0
    ) -> None:
        if len(sizes) != 3 or not all(isinstance(size, int) and size > 0 for size in sizes):
            raise InputError(f"data.sizes={list(sizes)} must be three numbers of pieces, 1 or more")
        self.sizes = dict(zip(SPLITS, sizes, strict=True))
        self.frames = check_whole_number("data.frames", frames, 2)
        self.delay = check_whole_number("data.delay", delay, 1)
        self.generator_seed = generator_seed

    def __str__(self) -> str:
        return "the canons"

    def read(self, split: str) -> list[Piece]:
        """The pieces of a split."""
        return [Piece(f"{split} {number}", self._roll(voice)) for number, voice in enumerate(self._voices(split), 1)]

    def _voices(self, split: str) -> list[list[int]]:
        """The upper voices, as numbers of white keys."""
        draw = random.Random(f"{self.generator_seed} {split}")
        voices = []
        for _ in range(self.sizes[split]):
            voice = [draw.randrange(len(_WHITE))]
            while len(voice) < self.frames:
                voice.append(draw.choice(_choices(voice[-1])))
            voices.append(voice)
        return voices

    def _roll(self, voice: Sequence[int]) -> NDArray[np.uint8]:
        roll = np.zeros((self.frames, len(PIANO)), dtype=np.uint8)
        for frame, white in enumerate(voice):
            roll[frame, _WHITE[white] - PIANO.start] = 1
            if frame + self.delay < self.frames:
                roll[frame + self.delay, _WHITE[white] - 12 - PIANO.start] = 1
        return roll

    def least_loss(self, split: str) -> float:
        """The least loss a frame that a model of independent notes can have on a split, in nats, the first left out."""
        costs = []
        for voice in self._voices(split):
            for white in voice[:-1]:
                share = 1 / len(_choices(white))
                costs.append(-(share * math.log(share) + (1 - share) * math.log(1 - share)) / share)
        return sum(costs) / len(costs)


def _choices(white: int) -> list[int]:
    return [white + step for step in _STEPS if 0 <= white + step < len(_WHITE)]
