"""Data modules of streams: what is read in order, in windows for truncated backpropagation."""

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from lightning import LightningDataModule
from numpy.typing import NDArray

from seqlab.data.core.loading import batches_trained, device_of
from seqlab.data.core.options import check_limit, check_whole_number
from seqlab.data.core.stream import Stream, StreamLoader, device_rows, longest_run
from seqlab.data.core.summary import counted
from seqlab.errors import InputError

log = logging.getLogger("seqlab")


@dataclass(frozen=True)
class Windows:
    """How a text is cut into rows and windows for truncated BPTT.

    Args:
        batch_size: the rows of training, over all devices.
        eval_batch_size: the rows of validation and test; None: ``batch_size``. A split with fewer targets has fewer.
        tbptt_steps: the steps of a window, over which gradients flow back; at most those of the longest row.
        eval_steps: the steps of a window in validation and test; None: ``tbptt_steps``.
        restart_documents: whether rows restart where a document begins. In validation and test each document is then
            read whole, by one row, so that what is measured does not depend on the number of rows.

    Raises:
        InputError: a number is not a whole number of at least 1.
    """

    batch_size: int = 32
    eval_batch_size: int | None = None
    tbptt_steps: int = 64
    eval_steps: int | None = None
    restart_documents: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "tbptt_steps"):
            check_whole_number(f"data.{name}", getattr(self, name), 1)
        for name in ("eval_batch_size", "eval_steps"):
            check_limit(f"data.{name}", getattr(self, name))


class StreamData(LightningDataModule, ABC):
    """Three streams, each cut into rows and windows. With a trainer attached, each device gets its share of the rows.

    A subclass says what the streams are.

    Args:
        windows: how they are cut.

    Attributes:
        source: where they come from, for messages.
        stream: the class of the streams.
    """

    stream: ClassVar[type[Stream]] = Stream
    source: Any

    def __init__(self, windows: Windows) -> None:
        super().__init__()
        self.batch_size, self.tbptt_steps = windows.batch_size, windows.tbptt_steps
        self.eval_batch_size = windows.batch_size if windows.eval_batch_size is None else windows.eval_batch_size
        self.eval_steps = windows.tbptt_steps if windows.eval_steps is None else windows.eval_steps
        self.restart_documents = windows.restart_documents
        self._clamped: set[tuple[str, str]] = set()  # what of which split a log line has reported as smaller

    @abstractmethod
    def steps(self, split: str) -> NDArray[Any]:
        """All steps of a split, ``(N, ...)``: tokens or frames."""

    @abstractmethod
    def documents(self, split: str) -> NDArray[Any]:
        """The positions at which its documents begin, ``(D,)``, ascending."""

    def _stream(self, split: str, batch_size: int, steps: int, option: str) -> Stream:
        rows = device_rows(batch_size, *device_of(self.trainer))
        boundaries = self.documents(split) if self.restart_documents else None
        whole = boundaries is not None and split != "train"
        values = self.steps(split)
        longest = longest_run(len(values) - 1, batch_size, boundaries, whole)
        if steps > longest:
            if (split, "steps") not in self._clamped:
                self._clamped.add((split, "steps"))
                log.warning(
                    "%s: data.%s %d instead of %d, the longest row's targets: more would be padding",
                    *(split, option, longest, steps),
                )
            steps = longest
        return self.stream(values, batch_size, steps, boundaries, rows, whole)

    def train_dataloader(self) -> StreamLoader:
        """The training windows.

        Raises:
            InputError: the split has fewer targets than ``batch_size``, which also has to divide over the devices.
        """
        num_targets = len(self.steps("train")) - 1
        if num_targets < self.batch_size:
            raise InputError(
                f"the train split of {self.source} has {num_targets} targets, fewer than "
                f"data.batch_size={self.batch_size} rows: give more data or data.batch_size={num_targets} or less"
            )
        stream = self._stream("train", self.batch_size, self.tbptt_steps, "tbptt_steps")
        return StreamLoader(stream, batches_trained(self.trainer, len(stream)))

    def val_dataloader(self) -> StreamLoader:
        """The validation windows."""
        return self._evaluation_loader("validation")

    def test_dataloader(self) -> StreamLoader:
        """The test windows."""
        return self._evaluation_loader("test")

    def _evaluation_loader(self, split: str) -> StreamLoader:
        world_size = device_of(self.trainer)[1]
        fill = (len(self.steps(split)) - 1) // world_size * world_size
        if fill == 0:
            raise InputError(f"the {split} split of {self.source} is too short to be shared by {world_size} devices")
        size, held = min(fill, self.eval_batch_size), "all the split can fill"
        if self.restart_documents:  # an equal number of rows for each device
            number = len(self.documents(split))
            most = -(-number // world_size) * world_size
            if most < size:
                size, held = most, f"for {counted(number, 'documents')}, each read whole"
        if size < self.eval_batch_size and (split, "rows") not in self._clamped:
            self._clamped.add((split, "rows"))
            log.warning("%s: batch size %d instead of %d, %s", split, size, self.eval_batch_size, held)
        return StreamLoader(self._stream(split, size, self.eval_steps, "eval_steps"))
