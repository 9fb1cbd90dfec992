"""The captures of each cell's methods: the one that holds now is found, or made."""

import builtins
import threading
import types
from collections.abc import Sequence
from itertools import count
from typing import Any
from typing import cast as typed
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.engine.capture import Capture, capture_frame
from seqlab.nn.engine.errors import FinalError, UnsupportedError
from seqlab.nn.engine.frames import FRAMES, Size, example_tensors

MOST_CAPTURES = 24  # of one method of one cell: capturing at every call would cost more than a compiled step saves
_LOCK = threading.RLock()  # Dynamo's state is the process's own
# Each cell's frame gets a code object of its own: Dynamo notes by code object which numbers change.
_LINE_NUMBERS = count(1)
_METHODS = ("pointwise", "step", "project", "output")


class Watch:
    """The captures of one method of one cell, the latest first.

    Attributes:
        captures: the captures; an earlier one may hold again.
        refusal: why the method is no longer captured, or None.
        programs: the keys of the steps that were compiled from the captures, by mode.
        lock: held while something is derived from a capture.
    """

    def __init__(self, frame: types.FunctionType) -> None:
        code = frame.__code__.replace(co_firstlineno=next(_LINE_NUMBERS))
        self._function = types.FunctionType(code, {"__builtins__": builtins}, frame.__name__)
        self.captures: list[Capture] = []
        self._examples: dict[tuple[Any, ...], list[Tensor | None]] = {}
        self._refusals: dict[Any, str] = {}
        self._constants = False
        self.refusal: str | None = None
        self.programs: dict[Any, set[str]] = {}
        self.lock = _LOCK

    def _state_of(self, cell: nn.Module, flags: Sequence[bool], dtype: torch.dtype) -> Any:
        """The key of a refusal: the parts of the cell's state that are cheap to read at each call."""
        methods = tuple(getattr(type(cell), name, None) for name in _METHODS)
        own = tuple(id(vars(cell).get(name)) for name in _METHODS)
        modes = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.is_inference_mode_enabled()
        switches = tuple(value for value in vars(cell).values() if value is None or isinstance(value, (bool, str)))
        return tuple(flags), dtype, modes, methods, own, switches, tuple(module.training for module in cell.modules())

    def fix_numbers(self) -> None:
        """Capture numbers as constants from now on. Each change of a number then needs another capture."""
        self._constants = True
        self.captures = [capture for capture in self.captures if not capture.has_numbers]

    def capture(
        self,
        cell: RecurrentCell,
        sizes: Sequence[Size | None],
        flags: Sequence[bool],
        dtype: torch.dtype,
        device: torch.device,
    ) -> tuple[Capture, dict[str, Any]]:
        """The capture that holds now, and the scope that it reads from. It is made if there is none.

        Args:
            cell: the cell whose method is captured.
            sizes: the size of each of the method's tensors; None for a tensor that is None.
            flags: whether each of them requires a gradient.
            dtype: their dtype.
            device: their device.

        Raises:
            UnsupportedError: the method cannot be captured exactly.
        """
        if self.refusal is not None:
            raise FinalError(self.refusal)
        if self._refusals and (reason := self._refusals.get(self._state_of(cell, flags, dtype))) is not None:
            raise UnsupportedError(reason)
        scope = self._scope(cell, sizes, flags, dtype, device)
        for capture in self.captures:
            if capture.flags == tuple(flags) and capture.holds(scope):
                return capture, scope
        with _LOCK:
            if self.refusal is not None:
                raise FinalError(self.refusal)
            if len(self.captures) >= MOST_CAPTURES:
                self.refusal = f"what it reads has changed {MOST_CAPTURES} times"
                self.captures = []
                raise FinalError(self.refusal)
            try:
                capture = capture_frame(self._function, scope, tuple(flags), self._constants)
                if not capture.holds(scope):
                    raise UnsupportedError("what it reads can't be watched")
            except UnsupportedError as error:
                self._refusals[self._state_of(cell, flags, dtype)] = str(error)
                if len(self._refusals) >= MOST_CAPTURES:
                    self.refusal = str(error)
                raise
            self.captures = [capture, *self.captures]
            return capture, scope

    def _scope(
        self,
        cell: RecurrentCell,
        sizes: Sequence[Size | None],
        flags: Sequence[bool],
        dtype: torch.dtype,
        device: torch.device,
    ) -> dict[str, Any]:
        """The frame's arguments: the cell, and example tensors, which are made once."""
        key = (tuple(sizes), tuple(flags), dtype, device)
        rows = self._examples.get(key)
        if rows is None:
            rows = self._examples[key] = example_tensors(sizes, flags, dtype, device)
        return {"cell": cell, "rows": rows}


_watches: "WeakKeyDictionary[nn.Module, dict[str, Watch]]" = WeakKeyDictionary()


def watch_of(cell: RecurrentCell, method: str) -> Watch:
    """The captures of a cell's method, made empty at the first call.

    Args:
        cell: the cell.
        method: "pointwise", "output", "project", or "whole" for all that a step runs.
    """
    by_method = _watches.get(cell)
    if by_method is None or method not in by_method:
        with _LOCK:
            by_method = _watches.setdefault(cell, {})
            if method not in by_method:
                by_method[method] = Watch(typed(types.FunctionType, FRAMES[method]))
    return by_method[method]


__all__ = ["MOST_CAPTURES", "Watch", "watch_of"]
