"""The lowering of a step and of its adjoint: what each reads, and what the step saves for the adjoint."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast as typed

from torch import fx

from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.expressions import (
    Apply,
    Buffer,
    Choose,
    Combine,
    Lanes,
    Operand,
    Zero,
)
from seqlab.nn.engine.scan.lowered import (
    CopyGradient,
    Prefetch,
)
from seqlab.nn.engine.scan.lowering import SLOTS, Lowering, is_mask
from seqlab.nn.engine.scan.operations import COSTLY, name_of
from seqlab.nn.engine.scan.trace import Trace
from seqlab.nn.engine.scan.views import Span, count_of, is_inside, mark, operands_of


@dataclass
class SavePlan:
    """What the step saves for its adjoint. The lowering of the adjoint adds to it what the adjoint reads.

    Attributes:
        spans: the spans that are saved, with their slots.
        numbers: the numbers, one a row, that are saved, with their slots.
        needs_gi: whether the adjoint reads gi itself, so that nothing may be saved in its place.
        gi_unaligned: whether a lane reads another gate or unit of gi than its own; then gi may not be overwritten.
        sequences: the number of parts of the state that the output reads at every step.
    """

    spans: dict[Span, int] = field(default_factory=dict)
    numbers: dict[Span, int] = field(default_factory=dict)
    needs_gi: bool = False
    gi_unaligned: bool = False
    sequences: int = 1

    def spans_in_gi(self, num_gates: int) -> int:
        """How many spans the step saves in the place of gi: as many as fit, unless gi is still read."""
        return 0 if self.needs_gi or self.gi_unaligned else min(num_gates, len(self.spans))


class Graph:
    """The joint graph of a step and its adjoint, with its inputs and results by their meaning.

    Attributes:
        gi, gh, previous, extras: the inputs of the step; ``gh`` is None without a recurrent product.
        gradients: the gradients to the parts of the new state.
        next: the parts of the new state.
        to_gi, to_gh, to_previous, to_extras: the gradients of the inputs; None for an absent one.
        backward: the nodes of the adjoint, which depend on ``gradients``.
        row_nodes: the nodes that depend on the rows.
    """

    def __init__(self, trace: Trace) -> None:
        nodes = list(trace.joint.graph.nodes)
        inputs = [node for node in nodes if node.op == "placeholder"]
        results = list(next(node for node in nodes if node.op == "output").args[0])
        states, extras = trace.num_states, trace.num_extras
        lead = 1 + trace.recurrent
        self.gi, self.gh = inputs[0], inputs[1] if trace.recurrent else None
        self.previous = inputs[lead : lead + states]
        self.extras = inputs[lead + states : lead + states + extras]
        self.gradients = inputs[lead + states + extras :]
        self.next = results[:states]
        self.to_gi, self.to_gh = results[states], results[states + 1] if trace.recurrent else None
        self.to_previous = results[states + lead : states + lead + states]
        self.to_extras = results[states + lead + states :]
        self.backward = self._depends_on(self.gradients)
        self.row_nodes = self._depends_on([*inputs[: lead + states], *self.gradients])
        mark(trace.joint.graph, self.row_nodes)

    def _depends_on(self, sources: Sequence[fx.Node]) -> set[fx.Node]:
        dependent_nodes = set(sources)
        for node in sources[0].graph.nodes:
            if dependent_nodes.intersection(node.all_input_nodes):
                dependent_nodes.add(node)
        return dependent_nodes


class StepLowering(Lowering):
    """The lowering of a step: it reads the step's arguments."""

    def __init__(self, graph: Graph, hidden_size: int, plan: SavePlan) -> None:
        super().__init__(hidden_size)
        self.graph, self.plan = graph, plan
        self.prefetches: set[tuple[Buffer, int]] = set()

    def source(self, span: Span) -> Operand | None:
        graph, node = self.graph, span.node
        if node is graph.gi:
            self.plan.gi_unaligned |= span.shared or span.offset % self.hidden_size != 0
            return self.stream(Buffer("gi"), span.offset, span.shared, count_of(node))
        if node is graph.gh:
            return self._product(span)
        for index, each in enumerate(graph.previous):
            if node is each:
                self.is_aligned(span)
                return self.load(Buffer("previous", index), span.offset, span.shared, count_of(node))
        for index, each in enumerate(graph.extras):
            if node is each:
                value = self.load(Buffer("extra", index), span.offset, span.shared, count_of(node))
                return self.define("mask", Apply("is_true", (value,)), span.shared) if is_mask(node) else value
        return None

    def _product(self, span: Span) -> Operand:
        """The recurrent product gh, in which each gate has a buffer of its own, padded to whole vectors."""
        size = self.hidden_size
        if self.is_aligned(span):
            return self.load(Buffer("gh", span.offset // size), 0, span.shared)
        if span.shared:
            return self.load(Buffer("gh", span.offset // size), span.offset % size, True)
        result: Operand | None = None
        for gate in range(max(0, span.offset // size), min(count_of(span.node), span.offset + size - 1) // size + 1):
            begin = gate * size - span.offset
            if begin >= size or gate * size >= count_of(span.node):
                break
            value: Operand = self.load(Buffer("gh", gate), -begin, False, size)
            if result is not None:
                lanes = self.define("mask", Lanes(max(0, begin), min(size, begin + size)))
                value = self.define("vec", Choose(lanes, value, result))
            result = value
        return self.define("vec", Zero()) if result is None else result

    def stream(self, buffer: Buffer, offset: int, shared: bool = False, count: int | None = None) -> Operand:
        """Load, and prefetch what the next step will load here: it arrives while this step computes."""
        if not shared and not self.in_reduction and (buffer, offset) not in self.prefetches:
            self.prefetches.add((buffer, offset))
            self.body.append(Prefetch(buffer, offset))
        return self.load(buffer, offset, shared, count)

    def is_aligned(self, span: Span) -> bool:
        """Whether each unit reads its own elements. If not, threads may not share a row, which is noted."""
        aligned = (not span.shared or self.hidden_size == 1) and span.offset % self.hidden_size == 0
        self.crosses |= not aligned
        return aligned


class AdjointLowering(StepLowering):
    """The lowering of an adjoint: it reads the step's arguments and what the step saves, and decides what that is."""

    def __init__(self, graph: Graph, hidden_size: int, plan: SavePlan) -> None:
        super().__init__(graph, hidden_size, plan)
        self.copies: dict[int, int] = {}  # by part of the new state, the first slot of the copy of its gradient

    def source(self, span: Span) -> Operand | None:
        graph, node = self.graph, span.node
        for index, each in enumerate(graph.gradients):
            if node is each:
                return self._gradient(index, span)
        if node in graph.backward:
            return None
        if node in graph.next and self._is_part_of_state(span):
            return self.load(Buffer("next", graph.next.index(node)), span.offset, False)
        if node is graph.gi:
            self.plan.needs_gi = True
        elif node is graph.gh or (node in graph.row_nodes and self.worth_keeping(span)):
            return self.load_saved(span)
        return super().source(span)

    def _gradient(self, index: int, span: Span) -> Operand:
        """The gradient to a part of the new state. The gradient to the previous state will overwrite it in dstate.

        It is the sum of the gradient from the step after (dstate) and, for a part that the output reads, the gradient
        from the output (dnext).
        """
        count, is_output = count_of(span.node), index < self.plan.sequences
        if not self.is_aligned(span) and not span.shared:
            return self.load(Buffer("scratch", self._copy_gradient(index, count)), span.offset, False, count)
        dstate = self.load(Buffer("dstate", index), span.offset, span.shared, count)
        if not is_output:
            return dstate
        dnext = self.load(Buffer("dnext", index), span.offset, span.shared, count)
        return self.define("vec", Combine("sum", dstate, dnext), span.shared)

    def _copy_gradient(self, index: int, count: int) -> int:
        """The first slot of a copy of a part's gradient, made when the row begins, for lanes that read other units."""
        if index not in self.copies:
            self.copies[index] = self.slots
            self.slots += -(-count // self.hidden_size)
            if self.slots > SLOTS:
                raise UnsupportedError(
                    f"its pointwise moves state between units, which takes {self.slots} spans, expected at most {SLOTS}"
                )
            self.before.append(CopyGradient(self.copies[index], index, count, index < self.plan.sequences))
        return self.copies[index]

    def _is_part_of_state(self, span: Span) -> bool:
        return not span.shared and span.offset % self.hidden_size == 0 and is_inside(span, self.width)

    def worth_keeping(self, span: Span) -> bool:
        """Whether to save a result: it is costly, or more than one span would have to be saved to compute it again."""
        if span.node.op == "placeholder" or is_mask(span.node):
            return False
        if span in (self.plan.numbers if span.shared else self.plan.spans):
            return True
        return name_of(span.node) in COSTLY or len(self.leaves(span)) > 1

    def leaves(self, span: Span) -> set[Span]:
        """The spans that would have to be saved to compute ``span`` again."""
        graph, node = self.graph, span.node
        if node not in graph.row_nodes or node in graph.previous:
            return set()
        if node in graph.next and self._is_part_of_state(span):
            return set()
        slots = self.plan.numbers if span.shared else self.plan.spans
        if span in slots or (node is graph.gi and self.plan.needs_gi):
            return set()
        if node in (graph.gi, graph.gh) or name_of(node) in COSTLY:
            return {span}
        leaves: set[Span] = set()
        for operand in operands_of(span, self.width):
            leaves |= self.leaves(operand)
        return leaves

    def load_saved(self, span: Span) -> Operand:
        """Load a span that the step saves; it is added to the plan if it is new."""
        if span.shared:
            slot = self.plan.numbers.setdefault(span, len(self.plan.numbers))
            return self.load(Buffer("kept_shared"), slot, True)
        slot = self.plan.spans.setdefault(span, len(self.plan.spans))
        return self.stream(Buffer("kept", slot), 0)


def sums_of_extras(graph: Graph, trace: Trace) -> tuple[list[fx.Node], fx.GraphModule | None]:
    """Split the extras' gradients into sums over rows and what follows the sums.

    The gradient of an extra, which all rows share, is a sum over rows and steps. Whatever follows the sum is linear in
    it, so it is done once, after the last step.

    Returns:
        The nodes to sum over rows and steps, and a graph that takes (*extras, *sums) to the extras' gradients; or
        ([], None) without extras.

    Raises:
        UnsupportedError: a gradient is no sum over rows.
    """
    if not trace.num_extras:
        return [], None
    sources: list[fx.Node] = []
    new = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for index, node in enumerate(graph.extras):
        copies[node] = new.placeholder(f"given_extra_{index}")
    sum_inputs: dict[fx.Node, fx.Node] = {}

    def copy(node: fx.Node) -> fx.Node:
        if node in copies:
            return copies[node]
        if node not in graph.row_nodes:
            return copies.setdefault(node, new.node_copy(node, copy))
        if not _sums_rows(node):
            if node.op == "placeholder":
                raise UnsupportedError("the gradient of one of its parameters is no sum over rows")
            return copies.setdefault(node, new.node_copy(node, copy))
        source = node.args[0]
        assert isinstance(source, fx.Node)
        if source not in sum_inputs:
            sum_inputs[source] = new.placeholder(f"given_sum_{len(sources)}")
            sources.append(source)
        return copies.setdefault(node, new.node_copy(node, lambda each: sum_inputs[each]))

    results = [None if node is None else copy(node) for node in graph.to_extras]
    new.output(results)
    return sources, fx.GraphModule(trace.joint, new)


def _sums_rows(node: fx.Node) -> bool:
    """Whether a node is a sum over the batch dimension, and perhaps over others."""
    if name_of(node) != "sum":
        return False
    source, dims = node.args[0], node.args[1] if len(node.args) > 1 else []
    assert isinstance(source, fx.Node) and isinstance(dims, Sequence)
    rank = source.meta["val"].dim()
    return not dims or 0 in [typed(int, dim) % rank for dim in dims]
