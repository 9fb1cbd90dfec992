"""Scenes of two shapes, described by an exact grammar."""

import itertools
import random
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqlab.data.captions.sources import Described
from seqlab.data.core.batch import SPLITS
from seqlab.data.core.options import check_whole_number
from seqlab.data.core.reading import EmbeddedSource
from seqlab.errors import InputError

COLOURS: Final = {
    "red": (0.9, 0.1, 0.1),
    "green": (0.1, 0.7, 0.2),
    "blue": (0.2, 0.3, 0.95),
    "yellow": (0.95, 0.85, 0.1),
    "white": (0.95, 0.95, 0.95),
    "black": (0.05, 0.05, 0.05),
    "orange": (0.95, 0.5, 0.1),
    "purple": (0.6, 0.15, 0.8),
}
SHAPES: Final = ("circle", "square", "triangle", "cross", "diamond", "ring")
RELATIONS: Final = ("left of", "above")

_SIDE: Final = 32
_RADIUS: Final = 5


def pairs_of_test(held_out: int) -> frozenset[tuple[str, str]]:
    """The pairs of colour and shape that training has never seen together: colour i with shape i + held_out.

    Example:
        >>> sorted(pairs_of_test(1))[:2]
        [('black', 'circle'), ('blue', 'cross')]
    """
    return frozenset((colour, SHAPES[(i + held_out) % len(SHAPES)]) for i, colour in enumerate(COLOURS))


class Scene(NamedTuple):
    """Two shapes, each (colour, shape), how the first stands to the second, and their centres (x, y)."""

    first: tuple[str, str]
    second: tuple[str, str]
    relation: str
    places: tuple[tuple[int, int], tuple[int, int]]

    @property
    def text(self) -> str:
        """The one sentence of the grammar that describes it."""
        return f"a {' '.join(self.first)} {self.relation} a {' '.join(self.second)}"


class Scenes(EmbeddedSource):
    """Pictures of two shapes in a relation, each with its one sentence: "a red circle left of a blue square".

    Eight of 48 pairs of a colour and a shape never occur in training and validation; every test scene has at least one
    of them. So the test is of combinations that were never seen, of parts that were. Two shapes stand beside each other
    or one above the other, and the sentence begins with the one further left or further up: a scene has one sentence.

    Args:
        sizes: the scenes of training, validation and test.
        noise: the standard deviation of noise on the colours.
        generator_seed: of the scenes, which runs of different seeds share.
        held_out: which pairs training never sees, 0 to 5. Options are chosen with other pairs than those of the test
            that is reported.

    Raises:
        InputError: an option is out of range.
    """

    picture_size = (3, _SIDE, _SIDE)

    def __init__(
        self, sizes: Sequence[int] = (6000, 300, 500), noise: float = 0.05, generator_seed: int = 0, held_out: int = 0
    ) -> None:
        if len(sizes) != 3 or not all(isinstance(size, int) and size > 0 for size in sizes):
            raise InputError(f"data.sizes={list(sizes)} must be three numbers of scenes, 1 or more")
        if not noise >= 0:
            raise InputError(f"data.noise={noise} must be 0 or more")
        self.sizes = dict(zip(SPLITS, sizes, strict=True))
        if check_whole_number("data.held_out", held_out, 0) >= len(SHAPES):
            raise InputError(f"data.held_out={held_out} must be a whole number from 0 to {len(SHAPES) - 1}")
        self.noise, self.generator_seed = noise, generator_seed
        self.held_out = pairs_of_test(held_out)

    def __str__(self) -> str:
        return "the scenes"

    def read(self, split: str) -> list[Described]:
        """The pictures of a split with their sentences."""
        noise = np.random.default_rng([self.generator_seed, SPLITS.index(split)])
        rows = []
        for number, scene in enumerate(self.scenes(split), start=1):
            picture = draw(scene) + self.noise * noise.standard_normal(self.picture_size)
            rows.append(Described(picture.clip(0, 1).astype(np.float32), (scene.text,), f"{split} scene {number}"))
        return rows

    def scenes(self, split: str) -> list[Scene]:
        """The scenes of a split."""
        draws = random.Random(f"{self.generator_seed} {split}")
        pairs = list(itertools.product(COLOURS, SHAPES))
        known = pairs if split == "test" else [pair for pair in pairs if pair not in self.held_out]
        made: list[Scene] = []
        while len(made) < self.sizes[split]:
            first, second = draws.choice(known), draws.choice(known)
            if first == second or (split == "test" and not {first, second} & self.held_out):
                continue
            made.append(_placed(first, second, draws))
        return made


def _placed(first: tuple[str, str], second: tuple[str, str], draws: random.Random) -> Scene:
    low, high = _RADIUS + 1, _SIDE - _RADIUS - 2
    relation = draws.choice(RELATIONS)
    along = sorted(draws.sample(range(low, high + 1), 2))
    while along[1] - along[0] < 2 * _RADIUS + 2:
        along = sorted(draws.sample(range(low, high + 1), 2))
    across = draws.randint(low, high)
    other = min(max(across + draws.randint(-2, 2), low), high)
    if relation == "left of":
        places = ((along[0], across), (along[1], other))
    else:
        places = ((across, along[0]), (other, along[1]))
    return Scene(first, second, relation, places)


def draw(scene: Scene) -> NDArray[np.float64]:
    """The picture of a scene, ``(3, 32, 32)`` from 0 to 1, on grey."""
    picture = np.full((3, _SIDE, _SIDE), 0.4)
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    for (colour, shape), (x, y) in zip((scene.first, scene.second), scene.places, strict=True):
        across, down = columns - x, rows - y
        inside = {
            "circle": across**2 + down**2 <= _RADIUS**2,
            "square": np.maximum(abs(across), abs(down)) <= _RADIUS - 1,
            "triangle": (down <= _RADIUS - 1) & (down >= -_RADIUS) & (2 * abs(across) <= down + _RADIUS),
            "diamond": abs(across) + abs(down) <= _RADIUS,
            "ring": (across**2 + down**2 <= _RADIUS**2) & (across**2 + down**2 >= (_RADIUS - 2) ** 2),
            "cross": (np.minimum(abs(across), abs(down)) <= 1) & (np.maximum(abs(across), abs(down)) <= _RADIUS),
        }[shape]
        picture[:, inside] = np.array(COLOURS[colour])[:, None]
    return picture
