"""Examples that a generator draws: how many, how long, from which seed, and new ones for each epoch."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.examples import Batching, ExampleData, ExampleLoader
from seqlab.data.core.fingerprint import Digest
from seqlab.data.core.options import check_whole_number
from seqlab.errors import InputError

Drawn: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
"""What is read, ``(N, T, ...)``, and what is asked, ``(N, ...)``."""


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How many examples are drawn, how long they are, and from which seed.

    Training draws new examples for each epoch, as the literature on generated sequences does unless it says otherwise;
    they follow the seed of the run. With ``fresh=False`` all epochs, and runs of all seeds, share one training set.
    Validation and test are always the same, and come from seeds of their own.

    Args:
        length: the steps of an example of training and validation.
        test_length: the steps of an example of the test, or several such numbers; None: ``length``. Of each number the
            test has as many examples as ``sizes`` says.
        sizes: the examples of train (in an epoch), validation and test.
        generator_seed: of all that is drawn.
        fresh: whether each epoch of training has new examples.

    Raises:
        InputError: an option is out of range.

    Example:
        >>> draws = Draws(length=8, test_length=[8, 16], sizes=(100, 10, 10))
        >>> draws.lengths("train"), draws.lengths("test")
        ((8,), (8, 16))
    """

    length: int = 64
    test_length: int | Sequence[int] | None = None
    sizes: Sequence[int] = (6400, 512, 512)
    generator_seed: int = 0
    fresh: bool = True

    def __post_init__(self) -> None:
        check_whole_number("data.length", self.length, 1)
        for steps in self.lengths("test"):
            check_whole_number("data.test_length", steps, 1)
        if not self.lengths("test") or len(set(self.lengths("test"))) < len(self.lengths("test")):
            raise InputError(f"data.test_length={self.test_length} must be a number of steps, or different ones")
        if isinstance(self.sizes, (str, int)) or len(self.sizes) != len(SPLITS):
            raise InputError(f"data.sizes={self.sizes} must be three numbers of examples, such as [6400,512,512]")
        for size in self.sizes:
            check_whole_number("data.sizes", size, 1)
        check_whole_number("data.generator_seed", self.generator_seed, 0)
        if not isinstance(self.fresh, bool):
            raise InputError(f"data.fresh={self.fresh} must be true or false")

    def lengths(self, split: str) -> tuple[int, ...]:
        """The lengths of a split's examples."""
        if split != "test" or self.test_length is None:
            return (self.length,)
        return tuple(self.test_length) if isinstance(self.test_length, Sequence) else (self.test_length,)

    def size(self, split: str) -> int:
        """The number of a split's examples of each length; of training, those of an epoch."""
        return self.sizes[SPLITS.index(split)]

    def random(self, split: str, length: int, epoch: int, seed: int) -> np.random.Generator:
        """The source of random numbers for a split's examples of a length.

        Args:
            split: "train", "validation" or "test".
            length: the steps of an example.
            epoch: of training, from 0.
            seed: of the run.
        """
        own = [seed, epoch] if split == "train" and self.fresh else []
        return np.random.default_rng([self.generator_seed, SPLITS.index(split), length, *own])


class DrawnData(ExampleData):
    """A data module of examples that a generator draws. A subclass draws them and makes the batches.

    Args:
        draws: how many examples are drawn, how long they are, and from which seed.
        batching: how they are put into batches; its seed is that of fresh training examples too.
    """

    def __init__(self, draws: Draws = Draws(), batching: Batching = Batching()) -> None:
        super().__init__(batching)
        self.draws = draws
        self._kept: dict[tuple[str, int], Drawn] = {}

    @abstractmethod
    def draw(self, random: np.random.Generator, split: str, count: int, length: int) -> Drawn:
        """Draws examples: what is read, ``(count, length, ...)``, and what is asked, ``(count, ...)``."""

    @abstractmethod
    def batch(self, inputs: list[NDArray[Any]], targets: list[NDArray[Any]]) -> Any:
        """Makes a batch of examples, each ``(T, ...)``, and what is asked of each."""

    def examples(self, split: str, part: int = 0) -> Drawn:
        """The examples of an epoch of training, or those of one length of another split.

        Args:
            split: "train", "validation" or "test".
            part: the epoch, or the place of the length, from 0.
        """
        if split == "train" and not self.draws.fresh:
            part = 0
        if (split, part) not in self._kept:
            if split == "train":  # one epoch is kept
                self._kept = {key: kept for key, kept in self._kept.items() if key[0] != "train"}
            self._kept[split, part] = self._draw(split, part, self.seed)
        return self._kept[split, part]

    def _draw(self, split: str, part: int, seed: int) -> Drawn:
        length = self.draws.lengths(split)[0 if split == "train" else part]
        epoch = part if split == "train" else 0
        random = self.draws.random(split, length, epoch, seed)
        return self.draw(random, split, self.draws.size(split), length)

    def lengths(self, split: str) -> NDArray[np.int64]:
        """The number of steps of each example of a split, ``(N,)``; of training, those of an epoch."""
        return np.repeat(np.array(self.draws.lengths(split), dtype=np.int64), self.draws.size(split))

    def collate(self, split: str, numbers: list[int]) -> Any:
        """The batch of the examples with these numbers; those of training are numbered on from epoch to epoch."""
        size, inputs, targets = self.draws.size(split), [], []
        for number in numbers:
            part, row = divmod(number, size)
            of_all, asked = self.examples(split, part)
            inputs.append(of_all[row])
            targets.append(asked[row])
        return self.batch(inputs, targets)

    def loader(self, split: str, batch_size: int, seed: int | None) -> ExampleLoader[Any]:
        """A loader of a split; see :meth:`ExampleData.loader`."""
        loader = super().loader(split, batch_size, seed)
        loader.fresh = split == "train" and self.draws.fresh
        return loader

    def fingerprint(self) -> str:
        """A digest of the evaluation's examples, and of the first that training would draw in a run of seed 0.

        Runs that differ in their seeds alone share it.
        """
        digest = Digest()
        digest.add("train", *self._draw("train", 0, seed=0))
        for split in SPLITS[1:]:
            for part in range(len(self.draws.lengths(split))):
                digest.add(split, *self.examples(split, part))
        return digest.hexdigest()

    def input_files(self) -> list[str] | None:
        """An empty list: nothing is read."""
        return []
