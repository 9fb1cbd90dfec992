"""Runs a cell over a whole sequence: as one operation on its compiled step, or by autograd over the captured step."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import cast as typed

import torch
from torch import Tensor

from seqlab.nn.cells.base import GatedCell, RecurrentCell
from seqlab.nn.engine import loop
from seqlab.nn.engine.dynamo import mode_refusal
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.methods import ships
from seqlab.nn.engine.resets import Resets
from seqlab.nn.engine.scan.function import Plan, Scan, materialize
from seqlab.nn.engine.scan.readiness import ReadyStep, grid_of, prepare
from seqlab.nn.engine.scan.replay import replay
from seqlab.nn.engine.scan.schedule import Packing, dense, pack, reset_flags
from seqlab.nn.engine.weights import cached_weights, tensor_refusal, uncached_weights
from seqlab.nn.state import State, select_rows

Operation = Callable[..., tuple[Tensor, ...]]
logger = logging.getLogger("seqlab")
_warned: set[str] = set()


def run(
    cell: RecurrentCell,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    auto: bool = False,
    resets: Resets | None = None,
) -> tuple[Tensor, State]:
    """Run ``cell`` over a batch; padded steps keep the state and output zero.

    In a model under ``torch.compile``, the call is one break of the model's graph.

    Args:
        cell: a ``GatedCell``.
        x: the input ``(B, T, I)``.
        state: the initial state, ``(B, size)`` each.
        lengths: the valid steps of each row, ``(B,)``; None if all are.
        auto: whether "auto" chose this engine: then a step that is not compiled is declined, as slower than ``loop``.
        resets: the steps before which rows begin anew; None if there are none.

    Returns:
        The output ``(B, T, output_size)`` and the final state, ``(B, size)`` each.

    Raises:
        UnsupportedError: what the cell does can't be run exactly. Nothing has been computed then.
    """
    if torch.compiler.is_compiling():
        result: tuple[Tensor, State] = _run_outside_graph(cell, x, state, lengths, auto, resets)
        return result
    assert isinstance(cell, GatedCell)  # refusal() has checked it
    # The engine's own tensors must not go to a default device that the user has set.
    with torch.device(x.device) if torch._C._len_torch_function_stack() else nullcontext():
        states = state if resets is None else (*state, *resets.initial)
        ready = _prepare(cell, x, states, lengths, auto)
        with cached_weights(cell):
            if ships(cell, GatedCell, "project"):
                return _run(cell, ready, x, None, state, lengths, resets)
            # The user's own `project` sees all steps at once, as on every engine. It may change what the steps read.
            gi = _check_projection(cell, loop.project(cell, x, lengths), x)
            try:
                with uncached_weights(cell):
                    ready = _prepare(cell, x, states, lengths, auto)
            except UnsupportedError as error:
                if not auto:
                    raise
                name = type(cell).__name__
                _warn_once(f"{name}: its steps run on loop, since its project has changed what they read: {error}")
                return loop.run_projected(cell, gi, x, state, lengths, resets)
            return _run(cell, ready, x, gi, state, lengths, resets)


def _prepare(cell: GatedCell, x: Tensor, state: State, lengths: Tensor | None, auto: bool) -> ReadyStep:
    """The step that a call runs; under "auto", an uncompiled step is declined."""
    ready = prepare(cell, x, state, lengths)
    if ready.program is None:
        if auto:
            raise UnsupportedError(f"its step can't be compiled: {ready.uncompiled}")
        _warn_once(f"{type(cell).__name__}: scan runs its step uncompiled, slower than a loop: {ready.uncompiled}")
    return ready


def _run(
    cell: GatedCell,
    ready: ReadyStep,
    x: Tensor,
    gi: Tensor | None,
    state: State,
    lengths: Tensor | None,
    resets: Resets | None,
) -> tuple[Tensor, State]:
    """Run a prepared step over ``x (B, T, I)``.

    ``gi (B, T, G*H)`` is the result of a user's own ``project``; None for the shipped product.
    """
    rows, steps = x.shape[:2]
    if ready.program is None:
        gi = _check_projection(cell, loop.project(cell, x, lengths), x) if gi is None else gi
        return _replay(cell, ready, x, gi, state, lengths, resets)
    counts = None if lengths is None else lengths.tolist()
    if counts is not None and min(counts) == steps:
        counts = None
    if counts is None:
        output, new = _scan(cell, ready, x, gi, state, None, resets)
        return output.view(rows, steps, -1).to(_output_dtype(x)), new
    packing = pack(counts, steps, *grid_of(cell, rows, ready.program.dtype))
    if not packing.position.numel():
        # No row has a step. The loop runs all the same, for the side effects of the cell's methods.
        gi = loop.project(cell, x, lengths) if gi is None else gi
        return loop.run_projected(cell, gi, x, state, lengths, resets)
    scheduled = select_rows(state, packing.order)
    if resets is not None:
        resets = Resets(resets.mask.index_select(0, packing.order), select_rows(resets.initial, packing.order))
    output, final = _scan(cell, ready, x, gi, scheduled, packing, resets)
    padded = output.new_zeros(steps * rows, output.size(1)).index_copy(0, packing.position, output)
    batch_order = torch.argsort(packing.order)
    new = select_rows(final, batch_order)
    return padded.view(steps, rows, -1).transpose(0, 1).to(_output_dtype(x)), new


@torch.compiler.disable(reason="a whole sequence is one native call")  # type: ignore[no-untyped-call, untyped-decorator]
def _run_outside_graph(
    cell: RecurrentCell, x: Tensor, state: State, lengths: Tensor | None, auto: bool, resets: Resets | None
) -> tuple[Tensor, State]:
    try:
        reason = mode_refusal() or tensor_refusal(cell, x, *state, *(() if resets is None else resets.initial))
        if reason is not None:
            raise UnsupportedError(reason)
        return run(cell, x, state, lengths, auto, resets)
    except UnsupportedError:
        if not auto:
            raise
        return loop.run(cell, x, state, lengths, resets)


def _scan(
    cell: GatedCell,
    ready: ReadyStep,
    x: Tensor,
    gi: Tensor | None,
    state: State,
    packing: Packing | None,
    resets: Resets | None,
) -> tuple[Tensor, State]:
    """Run the compiled step over ``x (B, T, I)``: (output ``(N, output_size)``, final state).

    N counts the rows of all steps: B * T, or the packed rows of ``packing``. The state and the resets are those of the
    scheduled rows.
    """
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
    if resets is not None:
        state = (*state, *resets.initial)
    arguments = _arguments(cell, ready, gi.flatten(0, -2), state, program.dtype)
    flags = None if resets is None else reset_flags(resets.mask, schedule)
    plan = Plan(program, ready.step, schedule, packing, _low_precision(x), flags)
    results = typed(Operation, Scan.apply)(plan, _needs_adjoint(arguments), arguments[0], *origin, *arguments[1:])
    sequences, final = results[: ready.sequences], results[ready.sequences :]
    if ready.row_wise:
        output = cell.output(tuple(sequences))
        # The caller may write into the output, also where it is a view or is saved for a derivative.
        return output if output is sequences[0] else output.clone(), tuple(final)
    steps = [part.view(*x.shape[:2], -1).unbind(1) for part in sequences]
    output = torch.stack([cell.output(state) for state in zip(*steps, strict=True)], 1)
    return output.flatten(0, 1), tuple(final)


def _replay(
    cell: GatedCell,
    ready: ReadyStep,
    x: Tensor,
    gi: Tensor,
    state: State,
    lengths: Tensor | None,
    resets: Resets | None,
) -> tuple[Tensor, State]:
    """Run the captured step, uncompiled, by autograd."""
    valid = None
    if lengths is not None:
        valid = torch.arange(x.size(1), device=x.device) < lengths.unsqueeze(1)  # (B, T)
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    initial = () if resets is None else resets.initial
    projected, weight, bias, *rest = _arguments(cell, ready, gi, (*state, *initial), dtype)
    count, tensors = len(state), typed(list[Tensor], rest)
    extras = tensors[count + len(initial) :]
    starts = None if resets is None else (resets.mask.t(), tensors[count : count + len(initial)])
    by_step = typed(Tensor, projected).transpose(0, 1)  # (T, B, G*H)
    valid_steps = None if valid is None else valid.t().unsqueeze(2)  # (T, B, 1)
    with torch.autocast(x.device.type, enabled=False):
        states, final = replay(ready.step, by_step, weight, bias, tensors[:count], extras, valid_steps, starts)
    output = torch.stack([cell.output(tuple(part[t] for part in states)) for t in range(x.size(1))], 1)
    output = output if valid is None else output.masked_fill(~valid.unsqueeze(2), 0.0)
    return output.to(_output_dtype(x)), tuple(final)


def _arguments(cell: GatedCell, ready: ReadyStep, gi: Tensor, state: State, dtype: torch.dtype) -> list[Tensor | None]:
    """The operation's tensors, in the dtype in which it computes: [gi, weight_hh, bias_hh, *state, *extras]."""
    autocast = torch.is_autocast_enabled(gi.device.type)
    with torch.autocast(gi.device.type, enabled=False) if autocast else nullcontext():
        extras = [extra.to(gi.device) for extra in ready.step.extras(ready.live)]
    tensors = [gi, cell.weight_hh, cell.bias_hh, *state, *extras]
    return [None if each is None else materialize(_cast(each, dtype)) for each in tensors]


def _needs_adjoint(tensors: list[Tensor | None]) -> bool:
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.dtype != dtype and tensor.is_floating_point() else tensor


def _check_projection(cell: GatedCell, gi: Tensor, x: Tensor) -> Tensor:
    """``gi``, if its shape is ``(B, T, G*H)``."""
    shape = (*x.shape[:-1], cell.num_gates * cell.hidden_size)
    if gi.shape != shape:
        raise ValueError(f"{type(cell).__name__}.project: expected {shape}, got {tuple(gi.shape)}")
    return gi


def _low_precision(x: Tensor) -> torch.dtype | None:
    """The dtype in which autocast computes products, or None without autocast. Autocast leaves float64 alone."""
    device = x.device.type
    applies = x.dtype != torch.float64 and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if applies else None


def _output_dtype(x: Tensor) -> torch.dtype:
    """The dtype of ``x``; but float32 under autocast, which casts the operands of the next product itself."""
    return torch.float32 if _low_precision(x) is not None else x.dtype


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        logger.warning(message)
