"""The comparison of an exported file with the model that it came from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from seqlab.errors import InputError
from seqlab.export.programs import Program

TOLERANCE: Final = 1e-4
"""The largest difference between a file's output and the model's, relative to values above 1."""

_DIGITS: Final = 0.01
"""Of an answer in a user's units, the share of a value below which differences are those of float32's last digits."""


@dataclass(frozen=True)
class Agreement:
    """How well a file agrees with its model.

    Attributes:
        cases: on how many random inputs, of different sizes, they were compared.
        error: the largest difference, relative to the values where these are above 1; of answers in a user's units,
            with the mean of training taken away and by its deviation.
    """

    cases: int
    error: float


def compare(program: Program, file: Callable[..., tuple[Tensor, ...]], seed: int = 0) -> Agreement:
    """Runs a file and the model on random input: one row and one step, many, padded rows, rows without steps.

    Args:
        program: the program that the file holds.
        file: the file at work.
        seed: of the input.

    Raises:
        InputError: they differ by more than :data:`TOLERANCE`, in shape, or the file can't be run.
    """
    generator = torch.Generator().manual_seed(seed)
    largest = 0.0
    for sizes in program.cases:
        arguments = program.sample(sizes, generator)
        with torch.no_grad():
            expected: tuple[Tensor, ...] = program.reference(*arguments)
        place = f"{program.name} with {', '.join(f'{name} {length}' for name, length in sizes.items())}"
        try:
            outputs = file(*arguments)
        except Exception as error:  # whatever the runtime raises
            raise InputError(f"the exported {place} does not run: {' '.join(str(error).split())[:300]}") from error
        for port, wanted, output in zip(program.outputs, expected, outputs, strict=True):
            if output.shape != wanted.shape or output.dtype != wanted.dtype:
                raise InputError(
                    f"the exported {place} gives {port.name} as {output.dtype} {tuple(output.shape)}, the model as "
                    f"{wanted.dtype} {tuple(wanted.shape)}: nothing was written"
                )
            largest = max(largest, difference(output, wanted, port.units))
        if not largest <= TOLERANCE:
            raise InputError(
                f"the exported {place} differs from the model by {largest:.2g}, more than {TOLERANCE:g}: nothing was "
                "written; a step that depends on more than its arguments, such as a counter, can't be exported"
            )
    return Agreement(len(program.cases), largest)


def difference(output: Tensor, expected: Tensor, units: tuple[Tensor, Tensor] | None = None) -> float:
    """The largest difference of two tensors, relative where they are above 1; infinite where one is not finite.

    Args:
        output: a tensor.
        expected: another of the same shape.
        units: a mean and a deviation; "above 1" is then more than a deviation away from the mean.
    """
    if output.dtype == torch.bool or not output.is_floating_point():
        return 0.0 if torch.equal(output, expected) else float("inf")
    if not output.numel():
        return 0.0
    one, other = output.double(), expected.double()
    mean, std = (torch.zeros(()), torch.ones(())) if units is None else units
    scale = torch.maximum((other - mean).abs(), std.double())
    scale = torch.maximum(scale, _DIGITS * other.abs())
    same = (one == other) | (one.isnan() & other.isnan())
    error = ((one - other).abs() / scale).masked_fill(same, 0.0)
    return float(error.nan_to_num(nan=float("inf")).max())


def describe(agreement: Agreement) -> dict[str, Any]:
    """The comparison as plain values, for the metadata."""
    return {"inputs": agreement.cases, "max_error": float(f"{agreement.error:.2g}"), "tolerance": TOLERANCE}
