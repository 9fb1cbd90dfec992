"""What a cell's ``output`` or ``project`` does: whether each row's is made of it alone, and what it changes."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from typing import cast as typed

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.engine.capture import Capture, Size, shape_of, watched
from seqlab.nn.engine.dynamo import quiet
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.step import whole, writes

_ROWS = 11
_SAME = ("alias", "clone", "detach", "_to_copy")
_ALONG = {  # operations along dimensions that an argument names; where that stands
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
    """What an ``output`` is: whether each row's is made of that row alone, and the tensors that it writes to."""

    row_wise: bool
    written: Sequence[Tensor] = ()


def output_of(cell: RecurrentCell, gradients: bool, dtype: torch.dtype, device: torch.device) -> Output:
    """What a cell's own ``output`` does beside what it gives: it runs after all steps, and none may see that.

    Raises:
        UnsupportedError: it changes its state in place, or does what can't be followed, which a step may see.
    """
    sizes = cell.state_sizes
    capture, scope = watched(cell, "output").capture(cell, sizes, [gradients] * len(sizes), dtype, device)
    if capture.reads_autograd:
        raise UnsupportedError("its output asks whether something requires a gradient")
    live = capture.live(scope)
    if "written" not in capture.derived:
        graph, _ = whole(capture, len(sizes), live)
        read = [each if isinstance(each, Tensor) else torch.tensor(float(each)) for each in live]
        written = writes(graph, [*scope["rows"], *read, *counts_of(scope["rows"])])
        if written.intersection(range(len(sizes))):
            raise UnsupportedError("its output changes its state in place")
        capture.derived["written"] = [place - len(sizes) for place in written]
    return Output(
        is_row_wise(cell, "output", sizes, gradients, dtype, device),
        [live[place] for place in capture.derived["written"]],
    )


def is_row_wise(
    cell: RecurrentCell, method: str, sizes: Sequence[Size], gradients: bool, dtype: torch.dtype, device: torch.device
) -> bool:
    """Whether "output" or "project" is, by the operations that it performs now; what can't be followed is not.

    ``sizes`` are the widths of the tensors ``(B, size)`` that it is given; or (steps, size) of a sequence, each step of
    which is a row.
    """
    watch = watched(cell, method)
    try:
        capture, scope = watch.capture(cell, sizes, [gradients] * len(sizes), dtype, device)
    except UnsupportedError:
        return False
    if "row-wise" not in capture.derived:
        capture.derived["row-wise"] = _follow(capture, sizes, capture.live(scope), dtype)
    return bool(capture.derived["row-wise"])


def _follow(capture: Capture, sizes: Sequence[Size], live: Sequence[Any], dtype: torch.dtype) -> bool:
    if any(node.target is torch.ops.higher_order.autograd_function_apply for node in capture.graph.graph.nodes):
        return False  # its backward may look at many rows where its forward does not
    shapes = [tuple(each.shape) for each in live if isinstance(each, Tensor)]
    taken = {size for shape in (*shapes, *(shape_of(1, each) for each in sizes)) for size in shape}
    steps = {each[0] for each in sizes if isinstance(each, tuple)}
    rows = next(size for size in range(_ROWS, 4096, 2) if taken.isdisjoint({size, *(size * each for each in steps)}))
    rows_of = _Rows(rows, *steps)
    numbers = [each.detach().clone() if isinstance(each, Tensor) else torch.tensor(float(each)) for each in live]
    body, counted = whole(capture, len(sizes), live)
    if counted:
        return False

    def function(*given: Tensor) -> Any:
        return body(*given, *numbers, *counts_of(given))

    try:
        with quiet(), torch.no_grad(), torch.inference_mode(False):
            examples = [torch.zeros(shape_of(rows, size), dtype=dtype, device="cpu") for size in sizes]
            graph = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*examples).graph
    except Exception:  # whatever it is that can't be followed
        return False
    moving: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder":
            moving.add(node)
        elif node.op == "call_function":
            schema = getattr(node.target, "_schema", None)
            if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) or getattr(
                schema, "is_mutable", False
            ):
                return False
            if not moving.intersection(node.all_input_nodes):
                continue
            if not _keeps_rows(node, moving, rows_of):
                return False
            moving.add(node)
    return True


def _shape(node: fx.Node) -> tuple[int, ...]:
    value = node.meta["val"]
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def counts_of(rows: Sequence[Tensor]) -> tuple[int, int]:
    """The numbers that a capture's graph is given last: of rows, and of steps where the first is a sequence."""
    return rows[0].size(0), rows[0].size(1) if rows[0].dim() == 3 else 1


class _Rows:
    """How many rows there are, and how many steps each is, where a row is a sequence."""

    def __init__(self, rows: int, steps: int | None = None) -> None:
        self.shapes = [(rows,)] if steps is None else [(rows, steps), (rows * steps,)]

    def lead(self, node: fx.Node) -> int:
        """How many dimensions of a node say which row an element is of; 0 where they don't."""
        shape = _shape(node)
        return next((len(each) for each in self.shapes if shape[: len(each)] == each), 0)


def _keeps_rows(node: fx.Node, moving: set[fx.Node], rows: _Rows) -> bool:
    """Whether the first dimensions of the result are those of the rows, each made of the same row of the operands."""
    packet = getattr(node.target, "overloadpacket", node.target)
    name = str(getattr(packet, "__name__", packet))
    if name == "getitem":
        return True
    if not hasattr(node.target, "_schema"):
        return False
    operands = [each for each in node.all_input_nodes if each in moving]
    leads = {rows.lead(each) for each in operands if not isinstance(each.meta["val"], (tuple, list))}
    if len(leads) != 1 or 0 in leads:
        return False
    (lead,) = leads
    if name in _SAME:
        return True
    if torch.Tag.pointwise in node.target.tags:  # type: ignore[union-attr]
        rank = len(_shape(node))
        others = [_shape(each) for each in node.all_input_nodes if each not in moving]
        return all(len(_shape(each)) == rank for each in operands) and all(
            all(size == 1 for size in shape[: max(0, len(shape) - rank + lead)]) for shape in others
        )
    if name in ("mm", "addmm"):
        places = node.args if name == "mm" else node.args[1:]
        left_alone = places[1] not in moving and not (name == "addmm" and node.args[0] in moving)
        return lead == 1 and places[0] in moving and left_alone
    if name in ("view", "_unsafe_view", "reshape", "expand"):
        return rows.lead(node) > 0
    if name == "native_layer_norm":
        return operands == [node.args[0]] and len(typed(Sequence[int], node.args[1])) <= len(_shape(operands[0])) - lead
    if name == "cat":
        dim = node.args[1] if len(node.args) > 1 else 0
        return _along(dim, len(_shape(operands[0])), lead) and all(
            rows.lead(each) == lead for each in node.all_input_nodes
        )
    if name in _ALONG:
        place = _ALONG[name]
        rank = len(_shape(operands[0])) + (name == "unsqueeze")
        return len(node.args) > place and operands == [node.args[0]] and _along(node.args[place], rank, lead)
    return False


def _along(dims: Any, rank: int, lead: int) -> bool:
    """Whether dimensions are named, and none says which row it is."""
    listed = list(dims) if isinstance(dims, Sequence) else [dims]
    return bool(listed) and all(isinstance(dim, int) and dim % rank >= lead for dim in listed)
