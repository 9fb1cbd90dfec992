"""What recurrent layers do inside a call of a model: the states and gates of each step, the model left as it is."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from seqlab.nn.arguments import check_input, check_is_first, check_lengths
from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.layers.order import flip_valid, resets_between, resets_in_order
from seqlab.nn.layers.recurrent import Recurrent
from seqlab.nn.state import State
from seqlab.nn.unrolled import StandIn, recurrent_layers, run_hooks


@dataclass(frozen=True)
class LayerCall:
    """What one recurrent layer did in one call, step by step.

    Steps are in the order of the input: of a layer that runs from the end, the state at t is the one after the steps
    T..t. Past a row's length everything is 0.

    Attributes:
        input: what the layer read, ``(B, T, I)``.
        states: the state after each step by the names of its parts, ``(B, T, size)`` each.
        gates: the gates of each step by their names, ``(B, T, size)`` each; empty for a cell that names none.
        output: what the layer gave, ``(B, T, output_size)``.
        lengths: the steps of each row, ``(B,)``.
        reverse: whether the layer ran from the end.
    """

    input: Tensor
    states: dict[str, Tensor]
    gates: dict[str, Tensor]
    output: Tensor
    lengths: Tensor
    reverse: bool


def record_states(model: nn.Module, call: Callable[[], object], *, gates: bool = True) -> dict[str, list[LayerCall]]:
    """The states and gates of every recurrent layer while ``call`` calls the model.

    The layers run on the "loop" engine meanwhile, which agrees with the others to rounding, and the model is left as it
    was. Gradients flow as they would; look at a trained model in evaluation mode and under ``torch.no_grad()``.

    Args:
        model: a :class:`~seqlab.nn.Recurrent` layer, or a module that holds some.
        call: calls the model, once or several times.
        gates: whether gates are kept too, which takes the memory of as many states.

    Returns:
        The calls of each layer in their order, by the layer's name as in ``model.named_modules()``; "" is the model
        itself. A layer that was not called has no entry.

    Raises:
        TypeError: the class of a layer has a ``forward`` of its own.
        ValueError: a cell gives other gates than it names.

    Example:
        >>> from seqlab.nn import Encoder, LSTMCell
        >>> encoder, x = Encoder(LSTMCell, 3, 4, num_layers=2), torch.randn(2, 5, 3)
        >>> with torch.no_grad():
        ...     calls = record_states(encoder, lambda: encoder(x))
        >>> list(calls), calls["layers.1"][0].states["c"].shape, list(calls["layers.1"][0].gates)
        (['layers.0', 'layers.1'], torch.Size([2, 5, 4]), ['i', 'f', 'g', 'o'])
    """
    calls: dict[str, list[LayerCall]] = {}
    with _recorded(model, gates, lambda name, layer_call: calls.setdefault(name, []).append(layer_call)):
        call()
    return calls


@contextmanager
def _recorded(model: nn.Module, gates: bool, keep: Callable[[str, LayerCall], None]) -> Iterator[None]:
    """Within it, ``keep(name, call)`` is told of each call of a recurrent layer."""
    with ExitStack() as stack:
        for name, layer in recurrent_layers(model).items():
            # The instance's attribute goes before the class's method, and hooks on the layer go on working.
            vars(layer)["forward"] = partial(_run, layer, gates, partial(keep, name))
            stack.callback(vars(layer).pop, "forward")
        yield


def _run(
    layer: Recurrent,
    gates: bool,
    keep: Callable[[LayerCall], None],
    x: Tensor,
    state: State | None = None,
    lengths: Tensor | None = None,
    is_first: Tensor | None = None,
) -> tuple[Tensor, State]:
    """The forward pass of :class:`Recurrent` on the "loop" engine."""
    check_input(x, layer.cell.input_size)
    if lengths is not None:
        lengths = check_lengths(lengths, x)
    resets = None if is_first is None else resets_in_order(check_is_first(is_first, x), lengths, layer.reverse)
    flipped = flip_valid(x, lengths) if layer.reverse else x
    run_hooks(layer.cell, flipped, state)
    recorder = _Recorder(layer.cell, gates)
    output, new = Recurrent(recorder, "loop")(flipped, state, lengths, resets_between(resets, 0, x.size(1)))
    if layer.reverse:
        output = flip_valid(output, lengths)

    def over_time(steps: list[Tensor]) -> Tensor:
        values = torch.stack(steps, 1)  # (B, T, size)
        if lengths is not None:
            padding = torch.arange(values.size(1), device=values.device) >= lengths.unsqueeze(1)
            values = values.masked_fill(padding.unsqueeze(2), 0.0)
        return flip_valid(values, lengths) if layer.reverse else values

    keep(
        LayerCall(
            x,
            dict(
                zip(layer.cell.state_names, map(over_time, map(list, zip(*recorder.states, strict=True))), strict=True)
            ),
            dict(
                zip(recorder.gate_names, map(over_time, map(list, zip(*recorder.gates_of, strict=True))), strict=True)
            ),
            output,
            torch.full((x.size(0),), x.size(1), device=x.device) if lengths is None else lengths,
            layer.reverse,
        )
    )
    return output, new


class _Recorder(StandIn):
    """A cell that keeps its states and gates."""

    def __init__(self, cell: RecurrentCell, gates: bool) -> None:
        super().__init__(cell)
        # A step that was replaced on the instance is not the one of which its class tells the gates.
        replaced = any(name in vars(cell) for name in ("step", "pointwise", "coefficients"))
        self.gate_names = () if replaced or not gates else cell.gate_names  # type: ignore[misc]
        self.gates_of: list[tuple[Tensor, ...]] = []

    def project(self, x: Tensor) -> Tensor:
        return self.cell.project(x)

    def step(self, gi: Tensor, state: State) -> State:
        if self.gate_names:
            gates = self.cell.gates(gi, state)
            if len(gates) != len(self.gate_names):
                name = type(self.cell).__name__
                raise ValueError(f"{name}.gates: expected a value for each of {self.gate_names}, got {len(gates)}")
            self.gates_of.append(gates)
        return self.cell.step(gi, state)

    def output(self, state: State) -> Tensor:
        self.states.append(state)
        return self.cell.output(state)
