"""How a cell runs over time. Each engine is one module with the two functions of :class:`Engine`; the choice is made
here.

An engine never changes a result beyond rounding: ``loop`` is the reference that the others are tested against.
"""

from typing import Protocol

from torch import Tensor
from torch.nn.utils.parametrize import type_before_parametrizations

from seqlab.nn.arguments import check_choice
from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.cells.stock import LSTMCell
from seqlab.nn.engine import loop, native, parallel, scan
from seqlab.nn.state import State


class Engine(Protocol):
    """What a module of this package provides."""

    def refusal(self, cell: RecurrentCell) -> str | None:
        """Why the engine can't serve ``cell``, or None if it can."""

    def run(self, cell: RecurrentCell, x: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        """All steps from left to right: ``x (B, T, I)`` to ``(output (B, T, output_size), final state)``.

        Raises ``UnsupportedError``, before it computes anything, where it can't run what the cell does now.
        """


ENGINES: dict[str, Engine] = {"native": native, "parallel": parallel, "scan": scan, "loop": loop}


def run(
    name: str, cell: RecurrentCell, x: Tensor, state: State, lengths: Tensor | None, auto: bool
) -> tuple[Tensor, State]:
    """Run an engine by its name. Chosen by "auto", it also steps aside where it would be slower than a loop."""
    engine = ENGINES[name]
    if auto and engine is scan:
        return scan.run(cell, x, state, lengths, True)
    if auto and engine is parallel:
        return parallel.run(cell, x, state, lengths, True)
    return engine.run(cell, x, state, lengths)


# What "auto" prefers: by `seqlab bench engine`, in both precisions; experiments/speed holds the tables.
_COMPILED = ("scan", "native", "parallel", "loop")  # a CPU with a C++ compiler
_LSTM = ("native", "scan", "loop")  # the same, where oneDNN's LSTM is ahead: see :func:`_suits_onednn`
_UNCOMPILED = ("native", "parallel", "loop")  # no compiler, and other devices: an uncompiled scan is slower than a loop


def preference(cell: RecurrentCell, device: str, low: bool, packed: bool) -> tuple[str, ...]:
    """The engines in the order in which "auto" takes them.

    ``low`` says whether products are in 16 bits, ``packed`` whether rows have lengths of their own.
    """
    if device != "cpu" or not scan.compiles():
        names: tuple[str, ...] = _UNCOMPILED
    elif not packed and type_before_parametrizations(cell) is LSTMCell and _suits_onednn(cell, low):
        names = _LSTM
    else:
        names = _COMPILED
    return (*(name for name in names if name in ENGINES), *(name for name in ENGINES if name not in _COMPILED))


def _suits_onednn(cell: RecurrentCell, low: bool) -> bool:
    """In 16 bits oneDNN has products of its own; in 32 it is ahead where a large state reads a small input."""
    return low or (cell.hidden_size >= 256 and 4 * cell.input_size <= cell.hidden_size)


def available(cell: RecurrentCell) -> tuple[str, ...]:
    """The names of the engines that serve ``cell``, in the order in which "auto" prefers them on a CPU."""
    names = dict.fromkeys((*preference(cell, "cpu", False, False), "scan"))
    return tuple(name for name in names if name in ENGINES and ENGINES[name].refusal(cell) is None)


def candidates(cell: RecurrentCell, device: str = "cpu", low: bool = False, packed: bool = False) -> tuple[str, ...]:
    """The engines that serve ``cell`` as it is built, in the order in which "auto" takes them; "loop" is the last."""
    names = preference(cell, device, low, packed)
    found = [name for name in names if name != "loop" and ENGINES[name].refusal(cell) is None]
    return (*(found[: names.index("loop")]), "loop")


def choose(cell: RecurrentCell, backend: str, device: str = "cpu", low: bool = False, packed: bool = False) -> str:
    """The engine's name for ``backend``: its own, or for "auto" the preferred one that serves ``cell``.

    Raises ``ValueError`` for an unknown name, and for an engine that can't serve ``cell``, with its reason.

    >>> from seqlab.nn import LSTMCell, MGUCell
    >>> choose(LSTMCell(2, 3), "native"), choose(MGUCell(2, 3), "auto")
    ('native', 'loop')
    """
    check_choice("backend", backend, ("auto", *ENGINES))
    if backend == "auto":
        names = preference(cell, device, low, packed)
        return next(name for name in names if ENGINES[name].refusal(cell) is None)
    reason = ENGINES[backend].refusal(cell)
    if reason is not None:
        raise ValueError(f'backend: {backend} can\'t run this {type(cell).__name__}: {reason}; use backend="auto"')
    return backend
