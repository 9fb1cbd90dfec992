"""A captured step, run over a sequence by plain autograd: for second derivatives, and where nothing is compiled."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from seqlab.nn.engine.scan.step import Step


def replay(
    step: Step,
    gi: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    state: Sequence[Tensor],
    extras: Sequence[Tensor],
    valid: Tensor | None = None,
    resets: tuple[Tensor, Sequence[Tensor]] | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run all steps.

    Args:
        step: the captured step.
        gi: the projected input ``(T, B, G*H)``.
        weight: weight_hh ``(G*H, H)``; None without a recurrent product.
        bias: bias_hh ``(G*H,)``, or None.
        state: the initial state, ``(B, size)`` each.
        extras: the tensors that the step reads beside its rows.
        valid: a mask ``(T, B, 1)``, false at padding, which keeps the state; None if no step is padding.
        resets: a mask ``(T, B)`` of the rows whose state before a step is the initial one, and the parts of that,
            ``(B, size)`` each; None if there are none.

    Returns:
        The states after each step, ``(T, B, size)`` each, and the final state, ``(B, size)`` each.
    """
    current = list(state)
    states: list[list[Tensor]] = []
    mask, initial = (None, ()) if resets is None else (resets[0].unsqueeze(2), resets[1])  # (T, B, 1)
    for t, gi_t in enumerate(gi.unbind(0)):
        if mask is not None:
            current = [torch.where(mask[t], new, old) for new, old in zip(initial, current, strict=True)]
        gh = () if weight is None else (functional.linear(current[0], weight, bias),)
        new = step.again.forward(gi_t, *gh, *current, *extras, gi.size(1))
        if valid is not None:
            new = [torch.where(valid[t], after, before) for after, before in zip(new, current, strict=True)]
        current = list(new)
        states.append(current)
    return [torch.stack(parts) for parts in zip(*states, strict=True)], current
