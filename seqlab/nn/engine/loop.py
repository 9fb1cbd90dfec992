"""The reference engine: plain autograd, one step at a time, for every cell."""

import torch
from torch import Tensor

from seqlab.nn.arguments import check_state
from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.engine.resets import Resets
from seqlab.nn.engine.weights import cached_weights
from seqlab.nn.state import State, reset_rows


def refusal(cell: RecurrentCell) -> str | None:
    """None: this engine serves every cell."""
    return None


def run(
    cell: RecurrentCell, x: Tensor, state: State, lengths: Tensor | None, resets: Resets | None = None
) -> tuple[Tensor, State]:
    """Step ``cell`` over a batch; padded steps keep the state and output zero.

    Args:
        cell: the cell.
        x: the input ``(B, T, I)``.
        state: the initial state, ``(B, size)`` each.
        lengths: the valid steps of each row, ``(B,)``; None if all are.
        resets: the steps before which rows begin anew; None if there are none.

    Returns:
        The output ``(B, T, output_size)`` and the final state, ``(B, size)`` each.
    """
    # A parametrized weight is computed once a call and not once a step, as on every other engine.
    with cached_weights(cell):
        gi = project(cell, x, lengths)
        return run_projected(cell, gi, x, state, lengths, resets)


def project(cell: RecurrentCell, x: Tensor, lengths: Tensor | None) -> Tensor:
    """``cell.project`` of all steps at once, ``(B, T, I) -> (B, T, P)``; padding is set to zero before it."""
    if lengths is not None:
        # Masking the result would not be enough: a NaN in the padding times a zero gradient is NaN in every weight.
        x = x.masked_fill(~_valid(x, lengths).unsqueeze(2), 0.0)
    gi = cell.project(x)
    if gi.shape[:2] != x.shape[:2]:
        name = type(cell).__name__
        raise ValueError(f"{name}.project: expected {tuple(x.shape[:2])} + (P,) from x, got {tuple(gi.shape)}")
    return gi


def run_projected(
    cell: RecurrentCell, gi: Tensor, x: Tensor, state: State, lengths: Tensor | None, resets: Resets | None = None
) -> tuple[Tensor, State]:
    """Run the steps of ``x (B, T, I)``, given its projection ``gi (B, T, P)``."""
    valid = None if lengths is None else _valid(x, lengths)
    with cached_weights(cell):
        output, state = _steps(cell, gi, x, state, valid, resets)
    return (output if valid is None else output.masked_fill(~valid.unsqueeze(2), 0.0)), state


def _valid(x: Tensor, lengths: Tensor) -> Tensor:
    return torch.arange(x.size(1), device=x.device) < lengths.unsqueeze(1)  # (B, T)


def _steps(
    cell: RecurrentCell, gi: Tensor, x: Tensor, state: State, valid: Tensor | None, resets: Resets | None
) -> tuple[Tensor, State]:
    valid_steps = None if valid is None else valid.unsqueeze(2).unbind(1)  # T times (B, 1)
    begins = None if resets is None else resets.steps()
    outputs = []
    for t, gi_t in enumerate(gi.unbind(1)):
        if resets is not None and begins is not None and begins[t]:
            state = reset_rows(state, resets.mask[:, t], resets.initial)
        new = cell.step(gi_t, state)
        new = tuple(new) if isinstance(new, list) else new
        if t == 0:
            check_state(new, cell.state_names, cell.state_sizes, x, name=f"{type(cell).__name__}: the new state")
        state = new if valid_steps is None else tuple(map(torch.where, (valid_steps[t],) * len(new), new, state))
        outputs.append(cell.output(state))
        if t == 0:
            cell.check_output(outputs[0], x)
    return torch.stack(outputs, 1), state
