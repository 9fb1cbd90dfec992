"""Examples of different lengths in padded batches: what all tasks share but language modelling."""

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
from seqlab.data.core.loading import batches_trained, check_geometry, device_of
from seqlab.data.core.options import check_limit, check_whole_number
from seqlab.data.core.summary import SplitSummary
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError

B = TypeVar("B")

_DIGESTED = 64  # examples in a batch that is made for the fingerprint


class ExampleLoader(Generic[B]):
    """A sized loader of batches of examples, whose position within an epoch Lightning saves and restores.

    Each example comes exactly once an epoch. With a ``seed`` each epoch has an order of its own, drawn from (seed,
    epoch); without one the order is the data's. With ``bucket_batches`` k > 1 the order is cut into pools of k batches,
    and each pool is sorted by length before it is cut into batches, so that there is little padding. With a seed the
    batches are then shuffled.

    The position is the epoch and the number of batches handed out in it. It is the same on all devices, so a checkpoint
    holds no rank. An epoch begins when its first batch is asked for, not when an iterator is made or ends: Lightning
    makes iterators that it never uses, and never exhausts the iterator of a sized loader. A position that is loaded at
    the end of an epoch is the beginning of the next one.

    If the last batch would have fewer examples than there are devices, its examples join the batch before it. So every
    device has equally many batches, and none is empty. All iterators of a loader share its position: use one at a time.

    Args:
        lengths: the length of each example, ``(N,)``.
        collate: makes a batch of the examples with these numbers.
        batch_size: examples in a batch, over all devices.
        seed: of the order; None: the data's order.
        bucket_batches: batches in a pool of similar lengths; 1: no pools.
        device: the rank of this device and the number of devices.
        epoch_batches: batches after which the trainer ends an epoch (``limit_train_batches``); None: all of them.

    Attributes:
        fresh: whether each epoch has examples of its own, for data that are drawn: those of epoch e are numbered from
            e N on, for N examples in an epoch. False unless it is set.

    Raises:
        InputError: ``batch_size`` does not divide over the devices, or there are fewer examples than devices.

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
        self.fresh = False
        self._rank, self._world_size = device
        if batch_size % self._world_size:
            raise InputError(
                f"batch_size={batch_size} examples do not divide over {self._world_size} devices: "
                f"give a multiple of {self._world_size}"
            )
        if len(self.lengths) < self._world_size:
            raise InputError(f"{few(len(self.lengths), 'examples')} for {self._world_size} devices")
        self.num_batches = _num_batches(len(self.lengths), batch_size, self._world_size)
        self.epoch_batches = self.num_batches if epoch_batches is None else min(epoch_batches, self.num_batches)
        self._epoch = 0
        self._cursor = 0
        self._begun = False  # whether this loader has handed out a batch of this epoch

    def __len__(self) -> int:
        """Batches in an epoch, the same on every device."""
        return self.num_batches

    def batches(self, epoch: int) -> list[NDArray[np.int64]]:
        """The numbers of the examples in each batch of an epoch, for all devices together."""
        random = None if self.seed is None else np.random.default_rng([self.seed, epoch])
        order = np.arange(len(self.lengths)) if random is None else random.permutation(len(self.lengths))
        if self.bucket_batches > 1:
            pool_size = self.batch_size * self.bucket_batches
            pools = np.split(order, np.arange(pool_size, len(order), pool_size))
            order = np.concatenate([pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools])
        batches = np.split(order, np.arange(1, self.num_batches) * self.batch_size)
        if random is not None and self.bucket_batches > 1:
            batches = [batches[index] for index in random.permutation(len(batches))]
        return [numbers + epoch * len(self.lengths) for numbers in batches] if self.fresh else batches

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
        """The position, and the sizes that it counts in."""
        return {"epoch": self._epoch, "cursor": self._cursor, **self._geometry()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a saved position.

        Raises:
            InputError: the position was saved over other data, or in another order, and means nothing here.
        """
        check_geometry(state, self._geometry())
        at_end = state["cursor"] >= self.epoch_batches
        self._epoch, self._cursor = (state["epoch"] + 1, 0) if at_end else (state["epoch"], state["cursor"])
        self._begun = False


def _num_batches(num_examples: int, batch_size: int, world_size: int) -> int:
    whole, rest = divmod(num_examples, batch_size)
    return max(1, whole + (rest >= world_size))


@dataclass(frozen=True)
class Batching:
    """How examples are put into batches.

    Args:
        batch_size: examples in a training batch, over all devices.
        eval_batch_size: examples in a batch of validation and test; None: ``batch_size``.
        bucket_batches: batches in a pool of similar lengths, see :class:`ExampleLoader`; 1: no pools.
        seed: of the order of the training examples.

    Raises:
        InputError: a number is out of range.
    """

    batch_size: int = 32
    eval_batch_size: int | None = None
    bucket_batches: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("bucket_batches", 1), ("seed", 0)):
            check_whole_number(f"data.{name}", getattr(self, name), least)
        check_limit("data.eval_batch_size", self.eval_batch_size)


class ExampleData(LightningDataModule, ABC):
    """A data module of three splits of examples in padded batches. A subclass reads the examples and makes the batches.

    With a trainer attached, each device gets its share of every batch.

    Args:
        batching: how examples are put into batches.

    Attributes:
        trained: the spec of the trained model that these data are for, from which they take what training decided, such
            as the means that stand for missing values; None where they are for training. It is set before anything is
            read.
    """

    trained: Any = None

    def __init__(self, batching: Batching = Batching()) -> None:
        super().__init__()
        self.batch_size = batching.batch_size
        self.eval_batch_size = batching.batch_size if batching.eval_batch_size is None else batching.eval_batch_size
        self.bucket_batches = batching.bucket_batches
        self.seed = batching.seed

    @property
    @abstractmethod
    def spec(self) -> Spec:
        """What a model and a task need to know of the data, which is read on first use."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary; the main one where there are several. Data of numbers has none."""
        raise InputError(f"{type(self).__name__} has no vocabulary")

    @property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """All vocabularies by their names, in the order of ``spec.vocabularies``; here ``vocabulary`` as "tokens".

        Data of numbers has none, and ``spec.vocabularies`` is empty.
        """
        return {"tokens": self.vocabulary} if self.spec.vocabularies else {}

    @abstractmethod
    def lengths(self, split: str) -> NDArray[np.int64]:
        """The length of each example of a split, ``(N,)``.

        Args:
            split: "train", "validation" or "test".
        """

    @abstractmethod
    def collate(self, split: str, numbers: list[int]) -> Any:
        """Makes a batch.

        Args:
            split: "train", "validation" or "test".
            numbers: of the examples, from 0, in the order of the batch.
        """

    def summaries(self) -> list[SplitSummary]:
        """What each split holds and what was left out of it; here the number of examples."""
        return [SplitSummary(split, {"examples": len(self.lengths(split))}) for split in SPLITS]

    def fingerprint(self) -> str:
        """A digest of all examples, content and labels, as training and evaluation read them, in the data's order.

        It is made of batches, whatever they hold. A digest of a few arrays is faster where a subclass has them.
        """
        digest = Digest()
        for split in SPLITS:
            total = len(self.lengths(split))
            digest.add(split, total)
            for start in range(0, total, _DIGESTED):
                digest.add(self.collate(split, list(range(start, min(start + _DIGESTED, total)))))
        return digest.hexdigest()

    def input_files(self) -> list[str] | None:
        """The files that are read; None, the default, where this is not known."""
        return None

    def prepare_data(self) -> None:
        """Reads the data, so that what is wrong in it is reported before anything else happens."""
        self.spec  # noqa: B018

    def check_training(self) -> None:
        """Refuses training examples that cannot be learned; here none.

        Raises:
            InputError: in a subclass: there is such an example.
        """

    def setup(self, stage: str | None = None) -> None:
        """Reads the data; before a training (``stage="fit"``), also checks that it can be learned."""
        self.spec  # noqa: B018
        if stage == "fit":
            self.check_training()

    def loader(self, split: str, batch_size: int, seed: int | None) -> ExampleLoader[Any]:
        """A loader of a split.

        Args:
            split: "train", "validation" or "test".
            batch_size: examples in a batch, over all devices.
            seed: of the order; None: the data's order.
        """
        lengths, device = self.lengths(split), device_of(self.trainer)
        num_batches = _num_batches(len(lengths), batch_size, device[1])
        return ExampleLoader(
            lengths,
            lambda numbers: self.collate(split, numbers),
            batch_size,
            seed,
            self.bucket_batches,
            device,
            num_batches if seed is None else batches_trained(self.trainer, num_batches),
        )

    def train_dataloader(self) -> ExampleLoader[Any]:
        """The training batches, shuffled.

        Raises:
            InputError: a training example cannot be learned.
        """
        self.check_training()
        return self.loader("train", self.batch_size, self.seed)

    def val_dataloader(self) -> ExampleLoader[Any]:
        """The validation batches."""
        return self.loader("validation", self.eval_batch_size, None)

    def test_dataloader(self) -> ExampleLoader[Any]:
        """The test batches."""
        return self.loader("test", self.eval_batch_size, None)
