"""A cell with an input and a state: what the contract of a cell is checked on."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqlab.nn import Recurrent, RecurrentCell
from seqlab.nn.state import State

CellFactory = Callable[[int, int], RecurrentCell]


@dataclass(frozen=True)
class Case:
    """One cell with an input and a state to start from, in float64."""

    cell: RecurrentCell
    x: Tensor  # (B, T, I)
    state: State
    tolerance: float

    @classmethod
    def make(
        cls, factory: CellFactory, input_size: int, hidden_size: int, batch_size: int, steps: int, tolerance: float
    ) -> "Case":
        """The cell that a factory makes, with random values."""
        cell = factory(input_size, hidden_size)
        if not isinstance(cell, RecurrentCell):
            raise AssertionError(f"expected cell_factory to make a RecurrentCell, got {type(cell).__name__}")
        cell = cell.double().eval()
        x = torch.randn(batch_size, steps, input_size, dtype=torch.float64)
        # Away from zero and on either side of it, so that a state that is ignored shows.
        state = tuple(torch.randn(batch_size, size, dtype=torch.float64) / 2 for size in cell.state_sizes)
        return cls(cell, x, state, tolerance)

    def run(
        self,
        x: Tensor,
        state: State | None,
        lengths: Tensor | None = None,
        backend: str = "loop",
        reverse: bool = False,
        is_first: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """The output and the state of the cell's layer."""
        output, new = Recurrent(self.cell, backend, reverse)(x, state, lengths, is_first)
        return output, new

    def agree(self, what: str, actual: Tensor, expected: Tensor) -> None:
        """Raise AssertionError with the largest difference unless the two are equal within the tolerance."""
        if actual.shape != expected.shape:
            raise AssertionError(f"{what}: shape {tuple(actual.shape)} instead of {tuple(expected.shape)}")
        if not torch.allclose(actual, expected, rtol=self.tolerance, atol=self.tolerance):
            raise AssertionError(f"{what}: off by up to {float((actual - expected).detach().abs().max()):.3g}")

    def agree_states(self, what: str, actual: State, expected: State) -> None:
        """The same of each part of a state."""
        for name, one, other in zip(self.cell.state_names, actual, expected, strict=True):
            self.agree(f"{what} ({name})", one, other)

    def agree_gradients(self, what: str, actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
        """The same of each gradient."""
        for name in expected:
            self.agree(f"{what}, gradient of {name}", actual[name], expected[name])


def gradients_of(cell: nn.Module, output: Tensor, state: State, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients of an uneven sum over outputs and states with respect to ``leaves`` and all parameters."""
    weighted = [part * torch.linspace(0.5, 1.5, part.size(-1), dtype=part.dtype) for part in (output, *state)]
    total = torch.stack([part.sum() for part in weighted]).sum()
    learned = {name: leaf for name, leaf in (leaves | dict(cell.named_parameters())).items() if leaf.requires_grad}
    values = torch.autograd.grad(total, list(learned.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(learned, values, strict=True))


def leaves_of(case: Case) -> tuple[Tensor, State, dict[str, Tensor]]:
    """Fresh leaves for the input and the state, and both by name."""
    x = case.x.clone().requires_grad_()
    state = tuple(part.clone().requires_grad_() for part in case.state)
    return (
        x,
        state,
        {"x": x} | {f"initial {name}": part for name, part in zip(case.cell.state_names, state, strict=True)},
    )
