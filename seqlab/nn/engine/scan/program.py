"""A compiled step: its library, and the calls of its forward and backward functions on tensors."""

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
from seqlab.nn.engine.scan.lowered import (
    Layout,
)
from seqlab.nn.engine.scan.schedule import Schedule
from seqlab.nn.engine.scan.trace import Trace


@dataclass(frozen=True)
class Forward:
    """The results of a forward pass.

    Attributes:
        states: each part of the state, ``(B + N, size)``: B initial rows, then the N rows of all steps.
        kept: the spans that the step has saved for its adjoint, ``(N, KEPT, H)``; N = 0 without a backward pass.
        kept_shared: the single numbers that it has saved, ``(N, KEPT_SHARED)``.
    """

    states: list[Tensor]
    kept: Tensor
    kept_shared: Tensor


@dataclass(frozen=True)
class Backward:
    """The gradients of a backward pass.

    Attributes:
        gi: ``(N, G*H)``.
        gh: ``(N, G*H)``; the same tensor as ``gi`` if the two are equal.
        gh_sum: the sum of ``gh`` over its rows, ``(G*H,)``, which is the gradient of the bias; None without a bias.
        state: the gradient of each part of the initial state, ``(B, size)``.
        extras: the gradient of each extra, in its shape, or None.
        initial: the gradient of each part of the states from which rows begin anew, ``(B, size)``; empty without
            resets.
    """

    gi: Tensor
    gh: Tensor
    gh_sum: Tensor | None
    state: list[Tensor]
    extras: list[Tensor | None]
    initial: list[Tensor]


class Program:
    """The compiled step of one cell, for one dtype. :meth:`load` must be called before it runs.

    Attributes:
        library: the loaded library.
        sequences: the number of parts of the state that the output reads at every step.
        layout: the sizes that the library and its caller agree on.
        post: makes the extras' gradients from (*extras, *sums); None without extras.
        dtype: float32 or float64.
        recurrent: whether there is a recurrent product.
        key: a hash of the program's text.
    """

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
        self._structure = structure_type(len(state_sizes), trace.num_extras)

    def load(self) -> None:
        """Load the program's library; it is compiled if it is not in the cache.

        Raises:
            CompilerError: it can't be compiled, or can't be written to the cache.
        """
        self.library = build.load(self._text)
        self.library.seqlab_size.restype = ctypes.c_long
        assert self.library.seqlab_size() == ctypes.sizeof(self._structure)
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
        resets: tuple[Tensor, Sequence[Tensor]] | None = None,
    ) -> Forward:
        """Run all steps of a schedule.

        Args:
            schedule: which rows run at which step.
            gi: the projected input ``(N, G*H)``. With ``save`` it is overwritten with what the adjoint needs.
            weight: weight_hh ``(G*H, H)``; None without a recurrent product.
            bias: bias_hh ``(G*H,)``, or None.
            state: the initial state, ``(B, size)`` each.
            extras: the tensors that all rows share.
            save: whether to save what the adjoint needs.
            resets: which rows begin anew before which step, ``(steps, B)`` bool, and the states from which they do,
                ``(B, size)`` each; None if none does.
        """
        layout, new = self.layout, gi.new_empty
        states = [new(schedule.rows + len(gi), size) for size in layout.state_sizes]
        for whole, part in zip(states, state, strict=True):
            whole[: schedule.rows].copy_(part)
        kept = new(len(gi) if save else 0, layout.kept, layout.hidden_size)
        kept_shared = new(len(gi) if save else 0, layout.kept_shared)
        extra_numbers = self._as_numbers(extras)
        arguments = self._arguments_of(schedule, gi, weight, states, extra_numbers, kept, kept_shared)
        padded_bias = None
        if bias is not None:
            shaped = bias.detach().view(layout.num_gates, layout.hidden_size)
            padded_bias = torch.nn.functional.pad(shaped, (0, self.padded - layout.hidden_size)).contiguous()
            arguments.bias = padded_bias.data_ptr()
        arguments.save = save
        if resets is not None:
            self._set_resets(arguments, *resets)
            held = [torch.empty_like(part) for part in resets[1]]
            arguments.held[:] = [part.data_ptr() for part in held]
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
        resets: tuple[Tensor, Sequence[Tensor]] | None = None,
    ) -> Backward:
        """Run the adjoints of all steps, from the last to the first.

        Args:
            schedule: the schedule of the forward pass.
            gi: gi as the forward pass has left it, ``(N, G*H)``.
            weight: weight_hh ``(G*H, H)``; None without a recurrent product.
            extras: the tensors that all rows share.
            saved: the results of the forward pass.
            dnext: the gradients to the states of all steps, ``(N, size)`` each.
            dfinal: the gradients to the final state, ``(B, size)`` each.
            resets: those of the forward pass.
        """
        layout, first = self.layout, saved.states[0]
        count, gates = first.size(0) - schedule.rows, layout.num_gates * layout.hidden_size
        dgi = first.new_empty(count, gates)
        dgh = dgi if layout.shared_gradient or not self.recurrent else first.new_empty(count, gates)
        widths = (self.padded, *layout.state_sizes[1:])
        dstate = [
            torch.nn.functional.pad(part, (0, width - part.size(1))).contiguous()
            if width > part.size(1)
            else part.clone(memory_format=torch.contiguous_format)
            for part, width in zip(dfinal, widths, strict=True)
        ]
        dinitial = [] if resets is None else [first.new_zeros(schedule.rows, width) for width in widths]
        total = sum(layout.sums)
        sums = first.new_zeros(schedule.threads, 2, total)
        extra_numbers = self._as_numbers(extras)
        arguments = self._arguments_of(schedule, gi, weight, saved.states, extra_numbers, saved.kept, saved.kept_shared)
        arguments.dnext[: len(dnext)] = [part.data_ptr() for part in dnext]
        arguments.dstate[:] = [part.data_ptr() for part in dstate]
        arguments.dgi, arguments.dgh, arguments.sums = dgi.data_ptr(), dgh.data_ptr(), sums.data_ptr()
        if resets is not None:
            self._set_resets(arguments, *resets)
            arguments.dinitial[:] = [part.data_ptr() for part in dinitial]
        scratch, packed = self._buffers(schedule, first)
        arguments.scratch, arguments.packed = scratch.data_ptr(), packed.data_ptr()
        self.library.seqlab_backward(ctypes.byref(arguments))
        parts = list(torch.split(sums[:, 0].sum(0), list(layout.sums))) if total else []
        gh_sum = parts.pop(0) if layout.sum_gh else None
        dextras: list[Tensor | None] = []
        if self.post is not None:
            shaped = [part.view(shape) for part, shape in zip(parts, layout.sum_shapes, strict=True)]
            dextras = typed(list[Tensor | None], self.post(*extras, *shaped))
        for parts in (dstate, dinitial):
            parts[:1] = [part[:, : layout.hidden_size] for part in parts[:1]]
        return Backward(dgi, dgh, gh_sum, dstate, dextras, dinitial)

    def _as_numbers(self, extras: Sequence[Tensor]) -> list[Tensor]:
        """The extras in the program's dtype; truth values become 0 and 1."""
        return [extra if extra.is_floating_point() else extra.to(self.dtype) for extra in extras]

    def _arguments_of(
        self,
        schedule: Schedule,
        gi: Tensor,
        weight: Tensor | None,
        states: Sequence[Tensor],
        extras: Sequence[Tensor],
        kept: Tensor,
        kept_shared: Tensor,
    ) -> ctypes.Structure:
        """The library's argument structure, with what both passes need filled in."""
        arguments = self._structure()
        arguments.steps, arguments.rows, arguments.groups = schedule.steps, schedule.rows, schedule.groups
        arguments.columns, arguments.threads, arguments.stride = schedule.columns, schedule.threads, schedule.stride
        arguments.first, arguments.count, arguments.base = schedule.pointers
        arguments.gi = gi.data_ptr()
        arguments.weight = 0 if weight is None else weight.data_ptr()
        arguments.state[:] = [part.data_ptr() for part in states]
        arguments.extra[: len(extras)] = [extra.data_ptr() for extra in extras]
        arguments.kept, arguments.kept_shared = kept.data_ptr(), kept_shared.data_ptr()
        return arguments

    def _set_resets(self, arguments: ctypes.Structure, flags: Tensor, initial: Sequence[Tensor]) -> None:
        arguments.reset = flags.data_ptr()
        arguments.initial[:] = [part.data_ptr() for part in initial]

    def _buffers(self, schedule: Schedule, like: Tensor) -> tuple[Tensor, Tensor]:
        """Memory for products and scratch, and memory for the packed weights."""
        layout = self.layout
        gates = layout.num_gates * self.padded
        scratch = like.new_empty(schedule.rows * gates + schedule.threads * self.scratch + 64)
        # A panel more than the weights, since the last panel of a gate may be wider than the columns that remain.
        packed = like.new_empty((gates + 64) * (layout.hidden_size + 64) * layout.num_gates if self.recurrent else 0)
        return scratch, packed
