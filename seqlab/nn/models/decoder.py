"""The writing half of an encoder-decoder: its bridge from the encoder's state, and its steps."""

from collections.abc import Callable
from typing import TypeAlias
from typing import cast as typed

import torch
from torch import Tensor, nn

from seqlab.nn.arguments import check_size, check_tokens
from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.layers.bidirectional import Bidirectional
from seqlab.nn.layers.encoder import Encoder
from seqlab.nn.layers.recurrent import Recurrent
from seqlab.nn.layers.sequence import EncoderFactory, make_encoder
from seqlab.nn.models.attention import Attention, Memory
from seqlab.nn.models.heads import TokenHead
from seqlab.nn.models.inputs import Input, InputFactory
from seqlab.nn.models.parts import make_part
from seqlab.nn.state import NestedState, State, describe

# The recurrent layers' state and the last attentional vector, which is the empty tuple without input feeding.
DecoderState: TypeAlias = tuple[tuple[NestedState, ...], NestedState]


class Bridge(nn.Module):
    """From an encoder's final state to a decoder's first one, layer by layer.

    Layer d of D begins from the encoder's layer ceil(d L / D) of L: its own where the depths are equal, and top from
    top always. One direction and a state of the same parts: a copy (Sutskever et al. 2014). Otherwise each part p is

        s_p = tanh(W [forward p; backward p] + b)

    as Bahdanau et al. (2015) have it from the backward direction alone; a part that the encoder lacks reads its h. That
    goes for cells whose parts are h, or h and c. Of others, whose further parts may be bound to each other (the sLSTM
    divides c by n), only h is bridged, and the rest begins as the decoder's cell begins.

    ``bridge(state, initial) -> state``: the encoder's final state, and the decoder's ``initial_state`` for what is not
    bridged, both as :class:`Encoder` has them.

    Args:
        encoder: The encoder whose final state is read.
        decoder: The recurrent layers of the decoder.

    Raises:
        ValueError: the decoder is bidirectional.

    Example:
        >>> from seqlab.nn import GRUCell, LSTMCell
        >>> encoder = Encoder(GRUCell, 3, 4, num_layers=2, bidirectional=True)
        >>> decoder = Encoder(LSTMCell, 3, 5)
        >>> bridge = Bridge(encoder, decoder)
        >>> ((h, c),) = bridge(encoder(torch.randn(2, 6, 3))[1], decoder.initial_state(2, like=torch.empty(0)))
        >>> h.shape, c.shape
        (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    def __init__(self, encoder: Encoder, decoder: Encoder) -> None:
        super().__init__()
        depths = encoder.num_layers, decoder.num_layers
        self.sources = [-(-(layer + 1) * depths[0] // depths[1]) - 1 for layer in range(depths[1])]
        if decoder.bidirectional:
            raise ValueError(
                "decoder: expected one direction, got a bidirectional encoder: it would read what it writes"
            )
        self.layers = nn.ModuleList(
            _BridgeLayer(_cells(encoder.layers[source]), *_cells(layer))
            for source, layer in zip(self.sources, decoder.layers, strict=True)
        )

    def forward(self, state: tuple[NestedState, ...], initial: tuple[NestedState, ...]) -> tuple[NestedState, ...]:
        triples = zip(self.layers, self.sources, initial, strict=True)
        return tuple(layer(state[source], first) for layer, source, first in triples)


class _BridgeLayer(nn.Module):
    """One layer's state of one or two directions to one cell's state."""

    def __init__(self, sources: list[RecurrentCell], cell: RecurrentCell) -> None:
        super().__init__()
        self.count = len(sources)
        kinds = {(each.state_names, each.state_sizes) for each in (*sources, cell)}
        self.copies = len(sources) == 1 and len(kinds) == 1
        bridged = [] if self.copies else _bridged(cell)
        self.parts = [cell.state_names.index(name) for name in bridged]
        self.origins = [[_origin(source, name) for source in sources] for name in bridged]
        self.joins = nn.ModuleList(
            nn.Linear(
                sum(source.state_sizes[part] for source, part in zip(sources, origins, strict=True)),
                cell.state_sizes[own],
            )
            for own, origins in zip(self.parts, self.origins, strict=True)
        )

    def forward(self, state: NestedState, initial: State) -> State:
        directions = typed(tuple[State, ...], state if self.count == 2 else (state,))
        if self.copies:
            return directions[0]
        new = list(initial)
        for own, origins, join in zip(self.parts, self.origins, self.joins, strict=True):
            new[own] = join(torch.cat([each[part] for each, part in zip(directions, origins, strict=True)], 1)).tanh()
        return tuple(new)


def _cells(layer: nn.Module) -> list[RecurrentCell]:
    if isinstance(layer, Bidirectional):
        return [layer.forward_layer.cell, layer.backward_layer.cell]
    return [typed(Recurrent, layer).cell]


def _bridged(cell: RecurrentCell) -> list[str]:
    names = cell.state_names
    return list(names) if set(names) <= {"h", "c"} else ["h" if "h" in names else names[0]]


def _origin(source: RecurrentCell, name: str) -> int:
    """Where the encoder's cell has the part ``name``, or else its h."""
    names = source.state_names
    return names.index(name if name in names else "h" if "h" in names else names[0])


class Decoder(nn.Module):
    """A language model that reads a memory (Sutskever et al. 2014; with attention, Luong et al. 2015).

        h_s = recurrent(input(y_s));   c_s = attention(h_s, memory);   f_s = tanh(W_c [c_s; h_s] + b_c)
        P(y_{s+1} | y_1..y_s, memory) = softmax(head(f_s))

    Without ``attention`` (None), f_s = h_s, and the first state is all it knows. ``input_feeding`` has the recurrent
    layers see [input(y_s); f_{s-1}], f_0 = 0 (Luong et al. 2015, section 3.3): all else is done for all steps at once,
    but that is done step by step.

    ``decoder(inputs (N, S), state, memory) -> (features f (N, S, feature_size), state, weights (N, S, T) or None)``,
    with ``state`` from :meth:`start`, ``memory`` from ``attention.prepare``, and ``logits(features)``. N may be a
    multiple of the memory's rows, see :class:`Attention`. A padded step on the right never changes one before it.

    Args:
        input: The factory of the input, such as a ``functools.partial`` of :class:`TokenInput`.
        recurrent: The factory of the recurrent layers, called with ``input_size``: a ``functools.partial`` of
            :class:`Encoder` of one direction, with all other options.
        head: The factory of the output layer, called ``head(input_size=feature_size, embedding=input.embedding)``: a
            ``functools.partial`` of :class:`TokenHead` with all other options.
        memory_size: The width of the memory's keys; the model gives it.
        feature_size: The width of f_s with attention; without, it is that of h_s.
        attention: The score of :class:`Attention`, "dot", "general" or "additive"; None for no attention.
        attention_size: The width of additive scores.
        input_feeding: Whether the recurrent layers read f_{s-1} too.

    Raises:
        TypeError: a part is no factory of such a part, or a size no integer.
        ValueError: what the parts refuse, a size is below 1, ``recurrent`` is bidirectional, ``input_feeding`` or
            ``attention_size`` come without attention, or, when called, inputs are not integers (N, S).

    Example:
        >>> from functools import partial
        >>> from seqlab.nn import LSTMCell, TokenInput
        >>> layers = partial(Encoder, LSTMCell, hidden_size=4)
        >>> head = partial(TokenHead, vocab_size=11)
        >>> decoder = Decoder(partial(TokenInput, 11, 4), layers, head, memory_size=6, feature_size=4)
        >>> memory = decoder.attention.prepare(torch.randn(2, 7, 6), torch.tensor([7, 3]))
        >>> initial = decoder.recurrent.initial_state(2, like=torch.empty(0))
        >>> features, state, weights = decoder(torch.tensor([[1, 2], [1, 5]]), decoder.start(initial), memory)
        >>> decoder.logits(features).shape, weights.shape
        (torch.Size([2, 2, 11]), torch.Size([2, 2, 7]))
    """

    def __init__(
        self,
        input: InputFactory,
        recurrent: EncoderFactory,
        head: Callable[..., TokenHead],
        *,
        memory_size: int,
        feature_size: int,
        attention: str | None = "general",
        attention_size: int | None = None,
        input_feeding: bool = False,
    ) -> None:
        super().__init__()
        if attention is None and (input_feeding or attention_size is not None):
            option = "input_feeding" if input_feeding else "attention_size"
            raise ValueError(f"{option}: expected none without attention; give attention a score, such as general")
        check_size("feature_size", feature_size)
        self.input_feeding = input_feeding
        self.input = make_part("input", input, Input)
        width = self.input.output_size + (feature_size if input_feeding else 0)
        self.recurrent = make_encoder("decoder", recurrent, width, Encoder)
        if self.recurrent.bidirectional:
            raise ValueError("decoder.bidirectional: expected false, for a decoder can't read what it is yet to write")
        size = self.recurrent.output_size
        self.feature_size = size if attention is None else feature_size
        self.attention = None if attention is None else Attention(size, memory_size, attention, attention_size)
        self.combine = None if attention is None else nn.Linear(memory_size + size, feature_size)
        sizes = {"input_size": self.feature_size, "embedding": self.input.embedding}
        self.head = make_part("head", head, TokenHead, **sizes)

    def start(self, state: tuple[NestedState, ...]) -> DecoderState:
        """The state before the first step, from that of the recurrent layers."""
        if not self.input_feeding:
            return state, ()
        like = _first_tensor(state)
        return state, like.new_zeros(like.size(0), self.feature_size)

    def logits(self, features: Tensor) -> Tensor:
        """Scores for the next token, ``(..., feature_size) -> (..., vocab_size)``."""
        scores: Tensor = self.head(features)
        return scores

    def forward(
        self, inputs: Tensor, state: DecoderState, memory: Memory | None
    ) -> tuple[Tensor, DecoderState, Tensor | None]:
        check_tokens("inputs", inputs)
        if (memory is None) != (self.attention is None):
            expected = "the memory that the encoder left" if memory is None else "None without attention"
            raise ValueError(f"memory: expected {expected}, got {'None' if memory is None else 'one'}")
        embedded = self.input(inputs)
        if not self.input_feeding:
            output, recurrent = self.recurrent(embedded, state[0])
            features, weights = self._attend(output, memory)
            return features, (recurrent, ()), weights
        recurrent, fed = state
        all_features, all_weights = [], []
        for embedded_s in torch.split(embedded, 1, 1):  # (N, 1, E)
            seen = torch.cat((embedded_s, typed(Tensor, fed).unsqueeze(1).to(embedded_s.dtype)), 2)
            output, recurrent = self.recurrent(seen, recurrent)
            feature, weight = self._attend(output, memory)
            fed = feature.squeeze(1)
            all_features.append(feature)
            all_weights.append(typed(Tensor, weight))
        return torch.cat(all_features, 1), (recurrent, fed), torch.cat(all_weights, 1)

    def _attend(self, output: Tensor, memory: Memory | None) -> tuple[Tensor, Tensor | None]:
        if self.attention is None or self.combine is None or memory is None:
            return output, None
        context, weights = self.attention.attend(output, memory)
        return self.combine(torch.cat((context, output), 2)).tanh(), weights

    def extra_repr(self) -> str:
        return f"input_feeding={self.input_feeding}"


def _first_tensor(state: NestedState) -> Tensor:
    while not isinstance(state, Tensor):
        if not state:
            raise ValueError(f"state: expected an encoder's state, got {describe(state)}")
        state = state[0]
    return state
