"""Prepares the compiled step that a call may use: finds it or makes it, or refuses the cell with the reason."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.parametrize import type_before_parametrizations

from seqlab.nn.cells.base import GatedCell, RecurrentCell
from seqlab.nn.engine.capture import Capture
from seqlab.nn.engine.errors import FinalError, UnsupportedError
from seqlab.nn.engine.methods import linear_ships, ships
from seqlab.nn.engine.scan import build
from seqlab.nn.engine.scan.check import check_step
from seqlab.nn.engine.scan.program import Program
from seqlab.nn.engine.scan.rows import Output, output_of
from seqlab.nn.engine.scan.schedule import dense, grid
from seqlab.nn.engine.scan.step import Step, cut
from seqlab.nn.engine.scan.trace import Trace, trace
from seqlab.nn.engine.watch import Watch, watch_of
from seqlab.nn.engine.weights import has_bias, tensor_refusal
from seqlab.nn.state import State

MOST_PROGRAMS = 3  # of one cell in one mode: changing attributes may ask for no more


class ReadyStep(NamedTuple):
    """A step that is ready to run.

    Attributes:
        step: the step as PyTorch operations.
        live: the current values of what it reads, for :meth:`Step.extras`.
        program: the compiled step, or None.
        sequences: the number of parts of the state that the output reads at every step: 1 or all.
        uncompiled: why there is no program, or None.
        row_wise: whether ``output`` may be called once, on all steps.
    """

    step: Step
    live: Sequence[Any]
    program: Program | None
    sequences: int
    uncompiled: str | None
    row_wise: bool = True


class _Call(NamedTuple):
    """The properties of a call, beside the cell, that decide how it runs."""

    gradients: bool
    dtype: torch.dtype
    device: torch.device
    sequences: int  # the number of parts of the state that the output reads at every step


class _DerivedStep(NamedTuple):
    """A step as PyTorch operations, and its program or why there is none."""

    step: Step
    program: Program | None
    uncompiled: str | None


def refusal(cell: RecurrentCell) -> str | None:
    """Why this engine can't serve ``cell`` as it is built, or None.

    :func:`run` may still refuse a cell that is served here, for what its ``pointwise`` does.
    """
    if not isinstance(cell, GatedCell):
        return "it runs GatedCells, whose step is one recurrent product and a pointwise part"
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


def prepare(cell: GatedCell, x: Tensor, state: State, lengths: Tensor | None) -> ReadyStep:
    """The step that holds now; it is captured, compiled and compared with the cell if there is none.

    Args:
        cell: the cell.
        x: the input ``(B, T, I)``; its dtype, device and ``requires_grad`` matter.
        state: the initial state, ``(B, size)`` each.
        lengths: the valid steps of each row, ``(B,)``; None if all are.

    Raises:
        UnsupportedError: the cell can't be run exactly; the message says why.
    """
    reason = refusal(cell)  # a method may have been replaced since the layer was built
    if reason is not None:
        raise UnsupportedError(reason)
    if x.dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        raise UnsupportedError(f"x is of {x.dtype}, expected float32, float64, float16 or bfloat16")
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    gradients = torch.is_grad_enabled() and _learns(cell, x, state)
    shipped_output = ships(cell, RecurrentCell, "output")  # it reads the first part of the state alone
    sequences = 1 if shipped_output else len(cell.state_names)
    output = Output(True) if shipped_output else output_of(cell, gradients, dtype, x.device)
    if not output.row_wise and lengths is not None:
        raise UnsupportedError("its output may mix rows, and the rows differ in length")
    watch, call = watch_of(cell, "pointwise"), _Call(gradients, dtype, x.device, sequences)
    try:
        ready = _ready(cell, watch, call)
    except _AgainError:
        ready = _ready(cell, watch, call)
    if output.written:
        inputs = [*cell.parameters(), *(value for value in ready.live if isinstance(value, Tensor))]
        if not _storages(output.written).isdisjoint(_storages(inputs)):
            raise UnsupportedError("its output changes what its step reads")
    return ready._replace(row_wise=output.row_wise)


def _storages(tensors: Iterable[Tensor]) -> set[int]:
    return {each.untyped_storage()._cdata for each in tensors}


def _ready(cell: GatedCell, watch: Watch, call: _Call) -> ReadyStep:
    sizes = _sizes(cell)
    capture, scope = watch.capture(cell, sizes, [call.gradients] * len(sizes), call.dtype, call.device)
    live = capture.live(scope)
    if live:  # without them, the layer has checked all tensors
        reason = tensor_refusal(cell, *(value for value in live if isinstance(value, Tensor)))
        if reason is not None:
            raise UnsupportedError(reason)
    gates_learn = _gates_learn(cell) if capture.reads_autograd else None
    key = (call.dtype, call.device.type, call.sequences, gates_learn, os.environ.get("SEQLAB_COMPILE"))
    derived = capture.derived.get(key)
    if derived is None:
        with watch.lock:
            derived = capture.derived.get(key)
            if derived is None:
                derived = capture.derived[key] = _derive(cell, watch, capture, live, call)
    if isinstance(derived, str):
        raise UnsupportedError(derived)
    return ReadyStep(derived.step, live, derived.program, call.sequences, derived.uncompiled)


def _sizes(cell: GatedCell) -> list[int | None]:
    gates = cell.num_gates * cell.hidden_size
    return [gates, gates if cell.recurrent else None, *cell.state_sizes]


def _derive(cell: GatedCell, watch: Watch, capture: Capture, live: Sequence[Any], call: _Call) -> _DerivedStep | str:
    """The step of a capture with its program; or, for as long as the capture holds, why the cell is refused."""
    try:
        if capture.reads_autograd:
            _refuse_flags(cell, watch, capture, call)
        # Another thread, since the caller's modes belong to its own: autocast, hooks on saved tensors of a checkpoint.
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(_compile, cell, watch, capture, live, call).result()
    except FinalError:
        raise
    except Exception as error:
        if capture.has_numbers:
            watch.fix_numbers()  # a step may be possible with numbers as constants
            raise _AgainError from error
        if isinstance(error, UnsupportedError):
            return str(error)
        # An error of this engine's own must not end a run that `loop` can do.
        return f"it could not be prepared ({type(error).__name__}: {next(iter(str(error).splitlines()), '')[:200]})"


def _compile(cell: GatedCell, watch: Watch, capture: Capture, live: Sequence[Any], call: _Call) -> _DerivedStep:
    """Cut, trace, lower, compile and check the step of a capture."""
    step = cut(capture, cell.recurrent, len(cell.state_names), live)
    extras = step.extras(
        [each.detach().requires_grad_(each.requires_grad) if isinstance(each, Tensor) else each for each in live]
    )
    traced = trace(cell, step, extras, call.dtype, call.sequences)
    if call.device.type != "cpu":
        return _DerivedStep(step, None, f"there are no kernels for {call.device.type} yet")
    if not compiles():
        return _DerivedStep(step, None, build.missing())
    try:
        program = _program(cell, watch, capture, traced, call)
        program.load()
    except (build.CompilerError, _UncompiledError) as error:
        return _DerivedStep(step, None, str(error))
    sizes_of = partial(grid_of, cell, dtype=call.dtype)
    check_step(cell, step, live, program, lambda steps, rows: dense(steps, rows, *sizes_of(rows)), call.gradients)
    return _DerivedStep(step, program, None)


class _UncompiledError(Exception):
    """A step can't be lowered or compiled; it can still be run uncompiled."""


class _AgainError(Exception):
    """A capture with numbers as inputs failed; one with numbers as constants may work."""


def _gates_learn(cell: GatedCell) -> bool:
    """Whether gi and gh require a gradient at every step: the weights of both products do."""
    trainable = {name for name, parameter in cell.named_parameters() if parameter.requires_grad}
    weights = ("weight_ih", *["weight_hh" for _ in range(cell.recurrent)])
    return ships(cell, GatedCell, "project") and all(any(weight in name for name in trainable) for weight in weights)


def _refuse_flags(cell: GatedCell, watch: Watch, capture: Capture, call: _Call) -> None:
    """Refuse code that reads ``requires_grad`` and acts on it: the flag may differ between steps, as of the state.

    The step is captured again with other flags of each tensor that may differ; the graph must not change.
    """
    sizes = _sizes(cell)
    uncertain = set(range(2 if _gates_learn(cell) else 0, len(sizes)))
    for places in [uncertain, *({place} for place in uncertain), *(uncertain - {place} for place in uncertain)]:
        flags = [call.gradients != (place in places) for place in range(len(sizes))]
        other, _ = watch.capture(cell, sizes, flags, call.dtype, call.device)
        if other.text() != capture.text():
            raise UnsupportedError("it asks whether its input or state requires a gradient")


def _program(cell: GatedCell, watch: Watch, capture: Capture, traced: Trace, call: _Call) -> Program:
    """The program of a trace, unless the cell's changing attributes have asked for too many."""
    try:
        program = Program(traced, cell.hidden_size, tuple(cell.state_sizes), has_bias(cell), call.dtype)
    except UnsupportedError as error:
        place = "" if error.node is None else f" ({traced.describe(error.node)})"
        raise _UncompiledError(f"{error}{place}") from None
    mode = (
        *(call.dtype, call.gradients, capture.grad_mode, has_bias(cell), traced.num_sequences),
        tuple(module.training for module in cell.modules()),
        tuple(tuple(each.shape) for each in (*cell.parameters(), *cell.buffers())),
    )
    keys = watch.programs.setdefault(mode, set())
    if program.key not in keys and len(keys) >= MOST_PROGRAMS:
        watch.refusal = (
            f"an attribute of its step changes so that it would be compiled a {MOST_PROGRAMS + 1}th time; "
            "a number used in arithmetic is no such attribute"
        )
        raise FinalError(watch.refusal)
    keys.add(program.key)
    return program


def _learns(cell: GatedCell, x: Tensor, state: State) -> bool:
    """Whether the input, the state or a parameter requires a gradient."""
    if x.requires_grad or any(part.requires_grad for part in state):
        return True
    return any(parameter.requires_grad for parameter in cell.parameters())


def grid_of(cell: GatedCell, rows: int, dtype: torch.dtype) -> tuple[int, int]:
    """How threads divide the work of a cell on a batch of ``rows``; see :func:`grid`."""
    numbers = cell.num_gates * cell.hidden_size**2 if cell.recurrent else 0
    return grid(rows, cell.hidden_size, numbers * dtype.itemsize, build.threads())
