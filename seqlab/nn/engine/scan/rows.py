"""Whether a cell's ``output`` or ``project`` is row-wise: each row's result depends on that row alone."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from typing import cast as typed

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.engine.capture import Capture
from seqlab.nn.engine.dynamo import quiet
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.frames import Size, shape_of
from seqlab.nn.engine.scan.step import whole_graph, writes
from seqlab.nn.engine.watch import watch_of

_FEWEST_ROWS = 11
_SAME = ("alias", "clone", "detach", "_to_copy")
_DIMS_ARGUMENT = {  # operations along some dimensions, and the place of the argument that names these
    "sum": 1,
    "mean": 1,
    "amax": 1,
    "amin": 1,
    "var": 1,
    "_softmax": 1,
    "_log_softmax": 1,
    "slice": 1,
    "select": 1,
    "unsqueeze": 1,
    "squeeze": 1,
    "split": 2,
    "split_with_sizes": 2,
    "linalg_vector_norm": 2,
}


class Output(NamedTuple):
    """What an ``output`` does: whether it is row-wise, and the tensors that it writes to."""

    row_wise: bool
    written: Sequence[Tensor] = ()


def output_of(cell: RecurrentCell, gradients: bool, dtype: torch.dtype, device: torch.device) -> Output:
    """Analyse the ``output`` of a cell's own. It runs after all steps, so no step may depend on what it changes.

    Raises:
        UnsupportedError: it changes its state in place, asks for gradients, or can't be captured.
    """
    sizes = cell.state_sizes
    capture, scope = watch_of(cell, "output").capture(cell, sizes, [gradients] * len(sizes), dtype, device)
    if capture.reads_autograd:
        raise UnsupportedError("its output reads requires_grad, or another attribute of autograd")
    live = capture.live(scope)
    if "written" not in capture.derived:
        graph, _ = whole_graph(capture, len(sizes), live)
        tensors = [value if isinstance(value, Tensor) else torch.tensor(float(value)) for value in live]
        places = writes(graph, [*scope["rows"], *tensors, *counts_of(scope["rows"])])
        if places.intersection(range(len(sizes))):
            raise UnsupportedError("its output changes its state in place")
        capture.derived["written"] = [place - len(sizes) for place in places]
    return Output(
        is_row_wise(cell, "output", sizes, gradients, dtype, device),
        [live[place] for place in capture.derived["written"]],
    )


def is_row_wise(
    cell: RecurrentCell, method: str, sizes: Sequence[Size], gradients: bool, dtype: torch.dtype, device: torch.device
) -> bool:
    """Whether a method is row-wise, by the operations that it performs now; one that can't be captured is not.

    Args:
        cell: the cell.
        method: "output" or "project".
        sizes: the widths of the method's arguments ``(B, size)``; or (steps, size) of a sequence ``(B, T, size)``, each
            step of which counts as a row.
        gradients: whether the arguments require a gradient.
        dtype: the arguments' dtype.
        device: the arguments' device.
    """
    watch = watch_of(cell, method)
    try:
        capture, scope = watch.capture(cell, sizes, [gradients] * len(sizes), dtype, device)
    except UnsupportedError:
        return False
    if "row-wise" not in capture.derived:
        capture.derived["row-wise"] = _all_row_wise(capture, sizes, capture.live(scope), dtype)
    return bool(capture.derived["row-wise"])


def _all_row_wise(capture: Capture, sizes: Sequence[Size], live: Sequence[Any], dtype: torch.dtype) -> bool:
    """Whether each operation of a capture is row-wise.

    The graph is traced with a batch size that no other dimension has, so that a dimension of that size is the batch.
    """
    if any(node.target is torch.ops.higher_order.autograd_function_apply for node in capture.graph.graph.nodes):
        return False  # its backward may mix rows where its forward does not
    shapes = [tuple(value.shape) for value in live if isinstance(value, Tensor)]
    used = {size for shape in (*shapes, *(shape_of(1, each) for each in sizes)) for size in shape}
    steps = {each[0] for each in sizes if isinstance(each, tuple)}
    rows = next(
        size for size in range(_FEWEST_ROWS, 4096, 2) if used.isdisjoint({size, *(size * count for count in steps)})
    )
    batch = _Batch(rows, *steps)
    tensors = [each.detach().clone() if isinstance(each, Tensor) else torch.tensor(float(each)) for each in live]
    body, uses_counts = whole_graph(capture, len(sizes), live)
    if uses_counts:
        return False

    def function(*arguments: Tensor) -> Any:
        return body(*arguments, *tensors, *counts_of(arguments))

    try:
        with quiet(), torch.no_grad(), torch.inference_mode(False):
            examples = [torch.zeros(shape_of(rows, size), dtype=dtype, device="cpu") for size in sizes]
            graph = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*examples).graph
    except Exception:  # it can't be traced, for whatever reason
        return False
    dependent: set[fx.Node] = set()  # on the rows
    for node in graph.nodes:
        if node.op == "placeholder":
            dependent.add(node)
        elif node.op == "call_function":
            schema = getattr(node.target, "_schema", None)
            if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) or getattr(
                schema, "is_mutable", False
            ):
                return False
            if not dependent.intersection(node.all_input_nodes):
                continue
            if not _is_row_wise_node(node, dependent, batch):
                return False
            dependent.add(node)
    return True


def _shape(node: fx.Node) -> tuple[int, ...]:
    value = node.meta["val"]
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def counts_of(rows: Sequence[Tensor]) -> tuple[int, int]:
    """The batch size and the number of steps (1 without a sequence): the last arguments of a capture's graph."""
    return rows[0].size(0), rows[0].size(1) if rows[0].dim() == 3 else 1


class _Batch:
    """The batch dimensions: the number of rows, and of steps where a row is a sequence."""

    def __init__(self, rows: int, steps: int | None = None) -> None:
        self.shapes = [(rows,)] if steps is None else [(rows, steps), (rows * steps,)]

    def lead(self, node: fx.Node) -> int:
        """How many leading dimensions of a node are batch dimensions; 0 if it has none."""
        shape = _shape(node)
        return next((len(each) for each in self.shapes if shape[: len(each)] == each), 0)


def _is_row_wise_node(node: fx.Node, dependent: set[fx.Node], batch: _Batch) -> bool:
    """Whether each row of an operation's result is computed from the same row of its operands alone."""
    packet = getattr(node.target, "overloadpacket", node.target)
    name = str(getattr(packet, "__name__", packet))
    if name == "getitem":
        return True
    if not hasattr(node.target, "_schema"):
        return False
    operands = [each for each in node.all_input_nodes if each in dependent]
    leads = {batch.lead(each) for each in operands if not isinstance(each.meta["val"], (tuple, list))}
    if len(leads) != 1 or 0 in leads:
        return False
    (lead,) = leads
    if name in _SAME:
        return True
    if torch.Tag.pointwise in node.target.tags:  # type: ignore[union-attr]
        rank = len(_shape(node))
        others = [_shape(each) for each in node.all_input_nodes if each not in dependent]
        return all(len(_shape(each)) == rank for each in operands) and all(
            all(size == 1 for size in shape[: max(0, len(shape) - rank + lead)]) for shape in others
        )
    if name in ("mm", "addmm"):
        factors = node.args if name == "mm" else node.args[1:]
        shared_weight = factors[1] not in dependent and not (name == "addmm" and node.args[0] in dependent)
        return lead == 1 and factors[0] in dependent and shared_weight
    if name in ("view", "_unsafe_view", "reshape", "expand"):
        return batch.lead(node) > 0
    if name == "native_layer_norm":
        return operands == [node.args[0]] and len(typed(Sequence[int], node.args[1])) <= len(_shape(operands[0])) - lead
    if name == "cat":
        dim = node.args[1] if len(node.args) > 1 else 0
        return _along(dim, len(_shape(operands[0])), lead) and all(
            batch.lead(each) == lead for each in node.all_input_nodes
        )
    if name in _DIMS_ARGUMENT:
        place = _DIMS_ARGUMENT[name]
        rank = len(_shape(operands[0])) + (name == "unsqueeze")
        return len(node.args) > place and operands == [node.args[0]] and _along(node.args[place], rank, lead)
    return False


def _along(dims: Any, rank: int, lead: int) -> bool:
    """Whether ``dims`` names at least one dimension and no batch dimension; the first ``lead`` dimensions are those."""
    axes = list(dims) if isinstance(dims, Sequence) else [dims]
    return bool(axes) and all(isinstance(dim, int) and dim % rank >= lead for dim in axes)
