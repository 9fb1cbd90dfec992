"""From a captured ``pointwise`` to a graph of operations: the step, and its adjoint by PyTorch's differentiation."""

import re
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions, get_decompositions
from torch.fx.traceback import preserve_node_meta
from torch.utils._python_dispatch import TorchDispatchMode

from seqlab.nn.cells.base import GatedCell
from seqlab.nn.engine.capture import Capture
from seqlab.nn.engine.dynamo import quiet
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.functions import differentiable

aten = torch.ops.aten
_FURTHER = (  # what the core operators leave whole
    aten.gelu,
    aten.elu,
    aten.leaky_relu,
    aten.hardtanh,
    aten._softmax,
    aten._log_softmax,
)
_WRITTEN_OUT = 4096  # numbers of a constant that may stand in a program
_SWITCHES = ("_set_grad_enabled", "_enter_autocast", "_exit_autocast")  # nodes that steer those after them
_SHAPES = frozenset(  # what may be handed the number of rows: where it is a shape and no value
    ("subgraph", "view", "reshape", "expand", "zeros", "ones", "empty", "full", "new_zeros", "new_ones", "new_empty")
).union(("new_full", "repeat", "broadcast_to", "tile"))
_SHAPED = (
    "view",
    "_unsafe_view",
    "reshape",
    "expand",
    "full",
    "zeros",
    "ones",
    "new_zeros",
    "new_ones",
    "new_full",
    "slice",
    "empty",
    "new_empty",
    "empty_permuted",
)


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


@dataclass(frozen=True)
class Trace:
    """A cell's step and its adjoint, as a graph over ``(B, size)`` tensors of any B.

    ``joint`` takes (gi, gh, *state, *extras) and the gradients of the new state to (*new state, d gi, d gh, *d state,
    *d extras), None where there is none. Without a recurrent product there is no gh in it.
    """

    step: Step
    joint: fx.GraphModule
    recurrent: bool
    num_states: int
    num_sequences: int  # how many parts of the state the cell's output is made of: the first, or all
    num_extras: int
    again: Callable[[], fx.GraphModule]  # the joint graph once more, whose nodes know the line that they come from

    def describe(self, node: fx.Node) -> str:
        """An operation for a message: its name, the shapes of its rows, and the line of the user's code."""
        if name_of_target(node) == "getitem":  # one of an operation's several results
            node = node.all_input_nodes[0]
        shapes = [_row_of(each) for each in node.all_input_nodes]
        text = f"{name_of_target(node)} of {', '.join(shapes)}" if shapes else name_of_target(node)
        line = self._line_of(node)
        return text if line is None else f"{text}, {line}"

    def _line_of(self, node: fx.Node) -> str | None:
        place = list(self.joint.graph.nodes).index(node)
        try:
            nodes = list(self.again().graph.nodes)
        except Exception:  # a message needs no line
            return None
        if place >= len(nodes) or nodes[place].target != node.target:
            return None
        frames = _FRAME.findall(nodes[place].meta.get("stack_trace") or "")
        frames = [each for each in frames if not Path(each[0]).is_relative_to(_ENGINE)]
        return f"{Path(frames[-1][0]).name}:{frames[-1][1]}: {frames[-1][2].strip()}" if frames else None


_ENGINE = Path(__file__).parents[1]
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in [^\n]*\n([^\n]*)')


def _row_of(node: fx.Node) -> str:
    value = node.meta.get("val")
    shape = tuple(value.shape) if isinstance(value, Tensor) else ()
    moving = bool(node.meta.get("moving"))
    return "(" + ", ".join(["B" if moving and place == 0 else str(size) for place, size in enumerate(shape)]) + ")"


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


def refuse_draws(step: Step, cell: GatedCell, dtype: torch.dtype, live: Sequence[Any]) -> None:
    """Raises :class:`UnsupportedError` if a step draws random numbers or changes what it is given."""
    sizes = [cell.num_gates * cell.hidden_size] * (1 + cell.recurrent) + list(cell.state_sizes)
    with torch.inference_mode(False), torch.device("cpu"):
        extras = [each.detach().requires_grad_(each.requires_grad) for each in step.extras(live)]
        _refuse_draws_and_numbers(_joint(step, sizes, extras, dtype, 11).graph)


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


def trace(cell: GatedCell, step: Step, extras: Sequence[Tensor], dtype: torch.dtype, sequences: int) -> Trace:
    """The graph of ``step`` and its adjoint, in ``dtype``, for ``extras`` of these shapes.

    Raises:
        UnsupportedError: there is no such graph for batches of every size.
    """
    states = len(cell.state_names)
    gates = cell.num_gates * cell.hidden_size
    sizes = [gates] * (1 + cell.recurrent) + list(cell.state_sizes)
    taken = {size for extra in extras for size in extra.shape} | set(cell.state_sizes)
    taken.update(cell.hidden_size * number for number in range(1, cell.num_gates + 1))
    first, *others = [size for size in (11, 14, 24, *range(25, 4096)) if size not in taken][:3]
    joint = _joint(step, sizes, extras, dtype, first)
    _refuse_draws_and_numbers(joint.graph)
    if step.counts_rows:
        text = _without_rows(joint, first)
        if any(_without_rows(_joint(step, sizes, extras, dtype, rows), rows) != text for rows in others):
            raise UnsupportedError("it reads the batch's size")
    inputs = [node for node in joint.graph.nodes if node.op == "placeholder"]
    output = next(node for node in joint.graph.nodes if node.op == "output")
    results = list(typed(Sequence[fx.Node | None], output.args[0]))
    for place in range(1 + cell.recurrent):  # a step that does not use the input, or the product
        if results[states + place] is None:
            with joint.graph.inserting_before(output):
                zero = joint.graph.call_function(aten.full_like.default, (inputs[place], 0))
            zero.meta["val"] = inputs[place].meta["val"]
            results[states + place] = zero
    output.args = (tuple(results),)
    given = len(inputs)
    if given != len(sizes) + len(extras) + states:
        raise UnsupportedError("its gradients come in a form that is not known")
    again = partial(_joint, step, sizes, extras, dtype, first, lines=True)
    return Trace(step, joint, cell.recurrent, states, sequences, len(extras), again)


def _joint(
    step: Step, sizes: Sequence[int], extras: Sequence[Tensor], dtype: torch.dtype, rows: int, lines: bool = False
) -> fx.GraphModule:
    """The graph of a step and its adjoint for so many rows; with ``lines`` its nodes name the user's lines."""
    from torch._functorch.aot_autograd import aot_export_joint_simple
    from torch._functorch.compile_utils import fx_graph_cse

    with torch.inference_mode(False), torch.device("cpu"):
        given = [torch.zeros(rows, size, dtype=dtype, requires_grad=True) for size in sizes]
        for extra in extras:
            kind = dtype if extra.is_floating_point() else extra.dtype
            learns_extra = extra.requires_grad and extra.is_floating_point()
            given.append(torch.zeros(extra.shape, dtype=kind, requires_grad=learns_extra))

    learns: list[bool] = []

    def function(*tensors: Tensor) -> tuple[Tensor, ...]:
        # Where nodes come from is noted in PyTorch's global state, so it is asked for messages alone.
        with preserve_node_meta() if lines else nullcontext():
            made = fx.Interpreter(step.body).run(*tensors, rows) if lines else step.body.forward(*tensors, rows)
        new = tuple(part.clone() for part in made)
        learns[:] = [part.requires_grad for part in new]
        return new

    try:
        with quiet(), torch.enable_grad(), torch.autocast("cpu", enabled=False), torch.inference_mode(False):
            exported = aot_export_joint_simple(
                function, tuple(given), trace_joint=True, decompositions=dict(_decompositions())
            )
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        if "mutation" in reason:
            raise UnsupportedError("it changes a tensor that it is given, in place") from None
        raise UnsupportedError(
            f"it can't be differentiated as a graph ({type(error).__name__}: {reason[:200]})"
        ) from None
    made = typed(fx.GraphModule, exported)
    for node in reversed(made.graph.nodes):
        if name_of_target(node) in ("_assert_tensor_metadata", "_assert_scalar"):
            made.graph.erase_node(node)
    made.graph.eliminate_dead_code()
    made.graph = fx_graph_cse(made.graph)
    _complete(made.graph, len(given), learns)
    for node in made.graph.nodes:
        if node.op == "get_attr":
            _write_out(made, node)
    return made


def _write_out(module: fx.GraphModule, node: fx.Node) -> None:
    """Put the numbers of a small tensor that the step makes of constants in the place of the tensor."""
    value = getattr(module, str(node.target))
    if type(value) is not Tensor or value.numel() > _WRITTEN_OUT:
        raise UnsupportedError("it uses a tensor that is made anew at each step")
    with module.graph.inserting_before(node):
        made = module.graph.call_function(torch.tensor, (value.tolist(),), {"dtype": value.dtype})
    made.meta["val"] = value
    node.replace_all_uses_with(made)
    module.graph.erase_node(node)


def _complete(graph: fx.Graph, given: int, learns: Sequence[bool]) -> None:
    """Add an input for the gradient of each part of the state that depends on nothing that learns: it goes nowhere."""
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    results = next(node for node in graph.nodes if node.op == "output").args[0]
    if len(inputs) != given + sum(learns):
        raise UnsupportedError("its gradients come in a form that is not known")
    after, pushes = inputs[given - 1], iter(inputs[given:])
    for place, learned in enumerate(learns):
        if learned:
            after = next(pushes)
            continue
        with graph.inserting_after(after):
            after = graph.placeholder(f"gradient_of_constant_{place}")
        after.meta["val"] = results[place].meta["val"]


def name_of_target(node: fx.Node) -> str:
    """The name of what a node calls, without its overload."""
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet))


def _without_rows(module: fx.GraphModule, rows: int) -> list[Any]:
    """The graph as plain values, the number of rows left out where it is but the shape of something."""
    places = {node: place for place, node in enumerate(module.graph.nodes)}

    def plain(value: Any, shape: bool) -> Any:
        if isinstance(value, fx.Node):
            return "node", places[value]
        if isinstance(value, (list, tuple)):
            return [plain(each, shape) for each in value]
        if isinstance(value, dict):
            return [(name, plain(each, shape)) for name, each in value.items()]
        return "rows" if shape and type(value) is int and value == rows else repr(value)

    found: list[Any] = []
    for node in module.graph.nodes:
        name = name_of_target(node)
        if name in ("full", "new_full"):  # what it is filled with is a value
            shape, *rest = node.args
            arguments = [plain(shape, True), plain(rest, False), plain(node.kwargs, False)]
        else:
            arguments = [plain(each, name in _SHAPED) for each in (node.args, node.kwargs)]
        found.append((node.op, str(node.target), arguments))
    return found


@cache
def _decompositions() -> dict[Any, Callable[..., Any]]:
    table = dict(core_aten_decompositions())
    table.update(get_decompositions(_FURTHER))
    table[aten.native_layer_norm.default] = _layer_norm
    table[aten.native_layer_norm_backward.default] = _layer_norm_backward
    table[aten.linalg_vector_norm.default] = _norm
    for whole in (aten.select_scatter.default, aten.slice_scatter.default):
        table.pop(whole, None)
    table[aten.copy.default] = _copy
    table[aten.hardsigmoid_backward.default] = _hardsigmoid_backward
    table[aten.var.correction] = _var
    table[aten.var_mean.correction] = lambda *args, **options: (_var(*args, **options), _mean(*args, **options))
    return table


def _layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    dims = list(range(-len(shape), 0))
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    rstd = ((centred * centred).mean(dims, keepdim=True) + eps).rsqrt()
    y = centred * rstd
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias), mean, rstd


def _layer_norm_backward(
    grad: Tensor,
    x: Tensor,
    shape: Sequence[int],
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    dims, rest = list(range(-len(shape), 0)), list(range(x.dim() - len(shape)))
    normed = (x - mean) * rstd
    scaled = grad if weight is None else grad * weight
    inner = (scaled * normed).mean(dims, keepdim=True)
    to_x = (scaled - scaled.mean(dims, keepdim=True) - normed * inner) * rstd
    to_weight = (grad * normed).sum(rest) if mask[1] else None
    return (to_x if mask[0] else None), to_weight, (grad.sum(rest) if mask[2] else None)


def _hardsigmoid_backward(grad: Tensor, x: Tensor) -> Tensor:
    """With PyTorch's own sixth, which is one of float32 whatever the type."""
    return torch.where((x > -3.0) & (x < 3.0), grad * 0.1666666716337204, 0.0)


def _copy(target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    return source.to(target.dtype).expand_as(target)


def _mean(x: Tensor, dim: Sequence[int] | None = None, *, correction: Any = None, keepdim: bool = False) -> Tensor:
    return x.mean(list(dim) if dim else list(range(x.dim())), keepdim=keepdim)


def _var(x: Tensor, dim: Sequence[int] | None = None, *, correction: Any = None, keepdim: bool = False) -> Tensor:
    dims = list(dim) if dim else list(range(x.dim()))
    centred = x - x.mean(dims, keepdim=True)
    count = 1
    for each in dims:
        count *= x.size(each)
    return (centred * centred).sum(dims, keepdim=keepdim) / (count - (1 if correction is None else correction))


def _norm(
    x: Tensor, order: float = 2, dim: Sequence[int] | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    dims = list(range(x.dim())) if dim is None else list(dim)
    if order == 2:
        return (x * x).sum(dims, keepdim=keepdim).sqrt()
    return x.abs().pow(order).sum(dims, keepdim=keepdim).pow(1 / order)


def _refuse_draws_and_numbers(graph: fx.Graph) -> None:
    for node in graph.nodes:
        tags = getattr(node.target, "tags", ())
        if torch.Tag.nondeterministic_seeded in tags:
            raise UnsupportedError(f"it draws random numbers ({node.target})")
        if node.target is aten._local_scalar_dense.default:
            raise UnsupportedError("it takes a number out of a tensor (item)")


def is_constant(node: fx.Node) -> bool:
    """Whether a node follows from no input at all."""
    return node.op == "call_function" and all(is_constant(each) for each in node.all_input_nodes)
