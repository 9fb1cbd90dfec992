"""A whole sequence as one differentiable operation."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqlab.nn.engine.scan.program import Forward, Program
from seqlab.nn.engine.scan.schedule import Packing, Schedule
from seqlab.nn.engine.scan.steps import weight_gradient


class Scan(torch.autograd.Function):
    """``(gi (N, G*H), weight_hh, bias_hh, *state, *extras) -> (every step's state (N, size) ..., final state ...)``.

    The backward pass runs the step's adjoint from the last step to the first; the weight's gradient is one product over
    all steps afterwards. ``save`` says whether there will be one; ``low`` is autocast's precision, if it is on.
    """

    @staticmethod
    def forward(
        ctx: Any,
        program: Program,
        schedule: Schedule,
        packing: Packing | None,
        low: torch.dtype | None,
        save: bool,
        gi: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        *given: Tensor,
    ) -> tuple[Tensor, ...]:
        count, rows = len(program.layout.state_sizes), schedule.rows
        state, extras = given[:count], given[count:]
        result = program.forward(schedule, gi, weight, bias, state, extras, save)
        if packing is None:
            final = [part[rows + schedule.steps - 1 :: schedule.steps].clone() for part in result.states]
        else:
            final = [part.index_select(0, packing.last) for part in result.states]
        if save:
            ctx.program, ctx.schedule, ctx.packing, ctx.low = program, schedule, packing, low
            keep_gi = gi if program.layout.gi_needed else gi.new_empty(0)
            ctx.save_for_backward(keep_gi, weight, *result.states, result.kept, result.kept_shared, *extras)
        return *(part[rows:] for part in result.states[: program.sequences]), *final

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        program, schedule, packing = ctx.program, ctx.schedule, ctx.packing
        layout = program.layout
        gi, weight, *rest = ctx.saved_tensors
        count = len(layout.state_sizes)
        states, (kept, kept_shared, *extras) = rest[:count], rest[count:]
        dnext = [gradient.contiguous() for gradient in gradients[: program.sequences]]
        dfinal = list(gradients[program.sequences :])
        back = program.backward(schedule, gi, weight, extras, Forward(states, kept, kept_shared), dnext, dfinal)
        to_weight = None
        if weight is not None and ctx.needs_input_grad[6]:
            to_weight = weight_gradient(back.gh, _previous(states[0], schedule, packing), ctx.low)
        found = (None, None, None, None, None, back.gi, to_weight, back.gh_sum, *back.state, *back.extras)
        return tuple(one if needed else None for one, needed in zip(found, ctx.needs_input_grad, strict=True))


def _previous(states: Tensor, schedule: Schedule, packing: Packing | None) -> Tensor:
    """The state before each step, in the order of the steps."""
    if packing is not None:
        return states.index_select(0, packing.previous)
    rows = schedule.rows
    sequences = states[rows:].view(rows, schedule.steps, -1)
    return torch.cat((states[:rows].unsqueeze(1), sequences[:, :-1]), 1).flatten(0, 1)
