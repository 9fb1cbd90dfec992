"""Which rows run at which step, and which threads run them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

_CACHE_BYTES = 3 << 19  # of a core's own cache; larger weights are divided among threads
_FEW_ROWS = 4  # with fewer rows, a thread's product is bound by reading the weights, not by arithmetic


@dataclass(frozen=True)
class Schedule:
    """The blocks of rows that each group of threads runs at each step.

    Attributes:
        steps: T.
        rows: B.
        groups: the number of groups of rows; each runs through the whole sequence by itself.
        columns: the number of threads that share a group.
        first: the first row of each block ``(steps, groups)``.
        count: the number of rows of each block ``(steps, groups)``.
        base: where the initial rows of each group begin, ``(groups,)``.
        stride: the distance between rows of a block: T where a sequence is contiguous, 1 where a step's rows are.
        pointers: the addresses of ``first``, ``count`` and ``base``.
    """

    steps: int
    rows: int
    groups: int
    columns: int
    first: Tensor
    count: Tensor
    base: Tensor
    stride: int
    pointers: tuple[int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        addresses = tuple(part.data_ptr() for part in (self.first, self.count, self.base))
        object.__setattr__(self, "pointers", addresses)

    @property
    def threads(self) -> int:
        return self.groups * self.columns


def grid(rows: int, hidden_size: int, weight_bytes: int, threads: int) -> tuple[int, int]:
    """How threads divide the work, as (groups of rows, threads that share a group).

    Groups of rows never wait for each other, so one thread a group is preferred. But each group reads all weights at
    every step. If the weights outgrow a core's cache, or a thread would have few rows, threads share a group and divide
    its units.

    Args:
        rows: B.
        hidden_size: H.
        weight_bytes: the size of the recurrent weights; 0 without a recurrent product.
        threads: the number of threads that may run.
    """
    columns = 1
    most_columns = max(1, hidden_size // 32)
    while (
        2 * columns <= min(threads, most_columns)
        and threads % (2 * columns) == 0
        and (weight_bytes // columns > _CACHE_BYTES or rows * columns < (_FEW_ROWS if weight_bytes else 1) * threads)
    ):
        columns *= 2
    return max(1, min(threads // columns, rows)), columns


@lru_cache(maxsize=64)
def dense(steps: int, rows: int, groups: int, columns: int) -> Schedule:
    """The schedule of rows of one length: row b of step t is row ``b * steps + t`` of gi, as in ``(B, T, ...)``."""
    bounds = torch.tensor([rows * group // groups for group in range(groups + 1)])
    base = bounds[:-1].contiguous()
    first = torch.arange(steps).unsqueeze(1) + base * steps
    count = (bounds[1:] - bounds[:-1]).repeat(steps, 1)
    return Schedule(steps, rows, groups, columns, first, count, base, steps)


@dataclass(frozen=True)
class Packing:
    """Rows of unequal lengths, packed without padding: a schedule, and maps from the N packed rows.

    Scheduled row s is a row of the batch, in the schedule's order. A packed row is one step t of one scheduled row.

    Attributes:
        schedule: the blocks of packed rows.
        order: the row b of the batch of each scheduled row, ``(B,)``.
        position: the place ``t * B + b`` of each packed row, ``(N,)``.
        slot: the place ``t * B + s`` of each packed row, ``(N,)``.
        previous: the row of the state before each packed row, among (B initial rows, N packed rows); ``(N,)``.
        last: the row of the final state of each scheduled row, among the same; ``(B,)``.
    """

    schedule: Schedule
    order: Tensor
    position: Tensor
    slot: Tensor
    previous: Tensor
    last: Tensor


def pack(lengths: Sequence[int], steps: int, groups: int, columns: int) -> Packing:
    """Sort the rows by length and deal them to the groups in turn: groups are balanced, and only ever lose rows."""
    counts, rows = torch.tensor(lengths), len(lengths)
    by_length = torch.argsort(counts, descending=True, stable=True)
    order = torch.cat([by_length[group::groups] for group in range(groups)])
    sizes = torch.tensor([len(range(group, rows, groups)) for group in range(groups)])
    base = sizes.cumsum(0) - sizes
    longest = int(counts.max())
    active = torch.arange(longest).unsqueeze(1) < counts[order]  # (steps, scheduled rows)
    owner = torch.repeat_interleave(torch.arange(groups), sizes)
    count = torch.zeros(longest, groups, dtype=torch.long).index_add_(1, owner, active.long())
    first = (count.flatten().cumsum(0) - count.flatten()).view(longest, groups)
    t, scheduled = active.nonzero(as_tuple=True)  # step by step, group by group: the packed order
    state_row = torch.full((longest + 1, rows), -1)  # of (steps run, scheduled row)
    state_row[1:][active] = torch.arange(len(t)) + rows
    state_row[0] = torch.arange(rows)
    previous = state_row[t, scheduled]
    last = state_row[counts[order], torch.arange(rows)]
    position = t * rows + order[scheduled]
    schedule = Schedule(longest, rows, groups, columns, first, count, base, 1)
    return Packing(schedule, order, position, t * rows + scheduled, previous, last)


def reset_flags(mask: Tensor, schedule: Schedule) -> Tensor:
    """Which scheduled rows begin anew before which step, as the kernel reads it: ``(steps, B)``.

    Args:
        mask: the same as ``(B, T)``; false at padding.
        schedule: the blocks of rows.
    """
    flags = torch.empty(schedule.steps, mask.size(0), dtype=torch.bool, device="cpu")
    return torch.ne(mask[:, : schedule.steps].t(), 0, out=flags)  # whatever byte is true in mask, here it is 1


def reset_places(flags: Tensor, schedule: Schedule) -> tuple[Tensor, Tensor]:
    """Where the R resets stand among the rows of gi and among the scheduled rows, ``(R,)`` each.

    Args:
        flags: of :func:`reset_flags`.
        schedule: the blocks of rows.
    """
    t, scheduled = flags.nonzero(as_tuple=True)
    group = torch.searchsorted(schedule.base, scheduled, right=True) - 1
    return schedule.first[t, group] + (scheduled - schedule.base[group]) * schedule.stride, scheduled
