"""Which rows run at which step, and which threads run them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

_CACHE_BYTES = 3 << 19  # of a core's own cache, what the weights may fill before threads share them
_FEW_ROWS = 4  # below this a thread's products are bound by reading the weights, not by arithmetic


@dataclass(frozen=True)
class Schedule:
    """The blocks of rows that each group of threads runs at each step.

    ``first`` and ``count`` are ``(steps, groups)``, ``base (groups,)`` says where a group's initial rows begin;
    ``columns`` threads share each group. ``stride`` is the distance between a block's rows: T where each sequence lies
    in one piece, 1 where a step's rows do.
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
    """(groups of rows, threads that share a group), by size alone.

    Groups need no word from each other, so they come first; but each reads all weights at every step. Where these
    outgrow a core's cache, or a thread would have few rows, threads share rows and divide the units.
    """
    columns = 1
    most = max(1, hidden_size // 32)
    while (
        2 * columns <= min(threads, most)
        and threads % (2 * columns) == 0
        and (weight_bytes // columns > _CACHE_BYTES or rows * columns < (_FEW_ROWS if weight_bytes else 1) * threads)
    ):
        columns *= 2
    return max(1, min(threads // columns, rows)), columns


@lru_cache(maxsize=64)
def dense(steps: int, rows: int, groups: int, columns: int) -> Schedule:
    """All rows run all steps: row b of step t is row ``b * steps + t``, as sequences come."""
    bounds = torch.tensor([rows * group // groups for group in range(groups + 1)])
    base = bounds[:-1].contiguous()
    first = torch.arange(steps).unsqueeze(1) + base * steps
    count = (bounds[1:] - bounds[:-1]).repeat(steps, 1)
    return Schedule(steps, rows, groups, columns, first, count, base, steps)


@dataclass(frozen=True)
class Packing:
    """Rows of unequal lengths, packed: a schedule, and the maps between packed rows and ``(T, B)`` positions.

    ``order (B,)`` says which row of the batch each scheduled row is; ``position (N,)`` the place ``t * B + b`` of each
    packed row; ``previous (N,)`` the row of its previous state among (initial rows, packed rows), ``last (B,)`` that of
    each scheduled row's final state; ``slot (N,)`` the place ``t * B + s`` of scheduled row s.
    """

    schedule: Schedule
    order: Tensor
    position: Tensor
    slot: Tensor
    previous: Tensor
    last: Tensor


def packed(lengths: Sequence[int], steps: int, groups: int, columns: int) -> Packing:
    """Rows sorted by length and dealt to the groups in turn, so that each has as much to do and only loses rows."""
    given, rows = torch.tensor(lengths), len(lengths)
    by_length = torch.argsort(given, descending=True, stable=True)
    order = torch.cat([by_length[group::groups] for group in range(groups)])
    sizes = torch.tensor([len(range(group, rows, groups)) for group in range(groups)])
    base = sizes.cumsum(0) - sizes
    longest = int(given.max())
    active = torch.arange(longest).unsqueeze(1) < given[order]  # (steps, scheduled rows)
    owner = torch.repeat_interleave(torch.arange(groups), sizes)
    count = torch.zeros(longest, groups, dtype=torch.long).index_add_(1, owner, active.long())
    first = (count.flatten().cumsum(0) - count.flatten()).view(longest, groups)
    t, scheduled = active.nonzero(as_tuple=True)  # step by step, group by group: the packed order
    number = torch.full((longest + 1, rows), -1)
    number[1:][active] = torch.arange(len(t)) + rows
    number[0] = torch.arange(rows)
    previous = number[t, scheduled]
    last = number[given[order], torch.arange(rows)]
    position = t * rows + order[scheduled]
    schedule = Schedule(longest, rows, groups, columns, first, count, base, 1)
    return Packing(schedule, order, position, t * rows + scheduled, previous, last)
