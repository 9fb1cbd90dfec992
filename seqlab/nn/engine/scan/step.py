"""A captured ``pointwise``, cut in two: what all rows share, computed once a call, and the step of the rows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode

from seqlab.nn.engine.capture import Capture
from seqlab.nn.engine.dynamo import quiet
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.functions import differentiable

_SWITCHES = ("_set_grad_enabled", "_enter_autocast", "_exit_autocast")  # nodes that set a mode for those after them
_SHAPES = frozenset(  # operations that may take the batch size: it is a shape there, not a value
    ("subgraph", "view", "reshape", "expand", "zeros", "ones", "empty", "full", "new_zeros", "new_ones", "new_empty")
).union(("new_full", "repeat", "broadcast_to", "tile"))


@dataclass(frozen=True)
class Step:
    """A captured ``pointwise`` as PyTorch operations, cut in two. Both parts are differentiable, as the user's code is.

    Attributes:
        prelude: takes the values of :meth:`Capture.live` to ``extras``, the tensors that all rows share. It does not
            depend on the rows, so it runs once a call.
        body: takes (gi, gh, *state, *extras, batch size) to the new state; there is no gh without a recurrent product.
        again: ``body`` in a form that can be differentiated more than once.
        counts_rows: whether the body uses the batch size.
    """

    prelude: fx.GraphModule
    body: fx.GraphModule
    again: fx.GraphModule
    counts_rows: bool

    def extras(self, live: Sequence[Any]) -> list[Tensor]:
        """The tensors that all rows share, from the values of :meth:`Capture.live`; a number is a float64 scalar."""
        arguments = [
            value if isinstance(value, Tensor) else torch.tensor(float(value), dtype=torch.float64) for value in live
        ]
        results = self.prelude.forward(*arguments)
        return [
            value if isinstance(value, Tensor) else torch.tensor(float(value), dtype=torch.float64) for value in results
        ]


def cut(capture: Capture, recurrent: bool, num_states: int, live: Sequence[Any]) -> Step:
    """Cut a capture into the part that depends on the rows and the part that does not.

    Args:
        capture: the capture of a ``pointwise``.
        recurrent: whether the cell has a recurrent product.
        num_states: the number of parts of the state.
        live: the current values of what the capture reads.

    Raises:
        UnsupportedError: the capture has side effects, reads the batch size, or does not give the parts of a state.
    """
    graph = capture.graph.graph
    nodes = list(graph.nodes)
    inputs = dict(zip([node for node in nodes if node.op == "placeholder"], capture.inputs, strict=True))
    numbers = {
        node for node, each in inputs.items() if each.role == "read" and not isinstance(live[each.place], Tensor)
    }
    row_nodes = {node for node, each in inputs.items() if each.role in ("rows", "count")}
    for node in nodes:
        if node.op not in ("placeholder", "output", "get_attr") and row_nodes.intersection(node.all_input_nodes):
            row_nodes.add(node)
    output = next(node for node in nodes if node.op == "output")
    results = list(typed(Sequence[fx.Node], output.args[0]))
    if len(results) != num_states or not all(isinstance(each, fx.Node) for each in results):
        raise UnsupportedError(f"it returns {len(results)} tensors, expected the {num_states} parts of the state")
    extras: list[fx.Node] = []
    for node in nodes:
        if node in row_nodes or node.op in ("output", "get_attr") or _is_switch(node):
            continue
        if any(user in row_nodes or user is output for user in node.users):
            extras.append(node)
    # Under no_grad, switches of the gradient mode are left out: the adjoint never runs then.
    switches = {node for node in nodes if _is_switch(node) and capture.grad_mode}
    calls = [node for node in nodes if node.op in ("call_function", "call_method", "call_module")]
    shared_calls = [node for node in calls if node in switches or (node not in row_nodes and not _is_switch(node))]
    row_calls = [node for node in calls if node in switches or node in row_nodes]
    _refuse_late_writes(nodes, shared_calls, row_calls, set(extras))
    tensors = [node for node, each in inputs.items() if each.role == "read"]
    prelude = _graph_of(capture.graph, tensors, shared_calls, extras, numbers)
    refuse_effects(prelude, [value if isinstance(value, Tensor) else torch.tensor(float(value)) for value in live])
    rows = {each.place: node for node, each in inputs.items() if each.role == "rows"}
    row_inputs = [rows.get(place) for place in (*((0, 1) if recurrent else (0,)), *range(2, 2 + num_states))]
    counts = [node for node, each in inputs.items() if each.role == "count"]
    body = _graph_of(capture.graph, [*row_inputs, *extras], row_calls, results, set(), [counts])
    batch_sizes = [*counts, *filter(_is_number, row_calls)]  # and numbers computed from it
    for node in batch_sizes:
        if any(not _is_number(user) and _function_name(user) not in _SHAPES for user in node.users):
            raise UnsupportedError("it reads the batch size")
    return Step(prelude, body, differentiable(body), any(map(_is_used, counts)) or len(batch_sizes) > len(counts))


def _is_number(node: fx.Node) -> bool:
    return isinstance(node.meta.get("example_value"), (int, float, torch.SymInt, torch.SymFloat))


def _function_name(node: fx.Node) -> str:
    """The name of what a node calls; "subgraph" for a node that calls one, since it is passed every symbol."""
    if node.op == "output" or "higher_order" in str(getattr(node.target, "__module__", "")):
        return "subgraph"
    return node.target if isinstance(node.target, str) else str(getattr(node.target, "__name__", node.target))


def whole_graph(capture: Capture, num_rows: int, live: Sequence[Any]) -> tuple[fx.GraphModule, bool]:
    """A capture in one piece, for the analysis of its effects and rows.

    Returns:
        A graph that takes (*rows, *live values, batch size, number of steps) to the results of the capture; and whether
        it uses the batch size or the number of steps.
    """
    nodes = list(capture.graph.graph.nodes)
    by_node = dict(zip([node for node in nodes if node.op == "placeholder"], capture.inputs, strict=True))
    by_role: dict[str, dict[int, fx.Node]] = {"rows": {}, "read": {}}
    counts: list[list[fx.Node]] = [[], []]
    for node, each in by_node.items():
        if each.role == "count":
            counts[each.place].append(node)
        else:
            by_role[each.role][each.place] = node
    numbers = {node for place, node in by_role["read"].items() if not isinstance(live[place], Tensor)}
    inputs = [by_role["rows"].get(place) for place in range(num_rows)]
    inputs += [by_role["read"][place] for place in range(len(live))]
    calls = [node for node in nodes if node.op in ("call_function", "call_method", "call_module")]
    results = list(typed(Sequence[fx.Node], nodes[-1].args[0]))
    body = _graph_of(capture.graph, inputs, calls, results, numbers, counts)
    return body, any(map(_is_used, chain.from_iterable(counts)))


def _refuse_late_writes(
    nodes: Sequence[fx.Node], shared_calls: Sequence[fx.Node], row_calls: Sequence[fx.Node], extras: set[fx.Node]
) -> None:
    """Refuse a use of an extra before the last write to it: the prelude runs first, so the use would see the write."""
    order = {node: index for index, node in enumerate(nodes)}
    writes = [order[node] for node in shared_calls if _is_write(node)]
    uses = [order[node] for node in row_calls if extras.intersection(node.all_input_nodes)]
    if writes and uses and min(uses) < max(writes):
        raise UnsupportedError("it changes a tensor in place between two uses")


def _is_write(node: fx.Node) -> bool:
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return name == "setitem" or (name.endswith("_") and not name.endswith("__")) or "out" in node.kwargs


class _EffectMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes each write to a tensor of ``storages`` in ``written``, or refuses it if that is None; and refuses random
    draws, unless ``draws``."""

    def __init__(self, storages: Collection[int], draws: bool = False, written: set[int] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.storages, self.draws, self.written = storages, draws, written

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self.draws and torch.Tag.nondeterministic_seeded in operation.tags:
            raise UnsupportedError(f"it draws random numbers ({operation})")
        for place, argument in enumerate(operation._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                value = args[place] if place < len(args) else (kwargs or {}).get(argument.name)
                for each in value if isinstance(value, (list, tuple)) else (value,):
                    if not isinstance(each, Tensor) or each.untyped_storage()._cdata not in self.storages:
                        continue
                    if self.written is not None:
                        self.written.add(each.untyped_storage()._cdata)
                    else:
                        raise UnsupportedError("it changes a parameter, a buffer or another tensor of its own in place")
        return operation(*args, **(kwargs or {}))


def refuse_effects(graph: fx.GraphModule, arguments: Sequence[Any], draws: bool = False) -> None:
    """Check that a graph writes to none of its arguments, and draws no random numbers unless ``draws``.

    Raises:
        UnsupportedError: it does.
    """
    _note_effects(graph, arguments, draws, None)


def writes(graph: fx.GraphModule, arguments: Sequence[Any]) -> set[int]:
    """The places of the arguments that a graph writes to."""
    written: set[int] = set()
    storages = _note_effects(graph, arguments, True, written)
    return {place for place, storage in enumerate(storages) if storage in written}


def _note_effects(
    graph: fx.GraphModule, arguments: Sequence[Any], draws: bool, written: set[int] | None
) -> list[int | None]:
    """Run a graph on fake tensors under :class:`_EffectMode`; the storage of each argument."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with quiet(), torch.inference_mode(False), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fakes = [mode.from_tensor(each, static_shapes=True) if isinstance(each, Tensor) else each for each in arguments]
        storages = [each.untyped_storage()._cdata if isinstance(each, Tensor) else None for each in fakes]
        try:
            with _EffectMode({each for each in storages if each is not None}, draws, written):
                graph.forward(*fakes)
        except UnsupportedError:
            raise
        except Exception as error:
            raise UnsupportedError(f"it can't be followed ({next(iter(str(error).splitlines()), '')[:200]})") from None
    return storages


def _is_used(count: fx.Node) -> bool:
    """Whether a batch size or number of steps is used. Calls of subgraphs don't count: they are passed every symbol."""
    return any("higher_order" not in str(getattr(user.target, "__module__", "")) for user in count.users)


def _is_switch(node: fx.Node) -> bool:
    return node.op == "call_function" and getattr(node.target, "__name__", "") in _SWITCHES


def _graph_of(
    source: fx.GraphModule,
    inputs: Sequence[fx.Node | None],
    nodes: Sequence[fx.Node],
    outputs: Sequence[fx.Node],
    numbers: set[fx.Node],
    counts: Sequence[Sequence[fx.Node]] = (),
) -> fx.GraphModule:
    """A graph of some nodes of another.

    Args:
        source: the graph's module, which holds constants and subgraphs.
        inputs: the nodes that become inputs; None for an input that is not used.
        nodes: the nodes to copy.
        outputs: the results.
        numbers: inputs that stand for Python numbers, passed as tensors: ``item()`` of one is the tensor itself.
        counts: for each further input, the nodes that it replaces.
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for index, node in enumerate(inputs):
        argument = graph.placeholder(f"given_{index}")
        if node is not None:
            copies[node] = argument
    for index, same_nodes in enumerate(counts):
        copies.update(dict.fromkeys(same_nodes, graph.placeholder(f"count_{index}")))

    def copy(node: fx.Node) -> fx.Node:
        if node not in copies:
            if node.op != "get_attr":
                raise UnsupportedError(f"it uses {node.name} in a form that scan does not support")
            copies[node] = graph.node_copy(node)
        return copies[node]

    for node in nodes:
        if node in copies:
            continue
        if node.op == "call_method" and node.target == "item" and node.args[0] in numbers:
            copies[node] = copies[typed(fx.Node, node.args[0])]
        else:
            copies[node] = graph.node_copy(node, copy)
    graph.output(tuple(copy(node) for node in outputs))
    return fx.GraphModule(source, graph)
