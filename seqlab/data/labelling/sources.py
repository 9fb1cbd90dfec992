"""Where labelled sequences come from: what a generator is, and which of all sequences a split may hold."""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.drawn import Drawn
from seqlab.data.core.reading import EmbeddedSource
from seqlab.errors import InputError

Integers = NDArray[np.int64]

_PARTS: Final = 8  # of all sequences one part is the test's, one validation's, and the others are training's
_OF_SPLIT: Final = {"test": (0, 1), "validation": (1, 2), "train": (2, _PARTS)}  # the first part, one after the last
_ROUNDS: Final = 50  # without a sequence of a split, after which there is taken to be none
_STEPS: Final = 1 << 21  # drawn at a time


class LabelGenerator(Protocol):
    """The contract of a generator of labelled sequences."""

    tokens: Sequence[str]
    """The names of the tokens, in the order of their ids; none has white space."""
    labels: Sequence[str]
    """The names of the labels, in the order of their ids."""
    least_length: int
    """The fewest steps of a sequence."""

    def __str__(self) -> str:
        """The generator's name in messages."""

    def chance(self, length: int) -> float:
        """The accuracy of the commonest label, for sequences of so many steps."""

    def draw(self, random: np.random.Generator, count: int, length: int) -> Drawn:
        """Draws sequences.

        Args:
            random: the source of random numbers.
            count: N, how many.
            length: T, the steps of each.

        Returns:
            The tokens ``(N, T)`` int64, and the labels ``(N, T)`` int64, ``IGNORE_INDEX`` where nothing is asked. The
            labels follow from the tokens.
        """


class Generated(EmbeddedSource):
    """What the generators that ship share."""

    tokens: Sequence[str]
    labels: Sequence[str]
    least_length = 1
    name: str

    def __str__(self) -> str:
        return self.name


def draw_of_split(
    source: LabelGenerator, random: np.random.Generator, split: str, count: int, length: int
) -> tuple[Integers, Integers]:
    """Draws sequences that only this split may hold.

    A hash of its tokens says which split a sequence belongs to: one of eight parts of all sequences is the test's, one
    validation's, and six are training's. So no sequence of the test is ever trained on, however few there are.

    Args:
        source: the generator.
        random: the source of random numbers.
        split: "train", "validation" or "test".
        count: how many sequences.
        length: the steps of each.

    Raises:
        InputError: there are so few sequences of that length that none is the split's.
    """
    first, end = _OF_SPLIT[split]
    share = (end - first) / _PARTS
    inputs, targets, found, idle = [], [], 0, 0
    while found < count:
        wanted = int((count - found) / share * 1.1) + 16
        tokens, labels = source.draw(random, max(1, min(wanted, _STEPS // length)), length)
        parts = part_of(tokens)
        kept = (parts >= first) & (parts < end)
        inputs.append(tokens[kept])
        targets.append(labels[kept])
        found += int(kept.sum())
        idle = 0 if kept.any() else idle + 1
        if idle == _ROUNDS:
            raise InputError(
                f"data.length={length}: {source} has so few sequences of {length} steps that none is left for the "
                f"{split} split; give longer ones"
            )
    return np.concatenate(inputs)[:count], np.concatenate(targets)[:count]


def part_of(tokens: Integers) -> Integers:
    """Which of eight parts of all sequences each sequence ``(N, T)`` belongs to, ``(N,)``; the same on every machine.

    Example:
        >>> part_of(np.array([[0, 1, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])).tolist()
        [0, 0, 5, 6]
    """
    steps = np.arange(1, tokens.shape[1] + 1, dtype=np.uint64)
    factors = _mixed(steps) | np.uint64(1)
    total = ((tokens.astype(np.uint64) + np.uint64(1)) * factors).sum(1, dtype=np.uint64)
    return (_mixed(total) >> np.uint64(40)).astype(np.int64) % _PARTS


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Well-mixed bits of each value: the finaliser of SplitMix64 (Steele et al. 2014). Products wrap."""
    z = values * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
