"""The compiled step that a call may use: made where there is none, or refused with the reason."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.parametrize import type_before_parametrizations

from seqlab.nn.cells.base import GatedCell, RecurrentCell
from seqlab.nn.engine.capture import Capture, Watched, watched
from seqlab.nn.engine.errors import FinalError, UnsupportedError
from seqlab.nn.engine.once import has_bias, linear_ships, ships, unplain
from seqlab.nn.engine.scan import build
from seqlab.nn.engine.scan.check import check_step
from seqlab.nn.engine.scan.program import Program
from seqlab.nn.engine.scan.rows import Output, output_of
from seqlab.nn.engine.scan.schedule import dense, grid
from seqlab.nn.engine.scan.step import Step, cut
from seqlab.nn.engine.scan.trace import Trace, trace
from seqlab.nn.state import State

MOST_PROGRAMS = 3  # that the changes of one cell's attributes may ask for, in one mode


class Ready(NamedTuple):
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


def compiles() -> bool:
    """Whether steps are compiled on this machine's CPU."""
    return build.compiler() is not None


def prepare(cell: GatedCell, x: Tensor, state: State, lengths: Tensor | None) -> Ready:
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


def _ready(cell: GatedCell, watch: Watched, call: _Call) -> Ready:
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
    return Ready(known.step, live, known.program, call.sequences, known.uncompiled)


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
    sizes_of = partial(grid_of, cell, dtype=call.dtype)
    check_step(cell, step, live, program, lambda steps, rows: dense(steps, rows, *sizes_of(rows)), call.gradients)
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


def _learns(cell: GatedCell, x: Tensor, state: State) -> bool:
    """Whether anything that a step is given or reads requires a gradient."""
    if x.requires_grad or any(part.requires_grad for part in state):
        return True
    return any(parameter.requires_grad for parameter in cell.parameters())


def grid_of(cell: GatedCell, rows: int, dtype: torch.dtype) -> tuple[int, int]:
    numbers = cell.num_gates * cell.hidden_size**2 if cell.recurrent else 0
    return grid(rows, cell.hidden_size, numbers * dtype.itemsize, build.threads())
