"""A compiled step over a whole sequence, as one differentiable operation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor
from torch.nn import functional

from seqlab.nn.engine.batched import is_batched
from seqlab.nn.engine.scan.program import Forward, Program
from seqlab.nn.engine.scan.replay import replay
from seqlab.nn.engine.scan.schedule import Packing, Schedule, reset_places
from seqlab.nn.engine.scan.step import Step

_GI, _WEIGHT, _REST = 2, 6, 8  # the places of gi, weight_hh and the rest among the operation's arguments


@dataclass(frozen=True)
class Plan:
    """How a call runs.

    Attributes:
        program: the compiled step.
        step: the captured step.
        schedule: which rows run at which step.
        packing: the maps of rows of unequal lengths; None for rows of one length.
        low: the dtype in which autocast computes products; None without autocast.
        resets: which scheduled rows begin anew before which step, ``(steps, B)`` bool; None if none does.
    """

    program: Program
    step: Step
    schedule: Schedule
    packing: Packing | None
    low: torch.dtype | None
    resets: Tensor | None = None

    def with_initial(self, initial: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]] | None:
        """The resets with the states from which those rows begin; None if there are none."""
        return None if self.resets is None else (self.resets, initial)

    def split(self, rest: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]]:
        """The last arguments of the operation apart: the state, the initial state of resets (if any), the extras."""
        count = len(self.program.layout.state_sizes)
        first_extra = count if self.resets is None else 2 * count
        return rest[:count], rest[count:first_extra], rest[first_extra:]


class Scan(torch.autograd.Function):
    """The operation ``(gi, weight_hh, bias_hh, *state, *initial, *extras) -> (*states of all steps, *final state)``.

    gi is ``(N, G*H)``, with N the rows of all steps; weight_hh ``(G*H, H)``; bias_hh ``(G*H,)``; each part of the state
    ``(B, size)``; ``initial``, the state from which rows begin anew, is there with resets only. The results are
    ``(N, size)`` for each part of the state that the output reads, and ``(B, size)`` for each part of the final state.

    The backward pass runs the adjoint of each step, from the last to the first. The weight's gradient is one product
    over all steps, at the end. If the backward pass is itself to be differentiated, it runs the step over the sequence
    under autograd instead: that is right for any derivative, and costs as much as ``loop``.
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
        *rest: Tensor,
    ) -> tuple[Tensor, ...]:
        """Run all steps.

        Args:
            ctx: autograd's context.
            plan: how the call runs.
            save: whether a backward pass may follow.
            gi: the projected input ``(N, G*H)``.
            x: the input that gi is the product of, for a second derivative; None if gi comes from a user's ``project``.
            weight_ih: the weights of that product, or None with ``x``.
            bias_ih: its bias, or None.
            weight: weight_hh; None without a recurrent product.
            bias: bias_hh, or None.
            rest: the parts of the state, those of the initial state if there are resets, then the extras.
        """
        program, schedule, packing = plan.program, plan.schedule, plan.packing
        rows, (state, initial, extras) = schedule.rows, plan.split(rest)
        # The program writes what the adjoint needs into gi. A user's gi is copied first.
        buffer = gi.clone() if x is None else gi
        result = program.forward(schedule, buffer, weight, bias, state, extras, save, plan.with_initial(initial))
        if packing is None:
            final = [part[rows + schedule.steps - 1 :: schedule.steps].clone() for part in result.states]
        else:
            final = [part.index_select(0, packing.last) for part in result.states]
        sequences = [part[rows:] for part in result.states[: program.sequences]]
        if save:
            ctx.plan = plan
            saved_gi = buffer if program.layout.gi_needed else buffer.new_empty(0)
            ctx.save_for_backward(
                *(saved_gi, gi if x is None else x, weight_ih, bias_ih, weight, bias),
                *(result.kept, result.kept_shared, *result.states, *rest),
            )
            sequences = [part.clone() for part in sequences]  # the caller may write into an output
        return *sequences, *final

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        """The gradients of the arguments of :meth:`forward`, from ``gradients`` of its results."""
        plan: Plan = ctx.plan
        count = len(plan.program.layout.state_sizes)
        saved = ctx.saved_tensors
        gi, *origin, weight, bias, kept, kept_shared = saved[:8]
        states, rest = saved[8 : 8 + count], saved[8 + count :]
        needed = ctx.needs_input_grad
        if torch.is_grad_enabled() or any(map(is_batched, gradients)):
            results = _differentiable(plan, origin, weight, bias, rest, gradients, needed)
        else:
            forward = Forward(states, kept, kept_shared)
            results = _adjoint(plan, gi, weight, rest, forward, gradients, needed)
        return tuple(result if is_needed else None for result, is_needed in zip(results, needed, strict=True))


def materialize(tensor: Tensor) -> Tensor:
    """A tensor's numbers in one contiguous piece of memory, as a kernel reads them.

    A tensor may come in any layout: transposed, expanded or strided. Its numbers may also not be in memory at all:
    PyTorch delays a negation, and the zeros of an undefined gradient.
    """
    if tensor.is_contiguous() and not (tensor.is_neg() or tensor._is_zerotensor()):
        return tensor
    if tensor._is_zerotensor():
        return torch.zeros(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    return tensor.resolve_neg().contiguous()


def _adjoint(
    plan: Plan,
    gi: Tensor,
    weight: Tensor | None,
    rest: Sequence[Tensor],
    forward: Forward,
    gradients: Sequence[Tensor],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """The gradients of the operation's arguments, by the compiled adjoint."""
    program, (_, initial, extras) = plan.program, plan.split(rest)
    dense = [materialize(gradient) for gradient in gradients]
    dnext, dfinal = dense[: program.sequences], dense[program.sequences :]
    resets = plan.with_initial(initial)
    backward = program.backward(plan.schedule, gi, weight, extras, forward, dnext, dfinal, resets)
    dweight = None
    if weight is not None and needed[_WEIGHT]:
        before = _states_before(forward.states[0], plan.schedule, plan.packing)
        if plan.resets is not None:
            packed, scheduled = reset_places(plan.resets, plan.schedule)
            before.index_copy_(0, packed, initial[0].index_select(0, scheduled))
        dweight = weight_gradient(backward.gh, before, plan.low)
    dextras = backward.extras or [None] * len(extras)
    own = [None, None, backward.gi, None, None, None, dweight, backward.gh_sum]
    return [*own, *backward.state, *backward.initial, *dextras]


def _differentiable(
    plan: Plan,
    origin: Sequence[Tensor | None],
    weight: Tensor | None,
    bias: Tensor | None,
    rest: Sequence[Tensor],
    gradients: Sequence[Tensor],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """The gradients of the operation's arguments, by the step under autograd: they can be differentiated again."""
    schedule, packing = plan.schedule, plan.packing
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        # Views of the arguments, so that autograd stops at them and does not go on to what they were made from.
        inputs = [None if each is None else each.view_as(each) for each in (_gi(plan, *origin), weight, bias, *rest)]
        gi, (state, initial, extras) = typed(Tensor, inputs[0]), plan.split(typed(list[Tensor], inputs[3:]))
        steps, rows, valid = schedule.steps, schedule.rows, None
        if packing is None:
            by_step = gi.view(rows, steps, -1).transpose(0, 1)  # (T, B, G*H)
        else:
            by_step = gi.new_zeros(steps * rows, gi.size(-1)).index_copy(0, packing.slot, gi).view(steps, rows, -1)
            valid = torch.zeros(steps * rows, dtype=torch.bool, device="cpu")
            valid = valid.index_fill(0, packing.slot, True).view(steps, rows, 1)
        resets = plan.with_initial(initial)
        states, final = replay(plan.step, by_step, inputs[1], inputs[2], state, extras, valid, resets)
        outputs = [*map(partial(_in_order, packing=packing), states[: plan.program.sequences]), *final]
        pairs = [(each, gradient) for each, gradient in zip(outputs, gradients, strict=True) if each.requires_grad]
        arguments = (_GI, _WEIGHT, _WEIGHT + 1, *range(_REST, _REST + len(rest)))
        places = [place for place, argument in enumerate(arguments) if inputs[place] is not None and needed[argument]]
        results = torch.autograd.grad(
            [each for each, _ in pairs],
            [typed(Tensor, inputs[place]) for place in places],
            [gradient for _, gradient in pairs],
            create_graph=create_graph,
            allow_unused=True,
        )
    by_argument = {arguments[place]: gradient for place, gradient in zip(places, results, strict=True)}
    return [by_argument.get(argument) for argument in range(_REST + len(rest))]


def _gi(plan: Plan, x: Tensor | None, weight_ih: Tensor | None, bias_ih: Tensor | None) -> Tensor:
    """The projected input ``(N, G*H)``, computed again under autograd; without weights, ``x`` is gi itself."""
    assert x is not None
    if weight_ih is None:
        return x
    with torch.autocast("cpu", dtype=plan.low or torch.bfloat16, enabled=plan.low is not None):
        return functional.linear(x, weight_ih, bias_ih).to(plan.program.dtype).flatten(0, -2)


def _in_order(states: Tensor, packing: Packing | None) -> Tensor:
    """States ``(T, B, size)`` as ``(N, size)``, in the order of the rows of gi."""
    if packing is None:
        return states.transpose(0, 1).flatten(0, 1)
    return states.flatten(0, 1).index_select(0, packing.slot)


def weight_gradient(dgh: Tensor, before: Tensor, low: torch.dtype | None) -> Tensor:
    """The gradient of weight_hh ``(G*H, H)``: one product of ``dgh (N, G*H)`` and the states before, ``(N, H)``.

    It is computed in the dtype ``low``, that of autocast, if there is one.
    """
    if low is None:
        return dgh.t() @ before
    return (dgh.to(low).t() @ before.to(low)).to(dgh.dtype)


def _states_before(states: Tensor, schedule: Schedule, packing: Packing | None) -> Tensor:
    """The state before each step ``(N, size)``, from ``states (B + N, size)``: the initial rows, then all steps."""
    if packing is not None:
        return states.index_select(0, packing.previous)
    rows = schedule.rows
    sequences = states[rows:].view(rows, schedule.steps, -1)
    return torch.cat((states[:rows].unsqueeze(1), sequences[:, :-1]), 1).flatten(0, 1)
