"""The same operation uncompiled: for devices and machines without a compiled step."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from seqlab.nn.engine.scan.trace import Trace


class Steps(torch.autograd.Function):
    """``(gi (T, B, G*H), weight_hh, bias_hh, *state, *extras) -> (each step's state (T, B, size) ..., final ...)``.

    ``valid (T, B, 1)`` marks the steps to take; the others keep the state. The first ``sequences`` parts of the state
    are handed out for every step. Nothing waits for the device, so the loop can stand in a CUDA graph.
    """

    @staticmethod
    def forward(
        ctx: Any,
        trace: Trace,
        sequences: int,
        valid: Tensor | None,
        low: torch.dtype | None,
        save: bool,
        gi: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        *given: Tensor,
    ) -> tuple[Tensor, ...]:
        count = trace.num_states
        state, extras = list(given[:count]), given[count:]
        states, products = [state], []
        for t, gi_t in enumerate(gi.unbind(0)):
            if weight is not None:
                products.append(functional.linear(state[0], weight, bias))
            new = trace.step(gi_t, *products[-1:], *state, *extras)
            if valid is not None:
                new = [torch.where(valid[t], after, before) for after, before in zip(new, state, strict=True)]
            state = list(new)
            states.append(state)
        stacked = [torch.stack(parts) for parts in zip(*states, strict=True)]  # (T + 1, B, size) each
        if save:
            ctx.trace, ctx.sequences, ctx.low = trace, sequences, low
            gh = torch.stack(products) if products else None
            ctx.save_for_backward(gi, gh, weight, valid, *stacked, *extras)
        return *(part[1:] for part in stacked[:sequences]), *(part.clone() for part in state)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        trace: Trace = ctx.trace
        gi, gh, weight, valid, *rest = ctx.saved_tensors
        count, lead = trace.num_states, 1 + trace.recurrent
        stacked, extras = rest[:count], rest[count:]
        dnext, dstate = gradients[: ctx.sequences], list(gradients[ctx.sequences :])
        to_gi, to_gh = torch.zeros_like(gi), None if gh is None else torch.zeros_like(gh)
        to_extras: list[Tensor | None] = [None] * trace.num_extras
        for t in reversed(range(gi.size(0))):
            total = [part + dnext[k][t] if k < len(dnext) else part for k, part in enumerate(dstate)]
            steered = total if valid is None else [torch.where(valid[t], part, 0.0) for part in total]
            products = () if gh is None else (gh[t],)
            results = trace.joint(gi[t], *products, *(part[t] for part in stacked), *extras, *steered)[count:]
            if results[0] is not None:
                to_gi[t] = results[0]
            before = [
                torch.zeros_like(part) if new is None else new
                for part, new in zip(total, results[lead : lead + count], strict=True)
            ]
            if to_gh is not None and results[1] is not None:
                to_gh[t] = results[1]
                before[0] = before[0] + results[1] @ weight
            if valid is not None:
                before = [torch.where(valid[t], new, old) for new, old in zip(before, total, strict=True)]
            dstate = before
            for k, gradient in enumerate(results[lead + count :]):
                if gradient is not None:
                    summed = to_extras[k]
                    to_extras[k] = gradient if summed is None else summed + gradient
        to_weight = to_bias = None
        if to_gh is not None:
            flat = to_gh.flatten(0, 1)
            to_weight = weight_gradient(flat, stacked[0][:-1].flatten(0, 1), ctx.low)
            to_bias = flat.sum(0) if ctx.needs_input_grad[7] else None
        found = (None, None, None, None, None, to_gi, to_weight, to_bias, *dstate, *to_extras)
        return tuple(one if needed else None for one, needed in zip(found, ctx.needs_input_grad, strict=True))


def weight_gradient(to_gh: Tensor, before: Tensor, low: torch.dtype | None) -> Tensor:
    """One product over all rows of all steps, in ``low`` precision if autocast asked for it."""
    if low is None:
        return to_gh.t() @ before
    return (to_gh.to(low).t() @ before.to(low)).to(to_gh.dtype)
