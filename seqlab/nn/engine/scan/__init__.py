"""Any cell of gates, over a whole sequence as one operation with its own gradient.

In between one product with all inputs and one product for the weights' gradient, a native loop runs each step: one
recurrent product, then one pass over the step's values; and backward one pass of the step's adjoint, which PyTorch's
own differentiation of ``pointwise`` gives, and one product. The step, its adjoint and the loop are C++ for a CPU,
compiled once for a cell and its sizes, whatever T and B, and kept on disk.

A compiled step is a snapshot. It rests on a :class:`~seqlab.nn.engine.capture.Capture`, which is asked at each call
whether all that the step was made from still holds; what can't be watched or kept exactly is refused with its reason,
before anything is computed; and before its first use a step is compared with the cell itself
(:mod:`~seqlab.nn.engine.scan.check`).

Kept for the adjoint, a step and row: the state, and each result of a costly operation (for an LSTM c and h, the four
gates, in the place of their sums, and tanh(c): 7 H numbers).
"""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple
from typing import cast as typed

import torch
from torch import Tensor
from torch.nn.utils.parametrize import type_before_parametrizations

from seqlab.nn.cells.base import GatedCell, RecurrentCell
from seqlab.nn.engine import loop
from seqlab.nn.engine.capture import Capture, Watched, watched
from seqlab.nn.engine.dynamo import untraceable
from seqlab.nn.engine.errors import FinalError, UnsupportedError
from seqlab.nn.engine.once import has_bias, linear_ships, not_once, once_a_call, ships, unplain
from seqlab.nn.engine.scan import build
from seqlab.nn.engine.scan.check import check_step
from seqlab.nn.engine.scan.function import Plan, Scan, in_memory
from seqlab.nn.engine.scan.program import Program
from seqlab.nn.engine.scan.replay import replay
from seqlab.nn.engine.scan.rows import Output, output_of
from seqlab.nn.engine.scan.schedule import Packing, Schedule, dense, grid, packed
from seqlab.nn.engine.scan.step import Step, cut
from seqlab.nn.engine.scan.trace import Trace, trace
from seqlab.nn.state import State

Operation = Callable[..., tuple[Tensor, ...]]
logger = logging.getLogger("seqlab")
_warned: set[str] = set()
MOST_PROGRAMS = 3  # that the changes of one cell's attributes may ask for, in one mode


class _Ready(NamedTuple):
    """What a call runs on: the step as PyTorch operations, what it reads, and its program where it is compiled."""

    step: Step
    live: Sequence[Any]
    program: Program | None
    sequences: int
    uncompiled: str | None
    row_wise: bool = True  # whether the output of all steps at once is that of each


class _Call(NamedTuple):
    """What decides, beside the cell, how a call runs."""

    gradients: bool
    dtype: torch.dtype
    device: torch.device
    sequences: int  # how many parts of the state the output is made of


class _Derived(NamedTuple):
    """A step as PyTorch operations, its program, and why there is none."""

    step: Step
    program: Program | None
    uncompiled: str | None


def refusal(cell: RecurrentCell) -> str | None:
    """Why this engine can't serve ``cell`` as it is built, or None; :func:`run` may still refuse what it does."""
    if not isinstance(cell, GatedCell):
        return "it runs GatedCells, whose step is a product and a pointwise rest"
    if not (ships(cell, GatedCell, "step") and ships(cell, GatedCell, "product")):
        return f"{type_before_parametrizations(cell).__name__} has a step of its own"
    if not linear_ships():
        return "functional.linear, its product, was replaced"
    if cell.state_sizes[0] != cell.hidden_size:
        return f"its h has {cell.state_sizes[0]} units, not hidden_size={cell.hidden_size}"
    return None


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


def _served(cell: GatedCell, x: Tensor, state: State, lengths: Tensor | None, auto: bool) -> _Ready:
    """What a call runs on; under "auto" only where that is faster than a loop."""
    ready = prepare(cell, x, state, lengths)
    if ready.program is None:
        if auto:
            raise UnsupportedError(f"its step can't be compiled: {ready.uncompiled}")
        _warn_once(f"{type(cell).__name__}: scan runs its step uncompiled, slower than a loop: {ready.uncompiled}")
    return ready


def compiles() -> bool:
    """Whether steps are compiled on this machine's CPU."""
    return build.compiler() is not None


def prepare(cell: GatedCell, x: Tensor, state: State, lengths: Tensor | None) -> _Ready:
    """The compiled step that holds now, made if there is none.

    Raises:
        UnsupportedError: there can be none.
    """
    reason = refusal(cell)  # a method may have been replaced
    if reason is not None:
        raise UnsupportedError(reason)
    if x.dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        raise UnsupportedError(f"it does not know values of {x.dtype}")
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    gradients = torch.is_grad_enabled() and _learns(cell, x, state)
    first_alone = ships(cell, RecurrentCell, "output")
    sequences = 1 if first_alone else len(cell.state_names)
    output = Output(True) if first_alone else output_of(cell, gradients, dtype, x.device)
    if not output.row_wise and lengths is not None:
        raise UnsupportedError("its output is not of each row alone, and rows have lengths of their own")
    watch, call = watched(cell, "pointwise"), _Call(gradients, dtype, x.device, sequences)
    try:
        ready = _ready(cell, watch, call)
    except _AgainError:
        ready = _ready(cell, watch, call)
    if output.written:
        read = [*cell.parameters(), *(each for each in ready.live if isinstance(each, Tensor))]
        if not _storages(output.written).isdisjoint(_storages(read)):
            raise UnsupportedError("its output changes what its step reads")
    return ready._replace(row_wise=output.row_wise)


def _storages(tensors: Iterable[Tensor]) -> set[int]:
    return {each.untyped_storage()._cdata for each in tensors}


def _ready(cell: GatedCell, watch: Watched, call: _Call) -> _Ready:
    sizes = _sizes(cell)
    capture, scope = watch.capture(cell, sizes, [call.gradients] * len(sizes), call.dtype, call.device)
    live = capture.live(scope)
    if live:  # what the cell itself holds was asked before
        reason = unplain(cell, *(each for each in live if isinstance(each, Tensor)))
        if reason is not None:
            raise UnsupportedError(reason)
    certain = _certain(cell) if capture.reads_autograd else None
    key = (call.dtype, call.device.type, call.sequences, certain, os.environ.get("SEQLAB_COMPILE"))
    known = capture.derived.get(key)
    if known is None:
        with watch.lock:
            known = capture.derived.get(key)
            if known is None:
                known = capture.derived[key] = _derive(cell, watch, capture, live, call)
    if isinstance(known, str):
        raise UnsupportedError(known)
    return _Ready(known.step, live, known.program, call.sequences, known.uncompiled)


def _sizes(cell: GatedCell) -> list[int | None]:
    gates = cell.num_gates * cell.hidden_size
    return [gates, gates if cell.recurrent else None, *cell.state_sizes]


def _derive(cell: GatedCell, watch: Watched, capture: Capture, live: Sequence[Any], call: _Call) -> _Derived | str:
    """The step of a capture and its checked program; or why there is none, for as long as the capture holds."""
    try:
        if capture.reads_autograd:
            _refuse_flags(cell, watch, capture, call)
        # A caller's modes end with its thread: hooks on saved tensors, as a checkpoint has, and autocast.
        with ThreadPoolExecutor(1) as apart:
            return apart.submit(_compiled, cell, watch, capture, live, call).result()
    except FinalError:
        raise
    except Exception as error:
        if capture.has_numbers:
            watch.fix_numbers()  # as constants they may do where they don't as arguments
            raise _AgainError from error
        if isinstance(error, UnsupportedError):
            return str(error)
        # A fault of this engine's own is no reason to end where a loop would run.
        return f"it could not be prepared ({type(error).__name__}: {next(iter(str(error).splitlines()), '')[:200]})"


def _compiled(cell: GatedCell, watch: Watched, capture: Capture, live: Sequence[Any], call: _Call) -> _Derived:
    step = cut(capture, cell.recurrent, len(cell.state_names), live)
    extras = step.extras(
        [each.detach().requires_grad_(each.requires_grad) if isinstance(each, Tensor) else each for each in live]
    )
    traced = trace(cell, step, extras, call.dtype, call.sequences)
    if call.device.type != "cpu":
        return _Derived(step, None, f"there are no kernels for {call.device.type} yet")
    if not compiles():
        return _Derived(step, None, build.missing())
    try:
        program = _program(cell, watch, capture, traced, call)
        program.load()
    except (build.CompilerError, _UncompiledError) as error:
        return _Derived(step, None, str(error))
    grid_of = partial(_grid, cell, dtype=call.dtype)
    check_step(cell, step, live, program, lambda steps, rows: dense(steps, rows, *grid_of(rows)), call.gradients)
    return _Derived(step, program, None)


class _UncompiledError(Exception):
    """There is no program for a step, which can be run all the same."""


class _AgainError(Exception):
    """A capture with numbers as arguments does not do: one with numbers as constants may."""


def _certain(cell: GatedCell) -> bool:
    """Whether a gradient comes, while there are any, through the input's and the state's product at every step."""
    learned = {name for name, each in cell.named_parameters() if each.requires_grad}
    return ships(cell, GatedCell, "project") and all(
        any(kind in name for name in learned) for kind in ("weight_ih", *["weight_hh" for _ in range(cell.recurrent)])
    )


def _refuse_flags(cell: GatedCell, watch: Watched, capture: Capture, call: _Call) -> None:
    """What asks its input or state for a gradient may do otherwise where one has none: the first state, say."""
    sizes = _sizes(cell)
    uncertain = set(range(2 if _certain(cell) else 0, len(sizes)))
    for places in [uncertain, *({place} for place in uncertain), *(uncertain - {place} for place in uncertain)]:
        flags = [call.gradients != (place in places) for place in range(len(sizes))]
        other, _ = watch.capture(cell, sizes, flags, call.dtype, call.device)
        if other.text() != capture.text():
            raise UnsupportedError("it asks whether its input or state requires a gradient")


def _program(cell: GatedCell, watch: Watched, capture: Capture, traced: Trace, call: _Call) -> Program:
    """The program of a trace, unless the cell's attributes have asked for too many."""
    try:
        made = Program(traced, cell.hidden_size, tuple(cell.state_sizes), has_bias(cell), call.dtype)
    except UnsupportedError as error:
        place = "" if error.node is None else f" ({traced.describe(error.node)})"
        raise _UncompiledError(f"{error}{place}") from None
    mode = (
        *(call.dtype, call.gradients, capture.grad_mode, has_bias(cell), traced.num_sequences),
        tuple(module.training for module in cell.modules()),
        tuple(tuple(each.shape) for each in (*cell.parameters(), *cell.buffers())),
    )
    known = watch.programs.setdefault(mode, set())
    if made.key not in known and len(known) >= MOST_PROGRAMS:
        watch.refusal = (
            f"an attribute of its step changes so that it would be compiled a {MOST_PROGRAMS + 1}th time; "
            "a number used in arithmetic is no such attribute"
        )
        raise FinalError(watch.refusal)
    known.add(made.key)
    return made


def _run(
    cell: GatedCell, ready: _Ready, x: Tensor, gi: Tensor | None, state: State, lengths: Tensor | None
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
    packing = packed(sizes, steps, *_grid(cell, rows, ready.program.dtype))
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
    cell: GatedCell, ready: _Ready, x: Tensor, gi: Tensor | None, state: list[Tensor], packing: Packing | None
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
        dense(x.size(1), x.size(0), *_grid(cell, x.size(0), program.dtype)) if packing is None else packing.schedule
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
    cell: GatedCell, ready: _Ready, x: Tensor, gi: Tensor, state: State, lengths: Tensor | None
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


def _given(cell: GatedCell, ready: _Ready, gi: Tensor, state: list[Tensor], dtype: torch.dtype) -> list[Tensor | None]:
    """What the operation is applied to, in the precision it computes in."""
    shortened = torch.is_autocast_enabled(gi.device.type)
    with torch.autocast(gi.device.type, enabled=False) if shortened else nullcontext():
        extras = [extra.to(gi.device) for extra in ready.step.extras(ready.live)]
    given = [gi, cell.weight_hh, cell.bias_hh, *state, *extras]
    return [None if each is None else in_memory(_cast(each, dtype)) for each in given]


def _learns(cell: GatedCell, x: Tensor, state: State) -> bool:
    """Whether anything that a step is given or reads requires a gradient."""
    if x.requires_grad or any(part.requires_grad for part in state):
        return True
    return any(parameter.requires_grad for parameter in cell.parameters())


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


def _grid(cell: GatedCell, rows: int, dtype: torch.dtype) -> tuple[int, int]:
    numbers = cell.num_gates * cell.hidden_size**2 if cell.recurrent else 0
    return grid(rows, cell.hidden_size, numbers * dtype.itemsize, build.threads())


__all__ = ["Schedule", "UnsupportedError", "compiles", "prepare", "refusal", "run"]
