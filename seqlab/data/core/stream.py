"""Token arrays for truncated BPTT: B contiguous streams, cut into windows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.data.core.batch import IGNORE_INDEX, Batch
from seqlab.data.core.loading import check_geometry
from seqlab.data.core.summary import agree, counted
from seqlab.errors import InputError


class Stream:
    r"""B contiguous streams over N tokens, in windows of ``tbptt_steps``: each target exactly once.

    N tokens make N - 1 targets; target j is token j + 1, predicted from token j. Stream b owns the targets

    .. math:: \lfloor b (N-1) / B \rfloor \le j < \lfloor (b+1) (N-1) / B \rfloor

    and gives them in order, ``tbptt_steps`` a window (truncation as in Williams & Peng 1990). Every row has equally
    many windows. A row that has run out holds ``IGNORE_INDEX`` alone; in the last window so may all ``rows`` of a
    device.

    With ``boundaries``, a row's window ends early where a document begins, and the next one begins there with
    ``is_first``. ``Batch.lengths`` then holds the number of valid steps. The first token of a document is still a
    target, in the last window of the document before it.

    With ``whole``, a row also begins where a document does: at the boundary that is nearest to where it would begin
    without. No document is cut, so that each is read from its own beginning, whatever B is. A row may then own nothing.

    Args:
        tokens: ``(N,)`` unsigned integers, in memory or memory-mapped.
        batch_size: B, the rows over all devices.
        tbptt_steps: T, the steps of a window.
        boundaries: the positions at which documents begin, ``(D,)``, ascending; None: rows never restart.
        rows: the rows of this device; None: all.
        whole: whether rows begin at boundaries alone.

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
        whole: bool = False,
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

        edges = _row_edges(self.num_targets, batch_size, boundaries if whole else None)
        starts = _segment_starts(self.num_targets, edges, boundaries)
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
        """Windows in an epoch, the same for every row and device."""
        return self.num_windows

    def window(self, index: int) -> Any:
        """One window of this device's rows, a :class:`Batch`.

        Args:
            index: from 0 to ``len(self) - 1``.
        """
        positions, length, is_first = self._place(index)
        block = self._tokens[positions].astype(np.int64)
        targets = np.where(self._steps[:-1] < length[:, None], block[:, 1:], IGNORE_INDEX)
        return Batch(
            inputs=torch.from_numpy(np.ascontiguousarray(block[:, :-1])),
            targets=torch.from_numpy(targets),
            is_first=torch.from_numpy(is_first),
            lengths=torch.from_numpy(length) if self.restarts else None,
            window=index,
        )

    def _place(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Where a window stands: its steps and one more, ``(B, T + 1)``; its lengths; which of its rows begin anew."""
        if not 0 <= index < self.num_windows:
            raise IndexError(f"window {index} of {self.num_windows}")
        position = self._row_first + index
        inside = position <= self._row_last
        place = np.maximum(np.minimum(position, self._row_last), 0)  # the last of row 0 is -1 if it owns nothing
        segment = np.searchsorted(self._first_window, place, side="right") - 1
        start = self._starts[segment] + (place - self._first_window[segment]) * self.tbptt_steps
        length = np.where(inside, np.minimum(self._ends[segment] - start, self.tbptt_steps), 0)
        positions = np.minimum(start[:, None] + self._steps, self.num_targets)
        return positions, length, inside & (start == self._starts[segment])


def _row_edges(num_targets: int, batch_size: int, boundaries: NDArray[Any] | None) -> NDArray[np.int64]:
    """Where each row begins, and the end, ``(B + 1,)``; at the nearest of the boundaries, if there are any."""
    edges = np.arange(batch_size + 1, dtype=np.int64) * num_targets // batch_size
    if boundaries is None:
        return edges
    places = np.append(_inside(num_targets, boundaries), num_targets)
    after = np.searchsorted(places, edges)
    before = np.maximum(after - 1, 0)
    nearest = np.where(edges - places[before] < places[after] - edges, places[before], places[after])
    nearest[0] = 0
    return nearest


def _segment_starts(num_targets: int, edges: NDArray[np.int64], boundaries: NDArray[Any] | None) -> NDArray[np.int64]:
    """The positions at which rows begin and, with ``boundaries``, documents."""
    starts = np.unique(edges[edges < num_targets])
    return starts if boundaries is None else np.union1d(starts, _inside(num_targets, boundaries))


def _inside(num_targets: int, boundaries: NDArray[Any]) -> NDArray[np.int64]:
    places = np.asarray(boundaries, dtype=np.int64)
    return places[places < num_targets]


def longest_run(num_targets: int, batch_size: int, boundaries: NDArray[Any] | None = None, whole: bool = False) -> int:
    """The most targets of a row between two restarts. A longer window would only add padding.

    Args:
        num_targets: the targets in the text.
        batch_size: the rows over all devices.
        boundaries: the positions at which documents begin; None: rows never restart.
        whole: whether rows begin at boundaries alone.

    Example:
        >>> longest_run(10, 4), longest_run(10, 1, np.array([0, 7])), longest_run(10, 4, np.array([0, 7]), whole=True)
        (3, 7, 7)
    """
    edges = _row_edges(num_targets, batch_size, boundaries if whole else None)
    starts = _segment_starts(num_targets, edges, boundaries)
    return int(np.diff(np.append(starts, num_targets)).max())


def device_rows(batch_size: int, rank: int, world_size: int) -> range:
    """The rows of the global batch that one device takes.

    Args:
        batch_size: the rows over all devices.
        rank: the device's number, from 0.
        world_size: the number of devices.

    Raises:
        InputError: ``batch_size`` does not divide over the devices.

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
    """A sized loader of a stream's windows, whose cursor within an epoch Lightning saves and restores.

    The cursor is the number of windows handed out in this epoch. It is the same on all devices, so a checkpoint holds
    no rank. It returns to 0 when an iteration begins, not when one ends: Lightning never exhausts the iterator of a
    sized loader. A cursor that is loaded at the end of an epoch returns to 0 at once, or the next epoch would be empty.

    All iterators of a loader share its cursor: use one at a time.

    Args:
        stream: gives the windows.
        epoch_windows: windows after which the trainer ends an epoch (``limit_train_batches``); None: all of them.

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

    def __iter__(self) -> Iterator[Any]:
        if not self._loaded:
            self._cursor = 0
        return self._windows()

    def _windows(self) -> Iterator[Any]:
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
        """The cursor, and the sizes that it counts in."""
        return {"cursor": self._cursor, **self._geometry()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continues from a saved cursor.

        Raises:
            InputError: the cursor was saved over other data, or in other batches, and means nothing here.
        """
        check_geometry(state, self._geometry())
        self._cursor = state["cursor"] if state["cursor"] < self.epoch_windows else 0
        self._loaded = True
