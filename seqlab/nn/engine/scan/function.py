"""A whole sequence as one differentiable operation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor
from torch.nn import functional

from seqlab.nn.engine.scan.program import Forward, Program
from seqlab.nn.engine.scan.replay import replay
from seqlab.nn.engine.scan.schedule import Packing, Schedule
from seqlab.nn.engine.scan.step import Step

_GI, _WEIGHT, _GIVEN = 2, 6, 8  # where gi, the recurrent weight and the rest stand among the operation's arguments


@dataclass(frozen=True)
class Plan:
    """How a call runs: the compiled step, the step itself, which rows at which time, autocast's precision or None."""

    program: Program
    step: Step
    schedule: Schedule
    packing: Packing | None
    low: torch.dtype | None


class Scan(torch.autograd.Function):
    """``(gi (N, G*H), weight_hh, bias_hh, *state, *extras) -> (every step's state (N, size) ..., final state ...)``.

    What gi was made of comes with it, for a second derivative: x, weight_ih and bias_ih, or None for each where gi is
    not their product and is kept itself.

    The backward pass runs the step's adjoint from the last step to the first; the weight's gradient is one product over
    all steps afterwards. ``save`` says whether there will be one. A backward pass that is to be differentiated itself
    runs the step over time under autograd instead: it is right for any derivative, and costs what a loop does.
    """

    @staticmethod
    def forward(
        ctx: Any,
        plan: Plan,
        save: bool,
        gi: Tensor,
        x: Tensor | None,
        weight_ih: Tensor | None,
        bias_ih: Tensor | None,
        weight: Tensor | None,
        bias: Tensor | None,
        *given: Tensor,
    ) -> tuple[Tensor, ...]:
        program, schedule, packing = plan.program, plan.schedule, plan.packing
        count, rows = len(program.layout.state_sizes), schedule.rows
        state, extras = given[:count], given[count:]
        # What the adjoint needs takes the place of gi, which is the operation's own unless it must be kept.
        inside = gi.clone() if x is None else gi
        result = program.forward(schedule, inside, weight, bias, state, extras, save)
        if packing is None:
            final = [part[rows + schedule.steps - 1 :: schedule.steps].clone() for part in result.states]
        else:
            final = [part.index_select(0, packing.last) for part in result.states]
        sequences = [part[rows:] for part in result.states[: program.sequences]]
        if save:
            ctx.plan = plan
            keep_gi = inside if program.layout.gi_needed else inside.new_empty(0)
            ctx.save_for_backward(
                *(keep_gi, gi if x is None else x, weight_ih, bias_ih, weight, bias),
                *(result.kept, result.kept_shared, *result.states, *given),
            )
            sequences = [part.clone() for part in sequences]  # the caller may change an output in place
        return *sequences, *final

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        plan: Plan = ctx.plan
        count = len(plan.program.layout.state_sizes)
        saved = ctx.saved_tensors
        gi, *origin, weight, bias, kept, kept_shared = saved[:8]
        rest = saved[8:]
        states, given = rest[:count], rest[count:]
        needed = ctx.needs_input_grad
        if torch.is_grad_enabled() or any(_transformed(each) for each in gradients):
            results = _differentiable(plan, origin, weight, bias, given, gradients, needed)
        else:
            forward = Forward(states, kept, kept_shared)
            results = _adjoint(plan, gi, weight, given[count:], forward, gradients, needed)
        return tuple(each if wanted else None for each, wanted in zip(results, needed, strict=True))


def in_memory(tensor: Tensor) -> Tensor:
    """The numbers as they stand, one after the other, as a kernel reads them.

    A tensor comes in any layout, transposed, expanded or strided; and some numbers are not there at all: PyTorch puts
    off a negation, and zeros that nobody has asked for.
    """
    if tensor.is_contiguous() and not (tensor.is_neg() or tensor._is_zerotensor()):
        return tensor
    if tensor._is_zerotensor():
        return torch.zeros(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    return tensor.resolve_neg().contiguous()


def _transformed(tensor: Tensor) -> bool:
    """Whether a gradient is a batch of gradients, as ``is_grads_batched`` gives."""
    functorch = torch._C._functorch
    return functorch.is_functorch_wrapped_tensor(tensor) or functorch.is_legacy_batchedtensor(tensor)


def _adjoint(
    plan: Plan,
    gi: Tensor,
    weight: Tensor | None,
    extras: Sequence[Tensor],
    forward: Forward,
    gradients: Sequence[Tensor],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    program = plan.program
    dense = [in_memory(gradient) for gradient in gradients]
    dnext, dfinal = dense[: program.sequences], dense[program.sequences :]
    back = program.backward(plan.schedule, gi, weight, extras, forward, dnext, dfinal)
    to_weight = None
    if weight is not None and needed[_WEIGHT]:
        to_weight = weight_gradient(back.gh, _previous(forward.states[0], plan.schedule, plan.packing), plan.low)
    learned = back.extras or [None] * len(extras)
    return [None, None, back.gi, None, None, None, to_weight, back.gh_sum, *back.state, *learned]


def _differentiable(
    plan: Plan,
    origin: Sequence[Tensor | None],
    weight: Tensor | None,
    bias: Tensor | None,
    given: Sequence[Tensor],
    gradients: Sequence[Tensor],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """The same gradients by the step over time, as a graph that can be differentiated again."""
    count, schedule, packing = len(plan.program.layout.state_sizes), plan.schedule, plan.packing
    again = torch.is_grad_enabled()
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        # A view of each stands for what this operation was given: what lies before it is not this one's to follow.
        inputs = [None if each is None else each.view_as(each) for each in (_gi(plan, *origin), weight, bias, *given)]
        gi, state, extras = typed(Tensor, inputs[0]), inputs[3 : 3 + count], inputs[3 + count :]
        steps, rows, valid = schedule.steps, schedule.rows, None
        if packing is None:
            moved = gi.view(rows, steps, -1).transpose(0, 1)
        else:
            moved = gi.new_zeros(steps * rows, gi.size(-1)).index_copy(0, packing.slot, gi).view(steps, rows, -1)
            valid = torch.zeros(steps * rows, dtype=torch.bool, device="cpu")
            valid = valid.index_fill(0, packing.slot, True).view(steps, rows, 1)
        states, final = replay(
            plan.step, moved, inputs[1], inputs[2], typed(list[Tensor], state), typed(list[Tensor], extras), valid
        )
        outputs = [*map(partial(_in_order, packing=packing), states[: plan.program.sequences]), *final]
        pairs = [(each, gradient) for each, gradient in zip(outputs, gradients, strict=True) if each.requires_grad]
        arguments = (_GI, _WEIGHT, _WEIGHT + 1, *range(_GIVEN, _GIVEN + len(given)))
        wanted = [place for place, argument in enumerate(arguments) if inputs[place] is not None and needed[argument]]
        found = torch.autograd.grad(
            [each for each, _ in pairs],
            [typed(Tensor, inputs[place]) for place in wanted],
            [gradient for _, gradient in pairs],
            create_graph=again,
            allow_unused=True,
        )
    by_argument = {arguments[place]: gradient for place, gradient in zip(wanted, found, strict=True)}
    return [by_argument.get(argument) for argument in range(_GIVEN + len(given))]


def _gi(plan: Plan, x: Tensor | None, weight_ih: Tensor | None, bias_ih: Tensor | None) -> Tensor:
    """The projected input ``(N, G*H)`` once more, as a graph."""
    assert x is not None
    if weight_ih is None:
        return x
    with torch.autocast("cpu", dtype=plan.low or torch.bfloat16, enabled=plan.low is not None):
        return functional.linear(x, weight_ih, bias_ih).to(plan.program.dtype).flatten(0, -2)


def _in_order(states: Tensor, packing: Packing | None) -> Tensor:
    """States ``(T, B, size)`` in the order of the operation's own rows."""
    if packing is None:
        return states.transpose(0, 1).flatten(0, 1)
    return states.flatten(0, 1).index_select(0, packing.slot)


def weight_gradient(to_gh: Tensor, before: Tensor, low: torch.dtype | None) -> Tensor:
    """One product over all rows of all steps, in ``low`` precision if autocast asked for it."""
    if low is None:
        return to_gh.t() @ before
    return (to_gh.to(low).t() @ before.to(low)).to(to_gh.dtype)


def _previous(states: Tensor, schedule: Schedule, packing: Packing | None) -> Tensor:
    """The state before each step, in the order of the steps."""
    if packing is not None:
        return states.index_select(0, packing.previous)
    rows = schedule.rows
    sequences = states[rows:].view(rows, schedule.steps, -1)
    return torch.cat((states[:rows].unsqueeze(1), sequences[:, :-1]), 1).flatten(0, 1)
