"""States over time: every layer, direction and part of a recurrent network while it reads one text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seqlab.errors import InputError
from seqlab.inside.draw import draw_states
from seqlab.nn.recording import LayerCall


@dataclass(frozen=True, eq=False)
class LayerStates:
    """One layer in one direction, step by step: ``layer["h"]`` is ``(T, H)``.

    Attributes:
        layer: its number, from 1 at the bottom.
        direction: "forward", or "backward" for one that runs from the end: its state at t is the one after it has read
            tokens T..t.
        name: its name in the model, as in ``model.named_modules()``.
        states: the state after each token by the names of its parts, ``(T, size)`` each: "h", of an LSTM also "c".
        gates: the gates at each token by their names, ``(T, size)`` each, after their nonlinearities: "i", "f", "g" and
            "o" of an LSTM, "r", "z" and "n" of a GRU; empty for a cell that names none.
        output: what the layer gives, before a residual sum, ``(T, output_size)``.
    """

    layer: int
    direction: str
    name: str
    states: Mapping[str, Tensor]
    gates: Mapping[str, Tensor]
    output: Tensor

    def __getitem__(self, part: str) -> Tensor:
        values = self.states.get(part, self.gates.get(part))
        if values is None:
            raise InputError(f"part {part!r}: layer {self.layer} has {', '.join([*self.states, *self.gates])}")
        return values

    def __repr__(self) -> str:
        gates = f"; gates {', '.join(self.gates)}" if self.gates else ""
        return f"<layer {self.layer} {self.direction}: {', '.join(self.states)}{gates}>"


@dataclass(frozen=True, eq=False)
class States:
    """The states over time of a network that has read a text.

    Attributes:
        labels: the T tokens as the model read them.
        input: what the first layer read, such as embeddings, ``(T, I)``.
        layers: every layer and direction from the bottom up, the forward direction first.

    Example:
        >>> import torch
        >>> from seqlab.nn import Encoder, GRUCell
        >>> from seqlab.nn.recording import record_states
        >>> encoder = Encoder(GRUCell, 3, 4, num_layers=2, bidirectional=True)
        >>> with torch.no_grad():
        ...     calls = record_states(encoder, lambda: encoder(torch.randn(1, 5, 3)))
        >>> states = States.from_calls("hello", calls)
        >>> states
        <States of 5 tokens: layer 1 forward, layer 1 backward, layer 2 forward, layer 2 backward; parts h, r, z, n>
        >>> states.part("z", layer=2, direction="backward").shape
        torch.Size([5, 4])
    """

    labels: tuple[str, ...]
    input: Tensor
    layers: tuple[LayerStates, ...]

    @classmethod
    def from_calls(cls, labels: Sequence[str], calls: Mapping[str, Sequence[LayerCall]]) -> "States":
        """The states of one text, from :func:`seqlab.nn.record_states`.

        Args:
            labels: the T tokens.
            calls: the calls of each layer, of one row each. A layer that read the text in several calls, as windows,
                has read T tokens in all.

        Raises:
            ValueError: there is no layer, or a layer has read several rows, or other than T tokens.
        """
        if not calls:
            raise ValueError("calls: expected at least one recurrent layer, got none")
        numbers: dict[str, int] = {}
        layers = []
        for name, parts in calls.items():
            steps = [int(call.lengths[0]) for call in parts]
            if any(call.input.size(0) != 1 for call in parts) or sum(steps) != len(labels):
                read = f"{sum(steps)} tokens of {max(call.input.size(0) for call in parts)} rows"
                raise ValueError(
                    f"calls: expected one row of {len(labels)} tokens, but {name or 'the layer'} read {read}"
                )
            pairs = list(zip(parts, steps, strict=True))
            stack = name.removesuffix(".forward_layer").removesuffix(".backward_layer")
            layers.append(
                LayerStates(
                    numbers.setdefault(stack, len(numbers) + 1),
                    "backward" if parts[0].reverse else "forward",
                    name,
                    {part: _joined([(call.states[part], n) for call, n in pairs]) for part in parts[0].states},
                    {gate: _joined([(call.gates[gate], n) for call, n in pairs]) for gate in parts[0].gates},
                    _joined([(call.output, n) for call, n in pairs]),
                )
            )
        first = next(iter(calls.values()))
        return cls(tuple(labels), _joined([(call.input, int(call.lengths[0])) for call in first]), tuple(layers))

    def layer(self, number: int | None = None, direction: str | None = None) -> LayerStates:
        """One layer in one direction.

        Args:
            number: from 1; None: the uppermost.
            direction: "forward" or "backward"; None: forward, or the only one.

        Raises:
            InputError: there is no such layer or direction.
        """
        number = self.layers[-1].layer if number is None else number
        choices = [layer for layer in self.layers if layer.layer == number]
        if not choices:
            raise InputError(
                f"layer {number}: the model has the layers {self.layers[0].layer} to {self.layers[-1].layer}"
            )
        chosen = [layer for layer in choices if direction in (None, layer.direction)]
        if not chosen:
            raise InputError(
                f"direction {direction!r}: layer {number} runs {' and '.join(c.direction for c in choices)}"
            )
        return chosen[0]

    def part(self, part: str, layer: int | None = None, direction: str | None = None) -> Tensor:
        """One part of a state, or one gate, over time: ``(T, size)``.

        Args:
            part: "h", "c", or the name of a gate.
            layer: as in :meth:`layer`.
            direction: as in :meth:`layer`.

        Raises:
            InputError: there is no such layer, direction or part.
        """
        return self.layer(layer, direction)[part]

    def figure(
        self,
        part: str = "h",
        layer: int | None = None,
        direction: str | None = None,
        units: Sequence[int] | None = None,
    ) -> Any:
        """A heat map over the tokens, in lines of 80: a row for each unit.

        Args:
            part: as in :meth:`part`.
            layer: as in :meth:`layer`.
            direction: as in :meth:`layer`.
            units: the units to draw, from 0; None: all.

        Returns:
            The Matplotlib figure.

        Raises:
            InputError: there is no such layer, direction, part or unit, or more than 2,000 tokens.
        """
        chosen = self.layer(layer, direction)
        arrow = ", backward" if chosen.direction == "backward" else ""
        return draw_states(chosen[part], self.labels, units=units, title=f"{part} of layer {chosen.layer}{arrow}")

    def _repr_html_(self) -> str:
        """The states in a notebook: the layers and their parts, by the shape of their values."""
        rows = "".join(
            f"<tr><td>{layer.layer}</td><td>{layer.direction}</td><td>{part}</td><td>{tuple(layer[part].shape)}</td></tr>"
            for layer in self.layers
            for part in (*layer.states, *layer.gates)
        )
        head = "<tr><th>layer</th><th>direction</th><th>part</th><th>tokens, units</th></tr>"
        return f'<table class="seqlab-states">{head}{rows}</table>'

    def __repr__(self) -> str:
        layers = ", ".join(f"layer {layer.layer} {layer.direction}" for layer in self.layers)
        states = [name for layer in self.layers for name in layer.states]
        parts = ", ".join(dict.fromkeys([*states, *(name for layer in self.layers for name in layer.gates)]))
        return f"<States of {len(self.labels)} tokens: {layers}; parts {parts}>"


def _joined(pieces: Sequence[tuple[Tensor, int]]) -> Tensor:
    """The first n steps of each ``(1, T, size)``, one after the other: ``(sum of n, size)``."""
    return torch.cat([values[0, :steps] for values, steps in pieces])
