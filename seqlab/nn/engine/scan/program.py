"""A compiled cell: its library, and the calls of its two functions on tensors."""

import ctypes
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast as typed

import torch
from torch import Tensor, fx

from seqlab.nn.engine.scan import build
from seqlab.nn.engine.scan.arguments import structure_type
from seqlab.nn.engine.scan.cpp import write
from seqlab.nn.engine.scan.lower import lower
from seqlab.nn.engine.scan.lowered import Layout
from seqlab.nn.engine.scan.schedule import Schedule
from seqlab.nn.engine.scan.trace import Trace


@dataclass(frozen=True)
class Forward:
    """What a run over a sequence leaves: each part of the state, initial rows first, and what the adjoint needs."""

    states: list[Tensor]
    kept: Tensor
    kept_shared: Tensor


@dataclass(frozen=True)
class Backward:
    """The gradients: of gi, of gh (the same tensor where one serves both), its sum, the initial state, the extras."""

    gi: Tensor
    gh: Tensor
    gh_sum: Tensor | None
    state: list[Tensor]
    extras: list[Tensor | None]


class Program:
    """The compiled step of one cell, for one dtype; :meth:`load` makes it ready, and ``key`` tells it from others."""

    library: ctypes.CDLL

    def __init__(
        self, trace: Trace, hidden_size: int, state_sizes: tuple[int, ...], bias: bool, dtype: torch.dtype
    ) -> None:
        lowered = lower(trace, hidden_size, state_sizes, bias, dtype)
        self.sequences = trace.num_sequences
        self.layout: Layout = lowered.layout
        self.post: fx.GraphModule | None = lowered.post
        self.dtype = dtype
        self.recurrent = trace.recurrent
        self._text = write(lowered, dtype)
        self.key = hashlib.sha256(self._text.encode()).hexdigest()
        self._arguments = structure_type(len(state_sizes), trace.num_extras)

    def load(self) -> None:
        """Compile the program, unless that was done before.

        Raises:
            CompilerError: it can't be compiled, or not be kept.
        """
        self.library = build.load(self._text)
        self.library.seqlab_size.restype = ctypes.c_long
        assert self.library.seqlab_size() == ctypes.sizeof(self._arguments)
        self.library.seqlab_padded.restype = ctypes.c_long
        self.padded = int(self.library.seqlab_padded())
        self.scratch = int(self.library.seqlab_scratch())

    def forward(
        self,
        schedule: Schedule,
        gi: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        state: Sequence[Tensor],
        extras: Sequence[Tensor],
        save: bool,
    ) -> Forward:
        """Run all steps of ``schedule`` on gi ``(N, G*H)``, from ``state`` of ``(B, size)`` each.

        With ``save``, what the adjoint needs takes gi's place as far as it fits.
        """
        layout, new = self.layout, gi.new_empty
        states = [new(schedule.rows + len(gi), size) for size in layout.state_sizes]
        for whole, part in zip(states, state, strict=True):
            whole[: schedule.rows].copy_(part)
        kept = new(len(gi) if save else 0, layout.kept, layout.hidden_size)
        kept_shared = new(len(gi) if save else 0, layout.kept_shared)
        numbers = self._numbers(extras)
        arguments = self._filled(schedule, gi, weight, states, numbers, kept, kept_shared)
        padded_bias = None
        if bias is not None:
            shaped = bias.detach().view(layout.num_gates, layout.hidden_size)
            padded_bias = torch.nn.functional.pad(shaped, (0, self.padded - layout.hidden_size)).contiguous()
            arguments.bias = padded_bias.data_ptr()
        arguments.save = save
        scratch, packed = self._buffers(schedule, gi)
        arguments.scratch, arguments.packed = scratch.data_ptr(), packed.data_ptr()
        self.library.seqlab_forward(ctypes.byref(arguments))
        return Forward(states, kept, kept_shared)

    def backward(
        self,
        schedule: Schedule,
        gi: Tensor,
        weight: Tensor | None,
        extras: Sequence[Tensor],
        saved: Forward,
        dnext: Sequence[Tensor],
        dfinal: Sequence[Tensor],
    ) -> Backward:
        """The gradients, from those to every step's new state ``(N, size)`` and to the final state ``(B, size)``."""
        layout, first = self.layout, saved.states[0]
        count, gates = first.size(0) - schedule.rows, layout.num_gates * layout.hidden_size
        dgi = first.new_empty(count, gates)
        dgh = dgi if layout.shared_gradient or not self.recurrent else first.new_empty(count, gates)
        dstate = [
            torch.nn.functional.pad(part, (0, width - part.size(1))).contiguous()
            if width > part.size(1)
            else part.clone(memory_format=torch.contiguous_format)
            for part, width in zip(dfinal, (self.padded, *layout.state_sizes[1:]), strict=True)
        ]
        total = sum(layout.sums)
        sums = first.new_zeros(schedule.threads, 2, total)
        numbers = self._numbers(extras)
        arguments = self._filled(schedule, gi, weight, saved.states, numbers, saved.kept, saved.kept_shared)
        arguments.dnext[: len(dnext)] = [part.data_ptr() for part in dnext]
        arguments.dstate[:] = [part.data_ptr() for part in dstate]
        arguments.dgi, arguments.dgh, arguments.sums = dgi.data_ptr(), dgh.data_ptr(), sums.data_ptr()
        scratch, packed = self._buffers(schedule, first)
        arguments.scratch, arguments.packed = scratch.data_ptr(), packed.data_ptr()
        self.library.seqlab_backward(ctypes.byref(arguments))
        parts = list(torch.split(sums[:, 0].sum(0), list(layout.sums))) if total else []
        gh_sum = parts.pop(0) if layout.sum_gh else None
        learned: list[Tensor | None] = []
        if self.post is not None:
            shaped = [part.view(shape) for part, shape in zip(parts, layout.sum_shapes, strict=True)]
            learned = typed(list[Tensor | None], self.post(*extras, *shaped))
        dstate[0] = dstate[0][:, : layout.hidden_size]
        return Backward(dgi, dgh, gh_sum, dstate, learned)

    def _numbers(self, extras: Sequence[Tensor]) -> list[Tensor]:
        """What all rows share as the program reads it: whole numbers, and truth as 0 and 1, in its own precision."""
        return [extra if extra.is_floating_point() else extra.to(self.dtype) for extra in extras]

    def _filled(
        self,
        schedule: Schedule,
        gi: Tensor,
        weight: Tensor | None,
        states: Sequence[Tensor],
        extras: Sequence[Tensor],
        kept: Tensor,
        kept_shared: Tensor,
    ) -> ctypes.Structure:
        arguments = self._arguments()
        arguments.steps, arguments.rows, arguments.groups = schedule.steps, schedule.rows, schedule.groups
        arguments.columns, arguments.threads, arguments.stride = schedule.columns, schedule.threads, schedule.stride
        arguments.first, arguments.count, arguments.base = schedule.pointers
        arguments.gi = gi.data_ptr()
        arguments.weight = 0 if weight is None else weight.data_ptr()
        arguments.state[:] = [part.data_ptr() for part in states]
        arguments.extra[: len(extras)] = [extra.data_ptr() for extra in extras]
        arguments.kept, arguments.kept_shared = kept.data_ptr(), kept_shared.data_ptr()
        return arguments

    def _buffers(self, schedule: Schedule, like: Tensor) -> tuple[Tensor, Tensor]:
        layout = self.layout
        gates = layout.num_gates * self.padded
        scratch = like.new_empty(schedule.rows * gates + schedule.threads * self.scratch + 64)
        # A whole panel more than the weights, since panels are wider than the last columns.
        packed = like.new_empty((gates + 64) * (layout.hidden_size + 64) * layout.num_gates if self.recurrent else 0)
        return scratch, packed
