"""All of time at once, for cells that are linear in their state: ``h_t = a_t * h_{t-1} + b_t``."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.parametrize import type_before_parametrizations

from seqlab.nn.cells.base import GatedCell, RecurrentCell
from seqlab.nn.cells.linear import LinearCell
from seqlab.nn.engine import loop
from seqlab.nn.engine.capture import Capture, watched
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.linear_scan import linear_scan
from seqlab.nn.engine.once import not_once, once_a_call, ships
from seqlab.nn.engine.scan.step import cut
from seqlab.nn.engine.scan.trace import refuse_draws
from seqlab.nn.state import State, describe

logger = logging.getLogger("seqlab")
_DERIVED = {
    GatedCell: ("step",),
    LinearCell: ("pointwise",),
    RecurrentCell: ("output", "state_sizes", "output_size"),
}


def refusal(cell: RecurrentCell) -> str | None:
    """Why this engine can't serve ``cell``, or None: it must be a ``LinearCell`` that steps as its coefficients say."""
    kind = type_before_parametrizations(cell)
    if not isinstance(cell, LinearCell):
        return f"it needs a LinearCell, which declares coefficients(gi) -> (a, b), and {kind.__name__} is none"
    own = [name for owner, names in _DERIVED.items() for name in names if not ships(cell, owner, name)]
    own += ["state_names"] if cell.state_names != ("h",) else []
    if own:
        return f"it goes by coefficients alone, and {kind.__name__} has a {' and a '.join(own)} of its own"
    return None


def run(
    cell: RecurrentCell, x: Tensor, state: State, lengths: Tensor | None, auto: bool = False
) -> tuple[Tensor, State]:
    """Scan ``x (B, T, I)`` in operations over many steps each; padded steps keep the state and output zero.

    Raises:
        UnsupportedError: what the cell's coefficients do is not the same for all steps at once and one by one.
    """
    assert isinstance(cell, LinearCell)
    if not torch.compiler.is_compiling():  # there PyTorch follows the coefficients itself
        reason = refusal(cell)
        if reason is not None:
            raise UnsupportedError(reason)
        check(cell, x, auto)
    with once_a_call(cell):
        gi = loop.project(cell, x, lengths)
        if not (torch.compiler.is_compiling() or ships(cell, GatedCell, "project")):
            try:
                with not_once(cell):
                    check(cell, x, auto)  # with what project has changed
            except UnsupportedError as error:
                if not auto:
                    raise
                name = type(cell).__name__
                logger.warning("%s: its steps run on loop, for what its project has changed: %s", name, error)
                return loop.run_projected(cell, gi, x, state, lengths)
        a, b, dtype = _coefficients(cell, gi, x, state[0])
    if lengths is None:
        return _scan(a, b, state[0], dtype)
    padding = (torch.arange(x.size(1), device=x.device) >= lengths.unsqueeze(1)).unsqueeze(2)  # (B, T, 1)
    output, final = _scan(a.masked_fill(padding, 1.0), b.masked_fill(padding, 0.0), state[0], dtype)
    return output.masked_fill(padding, 0.0), final


def check(cell: LinearCell, x: Tensor, auto: bool) -> None:
    """Raises :class:`UnsupportedError` unless the coefficients of many steps are those of each.

    They are followed as a compiled step is: what draws, has side effects or mixes rows is refused. And before their
    first use, those of several rows and steps at once are compared with those of each row and step alone.
    """
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    gradients = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in cell.parameters())
    watch = watched(cell, "pointwise")
    try:
        sizes = (cell.num_gates * cell.hidden_size, None, cell.hidden_size)
        capture, scope = watch.capture(cell, sizes, (gradients,) * 3, dtype, x.device)
        known = capture.derived.get("parallel")
        if known is None:
            known = _compare(cell, capture, capture.live(scope), dtype, x.device)
            capture.derived["parallel"] = known
    except UnsupportedError:
        if not auto:  # it may be for want of coefficients of the right shape, which is said then
            with torch.no_grad():
                example = x.new_zeros(*x.shape[:2], cell.num_gates * cell.hidden_size)
                _pair(cell, cell.coefficients(example), (*x.shape[:2], cell.hidden_size))
        raise
    if known:
        raise UnsupportedError(known)


def _compare(cell: LinearCell, capture: Capture, live: Sequence[Any], dtype: torch.dtype, device: torch.device) -> str:
    """What is wrong with the coefficients of many steps, or nothing."""
    try:
        refuse_draws(cut(capture, False, 1, live), cell, dtype, live)
    except UnsupportedError as error:
        return str(error)
    draw = torch.Generator("cpu").manual_seed(1)
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        gi = 3 * torch.randn(3, 4, cell.num_gates * cell.hidden_size, generator=draw, dtype=dtype, device="cpu").to(
            device
        )
        whole = [part.expand(3, 4, cell.hidden_size) for part in cell.coefficients(gi)]
        for row in range(3):
            for t in range(4):
                parts = [part.expand(1, cell.hidden_size) for part in cell.coefficients(gi[row : row + 1, t])]
                for one, other in zip(parts, whole, strict=True):
                    if not torch.allclose(one[0], other[row, t], rtol=1e-4, atol=1e-5, equal_nan=True):
                        return "its coefficients of many steps at once are not those of each"
    return ""


def _coefficients(cell: LinearCell, gi: Tensor, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor, torch.dtype]:
    """a and b of gi ``(B, T, G*H)``, ``(B, T, H)`` each, and the dtype that the loop over ``cell`` would compute in."""
    dtype = torch.promote_types(gi.dtype, h.dtype)
    pair = cell.coefficients(gi.to(dtype))
    parts = _pair(cell, pair, (*x.shape[:2], cell.hidden_size))
    shape = (*x.shape[:2], cell.hidden_size)
    return parts[0].expand(shape), parts[1].expand(shape), dtype


def _pair(cell: LinearCell, pair: object, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    parts = pair if isinstance(pair, tuple) else (pair,)
    if len(parts) != 2 or not all(_spreads_to(shape, part) for part in parts):
        name = type_before_parametrizations(cell).__name__
        raise ValueError(f"{name}.coefficients: expected (a, b), tensors of shape {shape}, got {describe(pair)}")
    return parts[0], parts[1]


def _spreads_to(shape: tuple[int, ...], part: object) -> bool:
    if not isinstance(part, Tensor) or part.dim() > len(shape):
        return False
    return all(size in (1, wanted) for size, wanted in zip(reversed(part.shape), reversed(shape), strict=False))


def _scan(a: Tensor, b: Tensor, h: Tensor, dtype: torch.dtype) -> tuple[Tensor, State]:
    # Sums over thousands of steps want more than the 8 bits of a bfloat16.
    wide = torch.promote_types(dtype, torch.float32)
    output, last = linear_scan(a.to(wide), b.to(wide), h.to(wide))
    if output.requires_grad and dtype == wide:
        output = output.clone()  # the scan keeps its own, and the caller may change this one in place
    return output.to(dtype), (last.to(dtype),)
