"""All of time at once, for cells that are linear in their state: ``h_t = a_t * h_{t-1} + b_t``."""

import torch
from torch import Tensor
from torch.nn.utils import parametrize
from torch.nn.utils.parametrize import type_before_parametrizations

from seqlab.nn.cell import RecurrentCell
from seqlab.nn.engine.linear_scan import linear_scan
from seqlab.nn.linear import LinearCell
from seqlab.nn.state import State, describe

_DERIVED = ("step", "pointwise", "output", "state_names", "state_sizes", "output_size")


def refusal(cell: RecurrentCell) -> str | None:
    """Why this engine can't serve ``cell``, or None: it must be a ``LinearCell`` that steps as its coefficients say."""
    kind = type_before_parametrizations(cell)
    if not isinstance(cell, LinearCell):
        return f"it needs a LinearCell, which declares coefficients(gi) -> (a, b), and {kind.__name__} is none"
    own = [name for name in _DERIVED if getattr(kind, name) != getattr(LinearCell, name)]
    if own:
        return f"it goes by coefficients alone, and {kind.__name__} has a {' and a '.join(own)} of its own"
    return None


def run(cell: RecurrentCell, x: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
    """Scan ``x (B, T, I)`` in operations over many steps each; padded steps keep the state and output zero."""
    assert isinstance(cell, LinearCell)  # refusal() has seen to it
    if lengths is None:
        a, b, dtype = _coefficients(cell, x, state[0])
        return _scan(a, b, state[0], dtype)
    padding = (torch.arange(x.size(1), device=x.device) >= lengths.unsqueeze(1)).unsqueeze(2)  # (B, T, 1)
    # Masking what comes out is not enough: a NaN in the padding times a zero gradient is NaN in every weight.
    a, b, dtype = _coefficients(cell, x.masked_fill(padding, 0.0), state[0])
    output, final = _scan(a.masked_fill(padding, 1.0), b.masked_fill(padding, 0.0), state[0], dtype)
    return output.masked_fill(padding, 0.0), final


def _coefficients(cell: LinearCell, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor, torch.dtype]:
    """a and b, ``(B, T, H)`` each, and the dtype that the loop over ``cell`` would compute in."""
    with parametrize.cached():
        gi = cell.project(x)  # (B, T, G*H)
        dtype = torch.promote_types(gi.dtype, h.dtype)
        pair = cell.coefficients(gi.to(dtype))
    shape = (*x.shape[:2], cell.hidden_size)
    parts = pair if isinstance(pair, tuple) else (pair,)
    if len(parts) != 2 or not all(_spreads_to(shape, part) for part in parts):
        name = type_before_parametrizations(cell).__name__
        raise ValueError(f"{name}.coefficients: expected (a, b), tensors of shape {shape}, got {describe(pair)}")
    return parts[0].expand(shape), parts[1].expand(shape), dtype


def _spreads_to(shape: tuple[int, ...], part: object) -> bool:
    if not isinstance(part, Tensor) or part.dim() > len(shape):
        return False
    return all(size in (1, wanted) for size, wanted in zip(reversed(part.shape), reversed(shape), strict=False))


def _scan(a: Tensor, b: Tensor, h: Tensor, dtype: torch.dtype) -> tuple[Tensor, State]:
    # Sums over thousands of steps want more than the 8 bits of a bfloat16.
    wide = torch.promote_types(dtype, torch.float32)
    output, last = linear_scan(a.to(wide), b.to(wide), h.to(wide))
    return output.to(dtype), (last.to(dtype),)
