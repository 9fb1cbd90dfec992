"""A cell over a whole sequence, as one operation on its compiled step, or by autograd over the captured one."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import cast as typed

import torch
from torch import Tensor

from seqlab.nn.cells.base import GatedCell, RecurrentCell
from seqlab.nn.engine import loop
from seqlab.nn.engine.dynamo import untraceable
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.once import not_once, once_a_call, ships, unplain
from seqlab.nn.engine.scan.function import Plan, Scan, in_memory
from seqlab.nn.engine.scan.readiness import Ready, grid_of, prepare
from seqlab.nn.engine.scan.replay import replay
from seqlab.nn.engine.scan.schedule import Packing, dense, packed
from seqlab.nn.state import State

Operation = Callable[..., tuple[Tensor, ...]]
logger = logging.getLogger("seqlab")
_warned: set[str] = set()


def run(
    cell: RecurrentCell, x: Tensor, state: State, lengths: Tensor | None, auto: bool = False
) -> tuple[Tensor, State]:
    """Run ``cell`` over ``x (B, T, I)``; padded steps keep the state and output zero.

    In a compiled model this is one break of its graph.

    Raises:
        UnsupportedError: what the cell does can't be run exactly; nothing has been computed then.
    """
    if torch.compiler.is_compiling():
        result: tuple[Tensor, State] = _run_outside(cell, x, state, lengths, auto)
        return result
    assert isinstance(cell, GatedCell)  # refusal() has seen to it
    # A default device is none of the engine's own tensors' business.
    with torch.device(x.device) if torch._C._len_torch_function_stack() else nullcontext():
        ready = _served(cell, x, state, lengths, auto)
        with once_a_call(cell):
            if ships(cell, GatedCell, "project"):
                return _run(cell, ready, x, None, state, lengths)
            # It is the user's: it sees all steps at once, as on every engine, and they see what it changes.
            gi = _checked(cell, loop.project(cell, x, lengths), x)
            try:
                with not_once(cell):
                    ready = _served(cell, x, state, lengths, auto)
            except UnsupportedError as error:
                if not auto:
                    raise
                _warn_once(f"{type(cell).__name__}: its steps run on loop, for what its project has changed: {error}")
                return loop.run_projected(cell, gi, x, state, lengths)
            return _run(cell, ready, x, gi, state, lengths)


def _served(cell: GatedCell, x: Tensor, state: State, lengths: Tensor | None, auto: bool) -> Ready:
    """What a call runs on; under "auto" only where that is faster than a loop."""
    ready = prepare(cell, x, state, lengths)
    if ready.program is None:
        if auto:
            raise UnsupportedError(f"its step can't be compiled: {ready.uncompiled}")
        _warn_once(f"{type(cell).__name__}: scan runs its step uncompiled, slower than a loop: {ready.uncompiled}")
    return ready


def _run(
    cell: GatedCell, ready: Ready, x: Tensor, gi: Tensor | None, state: State, lengths: Tensor | None
) -> tuple[Tensor, State]:
    """``gi (B, T, G*H)`` is what a ``project`` of the user's own has given, None for the product that ships."""
    rows, steps = x.shape[:2]
    if ready.program is None:
        gi = _checked(cell, loop.project(cell, x, lengths), x) if gi is None else gi
        return _replay(cell, ready, x, gi, state, lengths)
    sizes = None if lengths is None else lengths.tolist()
    if sizes is not None and min(sizes) == steps:
        sizes = None
    if sizes is None:
        output, new = _scan(cell, ready, x, gi, list(state), None)
        return output.view(rows, steps, -1).to(_output_dtype(x)), new
    packing = packed(sizes, steps, *grid_of(cell, rows, ready.program.dtype))
    if not packing.position.numel():
        # No row has a step: what the cell does all the same is done.
        gi = loop.project(cell, x, lengths) if gi is None else gi
        return loop.run_projected(cell, gi, x, state, lengths)
    given = [part.index_select(0, packing.order) for part in state]
    output, final = _scan(cell, ready, x, gi, given, packing)
    whole = output.new_zeros(steps * rows, output.size(1)).index_copy(0, packing.position, output)
    restored = torch.argsort(packing.order)
    result, new = whole.view(steps, rows, -1), tuple(part.index_select(0, restored) for part in final)
    return result.transpose(0, 1).to(_output_dtype(x)), new


@torch.compiler.disable(reason="a whole sequence is one native call")  # type: ignore[no-untyped-call, untyped-decorator]
def _run_outside(
    cell: RecurrentCell, x: Tensor, state: State, lengths: Tensor | None, auto: bool
) -> tuple[Tensor, State]:
    try:
        reason = untraceable() or unplain(cell, x, *state)
        if reason is not None:
            raise UnsupportedError(reason)
        return run(cell, x, state, lengths, auto)
    except UnsupportedError:
        if not auto:
            raise
        return loop.run(cell, x, state, lengths)


def _scan(
    cell: GatedCell, ready: Ready, x: Tensor, gi: Tensor | None, state: list[Tensor], packing: Packing | None
) -> tuple[Tensor, State]:
    """``x (B, T, I)`` to (output (N, output_size), final state), N the rows of all steps, or those of ``packing``."""
    program = ready.program
    assert program is not None
    origin: tuple[Tensor | None, ...] = (None, None, None)
    if gi is None:
        x = x.contiguous() if packing is None else x.transpose(0, 1).flatten(0, 1).index_select(0, packing.position)
        origin = (x, cell.weight_ih, cell.bias_ih)
        gi = torch.nn.functional.linear(*typed(tuple[Tensor, Tensor, Tensor], origin))
    elif packing is not None:
        gi = gi.transpose(0, 1).flatten(0, 1).index_select(0, packing.position)
    schedule = (
        dense(x.size(1), x.size(0), *grid_of(cell, x.size(0), program.dtype)) if packing is None else packing.schedule
    )
    given = _given(cell, ready, gi.flatten(0, -2), state, program.dtype)
    plan = Plan(program, ready.step, schedule, packing, _low(x))
    results = typed(Operation, Scan.apply)(plan, _needs_adjoint(given), given[0], *origin, *given[1:])
    sequences, final = results[: ready.sequences], results[ready.sequences :]
    if ready.row_wise:
        output = cell.output(tuple(sequences))
        # The caller may change it in place, whatever it is a view of or keeps for its own derivative.
        return output if output is sequences[0] else output.clone(), tuple(final)
    steps = [part.view(*x.shape[:2], -1).unbind(1) for part in sequences]
    output = torch.stack([cell.output(state) for state in zip(*steps, strict=True)], 1)
    return output.flatten(0, 1), tuple(final)


def _replay(
    cell: GatedCell, ready: Ready, x: Tensor, gi: Tensor, state: State, lengths: Tensor | None
) -> tuple[Tensor, State]:
    """The same uncompiled, by autograd over the captured step."""
    valid = None
    if lengths is not None:
        valid = torch.arange(x.size(1), device=x.device) < lengths.unsqueeze(1)  # (B, T)
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    projected, weight, bias, *rest = _given(cell, ready, gi, list(state), dtype)
    count = len(state)
    keep = None if valid is None else valid.t().unsqueeze(2)
    given = typed(list[Tensor], rest)
    moved = typed(Tensor, projected).transpose(0, 1)
    with torch.autocast(x.device.type, enabled=False):
        states, final = replay(ready.step, moved, weight, bias, given[:count], given[count:], keep)
    output = torch.stack([cell.output(tuple(part[t] for part in states)) for t in range(x.size(1))], 1)
    output = output if valid is None else output.masked_fill(~valid.unsqueeze(2), 0.0)
    return output.to(_output_dtype(x)), tuple(final)


def _given(cell: GatedCell, ready: Ready, gi: Tensor, state: list[Tensor], dtype: torch.dtype) -> list[Tensor | None]:
    """What the operation is applied to, in the precision it computes in."""
    shortened = torch.is_autocast_enabled(gi.device.type)
    with torch.autocast(gi.device.type, enabled=False) if shortened else nullcontext():
        extras = [extra.to(gi.device) for extra in ready.step.extras(ready.live)]
    given = [gi, cell.weight_hh, cell.bias_hh, *state, *extras]
    return [None if each is None else in_memory(_cast(each, dtype)) for each in given]


def _needs_adjoint(given: list[Tensor | None]) -> bool:
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in given)


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.dtype != dtype and tensor.is_floating_point() else tensor


def _checked(cell: GatedCell, gi: Tensor, x: Tensor) -> Tensor:
    wanted = (*x.shape[:-1], cell.num_gates * cell.hidden_size)
    if gi.shape != wanted:
        raise ValueError(f"{type(cell).__name__}.project: expected {wanted}, got {tuple(gi.shape)}")
    return gi


def _low(x: Tensor) -> torch.dtype | None:
    """The precision that autocast gives to products, or None; it leaves float64 alone."""
    device = x.device.type
    shortens = x.dtype != torch.float64 and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if shortens else None


def _output_dtype(x: Tensor) -> torch.dtype:
    """The dtype of ``x``, but float32 under autocast, where the next product casts for itself."""
    return torch.float32 if _low(x) is not None else x.dtype


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        logger.warning(message)
