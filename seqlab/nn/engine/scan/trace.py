"""From a cell's ``pointwise`` to graphs of operations: the step, and its adjoint by PyTorch's differentiation."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor, fx, nn
from torch._decomp import core_aten_decompositions, get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from seqlab.nn.arguments import method_of
from seqlab.nn.cell import GatedCell, RecurrentCell

_OWN = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
aten = torch.ops.aten
_FURTHER = (  # what the core operators leave whole
    aten.gelu,
    aten.elu,
    aten.leaky_relu,
    aten.hardtanh,
    aten._softmax,
    aten._log_softmax,
)


class UnsupportedError(Exception):
    """The engine has no way to run what a ``pointwise`` does; the message says what."""


@dataclass(frozen=True)
class Trace:
    """A cell's step and its adjoint, as graphs over ``(B, size)`` tensors of any B.

    ``prelude`` computes, from the cell's own parameters and buffers (``names``), what the step uses of them: it needs
    no state, so it runs once a call. ``step`` takes (gi, gh, *state, *extras) to the new state; ``joint`` takes these
    and the gradients of the new state to (*new state, d gi, d gh, *d state, *d extras), None where there is none.
    Without a recurrent product there is no gh in either.
    """

    names: tuple[str, ...]
    prelude: fx.GraphModule
    step: fx.GraphModule
    joint: fx.GraphModule
    recurrent: bool
    num_states: int
    num_sequences: int  # how many parts of the state the cell's output is made of: the first, or all
    num_extras: int


def trace(cell: GatedCell, dtype: torch.dtype, device: torch.device, rows: int | None = None) -> Trace:
    """The graphs of ``cell`` for batches of ``rows``: run as they are, they may hold that number.

    Without ``rows``, for an example's batch whose size tells its rows from every other dimension.

    Raises :class:`UnsupportedError` for what can't be traced once for all steps.
    """
    # A caller's modes end with its thread: hooks on saved tensors, as a checkpoint has, inference mode, autocast.
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(_trace, cell, dtype, device, rows).result()


def _trace(cell: GatedCell, dtype: torch.dtype, device: torch.device, rows: int | None) -> Trace:
    tensors = {name: tensor for name, tensor in _tensors(cell).items() if name not in _OWN}
    any_rows = rows is None
    if rows is None:
        taken = {size for tensor in _tensors(cell).values() for size in tensor.shape} | set(cell.state_sizes)
        taken.update(cell.hidden_size * gates for gates in range(1, cell.num_gates + 1))
        rows = next(size for size in count(11, 2) if size not in taken)
    step = _trace_step(cell, tensors, _inputs(cell, dtype, device, rows))
    _refuse_draws_and_numbers(step.graph)
    prelude, body, extras = _split(step, len(tensors))
    for node in extras if any_rows else ():
        if _value(node).dim() and _value(node).size(0) == rows:
            raise UnsupportedError(f"its pointwise makes a tensor of the batch's size ({node.target})")
    joint = _trace_joint(body, extras, _inputs(cell, dtype, device, rows), len(cell.state_names))
    states = len(cell.state_names)
    sequences = 1 if method_of(cell, "output") is RecurrentCell.output else states
    return Trace(tuple(tensors), prelude, body, joint, cell.recurrent, states, sequences, len(extras))


def _tensors(cell: nn.Module) -> dict[str, Tensor]:
    return dict(cell.named_parameters()) | dict(cell.named_buffers())


class _Pointwise(nn.Module):
    """``pointwise`` as a module's forward, so that parameters can be swapped for traced ones."""

    def __init__(self, cell: GatedCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, gi: Tensor, gh: Tensor | None, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        new = self.cell.pointwise(gi, typed(Tensor, gh), state)
        return tuple(new)


def _inputs(cell: GatedCell, dtype: torch.dtype, device: torch.device, rows: int) -> list[Tensor]:
    gates = cell.num_gates * cell.hidden_size
    sizes = [gates] * (1 + cell.recurrent) + list(cell.state_sizes)
    return [torch.zeros(rows, size, dtype=dtype, device=device) for size in sizes]


def _trace_step(cell: GatedCell, tensors: dict[str, Tensor], examples: list[Tensor]) -> fx.GraphModule:
    wrapped, names, count = _Pointwise(cell), list(tensors), 1 + cell.recurrent

    def step(*given: Tensor) -> list[Tensor]:
        inputs, parameters = given[: len(given) - len(names)], given[len(given) - len(names) :]
        swapped = {f"cell.{name}": tensor for name, tensor in zip(names, parameters, strict=True)}
        gh = inputs[1] if cell.recurrent else None
        return list(torch.func.functional_call(wrapped, swapped, (inputs[0], gh, inputs[count:])))

    example = examples[0]
    parameters = [
        torch.zeros_like(tensor, dtype=example.dtype if tensor.is_floating_point() else None, device=example.device)
        for tensor in tensors.values()
    ]
    return _traced(step, [*examples, *parameters])


def _trace_joint(
    body: fx.GraphModule, extras: Sequence[fx.Node], examples: list[Tensor], states: int
) -> fx.GraphModule:
    device = examples[0].device
    shared = [torch.zeros(_value(node).shape, dtype=_value(node).dtype, device=device) for node in extras]
    gradients = [torch.zeros_like(state) for state in examples[len(examples) - states :]]

    def joint(*given: Tensor) -> list[Tensor | None]:
        inputs, gradients = given[: len(given) - states], given[len(given) - states :]
        floating = [index for index, tensor in enumerate(inputs) if tensor.is_floating_point()]

        def step(*differentiable: Tensor) -> tuple[Tensor, ...]:
            moved = dict(zip(floating, differentiable, strict=True))
            return tuple(body(*(moved.get(index, tensor) for index, tensor in enumerate(inputs))))

        new, pull = torch.func.vjp(step, *(inputs[index] for index in floating))[:2]
        found = dict(zip(floating, pull(tuple(gradients)), strict=True))
        return [*new, *(found.get(index) for index in range(len(inputs)))]

    return _traced(joint, [*examples, *shared, *gradients])


def _traced(function: Callable[..., Any], arguments: list[Tensor]) -> fx.GraphModule:
    pure = torch.func.functionalize(function, remove="mutations")
    try:
        table = _decompositions()
        module = make_fx(pure, decomposition_table=table, tracing_mode="fake", _allow_non_fake_inputs=True)(*arguments)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        raise UnsupportedError(f"its pointwise can't be traced ({type(error).__name__}: {reason})") from error
    module.graph.eliminate_dead_code()
    for node in module.graph.nodes:
        if node.op == "get_attr":
            raise UnsupportedError("its pointwise uses a tensor that is no registered parameter or buffer")
    return module


def _decompositions() -> dict[Any, Callable[..., Any]]:
    table = dict(core_aten_decompositions())
    table.update(get_decompositions(_FURTHER))
    table[aten.native_layer_norm.default] = _layer_norm
    table[aten.native_layer_norm_backward.default] = _layer_norm_backward
    table[aten.linalg_vector_norm.default] = _norm
    table[aten.copy.default] = _copy
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


def _value(node: fx.Node) -> Tensor:
    return typed(Tensor, node.meta["val"])


def _refuse_draws_and_numbers(graph: fx.Graph) -> None:
    for node in graph.nodes:
        tags = getattr(node.target, "tags", ())
        if torch.Tag.nondeterministic_seeded in tags:
            raise UnsupportedError(f"its pointwise draws random numbers ({node.target})")
        if node.target is aten._local_scalar_dense.default:
            raise UnsupportedError("its pointwise takes a number out of a tensor (item)")


def _split(step: fx.GraphModule, num_parameters: int) -> tuple[fx.GraphModule, fx.GraphModule, list[fx.Node]]:
    """The step's graph cut in two: what depends on parameters alone, and the rest, which takes that as extras."""
    nodes = list(step.graph.nodes)
    inputs = [node for node in nodes if node.op == "placeholder"]
    rows, parameters = inputs[: len(inputs) - num_parameters], inputs[len(inputs) - num_parameters :]
    moving = set(rows)
    for node in nodes:
        if node.op == "call_function" and moving.intersection(node.all_input_nodes):
            moving.add(node)
    output = next(node for node in nodes if node.op == "output")
    results = typed(list[fx.Node], output.args[0])
    extras: list[fx.Node] = []
    constants = {node for node in nodes if is_constant(node)}
    for node in nodes:
        if node not in moving and node not in constants and node.op != "output":
            used = [user for user in node.users if user in moving or (user is output and node in results)]
            # A tuple's parts are taken one by one, by the getitem that follows.
            if used and isinstance(node.meta.get("val"), Tensor):
                extras.append(node)
    prelude = _copied(step, parameters, [node for node in nodes if node not in moving], extras)
    kept = [node for node in nodes if node in moving or node in constants]
    body = _copied(step, [*rows, *extras], kept, results)
    return prelude, body, extras


def _copied(
    source: fx.GraphModule, inputs: Sequence[fx.Node], nodes: Iterable[fx.Node], outputs: Sequence[fx.Node]
) -> fx.GraphModule:
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for index, node in enumerate(inputs):
        copies[node] = graph.placeholder(f"given_{index}")
        copies[node].meta = dict(node.meta)
    for node in nodes:
        if node not in copies and node.op == "call_function":
            copies[node] = graph.node_copy(node, lambda each: copies[each])
    graph.output([copies[node] for node in outputs])
    graph.eliminate_dead_code()
    return fx.GraphModule(source, graph)


def is_constant(node: fx.Node) -> bool:
    """Whether a node follows from no input at all."""
    return node.op == "call_function" and all(is_constant(each) for each in node.all_input_nodes)
