"""Where rows begin anew inside a sequence, as engines take it."""

from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.nn.engine.batched import is_batched
from seqlab.nn.state import State, reset_rows


class Resets(NamedTuple):
    """The steps before which the state of a row becomes its initial state.

    Attributes:
        mask: ``(B, T)`` bool, in the order in which the steps run; false past each row's length. Where it is true at
            the first step, an engine is given the initial state there already: to look at that column changes nothing.
        initial: the initial state, ``(B, size)`` each.
    """

    mask: Tensor
    initial: State

    def begin(self, state: State) -> tuple[State, "Resets | None"]:
        """The state before the first step, and the resets at later steps; None if there are none.

        A mask may have the first column alone. Whether the others hold a reset is looked at on a CPU only, where that
        needs no wait.
        """
        state = reset_rows(state, self.mask[:, 0], self.initial)
        later = self.mask[:, 1:]
        return state, None if not later.size(1) or (readable(later) and not later.any()) else self

    def between(self, start: int, end: int) -> "Resets | None":
        """The resets before the steps from ``start`` up to ``end``; None where the mask says nothing of them."""
        mask = self.mask[:, start:end]
        return Resets(mask, self.initial) if mask.size(1) else None

    def steps(self) -> list[bool]:
        """Whether any row begins anew, for each step after the first; true for all where that can't be read."""
        if not _has_values(self.mask):
            return [step > 0 for step in range(self.mask.size(1))]
        return [False, *self.mask[:, 1:].any(0).tolist()]


class Segments(NamedTuple):
    """The stretches of rows between resets, as rows of a packed sequence: longest first.

    Attributes:
        counts: how many segments have a step t, for each t, ``(longest,)`` on the CPU.
        places: where each of the N packed steps stands among the ``B * T`` steps of the batch, ``(N,)``.
        source: where the state before each segment stands among the states and the initial states, ``(S,)``.
        rows: the rows that have segments, and
        last: the last segment of each of them.
    """

    counts: Tensor
    places: Tensor
    source: Tensor
    rows: Tensor
    last: Tensor


def find_segments(resets: Resets, lengths: Tensor | None) -> Segments | None:
    """The segments of a batch; None if no row begins anew. The host waits for the mask, on whatever device it is.

    Args:
        resets: the steps before which rows begin anew.
        lengths: the valid steps of each row, ``(B,)``; None if all are.
    """
    mask, device = resets.mask.cpu(), resets.mask.device
    if not mask.any():
        return None
    count, steps = mask.shape
    ends = torch.full((count,), steps, device="cpu") if lengths is None else lengths.cpu()  # of each row
    begins = mask.clone()
    begins[:, 0] = ends > 0
    row, start = begins.nonzero(as_tuple=True)
    following = torch.cat((start[1:], start.new_zeros(1)))
    is_last = torch.cat((row[1:] != row[:-1], torch.ones(1, dtype=torch.bool, device="cpu")))
    length = torch.where(is_last, ends[row], following) - start
    order = torch.argsort(length, descending=True, stable=True)
    active = torch.arange(int(length.max()), device="cpu").unsqueeze(1) < length[order]  # (longest, S)
    t, place = active.nonzero(as_tuple=True)
    places = (row * steps + start)[order][place] + t
    source = torch.where(start > 0, count + row, row)[order]
    last = torch.argsort(order)[is_last]
    return Segments(active.sum(1), *(each.to(device) for each in (places, source, row[is_last], last)))


def readable(mask: Tensor) -> bool:
    """Whether the values of ``mask`` can be looked at now, without waiting for a device."""
    return mask.device.type == "cpu" and _has_values(mask)


def _has_values(mask: Tensor) -> bool:
    """Whether ``mask`` has values of its own: not in a graph, on "meta", or as many masks at once under ``vmap``."""
    if torch.compiler.is_compiling() or torch.compiler.is_exporting() or mask.is_meta:
        return False
    return not is_batched(mask)
