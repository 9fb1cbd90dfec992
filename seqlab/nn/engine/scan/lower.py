"""From a traced cell to typed operations: all that is decided before anything is printed."""

from collections.abc import Sequence

import torch
from torch import fx

from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.directions import AdjointLowering, Graph, Plan, StepLowering, sums_of_extras
from seqlab.nn.engine.scan.lowered import (
    Buffer,
    Function,
    Layout,
    Lowered,
    Span,
    Statement,
    Store,
    StoreOne,
    Zero,
)
from seqlab.nn.engine.scan.lowering import SLOTS, Lowering, check_trace
from seqlab.nn.engine.scan.trace import Trace
from seqlab.nn.engine.scan.views import Run, count_of, row_shape

_ROUNDS = 3


def lower(trace: Trace, hidden_size: int, state_sizes: tuple[int, ...], has_bias: bool, dtype: torch.dtype) -> Lowered:
    """The step and the adjoint of a traced cell as typed operations.

    Args:
        trace: the cell's step and its adjoint, as a graph of PyTorch operations.
        hidden_size: H.
        state_sizes: the widths of the parts of the state; the first is H.
        has_bias: whether the recurrent product has a bias, whose gradient is then summed.
        dtype: float32 or float64, in which the program computes.

    Raises:
        UnsupportedError: the step does something that no compiled step can; the line says what.
    """
    check_trace(trace)
    assert state_sizes[0] == hidden_size  # the engine refuses others
    # Of a row of single numbers, each may be read as one that all lanes share: gi stays as it is.
    graph, plan = Graph(trace), Plan(gi_cut=hidden_size == 1, sequences=trace.num_sequences)
    for node in graph.extras:
        if node.meta["val"].dtype not in (dtype, torch.bool, torch.int64, torch.int32):
            raise UnsupportedError(f"its pointwise uses values of {node.meta['val'].dtype} that all rows share")
    sum_gh = trace.recurrent and has_bias
    sources, post = sums_of_extras(graph, trace)
    gates = count_of(graph.gi) // hidden_size
    step = _step(graph, plan, state_sizes, "step", keep=False)
    for _ in range(_ROUNDS):  # what is kept may read gi in parts, after which nothing is kept in gi's place
        adjoint = _adjoint(graph, plan, state_sizes, sources, sum_gh)
        places = len(plan.kept), plan.in_gi(gates)
        step_and_keep = _step(graph, plan, state_sizes, "step_and_keep", keep=True)
        if places == (len(plan.kept), plan.in_gi(gates)):
            break
    else:
        raise UnsupportedError("its pointwise keeps for its adjoint what it reads in parts")
    inside = plan.in_gi(gates)
    layout = Layout(
        hidden_size,
        gates,
        state_sizes,
        len(plan.kept) - inside,
        len(plan.kept_shared),
        plan.gi_kept or inside > 0,
        trace.recurrent and graph.to_gi is graph.to_gh,
        ((gates * hidden_size,) if sum_gh else ()) + tuple(count_of(node) for node in sources),
        sum_gh,
        tuple((1, *row_shape(node)) for node in sources),
    )
    spans = tuple(Span("gi", slot) if slot < inside else Span("kept", slot - inside) for slot in plan.kept.values())
    return Lowered(
        layout, trace.recurrent, trace.num_extras, SLOTS, spans, plan.gi_kept, step, step_and_keep, adjoint, post
    )


def _step(graph: Graph, plan: Plan, state_sizes: Sequence[int], name: str, keep: bool) -> Function:
    lowering, hidden_size = StepLowering(graph, state_sizes[0], plan), state_sizes[0]
    stores: list[Statement] = []
    for index, node in enumerate(graph.next):
        if count_of(node) != state_sizes[index]:  # nothing is written beside its place
            raise UnsupportedError(f"its pointwise gives a part of the state in the shape {row_shape(node)}")
        stores += _stores(lowering, Buffer("next", index), node, state_sizes[index])
    if keep:
        for run, slot in plan.kept.items():
            stores.append(Store(Buffer("kept", slot), 0, lowering.value(run)))
        for run, slot in plan.kept_shared.items():
            lowering.row.append(StoreOne(Buffer("kept_shared"), slot, lowering.value(run)))
    return _function(name, lowering, stores, hidden_size, bool(lowering.reduced) or lowering.crosses)


def _adjoint(
    graph: Graph, plan: Plan, state_sizes: Sequence[int], sources: Sequence[fx.Node], sum_gh: bool
) -> Function:
    if graph.to_gi is None or (graph.gh is not None and graph.to_gh is None):
        raise UnsupportedError("its pointwise does not depend on what it is given")
    hidden_size, total = state_sizes[0], Buffer("sums")
    lowering = AdjointLowering(graph, hidden_size, plan)
    stores = _stores(lowering, Buffer("dgi"), graph.to_gi, count_of(graph.to_gi))
    sums = 0
    if graph.to_gh is not None:
        for offset in range(0, count_of(graph.to_gh), hidden_size):
            value = lowering.value(Run(graph.to_gh, offset, False))
            if graph.to_gh is not graph.to_gi:
                stores.append(Store(Buffer("dgh"), offset, value))
            if sum_gh:
                stores.append(Store(total, offset, value, add=True))
        sums += count_of(graph.to_gh) if sum_gh else 0
    for index, node in enumerate(graph.to_previous):
        stores += _stores(lowering, Buffer("dstate", index), node, state_sizes[index])
    for node in sources:
        count = count_of(node)
        if count == 1:
            lowering.row.append(StoreOne(total, sums, lowering.value(Run(node, 0, True)), add=True))
        else:
            for offset in range(0, count, hidden_size):
                value, end = lowering.value(Run(node, offset, False)), count - offset
                stores.append(Store(total, sums + offset, value, None if end >= hidden_size else end, add=True))
        sums += count
    # What all lanes share is summed once a row, so a row may not be cut among threads.
    whole = bool(lowering.reduced) or lowering.crosses or any(count_of(node) == 1 for node in sources)
    return _function("adjoint", lowering, stores, hidden_size, whole)


def _stores(lowering: Lowering, buffer: Buffer, node: fx.Node | None, count: int) -> list[Statement]:
    """What writes a row of ``count`` numbers; None is zeros."""
    width = lowering.width
    if count == 1 < width and node is not None:  # what all lanes share; it may be read until the row's end
        lowering.last.append(StoreOne(buffer, 0, lowering.value(Run(node, 0, True))))
        lowering.crosses = True
        return []
    stores: list[Statement] = []
    for offset in range(0, count, width):
        value = Zero() if node is None else lowering.value(Run(node, offset, False))
        stores.append(Store(buffer, offset, value, None if offset + width <= count else count - offset))
    return stores


def _function(name: str, lowering: Lowering, stores: Sequence[Statement], width: int, whole: bool) -> Function:
    return Function(name, tuple(lowering.row), (*lowering.lines, *stores), tuple(lowering.last), width, whole)
