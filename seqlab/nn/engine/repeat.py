"""Whether a cell's steps may be run a second time, so that less is saved for the backward pass."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seqlab.nn.cells.base import GatedCell, RecurrentCell
from seqlab.nn.engine.dynamo import mode_refusal
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.frames import STEPS, Size
from seqlab.nn.engine.methods import ships
from seqlab.nn.engine.scan.rows import counts_of, is_row_wise
from seqlab.nn.engine.scan.step import refuse_effects, whole_graph
from seqlab.nn.engine.watch import watch_of


def repeat_refusal(cell: RecurrentCell, x: Tensor) -> str | None:
    """Why running some steps of a sequence twice differs from running them once; None if it does not.

    A second run would repeat side effects of Python, such as a counter, and random draws of Python and NumPy. (The
    state of PyTorch's generator is restored.) A ``project`` that mixes steps would see only some of them.

    Args:
        cell: the cell.
        x: the input ``(B, T, I)``; only its dtype and device matter.
    """
    reason = mode_refusal()
    if reason is not None:
        return reason
    watch = watch_of(cell, "whole")
    sizes: tuple[Size, ...] = ((STEPS, cell.input_size), *cell.state_sizes)
    try:
        capture, scope = watch.capture(cell, sizes, (True,) * len(sizes), x.dtype, x.device)
        if "repeatable" not in capture.derived:
            live = capture.live(scope)
            graph, _ = whole_graph(capture, len(sizes), live)
            tensors = [value if isinstance(value, Tensor) else torch.tensor(float(value)) for value in live]
            refuse_effects(graph, [*scope["rows"], *tensors, *counts_of(scope["rows"])], draws=True)
            capture.derived["repeatable"] = True
    except UnsupportedError as error:
        return str(error)
    overrides_project = type(cell).project is not RecurrentCell.project and not (
        isinstance(cell, GatedCell) and ships(cell, GatedCell, "project")
    )
    if (overrides_project or "project" in vars(cell)) and not is_row_wise(
        cell, "project", ((STEPS, cell.input_size),), True, x.dtype, x.device
    ):
        return "its project may mix rows or steps"
    return None


def versions(cell: RecurrentCell, given: Sequence[Tensor]) -> list[int]:
    """How often each parameter and buffer of a cell was written, and each tensor that a call is given.

    The steps that are run a second time read all of them again.
    """
    tensors = (*cell.parameters(), *cell.buffers(), *given)
    return [0 if each.is_inference() else each._version for each in tensors]
