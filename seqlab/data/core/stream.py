"""Truncated BPTT's view of a token array: B contiguous streams, cut into windows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.data.core.batch import IGNORE_INDEX, Batch
from seqlab.data.core.summary import agree, counted
from seqlab.errors import InputError


class Stream:
    r"""B contiguous streams over N tokens, in windows of ``tbptt_steps``: each target exactly once.

    N tokens make N - 1 targets; target j is token j + 1, predicted from token j. Stream b owns the targets

    .. math:: \lfloor b (N-1) / B \rfloor \le j < \lfloor (b+1) (N-1) / B \rfloor

    and gives them in order, ``tbptt_steps`` a window (truncation as in Williams & Peng 1990).
    Every row has equally many windows: one that has run out carries ``IGNORE_INDEX`` alone, so a row, or with ``rows``
    a whole device's share of a last window, may hold no target at all.

    With ``boundaries`` a row's window ends early where a document begins, and its next window begins there with
    ``is_first``; ``Batch.lengths`` then tells the valid steps. The first token of a document is still a target: of the
    last window of the document before.

    Args:
        tokens: ``(N,)`` unsigned integers, in memory or memory-mapped.
        batch_size: B, rows over all devices.
        tbptt_steps: T, the length of a window.
        boundaries: positions of the tokens that begin a document, ascending; None: rows never restart.
        rows: the rows that this device takes; None: all.

    Raises:
        InputError: ``batch_size`` or ``tbptt_steps`` is below 1, or there are fewer targets than rows.

    Example:
        >>> stream = Stream(np.arange(8), batch_size=2, tbptt_steps=2)
        >>> [stream.window(k).inputs.tolist() for k in range(len(stream))]
        [[[0, 1], [3, 4]], [[2, 3], [5, 6]]]
        >>> stream.window(1).targets.tolist()
        [[3, -100], [6, 7]]
    """

    def __init__(
        self,
        tokens: NDArray[Any],
        batch_size: int,
        tbptt_steps: int,
        boundaries: NDArray[Any] | None = None,
        rows: range | None = None,
    ) -> None:
        if batch_size < 1 or tbptt_steps < 1:
            raise InputError(f"batch_size and tbptt_steps must be 1 or more, not {batch_size} and {tbptt_steps}")
        self.num_targets = max(len(tokens) - 1, 0)
        if self.num_targets < batch_size:
            raise InputError(
                f"{counted(len(tokens), 'tokens')} {agree(len(tokens), 'makes', 'make')} "
                f"{counted(self.num_targets, 'targets')}, fewer than batch_size={batch_size} rows: "
                "give more text or a smaller batch_size"
            )
        self.batch_size = batch_size
        self.tbptt_steps = tbptt_steps
        self.rows = range(batch_size) if rows is None else rows
        self.restarts = boundaries is not None
        self._tokens = np.asarray(tokens)  # a plain view: indexing a memmap costs several times as much

        edges = np.arange(batch_size + 1, dtype=np.int64) * self.num_targets // batch_size
        starts = _segment_starts(self.num_targets, batch_size, boundaries)
        # A segment runs from one restart to the next; row b's segments follow each other from `_row_segment[b]` on.
        self._starts = starts
        self._ends = np.append(starts[1:], self.num_targets)
        windows = -(-(self._ends - self._starts) // tbptt_steps)
        self._first_window = np.concatenate([[0], np.cumsum(windows)])  # counted through all segments of all rows
        row_first = self._first_window[np.searchsorted(starts, edges)]
        self.num_windows = int(np.diff(row_first).max())
        share = slice(self.rows.start, self.rows.stop)
        self._row_first, self._row_last = row_first[:-1][share], row_first[1:][share] - 1
        self._steps = np.arange(tbptt_steps + 1, dtype=np.int64)

    def __len__(self) -> int:
        """Windows in an epoch, the same for every row and every device."""
        return self.num_windows

    def window(self, index: int) -> Batch:
        """The window at ``index`` (0 to ``len(self) - 1``) of this device's rows."""
        if not 0 <= index < self.num_windows:
            raise IndexError(f"window {index} of {self.num_windows}")
        position = self._row_first + index
        inside = position <= self._row_last
        place = np.minimum(position, self._row_last)
        segment = np.searchsorted(self._first_window, place, side="right") - 1
        start = self._starts[segment] + (place - self._first_window[segment]) * self.tbptt_steps
        length = np.where(inside, np.minimum(self._ends[segment] - start, self.tbptt_steps), 0)

        positions = np.minimum(start[:, None] + self._steps, self.num_targets)  # (B, T+1)
        block = self._tokens[positions].astype(np.int64)
        targets = np.where(self._steps[:-1] < length[:, None], block[:, 1:], IGNORE_INDEX)
        return Batch(
            inputs=torch.from_numpy(np.ascontiguousarray(block[:, :-1])),
            targets=torch.from_numpy(targets),
            is_first=torch.from_numpy(inside & (start == self._starts[segment])),
            lengths=torch.from_numpy(length) if self.restarts else None,
            window=index,
        )


def _segment_starts(num_targets: int, batch_size: int, boundaries: NDArray[Any] | None) -> NDArray[np.int64]:
    """Where rows begin, and with ``boundaries`` where documents do."""
    starts = np.arange(batch_size, dtype=np.int64) * num_targets // batch_size
    if boundaries is None:
        return starts
    inside = np.asarray(boundaries, dtype=np.int64)
    return np.union1d(starts, inside[inside < num_targets])


def longest_run(num_targets: int, batch_size: int, boundaries: NDArray[Any] | None = None) -> int:
    """The most targets that follow each other in a row without a restart: longer windows would be padding.

    Args:
        num_targets: in the text.
        batch_size: rows over all devices.
        boundaries: positions of the tokens that begin a document, where rows restart there.

    Example:
        >>> longest_run(10, 4), longest_run(10, 1, np.array([0, 7]))
        (3, 7)
    """
    starts = _segment_starts(num_targets, batch_size, boundaries)
    return int(np.diff(np.append(starts, num_targets)).max())


def device_rows(batch_size: int, rank: int, world_size: int) -> range:
    """The rows of the global batch that device ``rank`` of ``world_size`` takes.

    Args:
        batch_size: rows over all devices.
        rank: of the device, from 0.
        world_size: how many devices there are.

    Raises:
        InputError: the rows do not divide evenly.

    Example:
        >>> device_rows(6, rank=1, world_size=2)
        range(3, 6)
    """
    if batch_size % world_size:
        raise InputError(
            f"batch_size={batch_size} rows do not divide over {world_size} devices: give a multiple of {world_size}"
        )
    share = batch_size // world_size
    return range(rank * share, (rank + 1) * share)


class StreamLoader:
    """A sized loader of a stream's windows, with a cursor that Lightning saves and restores in the middle of an epoch.

    The cursor counts windows handed out in this epoch, over all devices alike, so a checkpoint knows no rank. It goes
    back to 0 when an iteration begins, not when one ends: Lightning never exhausts the iterator of a sized loader. A
    cursor that is loaded at an epoch's end goes back at once, or the epoch after a resume would be empty.

    Iterate over it once at a time: all its iterators share the cursor.

    Args:
        stream: where the windows come from.
        epoch_windows: windows after which the trainer ends an epoch, where it takes fewer than ``len(stream)``
            (``limit_train_batches``); a cursor loaded there stands at the epoch's end.

    Example:
        >>> loader = StreamLoader(Stream(np.arange(7), batch_size=1, tbptt_steps=2))
        >>> iterator = iter(loader)
        >>> next(iterator).window, loader.state_dict()["cursor"]
        (0, 1)
        >>> resumed = StreamLoader(loader.stream)
        >>> resumed.load_state_dict(loader.state_dict())
        >>> [batch.window for batch in resumed], [batch.window for batch in resumed]
        ([1, 2], [0, 1, 2])
    """

    def __init__(self, stream: Stream, epoch_windows: int | None = None) -> None:
        self.stream = stream
        self.epoch_windows = len(stream) if epoch_windows is None else min(epoch_windows, len(stream))
        self._cursor = 0
        self._loaded = False

    def __len__(self) -> int:
        return len(self.stream)

    def __iter__(self) -> Iterator[Batch]:
        if not self._loaded:
            self._cursor = 0
        return self._windows()

    def _windows(self) -> Iterator[Batch]:
        while self._cursor < len(self.stream):
            batch = self.stream.window(self._cursor)
            self._cursor += 1
            self._loaded = False
            yield batch

    def _geometry(self) -> dict[str, int]:
        stream = self.stream
        return {
            "batch_size": stream.batch_size,
            "tbptt_steps": stream.tbptt_steps,
            "num_targets": stream.num_targets,
            "num_windows": stream.num_windows,
        }

    def state_dict(self) -> dict[str, int]:
        """The cursor, and the geometry that it is a position in."""
        return {"cursor": self._cursor, **self._geometry()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from a saved cursor.

        Raises:
            InputError: the state was saved over other data or another batch geometry, where its cursor means nothing.
        """
        geometry = self._geometry()
        changed = [f"{key} {state[key]} -> {value}" for key, value in geometry.items() if state[key] != value]
        if changed:
            raise InputError(
                f"the checkpoint stands in the middle of other data ({', '.join(changed)}): "
                "resume with the data settings that it was trained with"
            )
        self._cursor = state["cursor"] if state["cursor"] < self.epoch_windows else 0
        self._loaded = True
