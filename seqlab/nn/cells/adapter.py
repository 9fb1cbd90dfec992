"""Cells from elsewhere: any module that steps, made a cell of this project."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.nn.arguments import check_size
from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.state import State, describe


class ModuleCell(RecurrentCell):
    """A module ``module(x (B, I), state) -> state``, such as ``nn.LSTMCell`` or another library's cell, as a cell.

        state_t = module(x_t, state_{t-1});   y_t = the first part of state_t

    The module's state is a tensor ``(B, size)`` or a tuple of them. It starts from zeros, whatever the module would
    begin with by itself; to begin elsewhere, override ``initial_state``. Such a cell runs on "loop", and no more is
    known of it than its step: ``initialize`` finds no recurrent weights and no forget gate in it. The module is tried
    once with a state when it is made.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        module: The factory of the module, called ``module(input_size, hidden_size)`` once: a class, or a
            ``functools.partial`` of one with further arguments; for a module that is there already,
            ``lambda *sizes: there``.
        state_names: The names of the state's parts; None: (h,), (h, c) or (h, s1, s2, ...).
        state_sizes: The state that the module takes: an integer for a bare tensor, a sequence for a tuple of tensors.
            None asks the module, which is called once with two rows of zeros and no state.
        returns_output: Whether the module returns ``(output (B, size), state)``; y_t is then that output, which leads
            this cell's state.

    Raises:
        TypeError: ``module`` is no factory of modules, or a size no integer.
        ValueError: the module takes no such state or returns something else, or names and sizes are not equally many.

    Example:
        >>> cell = ModuleCell(3, 4, nn.LSTMCell)
        >>> cell.state_names, cell.state_sizes
        (('h', 'c'), (4, 4))
        >>> h, c = cell(torch.zeros(2, 3))
        >>> torch.equal(h, cell.module(torch.zeros(2, 3))[0])
        True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        module: Callable[[int, int], nn.Module],
        state_names: Sequence[str] | None = None,
        state_sizes: int | Sequence[int] | None = None,
        returns_output: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if isinstance(module, nn.Module) or not callable(module):
            raise TypeError(
                "module: expected a factory, such as nn.GRUCell or a functools.partial of it, called "
                f"module(input_size, hidden_size), got {module!r}; for a module that is there, lambda *sizes: there"
            )
        self.module = module(input_size, hidden_size)
        if not isinstance(self.module, nn.Module):
            raise TypeError(f"module: expected a factory of modules, but it made {self.module!r}")
        self.returns_output = returns_output
        with torch.no_grad(), _evaluation(self.module):
            self._bare, own_sizes, output_size = self._try_out(state_sizes)
        names = _default_names(len(own_sizes)) if state_names is None else tuple(state_names)
        if len(names) != len(own_sizes):
            raise ValueError(f"state_names: expected {len(own_sizes)} names, one for each part, got {names}")
        self._sizes = own_sizes if output_size is None else (output_size, *own_sizes)
        # A class variable of every other cell; of this one each instance has its own.
        self.state_names = names if output_size is None else ("output", *names)  # type: ignore[misc]

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self._sizes

    @property
    def output_size(self) -> int:
        return self._sizes[0]

    def step(self, gi: Tensor, state: State) -> State:
        own = state[1:] if self.returns_output else state
        output, new = self._results(self.module(gi, own[0] if self._bare else own))
        return new if output is None else (output, *new)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, state_names={self.state_names}, returns_output={self.returns_output}"

    def _try_out(self, state_sizes: int | Sequence[int] | None) -> tuple[bool, tuple[int, ...], int | None]:
        """Whether the module's state is a bare tensor, its parts' sizes, and its output's size if it has one."""
        like = next((part for part in self.module.parameters() if part.is_floating_point()), torch.empty(0))
        x = like.new_zeros(2, self.input_size)
        if state_sizes is None:
            result = self._call(x)
            state = self._results(result)[1]
            bare = isinstance(result[1] if self.returns_output else result, Tensor)
        else:
            bare = isinstance(state_sizes, int)
            sizes = (state_sizes,) if isinstance(state_sizes, int) else state_sizes
            state = tuple(x.new_zeros(2, check_size("state_sizes", size)) for size in sizes)
        output, new = self._results(self._call(x, state[0] if bare else state))
        if [part.shape for part in new] != [(2, *part.shape[-1:]) for part in state]:
            raise ValueError(
                f"module: expected {self._name} to take a state of tensors (B, size) and to return one like it, got "
                f"{describe(new)} for {describe(state)} at B = 2"
            )
        if output is not None and (output.dim() != 2 or output.size(0) != 2):
            raise ValueError(f"module: expected {self._name} to return an output (2, size), got {describe(output)}")
        return bare, tuple(part.size(-1) for part in state), None if output is None else output.size(-1)

    def _call(self, x: Tensor, *state: Tensor | State) -> Any:
        """The module's step; what it raises becomes one line."""
        try:
            return self.module(x, *state)
        except Exception as error:
            argument = f"with the state {describe(state[0])}" if state else "without a state"
            reason = next(iter(str(error).splitlines()), "")
            raise ValueError(
                f"module: expected {self._name} to make a step {argument}, but it raised {type(error).__name__}: "
                f"{reason}; see state_sizes and returns_output"
            ) from error

    def _results(self, result: Any) -> tuple[Tensor | None, State]:
        """What the module returned as (output or None, state), or ``ValueError``."""
        output = None
        if self.returns_output:
            if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Tensor)):
                raise ValueError(
                    f"module: expected {self._name} to return (output, state), got {describe(result)}; without an "
                    "output it wants returns_output=False"
                )
            output, result = result
        state = (result,) if isinstance(result, Tensor) else result
        if not isinstance(state, tuple) or not state or not all(isinstance(part, Tensor) for part in state):
            raise ValueError(
                f"module: expected {self._name} to return its state, a tensor or a tuple of tensors, got "
                f"{describe(result)}; if that is (output, state), it wants returns_output=True"
            )
        return output, tuple(state)

    @property
    def _name(self) -> str:
        return type(self.module).__name__


def _default_names(count: int) -> tuple[str, ...]:
    return ("h", "c")[:count] if count < 3 else ("h", *(f"s{index}" for index in range(1, count)))


@contextmanager
def _evaluation(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while, so that a trial moves no statistics and drops nothing out."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
