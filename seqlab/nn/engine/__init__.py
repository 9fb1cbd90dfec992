"""Engines: how a cell runs over time, and which engine a layer takes.

Each engine is a module with the two functions of :class:`Engine`. An engine never changes a result beyond rounding:
``loop`` is the reference, and the others are tested against it.
"""

from typing import Protocol

from torch import Tensor
from torch.nn.utils.parametrize import type_before_parametrizations

from seqlab.nn.arguments import check_choice
from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.cells.stock import LSTMCell
from seqlab.nn.engine import loop, native, parallel, scan
from seqlab.nn.engine.resets import Resets
from seqlab.nn.state import State


class Engine(Protocol):
    """The two functions of an engine's module."""

    def refusal(self, cell: RecurrentCell) -> str | None:
        """Why the engine can't serve ``cell`` as it is built; None if it can."""

    def run(
        self, cell: RecurrentCell, x: Tensor, state: State, lengths: Tensor | None, *, resets: Resets | None = None
    ) -> tuple[Tensor, State]:
        """Run all steps, from the first to the last; padded steps keep the state and output zero.

        Args:
            cell: the cell.
            x: the input ``(B, T, I)``.
            state: the initial state, ``(B, size)`` each.
            lengths: the valid steps of each row, ``(B,)``; None if all are.
            resets: the steps before which rows begin anew; given only if there may be some.

        Returns:
            The output ``(B, T, output_size)`` and the final state, ``(B, size)`` each.

        Raises:
            UnsupportedError: the engine can't run what the cell does now. Nothing has been computed then.
        """


ENGINES: dict[str, Engine] = {"native": native, "parallel": parallel, "scan": scan, "loop": loop}


def run(
    name: str,
    cell: RecurrentCell,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    auto: bool,
    resets: Resets | None = None,
) -> tuple[Tensor, State]:
    """Run an engine by its name.

    Args:
        name: a key of :data:`ENGINES`.
        cell: the cell.
        x: the input ``(B, T, I)``.
        state: the initial state, ``(B, size)`` each.
        lengths: the valid steps of each row, ``(B,)``; None if all are.
        auto: whether "auto" chose the engine: then it also declines what would be slower than ``loop``.
        resets: the steps before which rows begin anew; None if there are none.

    Returns:
        The output ``(B, T, output_size)`` and the final state, ``(B, size)`` each.

    Raises:
        UnsupportedError: the engine can't run what the cell does now. Nothing has been computed then.
    """
    engine = ENGINES[name]
    flags = (True,) if auto and engine in (scan, parallel) else ()
    if resets is None:  # an engine that knows no resets serves where there are none
        return engine.run(cell, x, state, lengths, *flags)
    return engine.run(cell, x, state, lengths, *flags, resets=resets)


# The orders of "auto", as measured by `seqlab bench engine` in both precisions; experiments/speed has the tables.
_COMPILED = ("scan", "native", "parallel", "loop")  # on a CPU with a C++ compiler
_LSTM = ("native", "scan", "loop")  # the same, where oneDNN's LSTM is faster: see :func:`_suits_onednn`
_UNCOMPILED = ("native", "parallel", "loop")  # no compiler, or another device: an uncompiled scan is slower than loop


def preference(cell: RecurrentCell, device: str, low: bool, packed: bool) -> tuple[str, ...]:
    """The names of the engines, in the order in which "auto" takes them.

    Args:
        cell: the cell.
        device: the type of the device, as "cpu".
        low: whether products are computed in 16 bits.
        packed: whether the rows differ in length, or begin anew inside the sequence.
    """
    if device != "cpu" or not scan.compiles():
        names: tuple[str, ...] = _UNCOMPILED
    elif not packed and type_before_parametrizations(cell) is LSTMCell and _suits_onednn(cell, low):
        names = _LSTM
    else:
        names = _COMPILED
    return (*(name for name in names if name in ENGINES), *(name for name in ENGINES if name not in _COMPILED))


def _suits_onednn(cell: RecurrentCell, low: bool) -> bool:
    """Whether oneDNN's LSTM is the faster: in 16 bits always, in 32 bits with a large state and a small input."""
    return low or (cell.hidden_size >= 256 and 4 * cell.input_size <= cell.hidden_size)


def available(cell: RecurrentCell) -> tuple[str, ...]:
    """The names of the engines that serve ``cell``, in the order of "auto" on a CPU.

    "scan" is among them without a compiler too, although "auto" never takes it uncompiled.
    """
    names = dict.fromkeys((*preference(cell, "cpu", False, False), "scan"))
    return tuple(name for name in names if name in ENGINES and ENGINES[name].refusal(cell) is None)


def candidates(cell: RecurrentCell, device: str = "cpu", low: bool = False, packed: bool = False) -> tuple[str, ...]:
    """The names of the engines that "auto" tries in turn for ``cell`` as it is built; the last is "loop".

    Args:
        cell: the cell.
        device: the type of the device, as "cpu".
        low: whether products are computed in 16 bits.
        packed: whether the rows differ in length, or begin anew inside the sequence.
    """
    names = preference(cell, device, low, packed)
    served = [name for name in names if name != "loop" and ENGINES[name].refusal(cell) is None]
    return (*(served[: names.index("loop")]), "loop")


def choose(cell: RecurrentCell, backend: str, device: str = "cpu", low: bool = False, packed: bool = False) -> str:
    """The name of the engine that runs ``cell``.

    Args:
        cell: the cell.
        backend: the engine's name; or "auto" for the first of :func:`preference` that serves ``cell``.
        device: the type of the device, as "cpu".
        low: whether products are computed in 16 bits.
        packed: whether the rows differ in length, or begin anew inside the sequence.

    Raises:
        ValueError: ``backend`` is no engine, or an engine that can't serve ``cell``; the message says why.

    Example:
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
