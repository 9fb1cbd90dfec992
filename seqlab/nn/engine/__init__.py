"""How a cell runs over time. Each engine is one module with the two functions of :class:`Engine`; the choice is made
here.

An engine never changes a result beyond rounding: ``loop`` is the reference that the others are tested against.
"""

from typing import Protocol

from torch import Tensor

from seqlab.nn.arguments import check_choice
from seqlab.nn.cell import RecurrentCell
from seqlab.nn.engine import loop, native
from seqlab.nn.state import State


class Engine(Protocol):
    """What a module of this package provides."""

    def refusal(self, cell: RecurrentCell) -> str | None:
        """Why the engine can't serve ``cell``, or None if it can."""

    def run(self, cell: RecurrentCell, x: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        """All steps from left to right: ``x (B, T, I)`` to ``(output (B, T, output_size), final state)``."""


ENGINES: dict[str, Engine] = {"native": native, "loop": loop}  # the order in which "auto" prefers them


def available(cell: RecurrentCell) -> tuple[str, ...]:
    """The names of the engines that serve ``cell``, the preferred one first."""
    return tuple(name for name, engine in ENGINES.items() if engine.refusal(cell) is None)


def choose(cell: RecurrentCell, backend: str) -> str:
    """The engine's name for ``backend``: its own, or for "auto" the preferred one that serves ``cell``.

    Raises ``ValueError`` for an unknown name, and for an engine that can't serve ``cell``, with its reason.

    >>> from seqlab.nn import LSTMCell, RNNCell
    >>> choose(LSTMCell(2, 3), "auto"), choose(RNNCell(2, 3, nonlinearity="sigmoid"), "auto")
    ('native', 'loop')
    """
    check_choice("backend", backend, ("auto", *ENGINES))
    if backend == "auto":
        return available(cell)[0]
    reason = ENGINES[backend].refusal(cell)
    if reason is not None:
        raise ValueError(f'backend: {backend} can\'t run this {type(cell).__name__}: {reason}; use backend="auto"')
    return backend
