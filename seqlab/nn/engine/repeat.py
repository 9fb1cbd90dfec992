"""Whether the steps of a cell may be run a second time, to keep less for the backward pass."""

import torch
from torch import Tensor

from seqlab.nn.cells.base import GatedCell, RecurrentCell
from seqlab.nn.engine.capture import STEPS, Size, watched
from seqlab.nn.engine.dynamo import untraceable
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.once import ships
from seqlab.nn.engine.scan.rows import counts_of, is_row_wise
from seqlab.nn.engine.scan.step import refuse_effects, whole


def unrepeatable(cell: RecurrentCell, x: Tensor) -> str | None:
    """Why running a stretch of steps twice would not be as running it once, or None.

    A second run repeats what Python does beside computing, a counter say, and draws of Python and NumPy; PyTorch's own
    draws are put back. And a ``project`` that mixes steps would see a stretch of them alone.
    """
    reason = untraceable()
    if reason is not None:
        return reason
    watch = watched(cell, "whole")
    sizes: tuple[Size, ...] = ((STEPS, cell.input_size), *cell.state_sizes)
    try:
        capture, scope = watch.capture(cell, sizes, (True,) * len(sizes), x.dtype, x.device)
        if "repeatable" not in capture.derived:
            live = capture.live(scope)
            graph, _ = whole(capture, len(sizes), live)
            read = [each if isinstance(each, Tensor) else torch.tensor(float(each)) for each in live]
            refuse_effects(graph, [*scope["rows"], *read, *counts_of(scope["rows"])], draws=True)
            capture.derived["repeatable"] = True
    except UnsupportedError as error:
        return str(error)
    own = type(cell).project is not RecurrentCell.project and not (
        isinstance(cell, GatedCell) and ships(cell, GatedCell, "project")
    )
    if (own or "project" in vars(cell)) and not is_row_wise(
        cell, "project", ((STEPS, cell.input_size),), True, x.dtype, x.device
    ):
        return "its project is not of each step alone"
    return None
