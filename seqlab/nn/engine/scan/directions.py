"""What the step and its adjoint read, and what the one keeps for the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast as typed

from torch import fx

from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.lowered import (
    Apply,
    Buffer,
    Choose,
    Combine,
    CopyGradient,
    Lanes,
    Operand,
    Prefetch,
    Zero,
)
from seqlab.nn.engine.scan.lowering import SLOTS, Lowering, is_mask
from seqlab.nn.engine.scan.operations import COSTLY, name_of
from seqlab.nn.engine.scan.trace import Trace
from seqlab.nn.engine.scan.views import Run, count_of, is_inside, mark, operands_of


@dataclass
class Plan:
    """What the two directions agree on while they are written."""

    kept: dict[Run, int] = field(default_factory=dict)  # with their slots
    kept_shared: dict[Run, int] = field(default_factory=dict)
    gi_kept: bool = False
    gi_cut: bool = False  # gi is read in parts that are not aligned to gates
    sequences: int = 1  # how many parts of the state are handed out for every step

    def in_gi(self, num_gates: int) -> int:
        """How many runs the step keeps in gi's own place: all that fit, once nothing reads gi any more."""
        return 0 if self.gi_kept or self.gi_cut else min(num_gates, len(self.kept))


class Graph:
    """The joint graph with its inputs and results by their meaning."""

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
        self.moving = self._depends_on([*inputs[: lead + states], *self.gradients])
        mark(trace.joint.graph, self.moving)

    def _depends_on(self, sources: Sequence[fx.Node]) -> set[fx.Node]:
        found = set(sources)
        for node in sources[0].graph.nodes:
            if found.intersection(node.all_input_nodes):
                found.add(node)
        return found


class StepLowering(Lowering):
    """Reads what a step is given."""

    def __init__(self, graph: Graph, hidden_size: int, plan: Plan) -> None:
        super().__init__(hidden_size)
        self.graph, self.plan = graph, plan
        self.asked: set[tuple[Buffer, int]] = set()

    def source(self, run: Run) -> Operand | None:
        graph, node = self.graph, run.node
        if node is graph.gi:
            self.plan.gi_cut |= run.shared or run.offset % self.hidden != 0
            return self.stream(Buffer("gi"), run.offset, run.shared, count_of(node))
        if node is graph.gh:
            return self._product(run)
        for index, each in enumerate(graph.previous):
            if node is each:
                self.is_aligned(run)
                return self.load(Buffer("previous", index), run.offset, run.shared, count_of(node))
        for index, each in enumerate(graph.extras):
            if node is each:
                value = self.load(Buffer("extra", index), run.offset, run.shared, count_of(node))
                return self.define("mask", Apply("is_true", (value,)), run.shared) if is_mask(node) else value
        return None

    def _product(self, run: Run) -> Operand:
        """The recurrent product, of which each gate lies by itself."""
        size = self.hidden
        if self.is_aligned(run):
            return self.load(Buffer("gh", run.offset // size), 0, run.shared)
        if run.shared:
            return self.load(Buffer("gh", run.offset // size), run.offset % size, True)
        result: Operand | None = None
        for gate in range(max(0, run.offset // size), min(count_of(run.node), run.offset + size - 1) // size + 1):
            begin = gate * size - run.offset
            if begin >= size or gate * size >= count_of(run.node):
                break
            value: Operand = self.load(Buffer("gh", gate), -begin, False, size)
            if result is not None:
                here = self.define("mask", Lanes(max(0, begin), min(size, begin + size)))
                value = self.define("vec", Choose(here, value, result))
            result = value
        return self.define("vec", Zero()) if result is None else result

    def stream(self, buffer: Buffer, offset: int, shared: bool = False, count: int | None = None) -> Operand:
        """Load, and ask for what the next step will load one block further: it comes while this one computes."""
        if not shared and not self.in_reduction and (buffer, offset) not in self.asked:
            self.asked.add((buffer, offset))
            self.lines.append(Prefetch(buffer, offset))
        return self.load(buffer, offset, shared, count)

    def is_aligned(self, run: Run) -> bool:
        """Whether each unit reads what is its own; if not, a row is one thread's."""
        aligned = (not run.shared or self.hidden == 1) and run.offset % self.hidden == 0
        self.crosses |= not aligned
        return aligned


class AdjointLowering(StepLowering):
    """Reads what the step was given or has kept, and decides what that is."""

    def __init__(self, graph: Graph, hidden_size: int, plan: Plan) -> None:
        super().__init__(graph, hidden_size, plan)
        self.copies: dict[int, int] = {}  # slots of the scratch that gradients to the new state were copied to

    def source(self, run: Run) -> Operand | None:
        graph, node = self.graph, run.node
        for index, each in enumerate(graph.gradients):
            if node is each:
                return self._gradient(index, run)
        if node in graph.backward:
            return None
        if node in graph.next and self._is_part_of_state(run):
            return self.load(Buffer("next", graph.next.index(node)), run.offset, False)
        if node is graph.gi:
            self.plan.gi_kept = True
        elif node is graph.gh or (node in graph.moving and self.worth_keeping(run)):
            return self.kept(run)
        return super().source(run)

    def _gradient(self, index: int, run: Run) -> Operand:
        """The gradient to a part of the new state; the one to the previous state will take its place."""
        count, both = count_of(run.node), index < self.plan.sequences
        if not self.is_aligned(run) and not run.shared:
            return self.load(Buffer("scratch", self._copied(index, count)), run.offset, False, count)
        kept = self.load(Buffer("dstate", index), run.offset, run.shared, count)
        if not both:
            return kept
        given = self.load(Buffer("dnext", index), run.offset, run.shared, count)
        return self.define("vec", Combine("sum", kept, given), run.shared)

    def _copied(self, index: int, count: int) -> int:
        """The slot of the scratch from which on the gradient stands as it was when the row began."""
        if index not in self.copies:
            self.copies[index] = self.slots
            self.slots += -(-count // self.hidden)
            if self.slots > SLOTS:
                raise UnsupportedError("its pointwise moves more of the state to other units than fits")
            self.row.append(CopyGradient(self.copies[index], index, count, index < self.plan.sequences))
        return self.copies[index]

    def _is_part_of_state(self, run: Run) -> bool:
        return not run.shared and run.offset % self.hidden == 0 and is_inside(run, self.width)

    def worth_keeping(self, run: Run) -> bool:
        """A costly result is; a cheap one is where it saves keeping more than one other."""
        if run.node.op == "placeholder" or is_mask(run.node):
            return False
        if run in (self.plan.kept_shared if run.shared else self.plan.kept):
            return True
        return name_of(run.node) in COSTLY or len(self.leaves(run)) > 1

    def leaves(self, run: Run) -> set[Run]:
        """What would have to be kept to compute ``run`` anew."""
        graph, node = self.graph, run.node
        if node not in graph.moving or node in graph.previous:
            return set()
        if node in graph.next and self._is_part_of_state(run):
            return set()
        known = self.plan.kept_shared if run.shared else self.plan.kept
        if run in known or (node is graph.gi and self.plan.gi_kept):
            return set()
        if node in (graph.gi, graph.gh) or name_of(node) in COSTLY:
            return {run}
        found: set[Run] = set()
        for operand in operands_of(run, self.width):
            found |= self.leaves(operand)
        return found

    def kept(self, run: Run) -> Operand:
        """Load what the step keeps, which by this is added to it."""
        if run.shared:
            slot = self.plan.kept_shared.setdefault(run, len(self.plan.kept_shared))
            return self.load(Buffer("kept_shared"), slot, True)
        slot = self.plan.kept.setdefault(run, len(self.plan.kept))
        return self.stream(Buffer("kept", slot), 0)


def sums_of_extras(graph: Graph, trace: Trace) -> tuple[list[fx.Node], fx.GraphModule | None]:
    """What must be summed over rows for the extras' gradients, and the graph that makes these of the sums.

    The gradient of what all rows share is a sum over rows, then over steps, of something that each row has; whatever is
    done to the sum is linear in it, so it is done once, after the last step.
    """
    if not trace.num_extras:
        return [], None
    sources: list[fx.Node] = []
    new = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for index, node in enumerate(graph.extras):
        copies[node] = new.placeholder(f"given_extra_{index}")
    summed: dict[fx.Node, fx.Node] = {}

    def copy(node: fx.Node) -> fx.Node:
        if node in copies:
            return copies[node]
        if node not in graph.moving:
            return copies.setdefault(node, new.node_copy(node, copy))
        if not _sums_rows(node):
            if node.op == "placeholder":
                raise UnsupportedError("a gradient of its parameters is no sum over rows")
            return copies.setdefault(node, new.node_copy(node, copy))
        source = node.args[0]
        assert isinstance(source, fx.Node)
        if source not in summed:
            summed[source] = new.placeholder(f"given_sum_{len(sources)}")
            sources.append(source)
        return copies.setdefault(node, new.node_copy(node, lambda each: summed[each]))

    results = [None if node is None else copy(node) for node in graph.to_extras]
    new.output(results)
    return sources, fx.GraphModule(trace.joint, new)


def _sums_rows(node: fx.Node) -> bool:
    if name_of(node) != "sum":
        return False
    source, dims = node.args[0], node.args[1] if len(node.args) > 1 else []
    assert isinstance(source, fx.Node) and isinstance(dims, Sequence)
    rank = source.meta["val"].dim()
    return not dims or 0 in [typed(int, dim) % rank for dim in dims]
