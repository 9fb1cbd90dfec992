"""What a capture runs: example tensors, and one function (a frame) for each method that is captured."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

ROWS = 11  # rows of the example tensors; the captured graph serves any number of rows
STEPS = 7  # steps of an example tensor that is a sequence
Size = int | tuple[int, int]  # the width of a row; or (steps, width) where each row is a sequence


def shape_of(rows: int, size: Size) -> tuple[int, ...]:
    """The shape ``(rows, width)`` or ``(rows, steps, width)`` of an example tensor."""
    return (rows, *(size if isinstance(size, tuple) else (size,)))


def example_tensors(
    sizes: Sequence[Size | None], flags: Sequence[bool], dtype: torch.dtype, device: torch.device
) -> list[Tensor | None]:
    """Zeros to capture a method with: one tensor for each size, None for None.

    All dimensions but the last are marked as dynamic, so that a decision by the batch size shows up as a guard.

    Args:
        sizes: the size of each tensor.
        flags: whether each tensor requires a gradient.
        dtype: the dtype of the tensors.
        device: the device of the tensors.
    """
    with torch.inference_mode(False):
        rows = [
            None if size is None else torch.zeros(shape_of(ROWS, size), dtype=dtype, device=device) for size in sizes
        ]
        for row, flag in zip(rows, flags, strict=True):
            if row is not None:
                torch._dynamo.mark_dynamic(row.requires_grad_(flag), list(range(row.dim() - 1)))
    return rows


# The argument names `cell` and `rows` are part of a capture: Dynamo names its sources by them, as L['cell'] and
# L['rows'][0]. Each result is a view, so that each is a result of its own even where two are one tensor.


def pointwise_frame(cell: Any, rows: Any) -> Any:
    """``cell.pointwise``; rows are (gi, gh, *state), and the results are the parts of the new state."""
    new = cell.pointwise(rows[0], rows[1], tuple(rows[2:]))
    if not isinstance(new, (tuple, list)):
        raise TypeError("pointwise must return a tuple")
    return tuple([part.view_as(part) for part in new])


def output_frame(cell: Any, rows: Any) -> Any:
    """``cell.output``; rows are the parts of the state, and the result is the output."""
    new = cell.output(tuple(rows))
    return (new.view_as(new),)


def project_frame(cell: Any, rows: Any) -> Any:
    """``cell.project``; rows are (x,), and the result is gi."""
    new = cell.project(rows[0])
    return (new.view_as(new),)


def whole_frame(cell: Any, rows: Any) -> Any:
    """All methods of one step; rows are (x, *state), and the results are the output and the new state."""
    new = cell.step(cell.project(rows[0])[:, 0], tuple(rows[1:]))
    output = cell.output(tuple(new))
    return tuple([part.view_as(part) for part in (output, *new)])


FRAMES: dict[str, Callable[..., Any]] = {
    "pointwise": pointwise_frame,
    "output": output_frame,
    "project": project_frame,
    "whole": whole_frame,
}

__all__ = ["FRAMES", "ROWS", "STEPS", "Size", "example_tensors", "shape_of"]
