"""Traces a step and its adjoint to one graph of ATen operations; PyTorch derives the adjoint."""

import re
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor, fx
from torch.fx.traceback import preserve_node_meta

from seqlab.nn.cells.base import GatedCell
from seqlab.nn.engine.dynamo import quiet
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.decompositions import decompositions
from seqlab.nn.engine.scan.operations import name_of
from seqlab.nn.engine.scan.step import Step

aten = torch.ops.aten
_LARGEST_CONSTANT = 4096  # numbers of a constant tensor that may be written into a program
_WITH_SHAPES = (  # operations whose arguments may be shapes
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
class Trace:
    """A cell's step and its adjoint, as a graph over ``(B, size)`` tensors of any batch size B.

    Attributes:
        step: the captured step.
        joint: takes (gi, gh, *state, *extras, *gradients of the new state) to (*new state, d gi, d gh, *d state,
            *d extras), with None for an absent gradient. Without a recurrent product there is neither gh nor d gh.
        recurrent: whether there is a recurrent product.
        num_states: the number of parts of the state.
        num_sequences: the number of parts of the state that the output reads at every step: 1 or all.
        num_extras: the number of extras.
        again: makes the joint graph again, with the user's line at each node.
    """

    step: Step
    joint: fx.GraphModule
    recurrent: bool
    num_states: int
    num_sequences: int
    num_extras: int
    again: Callable[[], fx.GraphModule]

    def describe(self, node: fx.Node) -> str:
        """An operation, for a message: its name, its operands' shapes, and the line of the user's code."""
        if name_of(node) == "getitem":  # one of an operation's several results
            node = node.all_input_nodes[0]
        shapes = [_shape_text(operand) for operand in node.all_input_nodes]
        text = f"{name_of(node)} of {', '.join(shapes)}" if shapes else name_of(node)
        line = self._line_of(node)
        return text if line is None else f"{text}, {line}"

    def _line_of(self, node: fx.Node) -> str | None:
        place = list(self.joint.graph.nodes).index(node)
        try:
            nodes = list(self.again().graph.nodes)
        except Exception:  # the message then names no line
            return None
        if place >= len(nodes) or nodes[place].target != node.target:
            return None
        frames = _FRAME.findall(nodes[place].meta.get("stack_trace") or "")
        frames = [each for each in frames if not Path(each[0]).is_relative_to(_ENGINE)]
        return f"{Path(frames[-1][0]).name}:{frames[-1][1]}: {frames[-1][2].strip()}" if frames else None


_ENGINE = Path(__file__).parents[1]
# A frame of generated code has no text line: the next frame follows directly.
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in [^\n]*\n(?! *File ")([^\n]*)')


def _shape_text(node: fx.Node) -> str:
    """The shape of a node, with B for the batch size."""
    value = node.meta.get("val")
    shape = tuple(value.shape) if isinstance(value, Tensor) else ()
    has_rows = bool(node.meta.get("has_rows"))
    return "(" + ", ".join(["B" if has_rows and dim == 0 else str(size) for dim, size in enumerate(shape)]) + ")"


def refuse_draws(step: Step, cell: GatedCell, dtype: torch.dtype, live: Sequence[Any]) -> None:
    """Check that a step draws no random numbers and writes to none of its arguments.

    Raises:
        UnsupportedError: it does.
    """
    sizes = [cell.num_gates * cell.hidden_size] * (1 + cell.recurrent) + list(cell.state_sizes)
    with torch.inference_mode(False), torch.device("cpu"):
        extras = [each.detach().requires_grad_(each.requires_grad) for each in step.extras(live)]
        _refuse_draws_and_numbers(_joint(step, sizes, extras, dtype, 11).graph)


def trace(cell: GatedCell, step: Step, extras: Sequence[Tensor], dtype: torch.dtype, sequences: int) -> Trace:
    """Trace a step and its adjoint.

    Args:
        cell: the cell.
        step: its captured step.
        extras: the tensors that the step reads beside its rows; only shapes, dtypes and flags matter.
        dtype: float32 or float64, in which to trace.
        sequences: the number of parts of the state that the output reads at every step.

    Raises:
        UnsupportedError: no graph serves every batch size, or the step can't be differentiated as a graph.
    """
    states = len(cell.state_names)
    gates = cell.num_gates * cell.hidden_size
    sizes = [gates] * (1 + cell.recurrent) + list(cell.state_sizes)
    # Batch sizes that no other dimension has: a dimension of such a size is the batch.
    used = {size for extra in extras for size in extra.shape} | set(cell.state_sizes)
    used.update(cell.hidden_size * number for number in range(1, cell.num_gates + 1))
    first, *others = [size for size in (11, 14, 24, *range(25, 4096)) if size not in used][:3]
    joint = _joint(step, sizes, extras, dtype, first)
    _refuse_draws_and_numbers(joint.graph)
    if step.counts_rows:
        text = _without_rows(joint, first)
        if any(_without_rows(_joint(step, sizes, extras, dtype, rows), rows) != text for rows in others):
            raise UnsupportedError("it reads the batch size")
    inputs = [node for node in joint.graph.nodes if node.op == "placeholder"]
    output = next(node for node in joint.graph.nodes if node.op == "output")
    results = list(typed(Sequence[fx.Node | None], output.args[0]))
    for place in range(1 + cell.recurrent):  # zeros, where the step uses no input or no recurrent product
        if results[states + place] is None:
            with joint.graph.inserting_before(output):
                zero = joint.graph.call_function(aten.full_like.default, (inputs[place], 0))
            zero.meta["val"] = inputs[place].meta["val"]
            results[states + place] = zero
    output.args = (tuple(results),)
    if len(inputs) != len(sizes) + len(extras) + states:
        raise UnsupportedError("PyTorch gives its gradients in an unexpected form")
    again = partial(_joint, step, sizes, extras, dtype, first, lines=True)
    return Trace(step, joint, cell.recurrent, states, sequences, len(extras), again)


def _joint(
    step: Step, sizes: Sequence[int], extras: Sequence[Tensor], dtype: torch.dtype, rows: int, lines: bool = False
) -> fx.GraphModule:
    """The graph of a step and its adjoint for a batch of ``rows``; with ``lines``, each node knows the user's line."""
    from torch._functorch.aot_autograd import aot_export_joint_simple

    with torch.inference_mode(False), torch.device("cpu"):
        examples = [torch.zeros(rows, size, dtype=dtype, requires_grad=True) for size in sizes]
        for extra in extras:
            kind = dtype if extra.is_floating_point() else extra.dtype
            learns = extra.requires_grad and extra.is_floating_point()
            examples.append(torch.zeros(extra.shape, dtype=kind, requires_grad=learns))

    flags: list[bool] = []  # whether each part of the new state requires a gradient

    def function(*tensors: Tensor) -> tuple[Tensor, ...]:
        # PyTorch notes the lines of nodes in global state, so they are noted only for a message.
        with preserve_node_meta() if lines else nullcontext():
            parts = fx.Interpreter(step.body).run(*tensors, rows) if lines else step.body.forward(*tensors, rows)
        new = tuple(part.clone() for part in parts)
        flags[:] = [part.requires_grad for part in new]
        return new

    try:
        with quiet(), torch.enable_grad(), torch.autocast("cpu", enabled=False), torch.inference_mode(False):
            exported = aot_export_joint_simple(
                function, tuple(examples), trace_joint=True, decompositions=dict(decompositions())
            )
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        if "mutation" in reason:
            raise UnsupportedError("it changes one of its arguments in place") from None
        raise UnsupportedError(
            f"it can't be differentiated as a graph ({type(error).__name__}: {reason[:200]})"
        ) from None
    joint = typed(fx.GraphModule, exported)
    for node in reversed(joint.graph.nodes):
        if name_of(node) in ("_assert_tensor_metadata", "_assert_scalar"):
            joint.graph.erase_node(node)
    joint.graph.eliminate_dead_code()
    _compute_once(joint.graph)
    _add_missing_gradients(joint.graph, len(examples), flags)
    for node in joint.graph.nodes:
        if node.op == "get_attr":
            _inline_constant(joint, node)
    return joint


def _compute_once(graph: fx.Graph) -> None:
    """Computes once what the graph computes several times, other than its results: two of them are two tensors.

    PyTorch's own pass does the same, and imports the whole of its compiler for it, half a second in each process.
    """
    results = set(graph.output_node().all_input_nodes)
    first: dict[Hashable, fx.Node] = {}
    for node in graph.nodes:
        if node.op == "call_function" and node not in results:
            same = first.setdefault((node.target, _key(node.args), _key(node.kwargs)), node)
            if same is not node:
                node.replace_all_uses_with(same)
                graph.erase_node(node)


def _key(value: Any) -> Hashable:
    """A key of arguments: 1, 1.0 and True are three, and so are 0.0 and -0.0."""
    if isinstance(value, dict):
        return dict, *((name, _key(each)) for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return tuple, *map(_key, value)
    return type(value), repr(value) if isinstance(value, float) else value


def _inline_constant(module: fx.GraphModule, node: fx.Node) -> None:
    """Replace a small tensor that the step makes of constants by its numbers."""
    value = getattr(module, str(node.target))
    if type(value) is not Tensor or value.numel() > _LARGEST_CONSTANT:
        raise UnsupportedError(
            f"it makes a constant {type(value).__name__} at each step, "
            f"expected a Tensor of at most {_LARGEST_CONSTANT} numbers"
        )
    with module.graph.inserting_before(node):
        constant = module.graph.call_function(torch.tensor, (value.tolist(),), {"dtype": value.dtype})
    constant.meta["val"] = value
    node.replace_all_uses_with(constant)
    module.graph.erase_node(node)


def _add_missing_gradients(graph: fx.Graph, num_arguments: int, flags: Sequence[bool]) -> None:
    """Add an unused input for the gradient of each part of the new state that requires none, so that all have one."""
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    results = next(node for node in graph.nodes if node.op == "output").args[0]
    if len(inputs) != num_arguments + sum(flags):
        raise UnsupportedError("PyTorch gives its gradients in an unexpected form")
    after, gradients = inputs[num_arguments - 1], iter(inputs[num_arguments:])
    for place, has_gradient in enumerate(flags):
        if has_gradient:
            after = next(gradients)
            continue
        with graph.inserting_after(after):
            after = graph.placeholder(f"gradient_of_constant_{place}")
        after.meta["val"] = results[place].meta["val"]


def _without_rows(module: fx.GraphModule, rows: int) -> list[Any]:
    """The graph as plain values, to compare two batch sizes: "rows" replaces the batch size where it is a shape."""
    places = {node: place for place, node in enumerate(module.graph.nodes)}

    def plain(value: Any, shape: bool) -> Any:
        if isinstance(value, fx.Node):
            return "node", places[value]
        if isinstance(value, (list, tuple)):
            return [plain(each, shape) for each in value]
        if isinstance(value, dict):
            return [(name, plain(each, shape)) for name, each in value.items()]
        return "rows" if shape and type(value) is int and value == rows else repr(value)

    lines: list[Any] = []
    for node in module.graph.nodes:
        name = name_of(node)
        if name in ("full", "new_full"):  # the number that fills it is no shape
            shape, *rest = node.args
            arguments = [plain(shape, True), plain(rest, False), plain(node.kwargs, False)]
        else:
            arguments = [plain(each, name in _WITH_SHAPES) for each in (node.args, node.kwargs)]
        lines.append((node.op, str(node.target), arguments))
    return lines


def _refuse_draws_and_numbers(graph: fx.Graph) -> None:
    for node in graph.nodes:
        tags = getattr(node.target, "tags", ())
        if torch.Tag.nondeterministic_seeded in tags:
            raise UnsupportedError(f"it draws random numbers ({node.target})")
        if node.target is aten._local_scalar_dense.default:
            raise UnsupportedError("it takes a number out of a tensor (item)")


def is_constant(node: fx.Node) -> bool:
    """Whether a node depends on no input."""
    return node.op == "call_function" and all(is_constant(each) for each in node.all_input_nodes)
