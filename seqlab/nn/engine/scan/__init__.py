"""Any gated cell over a whole sequence as one differentiable operation, its step compiled from ``pointwise``.

For all T steps at once: one product with the input before, one for each weight's gradient after. In between a native
loop does, a step, one recurrent product and one pass over the step's values; and backward one pass of the step's
adjoint, which PyTorch's own differentiation of ``pointwise`` gives, and one product. On a CPU the step, its adjoint
and the loop are C++, compiled once for a cell and its sizes, whatever T and B, and kept on disk. Without a C++
compiler, for operations that it does not know, and on other devices, the same runs uncompiled, step by step.

Kept for the adjoint, a step and row: the state, and each result of a costly operation (for an LSTM c and h, the four
gates, in the place of their sums, and tanh(c): 7 H numbers).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast as typed
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.utils import parametrize
from torch.nn.utils.parametrize import type_before_parametrizations

from seqlab.nn.arguments import method_of
from seqlab.nn.cell import GatedCell, RecurrentCell
from seqlab.nn.cells import GRUCell, LSTMCell, RNNCell
from seqlab.nn.engine.scan import build
from seqlab.nn.engine.scan.function import Scan
from seqlab.nn.engine.scan.program import Program
from seqlab.nn.engine.scan.schedule import Packing, dense, grid, packed
from seqlab.nn.engine.scan.steps import Steps
from seqlab.nn.engine.scan.trace import Trace, UnsupportedError, trace
from seqlab.nn.state import State

Operation = Callable[..., tuple[Tensor, ...]]
logger = logging.getLogger("seqlab")


@dataclass(frozen=True)
class _Compiled:
    """A cell's graphs and, where it could be made, its program."""

    trace: Trace
    program: Program | None

    @property
    def sequences(self) -> int:
        return self.trace.num_sequences


_compiled: "WeakKeyDictionary[GatedCell, dict[object, _Compiled]]" = WeakKeyDictionary()
_refusals: "WeakKeyDictionary[GatedCell, str | None]" = WeakKeyDictionary()
_warned: set[str] = set()


def refusal(cell: RecurrentCell) -> str | None:
    """Why this engine can't serve ``cell``, or None."""
    if not isinstance(cell, GatedCell):
        return "it runs GatedCells, whose step is a product and a pointwise rest"
    kind = type_before_parametrizations(cell)
    if any(method_of(cell, name) is not getattr(GatedCell, name) for name in ("step", "product")):
        return f"{kind.__name__} has a step of its own"
    if kind in (RNNCell, GRUCell, LSTMCell) or any(parameter.is_meta for parameter in cell.parameters()):
        return None  # known to serve, or built to be counted and never run
    if cell not in _refusals:
        try:
            trace(cell, torch.float32, torch.device("cpu"))
            _refusals[cell] = None
        except UnsupportedError as error:
            _refusals[cell] = str(error)
    return _refusals[cell]


def run(cell: RecurrentCell, x: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
    """Run ``cell`` over ``x (B, T, I)``; padded steps keep the state and output zero.

    In a compiled model this is one break of its graph.
    """
    if torch.compiler.is_compiling():
        result: tuple[Tensor, State] = _run_outside(cell, x, state, lengths)
        return result
    assert isinstance(cell, GatedCell)  # refusal() has seen to it
    # Before parametrized weights are cached, for tracing must see them computed.
    compiled = _compile(cell, torch.float64 if x.dtype == torch.float64 else torch.float32, x)
    with parametrize.cached():
        return _run(cell, compiled, x, state, lengths)


def compiles() -> bool:
    """Whether steps are compiled on this machine's CPU."""
    return build.compiler() is not None


def _run(cell: GatedCell, compiled: _Compiled, x: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
    rows, steps = x.shape[:2]
    sizes = None
    if lengths is not None:
        sizes = lengths.tolist() if x.device.type == "cpu" else None  # elsewhere, asking would wait for the device
        if sizes is not None and min(sizes) == steps:
            lengths = sizes = None
    moved = x.transpose(0, 1)  # (T, B, I)
    if compiled.program is not None and sizes is not None:
        packing = packed(sizes, steps, *_grid(cell, rows))
        if not packing.position.numel():
            return _nothing(cell, x, state)
        given = [part.index_select(0, packing.order) for part in state]
        x_packed = moved.flatten(0, 1).index_select(0, packing.position)
        output, final = _scan(cell, compiled, x_packed, given, packing)
        whole = output.new_zeros(steps * rows, output.size(1)).index_copy(0, packing.position, output)
        restored = torch.argsort(packing.order)
        result, new = whole.view(steps, rows, -1), tuple(part.index_select(0, restored) for part in final)
    elif compiled.program is not None:
        output, new = _scan(cell, compiled, x.contiguous(), list(state), None)
        return output.view(rows, steps, -1).to(_output_dtype(x)), new
    else:
        result, new = _step(cell, compiled, moved, list(state), lengths)
    return result.transpose(0, 1).to(_output_dtype(x)), new


@torch.compiler.disable(reason="a whole sequence is one native call")  # type: ignore[no-untyped-call, untyped-decorator]
def _run_outside(cell: RecurrentCell, x: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
    return run(cell, x, state, lengths)


def _scan(
    cell: GatedCell, compiled: _Compiled, x: Tensor, state: list[Tensor], packing: Packing | None
) -> tuple[Tensor, State]:
    """``x (B, T, I)``, or packed ``(N, I)``, to (output (N, output_size), final state)."""
    program = compiled.program
    assert program is not None
    gi = cell.project(x)
    if method_of(cell, "project") is not GatedCell.project:
        gi = gi.clone()  # the operation stores the gates in its place, and it may be anything: x itself, even
    schedule = dense(x.size(1), x.size(0), *_grid(cell, x.size(0))) if packing is None else packing.schedule
    flat = _checked(cell, gi, x).flatten(0, -2)
    given = _given(cell, compiled, flat, state, program.dtype)
    results = typed(Operation, Scan.apply)(program, schedule, packing, _low(x), _needs_adjoint(given), *given)
    return cell.output(tuple(results[: compiled.sequences])), tuple(results[compiled.sequences :])


def _step(
    cell: GatedCell, compiled: _Compiled, x: Tensor, state: list[Tensor], lengths: Tensor | None
) -> tuple[Tensor, State]:
    """``x (T, B, I)`` to (output (T, B, output_size), final state), uncompiled."""
    valid = None
    if lengths is not None:
        valid = (torch.arange(x.size(0), device=x.device).unsqueeze(1) < lengths).unsqueeze(2)  # (T, B, 1)
        x = x.masked_fill(~valid, 0.0)  # a NaN in the padding times a zero gradient is NaN
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    given = _given(cell, compiled, _checked(cell, cell.project(x), x), state, dtype)
    results = typed(Operation, Steps.apply)(
        compiled.trace, compiled.sequences, valid, _low(x), _needs_adjoint(given), *given
    )
    sequences = tuple(part.flatten(0, 1) for part in results[: compiled.sequences])
    output = cell.output(sequences).view(x.size(0), x.size(1), -1)
    return (output if valid is None else output.masked_fill(~valid, 0.0)), tuple(results[compiled.sequences :])


def _given(
    cell: GatedCell, compiled: _Compiled, gi: Tensor, state: list[Tensor], dtype: torch.dtype
) -> list[Tensor | None]:
    """What the operation is applied to, in the precision it computes in."""
    tensors: dict[str, Tensor] = {}
    if compiled.trace.names:
        tensors = dict(cell.named_parameters()) | dict(cell.named_buffers())
    with torch.autocast(gi.device.type, enabled=False):
        extras = compiled.trace.prelude(*(_cast(tensors[name], dtype) for name in compiled.trace.names))
    weight = None if cell.weight_hh is None else _cast(cell.weight_hh, dtype).contiguous()
    bias = None if cell.bias_hh is None else _cast(cell.bias_hh, dtype).contiguous()
    parts = [_cast(part, dtype) for part in state]
    return [_cast(gi, dtype).contiguous(), weight, bias, *parts, *(extra.contiguous() for extra in extras)]


def _needs_adjoint(given: list[Tensor | None]) -> bool:
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in given)


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _checked(cell: GatedCell, gi: Tensor, x: Tensor) -> Tensor:
    wanted = (*x.shape[:-1], cell.num_gates * cell.hidden_size)
    if gi.shape != wanted:
        raise ValueError(f"{type(cell).__name__}.project: expected {wanted}, got {tuple(gi.shape)}")
    return gi


def _low(x: Tensor) -> torch.dtype | None:
    """The precision that autocast gives to products, or None."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def _output_dtype(x: Tensor) -> torch.dtype:
    """The dtype of ``x``, but float32 under autocast, where the next product casts for itself."""
    return torch.float32 if _low(x) is not None and x.dtype != torch.float64 else x.dtype


def _nothing(cell: GatedCell, x: Tensor, state: State) -> tuple[Tensor, State]:
    """No row has a step: the state stays, and every weight gets its gradient, which is zero."""
    zero = sum((parameter.sum() * 0.0 for parameter in cell.parameters()), x.new_zeros(()))
    output = x.new_zeros(x.size(0), x.size(1), cell.output_size) + zero + x.flatten(1)[:, :0].sum()
    return output, tuple(part + zero for part in state)


def _grid(cell: GatedCell, rows: int) -> tuple[int, int]:
    weight = cell.weight_hh
    size = 0 if weight is None else weight.numel() * weight.element_size()
    return grid(rows, cell.hidden_size, size, torch.get_num_threads())


def _compile(cell: GatedCell, dtype: torch.dtype, x: Tensor) -> _Compiled:
    found = _compiled.setdefault(cell, {})
    # A pointwise may branch on its module's mode; of all else in a cell, only parametrizations are made later.
    names = tuple(name for name, _ in cell.named_parameters())
    key: tuple[object, ...] = (dtype, cell.training, names)
    if x.device.type == "cpu":
        if key not in found:
            found[key] = _with_program(cell, dtype)
        if found[key].program is not None:
            return found[key]
    key = (dtype, cell.training, names, x.device, x.size(0))  # graphs that run as they are may hold the batch size
    if key not in found:
        found[key] = _Compiled(_traced(cell, dtype, x.device, x.size(0)), None)
    return found[key]


def _with_program(cell: GatedCell, dtype: torch.dtype) -> _Compiled:
    traced = _traced(cell, dtype, torch.device("cpu"))
    try:
        bias = cell.bias_hh is not None
        return _Compiled(traced, Program(traced, cell.hidden_size, tuple(cell.state_sizes), bias, dtype))
    except (UnsupportedError, build.CompilerError) as error:
        _warn_once(f"{type(cell).__name__}: the scan engine runs its step uncompiled, which is slower: {error}")
        return _Compiled(traced, None)


def _traced(cell: GatedCell, dtype: torch.dtype, device: torch.device, *rows: int) -> Trace:
    try:
        return trace(cell, dtype, device, *rows)
    except UnsupportedError as error:
        raise ValueError(f'backend: scan can\'t run this {type(cell).__name__}: {error}; use backend="loop"') from error


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        logger.warning(message)
