"""From a step to the graph of its operations and of its adjoint, by PyTorch's own differentiation."""

import re
from collections.abc import Callable, Sequence
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
_WRITTEN_OUT = 4096  # numbers of a constant that may stand in a program
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
        if name_of(node) == "getitem":  # one of an operation's several results
            node = node.all_input_nodes[0]
        shapes = [_row_of(each) for each in node.all_input_nodes]
        text = f"{name_of(node)} of {', '.join(shapes)}" if shapes else name_of(node)
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
# A frame of generated code has no text: the next frame follows at once.
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in [^\n]*\n(?! *File ")([^\n]*)')


def _row_of(node: fx.Node) -> str:
    value = node.meta.get("val")
    shape = tuple(value.shape) if isinstance(value, Tensor) else ()
    moving = bool(node.meta.get("moving"))
    return "(" + ", ".join(["B" if moving and place == 0 else str(size) for place, size in enumerate(shape)]) + ")"


def refuse_draws(step: Step, cell: GatedCell, dtype: torch.dtype, live: Sequence[Any]) -> None:
    """Raises :class:`UnsupportedError` if a step draws random numbers or changes what it is given."""
    sizes = [cell.num_gates * cell.hidden_size] * (1 + cell.recurrent) + list(cell.state_sizes)
    with torch.inference_mode(False), torch.device("cpu"):
        extras = [each.detach().requires_grad_(each.requires_grad) for each in step.extras(live)]
        _refuse_draws_and_numbers(_joint(step, sizes, extras, dtype, 11).graph)


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
                function, tuple(given), trace_joint=True, decompositions=dict(decompositions())
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
        if name_of(node) in ("_assert_tensor_metadata", "_assert_scalar"):
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
        name = name_of(node)
        if name in ("full", "new_full"):  # what it is filled with is a value
            shape, *rest = node.args
            arguments = [plain(shape, True), plain(rest, False), plain(node.kwargs, False)]
        else:
            arguments = [plain(each, name in _SHAPED) for each in (node.args, node.kwargs)]
        found.append((node.op, str(node.target), arguments))
    return found


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
