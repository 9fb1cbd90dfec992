"""Recurrent layers run step by step for a while, with every state kept and a parameter told apart by step."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from seqlab.nn.arguments import check_input, check_is_first, check_lengths, check_size
from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.engine.methods import run_pre_hooks
from seqlab.nn.layers.order import flip_valid, resets_between, resets_in_order
from seqlab.nn.layers.recurrent import Recurrent, state_dtype
from seqlab.nn.state import State, detach


def recurrent_layers(model: nn.Module) -> dict[str, Recurrent]:
    """The recurrent layers of a model by name; "" is the model itself.

    Raises:
        TypeError: the class of a layer has a ``forward`` of its own.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, Recurrent)}
    for layer in layers.values():
        if type(layer).forward is not Recurrent.forward:
            own = type(layer).__name__
            raise TypeError(f"model: expected layers that run as Recurrent does, got {own} with its own forward")
    return layers


@contextmanager
def unrolled(
    model: nn.Module, tbptt_steps: int | None, copied: dict[str, str] | None = None
) -> Iterator[dict[str, "Recorder"]]:
    """Within it, the recurrent layers run on the "loop" engine, each with a recorder in place of its cell.

    Args:
        model: the model with the layers.
        tbptt_steps: after how many steps of a call the gradient of the state is cut; None: never.
        copied: by the name of a layer, the parameter of its cell that each step reads from a leaf of its own.

    Yields:
        The recorders, by the name of the layer.
    """
    if tbptt_steps is not None:
        check_size("tbptt_steps", tbptt_steps)
    recorders = {}
    with ExitStack() as stack:
        for name, layer in recurrent_layers(model).items():
            recorders[name] = Recorder(layer.cell, (copied or {}).get(name))
            stand_in = Recurrent(recorders[name], "loop")
            # The instance's attribute goes before the class's method, and hooks on the layer go on working.
            vars(layer)["forward"] = partial(_run, layer.cell, stand_in, layer.reverse, tbptt_steps)
            stack.callback(vars(layer).pop, "forward")
        yield recorders


def run_hooks(cell: RecurrentCell, x: Tensor, state: State | None) -> None:
    """Runs a cell's forward pre-hooks, such as those of pruning, as the forward pass of its layer does.

    Args:
        cell: the cell.
        x: what the layer reads, ``(B, T, I)``, in the order of its steps.
        state: the state before the first step; None: the initial one.
    """
    if cell._forward_pre_hooks:
        state = cell.initial_state(x.size(0), like=x) if state is None else state
        run_pre_hooks(cell, x, tuple(part.to(state_dtype(x)) for part in state))


def _run(
    cell: RecurrentCell,
    stand_in: Recurrent,
    reverse: bool,
    tbptt_steps: int | None,
    x: Tensor,
    state: State | None = None,
    lengths: Tensor | None = None,
    is_first: Tensor | None = None,
) -> tuple[Tensor, State]:
    """The forward pass of :class:`Recurrent`, window by window, the state detached between them."""
    check_input(x, stand_in.cell.input_size)
    if lengths is not None:
        lengths = check_lengths(lengths, x)
    resets = None if is_first is None else resets_in_order(check_is_first(is_first, x), lengths, reverse)
    if reverse:
        x = flip_valid(x, lengths)
    run_hooks(cell, x, state)
    outputs: list[Tensor] = []
    size = tbptt_steps or x.size(1)
    for start in range(0, x.size(1), size):
        window = x[:, start : start + size]
        left = None if lengths is None else (lengths - start).clamp(0, window.size(1))
        before = detach(state) if start and state is not None else state
        output, state = stand_in(window, before, left, resets_between(resets, start, start + size))
        outputs.append(output)
    assert state is not None
    joined = torch.cat(outputs, 1)
    return (flip_valid(joined, lengths) if reverse else joined), state


class StandIn(RecurrentCell):
    """Stands in a layer for another cell, of whose sizes it is, and keeps the states of a sequence."""

    def __init__(self, cell: RecurrentCell) -> None:
        super().__init__(cell.input_size, cell.hidden_size)
        self.cell = cell
        self.state_names = cell.state_names  # type: ignore[misc]
        self.states: list[State] = []

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.cell.state_sizes

    @property
    def output_size(self) -> int:
        return self.cell.output_size

    def initial_state(self, batch_size: int, *, like: Tensor) -> State:
        return self.cell.initial_state(batch_size, like=like)

    def check_output(self, output: Tensor, x: Tensor) -> None:
        self.cell.check_output(output, x)


class Recorder(StandIn):
    """A cell that keeps its states, and reads one of its parameters from a leaf of its own at every step."""

    def __init__(self, cell: RecurrentCell, copied: str | None) -> None:
        super().__init__(cell)
        self.copies: list[Tensor] = []
        self._copied = copied
        self._methods = _Methods(cell)

    def step(self, gi: Tensor, state: State) -> State:
        if self._copied is not None:  # the copy is another leaf on the same memory
            self.copies.append(self.cell.get_parameter(self._copied).detach().requires_grad_())
        new: State = self._call("step", self._call("project", gi), state)  # gi is x: project is this cell's own no-op
        # A view: a part that is handed on unchanged would else be one tensor, with one gradient, for both steps.
        return tuple(part.view_as(part) if part.requires_grad else part.detach().requires_grad_() for part in new)

    def output(self, state: State) -> Tensor:
        self.states.append(state)  # as it is handed on: past a row's length the old one
        output: Tensor = self._call("output", state)
        return output

    def _call(self, method: str, *arguments: Any) -> Any:
        if self._copied is None:
            return self._methods(method, *arguments)
        return functional_call(self._methods, {f"cell.{self._copied}": self.copies[-1]}, (method, *arguments))


class _Methods(nn.Module):
    """A cell's methods behind the one that ``functional_call`` can call."""

    def __init__(self, cell: RecurrentCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, method: str, *arguments: Any) -> Any:
        return getattr(self.cell, method)(*arguments)
