"""Lowers a traced cell to typed operations. All decisions fall here; a printer only writes them down."""

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.directions import AdjointLowering, Graph, SavePlan, StepLowering, sums_of_extras
from seqlab.nn.engine.scan.expressions import (
    Buffer,
    Zero,
)
from seqlab.nn.engine.scan.lowered import (
    Function,
    KeptSpan,
    Layout,
    LoweredCell,
    Statement,
    Store,
    StoreOne,
)
from seqlab.nn.engine.scan.lowering import SLOTS, Lowering
from seqlab.nn.engine.scan.trace import Trace, is_constant
from seqlab.nn.engine.scan.views import Span, count_of, row_shape

_ROUNDS = 3


def lower(
    trace: Trace, hidden_size: int, state_sizes: tuple[int, ...], has_bias: bool, dtype: torch.dtype
) -> LoweredCell:
    """The step and the adjoint of a traced cell as typed operations.

    Args:
        trace: the cell's step and its adjoint, as a graph of PyTorch operations.
        hidden_size: H.
        state_sizes: the width of each part of the state; the first is H.
        has_bias: whether the recurrent product has a bias, whose gradient is then summed.
        dtype: float32 or float64, in which the program computes.

    Raises:
        UnsupportedError: a compiled step can't do exactly what the step does; the message says what.
    """
    _check_dtypes(trace)
    assert state_sizes[0] == hidden_size  # refusal() has checked it
    # With one unit, a gate of gi may be read as a number that all lanes share, so gi may not be overwritten.
    graph, plan = Graph(trace), SavePlan(gi_unaligned=hidden_size == 1, sequences=trace.num_sequences)
    for node in graph.extras:
        if node.meta["val"].dtype not in (dtype, torch.bool, torch.int64, torch.int32):
            raise UnsupportedError(
                f"its pointwise reads a tensor of {node.meta['val'].dtype}, expected {dtype}, bool, int64 or int32"
            )
    sum_gh = trace.recurrent and has_bias
    sources, post = sums_of_extras(graph, trace)
    gates = count_of(graph.gi) // hidden_size
    step = _step(graph, plan, state_sizes, "step", keep=False)
    # A round may find that gi is read unaligned, or that the adjoint needs it. Then nothing may be saved in its place.
    for _ in range(_ROUNDS):
        adjoint = _adjoint(graph, plan, state_sizes, sources, sum_gh)
        sizes = len(plan.spans), plan.spans_in_gi(gates)
        step_and_keep = _step(graph, plan, state_sizes, "step_and_keep", keep=True)
        if sizes == (len(plan.spans), plan.spans_in_gi(gates)):
            break
    else:
        raise UnsupportedError(f"what its adjoint has to read did not settle in {_ROUNDS} rounds")
    num_in_gi = plan.spans_in_gi(gates)
    layout = Layout(
        hidden_size,
        gates,
        state_sizes,
        len(plan.spans) - num_in_gi,
        len(plan.numbers),
        plan.needs_gi or num_in_gi > 0,
        trace.recurrent and graph.to_gi is graph.to_gh,
        ((gates * hidden_size,) if sum_gh else ()) + tuple(count_of(node) for node in sources),
        sum_gh,
        tuple((1, *row_shape(node)) for node in sources),
    )
    spans = tuple(
        KeptSpan("gi", slot) if slot < num_in_gi else KeptSpan("kept", slot - num_in_gi) for slot in plan.spans.values()
    )
    return LoweredCell(
        layout, trace.recurrent, trace.num_extras, SLOTS, spans, plan.needs_gi, step, step_and_keep, adjoint, post
    )


def _check_dtypes(trace: Trace) -> None:
    """Refuse a step that computes in another dtype than that of its rows."""
    nodes = list(trace.joint.graph.nodes)
    dtype = nodes[0].meta["val"].dtype  # of gi
    pending = [each for each in nodes[-1].args[0][: trace.num_states] if isinstance(each, fx.Node)]
    visited: set[fx.Node] = set()
    while pending:
        node = pending.pop()
        if node in visited:
            continue
        visited.add(node)
        if is_constant(node) or node.op == "placeholder":
            continue
        pending += node.all_input_nodes
        value = node.meta.get("val")
        if isinstance(value, Tensor) and value.dtype not in (dtype, torch.bool):
            raise UnsupportedError(f"it computes in {value.dtype}, expected {dtype}, the dtype of its rows")


def _step(graph: Graph, plan: SavePlan, state_sizes: Sequence[int], name: str, keep: bool) -> Function:
    """The step as a function; with ``keep``, it also saves what the plan says."""
    lowering, hidden_size = StepLowering(graph, state_sizes[0], plan), state_sizes[0]
    stores: list[Statement] = []
    for index, node in enumerate(graph.next):
        if count_of(node) != state_sizes[index]:  # a store must not reach beyond its buffer
            raise UnsupportedError(
                f"its pointwise returns part {index} of the state in rows of shape {row_shape(node)}, "
                f"expected ({state_sizes[index]},)"
            )
        stores += _stores(lowering, Buffer("next", index), node, state_sizes[index])
    if keep:
        for span, slot in plan.spans.items():
            stores.append(Store(Buffer("kept", slot), 0, lowering.value(span)))
        for span, slot in plan.numbers.items():
            lowering.before.append(StoreOne(Buffer("kept_shared"), slot, lowering.value(span)))
    return _function(name, lowering, stores, hidden_size, bool(lowering.reductions) or lowering.crosses)


def _adjoint(
    graph: Graph, plan: SavePlan, state_sizes: Sequence[int], sources: Sequence[fx.Node], sum_gh: bool
) -> Function:
    """The adjoint as a function. It adds ``sources``, and with ``sum_gh`` gh's gradient, to the sums over rows."""
    if graph.to_gi is None or (graph.gh is not None and graph.to_gh is None):
        raise UnsupportedError("its pointwise depends on neither gi nor gh")
    hidden_size, total = state_sizes[0], Buffer("sums")
    lowering = AdjointLowering(graph, hidden_size, plan)
    stores = _stores(lowering, Buffer("dgi"), graph.to_gi, count_of(graph.to_gi))
    sums = 0
    if graph.to_gh is not None:
        for offset in range(0, count_of(graph.to_gh), hidden_size):
            value = lowering.value(Span(graph.to_gh, offset, False))
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
            lowering.before.append(StoreOne(total, sums, lowering.value(Span(node, 0, True)), add=True))
        else:
            for offset in range(0, count, hidden_size):
                value, end = lowering.value(Span(node, offset, False)), count - offset
                stores.append(Store(total, sums + offset, value, None if end >= hidden_size else end, add=True))
        sums += count
    # A number that all lanes share is summed once a row, so threads may not share a row.
    whole_rows = bool(lowering.reductions) or lowering.crosses or any(count_of(node) == 1 for node in sources)
    return _function("adjoint", lowering, stores, hidden_size, whole_rows)


def _stores(lowering: Lowering, buffer: Buffer, node: fx.Node | None, count: int) -> list[Statement]:
    """The statements that write a node's row of ``count`` numbers; None stands for zeros."""
    width = lowering.width
    if count == 1 < width and node is not None:  # one number for all lanes, written last: lanes may read the old one
        lowering.after.append(StoreOne(buffer, 0, lowering.value(Span(node, 0, True))))
        lowering.crosses = True
        return []
    stores: list[Statement] = []
    for offset in range(0, count, width):
        value = Zero() if node is None else lowering.value(Span(node, offset, False))
        stores.append(Store(buffer, offset, value, None if offset + width <= count else count - offset))
    return stores


def _function(name: str, lowering: Lowering, stores: Sequence[Statement], width: int, whole_rows: bool) -> Function:
    return Function(name, tuple(lowering.before), (*lowering.body, *stores), tuple(lowering.after), width, whole_rows)
