"""A captured step run over time by plain autograd: where a derivative of the derivative is wanted, and uncompiled."""

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
) -> tuple[list[Tensor], list[Tensor]]:
    """Every step's state ``(T, B, size)`` and the final one ``(B, size)``, of gi ``(T, B, G*H)``.

    ``valid (T, B, 1)`` marks the steps to take; the others keep the state.
    """
    now = list(state)
    states: list[list[Tensor]] = []
    for t, gi_t in enumerate(gi.unbind(0)):
        gh = () if weight is None else (functional.linear(now[0], weight, bias),)
        new = step.again.forward(gi_t, *gh, *now, *extras, gi.size(1))
        if valid is not None:
            new = [torch.where(valid[t], after, before) for after, before in zip(new, now, strict=True)]
        now = list(new)
        states.append(now)
    return [torch.stack(parts) for parts in zip(*states, strict=True)], now
