"""A captured ``pointwise`` cut in two: what all rows share, computed once a call, and the step of the rows."""

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

_SWITCHES = ("_set_grad_enabled", "_enter_autocast", "_exit_autocast")  # nodes that steer those after them
_SHAPES = frozenset(  # what may be handed the number of rows: where it is a shape and no value
    ("subgraph", "view", "reshape", "expand", "zeros", "ones", "empty", "full", "new_zeros", "new_ones", "new_empty")
).union(("new_full", "repeat", "broadcast_to", "tile"))


@dataclass(frozen=True)
class Step:
    """A captured ``pointwise`` as PyTorch operations, cut in two.

    ``prelude`` takes what the step reads beside its rows, as :meth:`Capture.live` gives it, to ``extras``: it needs no
    state, so it runs once a call. ``body`` takes (gi, gh, *state, *extras, number of rows) to the new state, without gh
    where there is no recurrent product. Both are differentiable as the user's own code is; ``again`` is ``body`` in a
    form that can be differentiated more than once.
    """

    prelude: fx.GraphModule
    body: fx.GraphModule
    again: fx.GraphModule
    counts_rows: bool

    def extras(self, live: Sequence[Any]) -> list[Tensor]:
        """What the step reads beside its rows: tensors, numbers as float64 of no dimension."""
        numbers = [
            each if isinstance(each, Tensor) else torch.tensor(float(each), dtype=torch.float64) for each in live
        ]
        made = self.prelude.forward(*numbers)
        return [each if isinstance(each, Tensor) else torch.tensor(float(each), dtype=torch.float64) for each in made]


def cut(capture: Capture, recurrent: bool, num_states: int, live: Sequence[Any]) -> Step:
    """A capture cut in what depends on rows and what does not.

    Raises:
        UnsupportedError: it has a form that is not known.
    """
    graph = capture.graph.graph
    nodes = list(graph.nodes)
    given = dict(zip([node for node in nodes if node.op == "placeholder"], capture.inputs, strict=True))
    numbers = {node for node, each in given.items() if each.role == "read" and not isinstance(live[each.place], Tensor)}
    moving = {node for node, each in given.items() if each.role in ("rows", "count")}
    for node in nodes:
        if node.op not in ("placeholder", "output", "get_attr") and moving.intersection(node.all_input_nodes):
            moving.add(node)
    output = next(node for node in nodes if node.op == "output")
    results = list(typed(Sequence[fx.Node], output.args[0]))
    if len(results) != num_states or not all(isinstance(each, fx.Node) for each in results):
        raise UnsupportedError(f"it gives {len(results)} tensors for a state of {num_states}")
    extras: list[fx.Node] = []
    for node in nodes:
        if node in moving or node.op in ("output", "get_attr") or _switches(node):
            continue
        if any(user in moving or user is output for user in node.users):
            extras.append(node)
    # Under no_grad what steers the gradient is left out: the adjoint is never run then.
    switches = {node for node in nodes if _switches(node) and capture.grad_mode}
    calls = [node for node in nodes if node.op in ("call_function", "call_method", "call_module")]
    still = [node for node in calls if node in switches or (node not in moving and not _switches(node))]
    kept = [node for node in calls if node in switches or node in moving]
    _refuse_late_writes(nodes, still, kept, set(extras))
    tensors = [node for node, each in given.items() if each.role == "read"]
    prelude = _assembled(capture.graph, tensors, still, extras, numbers)
    refuse_effects(prelude, [each if isinstance(each, Tensor) else torch.tensor(float(each)) for each in live])
    rows = {each.place: node for node, each in given.items() if each.role == "rows"}
    places = [rows.get(place) for place in (*((0, 1) if recurrent else (0,)), *range(2, 2 + num_states))]
    counts = [node for node, each in given.items() if each.role == "count"]
    body = _assembled(capture.graph, [*places, *extras], kept, results, set(), [counts])
    numbers_of_rows = [*counts, *filter(_is_number, kept)]
    for node in numbers_of_rows:
        if any(not _is_number(user) and _called(user) not in _SHAPES for user in node.users):
            raise UnsupportedError("it reads the batch's size")
    return Step(prelude, body, differentiable(body), any(map(_counted, counts)) or len(numbers_of_rows) > len(counts))


def _is_number(node: fx.Node) -> bool:
    return isinstance(node.meta.get("example_value"), (int, float, torch.SymInt, torch.SymFloat))


def _called(node: fx.Node) -> str:
    """The name of what a node calls; of a subgraph's caller, which is handed all symbols, one name."""
    if node.op == "output" or "higher_order" in str(getattr(node.target, "__module__", "")):
        return "subgraph"
    return node.target if isinstance(node.target, str) else str(getattr(node.target, "__name__", node.target))


def whole(capture: Capture, num_rows: int, live: Sequence[Any]) -> tuple[fx.GraphModule, bool]:
    """A capture in one piece, (*rows, *what it reads, number of rows, number of steps where a row is a sequence) to its
    results; whether such a number is used."""
    nodes = list(capture.graph.graph.nodes)
    given = dict(zip([node for node in nodes if node.op == "placeholder"], capture.inputs, strict=True))
    by_role: dict[str, dict[int, fx.Node]] = {"rows": {}, "read": {}}
    counts: list[list[fx.Node]] = [[], []]
    for node, each in given.items():
        if each.role == "count":
            counts[each.place].append(node)
        else:
            by_role[each.role][each.place] = node
    numbers = {node for place, node in by_role["read"].items() if not isinstance(live[place], Tensor)}
    inputs = [by_role["rows"].get(place) for place in range(num_rows)]
    inputs += [by_role["read"][place] for place in range(len(live))]
    calls = [node for node in nodes if node.op in ("call_function", "call_method", "call_module")]
    results = list(typed(Sequence[fx.Node], nodes[-1].args[0]))
    body = _assembled(capture.graph, inputs, calls, results, numbers, counts)
    return body, any(map(_counted, chain.from_iterable(counts)))


def _refuse_late_writes(
    nodes: Sequence[fx.Node], still: Sequence[fx.Node], kept: Sequence[fx.Node], extras: set[fx.Node]
) -> None:
    """What all rows share is computed first: so nothing may have used it before the last write to it."""
    order = {node: index for index, node in enumerate(nodes)}
    writes = [order[node] for node in still if _writes(node)]
    uses = [order[node] for node in kept if extras.intersection(node.all_input_nodes)]
    if writes and uses and min(uses) < max(writes):
        raise UnsupportedError("it changes a tensor in place between two uses")


def _writes(node: fx.Node) -> bool:
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return name == "setitem" or (name.endswith("_") and not name.endswith("__")) or "out" in node.kwargs


class _Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses writes into the tensors of these storages, or notes them, and random draws unless they are allowed."""

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


def refuse_effects(graph: fx.GraphModule, given: Sequence[Any], draws: bool = False) -> None:
    """Raises :class:`UnsupportedError` if a graph changes a tensor that it is given, or draws, which may be allowed."""
    _watch_effects(graph, given, draws, None)


def writes(graph: fx.GraphModule, given: Sequence[Any]) -> set[int]:
    """Which of the tensors that a graph is given it writes to, by their places."""
    written: set[int] = set()
    storages = _watch_effects(graph, given, True, written)
    return {place for place, storage in enumerate(storages) if storage in written}


def _watch_effects(
    graph: fx.GraphModule, given: Sequence[Any], draws: bool, written: set[int] | None
) -> list[int | None]:
    """The storage of each tensor given; those that the graph writes to are added to ``written``, or refused."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with quiet(), torch.inference_mode(False), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fakes = [mode.from_tensor(each, static_shapes=True) if isinstance(each, Tensor) else each for each in given]
        storages = [each.untyped_storage()._cdata if isinstance(each, Tensor) else None for each in fakes]
        try:
            with _Watching({each for each in storages if each is not None}, draws, written):
                graph.forward(*fakes)
        except UnsupportedError:
            raise
        except Exception as error:
            raise UnsupportedError(f"it can't be followed ({next(iter(str(error).splitlines()), '')[:200]})") from None
    return storages


def _counted(node: fx.Node) -> bool:
    """Whether the number of rows is used, but by the subgraphs that are handed all symbols."""
    return any("higher_order" not in str(getattr(user.target, "__module__", "")) for user in node.users)


def _switches(node: fx.Node) -> bool:
    return node.op == "call_function" and getattr(node.target, "__name__", "") in _SWITCHES


def _assembled(
    source: fx.GraphModule,
    inputs: Sequence[fx.Node | None],
    nodes: Sequence[fx.Node],
    outputs: Sequence[fx.Node],
    numbers: set[fx.Node],
    counts: Sequence[Sequence[fx.Node]] = (),
) -> fx.GraphModule:
    """A graph of some of the nodes. ``item()`` of a number given as a tensor is that tensor: it stays an argument."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for index, node in enumerate(inputs):
        made = graph.placeholder(f"given_{index}")
        if node is not None:
            copies[node] = made
    for index, same in enumerate(counts):
        copies.update(dict.fromkeys(same, graph.placeholder(f"count_{index}")))

    def copy(node: fx.Node) -> fx.Node:
        if node not in copies:
            if node.op != "get_attr":
                raise UnsupportedError(f"it computes {node.name} in a way that is not known")
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
