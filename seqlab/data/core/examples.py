"""Examples of different lengths in padded batches: what every task shares that is no stream of text."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from lightning import LightningDataModule
from numpy.typing import NDArray

from seqlab.data.core.batch import SPLITS, Spec
from seqlab.data.core.cut import few
from seqlab.data.core.fingerprint import Digest
from seqlab.data.core.options import check_whole_number
from seqlab.data.core.summary import SplitSummary
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError

B = TypeVar("B")

_DIGESTED = 64  # examples in a batch that is made for the fingerprint


class ExampleLoader(Generic[B]):
    """A sized loader of batches of examples, with a position that Lightning saves and restores within an epoch.

    Each example comes exactly once an epoch. With a ``seed`` the order is drawn anew from (seed, epoch); without one it
    is the data's. With ``bucket_batches`` k > 1 the order is cut into pools of k batches and each pool sorted by length
    before it is cut into batches, so that little is padded; with a seed the batches are then shuffled.

    The position is the epoch and the batches handed out in it, over all devices alike, so a checkpoint knows no rank.
    An epoch begins when its first batch is asked for, neither when an iterator is made nor when one ends: Lightning
    makes iterators that it never uses, and never exhausts that of a sized loader. A position that is loaded at an
    epoch's end is the next one's beginning.

    A rest of fewer examples than there are devices joins the batch before it, so that every device has as many batches
    and none is empty. Iterate over it once at a time: all its iterators share the position.

    Args:
        lengths: ``(N,)``, the length of each example.
        collate: makes a batch of the examples with these numbers.
        batch_size: examples in a batch, over all devices.
        seed: shuffles; None: the data's order.
        bucket_batches: batches in a pool of like lengths; 1: none.
        device: this device's rank and the number of devices.
        epoch_batches: batches after which the trainer ends an epoch, where it takes fewer (``limit_train_batches``).

    Raises:
        InputError: the batch does not divide over the devices, or there are too few examples for them.

    Example:
        >>> loader = ExampleLoader([1, 1, 1, 1, 1], list, batch_size=2)
        >>> iterator = iter(loader)
        >>> next(iterator), loader.state_dict()["cursor"]
        ([0, 1], 1)
        >>> resumed = ExampleLoader([1, 1, 1, 1, 1], list, batch_size=2)
        >>> resumed.load_state_dict(loader.state_dict())
        >>> list(resumed), list(resumed)
        ([[2, 3], [4]], [[0, 1], [2, 3], [4]])
    """

    def __init__(
        self,
        lengths: Sequence[int] | NDArray[Any],
        collate: Callable[[list[int]], B],
        batch_size: int,
        seed: int | None = None,
        bucket_batches: int = 1,
        device: tuple[int, int] = (0, 1),
        epoch_batches: int | None = None,
    ) -> None:
        self.lengths = np.asarray(lengths)
        self.collate = collate
        self.batch_size = batch_size
        self.seed = seed
        self.bucket_batches = bucket_batches
        self._rank, self._world_size = device
        if batch_size % self._world_size:
            raise InputError(
                f"batch_size={batch_size} examples do not divide over {self._world_size} devices: "
                f"give a multiple of {self._world_size}"
            )
        if len(self.lengths) < self._world_size:
            raise InputError(f"{few(len(self.lengths), 'examples')} for {self._world_size} devices")
        whole, rest = divmod(len(self.lengths), batch_size)
        self.num_batches = max(1, whole + (rest >= self._world_size))
        self.epoch_batches = self.num_batches if epoch_batches is None else min(epoch_batches, self.num_batches)
        self._epoch = 0
        self._cursor = 0
        self._begun = False  # whether a batch of this epoch was handed out since it was reached or loaded

    def __len__(self) -> int:
        """Batches in an epoch, the same for every device."""
        return self.num_batches

    def batches(self, epoch: int) -> list[NDArray[np.int64]]:
        """The numbers of the examples in each batch of an epoch, over all devices."""
        random = None if self.seed is None else np.random.default_rng([self.seed, epoch])
        order = np.arange(len(self.lengths)) if random is None else random.permutation(len(self.lengths))
        if self.bucket_batches > 1:
            pool_size = self.batch_size * self.bucket_batches
            pools = np.split(order, np.arange(pool_size, len(order), pool_size))
            order = np.concatenate([pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools])
        batches = np.split(order, np.arange(1, self.num_batches) * self.batch_size)
        if random is not None and self.bucket_batches > 1:
            batches = [batches[index] for index in random.permutation(len(batches))]
        return batches

    def __iter__(self) -> Iterator[B]:
        if self._begun:
            self._epoch, self._cursor, self._begun = self._epoch + 1, 0, False
        batches = self.batches(self._epoch)
        while self._cursor < len(batches):
            share = batches[self._cursor][self._rank :: self._world_size]
            self._cursor += 1
            self._begun = True
            yield self.collate(share.tolist())

    def _geometry(self) -> dict[str, int | None]:
        return {
            "num_examples": len(self.lengths),
            "batch_size": self.batch_size,
            "bucket_batches": self.bucket_batches,
            "seed": self.seed,
        }

    def state_dict(self) -> dict[str, int | None]:
        """The position, and what it is a position in."""
        return {"epoch": self._epoch, "cursor": self._cursor, **self._geometry()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved position.

        Raises:
            InputError: the state was saved over other data or in another order, where its position means nothing.
        """
        changed = [f"{key} {state[key]} -> {value}" for key, value in self._geometry().items() if state[key] != value]
        if changed:
            raise InputError(
                f"the checkpoint stands in the middle of other data ({', '.join(changed)}): "
                "resume with the data settings that it was trained with"
            )
        at_end = state["cursor"] >= self.epoch_batches
        self._epoch, self._cursor = (state["epoch"] + 1, 0) if at_end else (state["epoch"], state["cursor"])
        self._begun = False


@dataclass(frozen=True)
class Batching:
    """How examples are put into batches.

    Args:
        batch_size: examples over all devices.
        eval_batch_size: the same for validation and test; None: ``batch_size``.
        bucket_batches: batches in a pool of like lengths, see :class:`ExampleLoader`; 1: none.
        seed: of the order of the training examples.

    Raises:
        InputError: one is out of range.
    """

    batch_size: int = 32
    eval_batch_size: int | None = None
    bucket_batches: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("eval_batch_size", 1), ("bucket_batches", 1), ("seed", 0)):
            if (value := getattr(self, name)) is not None or name != "eval_batch_size":
                check_whole_number(f"data.{name}", value, least)


class ExampleData(LightningDataModule, ABC):
    """Three splits of examples in padded batches; subclasses read them and make batches.

    With a trainer attached each device gets its share of every batch.

    Args:
        batching: how they are put into batches.
    """

    def __init__(self, batching: Batching = Batching()) -> None:
        super().__init__()
        self.batch_size = batching.batch_size
        self.eval_batch_size = batching.batch_size if batching.eval_batch_size is None else batching.eval_batch_size
        self.bucket_batches = batching.bucket_batches
        self.seed = batching.seed

    @property
    @abstractmethod
    def spec(self) -> Spec:
        """What a model and a task need to know; reads the data on first use."""

    @property
    @abstractmethod
    def vocabulary(self) -> Vocabulary:
        """Maps ids to text and back; the main one, where there are several."""

    @property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """All vocabularies by the names of ``spec.vocabularies``, in that order; here the one there is."""
        return {"tokens": self.vocabulary}

    @abstractmethod
    def lengths(self, split: str) -> NDArray[np.int64]:
        """The length of each example of "train", "validation" or "test"."""

    @abstractmethod
    def collate(self, split: str, numbers: list[int]) -> Any:
        """The batch of a split's examples with these numbers."""

    def summaries(self) -> list[SplitSummary]:
        """What each split holds and what was left out of it, counted while it was read."""
        return [SplitSummary(split, {"examples": len(self.lengths(split))}) for split in SPLITS]

    def fingerprint(self) -> str:
        """A digest of all examples as training and evaluation read them, in the data's order: content and labels.

        Made of batches, whatever is in them; a module that keeps its splits in a few arrays does better by those.
        """
        digest = Digest()
        for split in SPLITS:
            total = len(self.lengths(split))
            digest.add(split, total)
            for start in range(0, total, _DIGESTED):
                digest.add(self.collate(split, list(range(start, min(start + _DIGESTED, total)))))
        return digest.hexdigest()

    def input_files(self) -> list[str] | None:
        """The files that are read; None where nobody says, which is so unless a subclass does."""
        return None

    def prepare_data(self) -> None:
        """Read the data, so that what is wrong in it is told first."""
        self.spec  # noqa: B018

    def loader(self, split: str, batch_size: int, seed: int | None) -> ExampleLoader[Any]:
        """A loader over a split.

        Args:
            split: "train", "validation" or "test".
            batch_size: examples in a batch, over all devices.
            seed: shuffles; None: the data's order.
        """
        trainer = self.trainer
        device = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
        lengths = self.lengths(split)
        limit: Any = None if trainer is None or seed is None else trainer.limit_train_batches
        if isinstance(limit, float):
            whole = ExampleLoader(lengths, list, batch_size, device=device)
            limit = int(len(whole) * limit)
        return ExampleLoader(
            lengths,
            lambda numbers: self.collate(split, numbers),
            batch_size,
            seed,
            self.bucket_batches,
            device,
            limit,
        )

    def train_dataloader(self) -> ExampleLoader[Any]:
        """The training batches, shuffled."""
        return self.loader("train", self.batch_size, self.seed)

    def val_dataloader(self) -> ExampleLoader[Any]:
        """The validation batches."""
        return self.loader("validation", self.eval_batch_size, None)

    def test_dataloader(self) -> ExampleLoader[Any]:
        """The test batches."""
        return self.loader("test", self.eval_batch_size, None)
