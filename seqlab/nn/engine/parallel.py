"""All steps at once, for cells that are linear in their state: ``h_t = a_t * h_{t-1} + b_t``."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.parametrize import type_before_parametrizations

from seqlab.nn.cells.base import GatedCell, RecurrentCell
from seqlab.nn.cells.linear import LinearCell
from seqlab.nn.engine import loop
from seqlab.nn.engine.capture import Capture
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.linear_scan import begin_anew, linear_scan
from seqlab.nn.engine.methods import ships
from seqlab.nn.engine.resets import Resets
from seqlab.nn.engine.scan.step import cut
from seqlab.nn.engine.scan.trace import refuse_draws
from seqlab.nn.engine.watch import watch_of
from seqlab.nn.engine.weights import cached_weights, uncached_weights
from seqlab.nn.state import State, describe

logger = logging.getLogger("seqlab")
_RELIED_ON = {  # the shipped methods that a LinearCell must have for its coefficients to say all
    GatedCell: ("step",),
    LinearCell: ("pointwise",),
    RecurrentCell: ("output", "state_sizes", "output_size"),
}


def refusal(cell: RecurrentCell) -> str | None:
    """Why this engine can't serve ``cell``, or None. It serves a ``LinearCell`` that steps as its coefficients say."""
    kind = type_before_parametrizations(cell)
    if not isinstance(cell, LinearCell):
        return f"it needs a LinearCell, which declares coefficients(gi) -> (a, b), and {kind.__name__} is none"
    overridden = [name for owner, names in _RELIED_ON.items() for name in names if not ships(cell, owner, name)]
    overridden += ["state_names"] if cell.state_names != ("h",) else []
    if overridden:
        return f"it goes by coefficients alone, and {kind.__name__} has a {' and a '.join(overridden)} of its own"
    return None


def run(
    cell: RecurrentCell,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    auto: bool = False,
    resets: Resets | None = None,
) -> tuple[Tensor, State]:
    """Run ``cell`` over a batch by scans over many steps each; padded steps keep the state and output zero.

    Args:
        cell: a ``LinearCell``.
        x: the input ``(B, T, I)``.
        state: the initial state ``(h,)``, h ``(B, H)``.
        lengths: the valid steps of each row, ``(B,)``; None if all are.
        auto: whether "auto" chose this engine: then, if ``project`` changes the cell, the steps may run on ``loop``.
        resets: the steps before which rows begin anew; None if there are none.

    Returns:
        The output ``(B, T, H)`` and the final state ``(h,)``.

    Raises:
        UnsupportedError: the coefficients of many steps at once differ from those of each step.
    """
    assert isinstance(cell, LinearCell)
    if not torch.compiler.is_compiling():  # in a compiled model, PyTorch itself traces the coefficients
        reason = refusal(cell)
        if reason is not None:
            raise UnsupportedError(reason)
        check(cell, x, auto)
    with cached_weights(cell):
        gi = loop.project(cell, x, lengths)
        if not (torch.compiler.is_compiling() or ships(cell, GatedCell, "project")):
            try:
                with uncached_weights(cell):
                    check(cell, x, auto)  # again: project may have changed the cell
            except UnsupportedError as error:
                if not auto:
                    raise
                name = type(cell).__name__
                logger.warning(
                    "%s: its steps run on loop, since its project has changed what they read: %s", name, error
                )
                return loop.run_projected(cell, gi, x, state, lengths, resets)
        a, b, dtype = _coefficients(cell, gi, x, state[0])
    if lengths is None:
        return _scan(a, b, state[0], dtype, resets)
    padding = (torch.arange(x.size(1), device=x.device) >= lengths.unsqueeze(1)).unsqueeze(2)  # (B, T, 1)
    output, final = _scan(a.masked_fill(padding, 1.0), b.masked_fill(padding, 0.0), state[0], dtype, resets)
    return output.masked_fill(padding, 0.0), final


def check(cell: LinearCell, x: Tensor, auto: bool) -> None:
    """Check that the coefficients of many steps at once are those of each step.

    The coefficients are captured as a compiled step is, so random draws, side effects and mixed rows are refused.
    Before their first use, the coefficients of several rows and steps are compared with those of each row and step.

    Raises:
        UnsupportedError: they differ, or cannot be captured.
    """
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    gradients = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in cell.parameters())
    watch = watch_of(cell, "pointwise")
    try:
        sizes = (cell.num_gates * cell.hidden_size, None, cell.hidden_size)
        capture, scope = watch.capture(cell, sizes, (gradients,) * 3, dtype, x.device)
        fault = capture.derived.get("parallel")
        if fault is None:
            fault = _compare(cell, capture, capture.live(scope), dtype, x.device)
            capture.derived["parallel"] = fault
    except UnsupportedError:
        if not auto:  # coefficients of a wrong shape may be the cause, and are the better message
            with torch.no_grad():
                example = x.new_zeros(*x.shape[:2], cell.num_gates * cell.hidden_size)
                _pair(cell, cell.coefficients(example), (*x.shape[:2], cell.hidden_size))
        raise
    if fault:
        raise UnsupportedError(fault)


def _compare(cell: LinearCell, capture: Capture, live: Sequence[Any], dtype: torch.dtype, device: torch.device) -> str:
    """The fault of the coefficients of many steps at once; empty if there is none."""
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
                for alone, among_all in zip(parts, whole, strict=True):
                    if not torch.allclose(alone[0], among_all[row, t], rtol=1e-4, atol=1e-5, equal_nan=True):
                        return "its coefficients of many steps at once differ from those of each step"
    return ""


def _coefficients(cell: LinearCell, gi: Tensor, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor, torch.dtype]:
    """a and b ``(B, T, H)``, of gi ``(B, T, G*H)``; and the dtype in which ``loop`` would compute."""
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
    return all(size in (1, full) for size, full in zip(reversed(part.shape), reversed(shape), strict=False))


def _scan(a: Tensor, b: Tensor, h: Tensor, dtype: torch.dtype, resets: Resets | None) -> tuple[Tensor, State]:
    # Sums over thousands of steps need more than the 8 bits of a bfloat16.
    wide = torch.promote_types(dtype, torch.float32)
    a, b = a.to(wide), b.to(wide)
    if resets is not None:
        a, b = begin_anew(a, b, resets.mask, resets.initial[0].to(wide))
    output, last = linear_scan(a, b, h.to(wide))
    if output.requires_grad and dtype == wide:
        output = output.clone()  # the scan saves its output for the adjoint, and the caller may write into this one
    return output.to(dtype), (last.to(dtype),)
