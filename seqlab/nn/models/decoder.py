"""The writing half of an encoder-decoder: its bridge from the encoder's state, and its steps."""

from typing import TypeAlias
from typing import cast as typed

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_dropout, check_size, check_tokens
from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.layers.encoder import Encoder, EncoderFactory, make_encoder
from seqlab.nn.layers.recurrent import Bidirectional, Recurrent
from seqlab.nn.models.attention import Attention, Memory
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
    bridged, both as :class:`Encoder` has them. Raises ``ValueError`` for a bidirectional decoder.

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

        h_s = recurrent(D_e(E[y_s]));   c_s = attention(h_s, memory);   f_s = tanh(W_c [c_s; h_s] + b_c)
        P(y_{s+1} | y_1..y_s, memory) = softmax(W D_o(f_s) + b)

    Without ``attention`` (None), f_s = h_s, and the first state is all it knows. ``input_feeding`` has the recurrent
    layers see [E[y_s]; f_{s-1}], f_0 = 0 (Luong et al. 2015, section 3.3): all else is done for all steps at once, but
    that is done step by step.

    ``decoder(inputs (N, S), state, memory) -> (features f (N, S, feature_size), state, weights (N, S, T) or None)``,
    with ``state`` from :meth:`start`, ``memory`` from ``attention.prepare``, and ``logits(features)``. N may be a
    multiple of the memory's rows, see :class:`Attention`. A padded step on the right never changes one before it.

    Args:
        vocab_size: The number of tokens.
        recurrent: The factory of the recurrent layers, called with ``input_size``: a ``functools.partial`` of
            :class:`Encoder` of one direction, with all other options.
        memory_size: The width of the memory's keys.
        embedding_size: The width of E[y].
        feature_size: The width of f_s with attention; with ``tie_weights`` it is ``embedding_size`` instead, and
            without attention that of h_s.
        embedding_dropout: The probability of D_e, in [0, 1).
        output_dropout: The probability of D_o, in [0, 1).
        attention: The score of :class:`Attention`, "dot", "general" or "additive"; None for no attention.
        attention_size: The width of additive scores.
        input_feeding: Whether the recurrent layers read f_{s-1} too.
        tie_weights: Whether W is the embedding's own matrix (Press & Wolf 2017).

    Raises:
        TypeError: ``recurrent`` is no factory of encoders, or a size no integer.
        ValueError: a size or probability is out of range, ``recurrent`` is bidirectional, ``input_feeding`` or
            ``attention_size`` come without attention, ``tie_weights`` without attention meets a recurrent output that
            is not as wide as the embedding, or, when called, inputs are not integers (N, S).

    >>> from functools import partial
    >>> from seqlab.nn import LSTMCell
    >>> layers = partial(Encoder, LSTMCell, hidden_size=4)
    >>> decoder = Decoder(11, layers, memory_size=6, embedding_size=4, feature_size=4)
    >>> memory = decoder.attention.prepare(torch.randn(2, 7, 6), torch.tensor([7, 3]))
    >>> initial = decoder.recurrent.initial_state(2, like=torch.empty(0))
    >>> features, state, weights = decoder(torch.tensor([[1, 2], [1, 5]]), decoder.start(initial), memory)
    >>> decoder.logits(features).shape, weights.shape
    (torch.Size([2, 2, 11]), torch.Size([2, 2, 7]))
    """

    def __init__(
        self,
        vocab_size: int,
        recurrent: EncoderFactory,
        *,
        memory_size: int,
        embedding_size: int,
        feature_size: int,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        attention: str | None = "general",
        attention_size: int | None = None,
        input_feeding: bool = False,
        tie_weights: bool = False,
    ) -> None:
        super().__init__()
        self.vocab_size = check_size("vocab_size", vocab_size)
        self.embedding_size = width = check_size("embedding_size", embedding_size)
        self.embedding_dropout = check_dropout("embedding_dropout", embedding_dropout)
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        if attention is None and (input_feeding or attention_size is not None):
            given = "input_feeding" if input_feeding else "attention_size"
            raise ValueError(f"{given}: expected none without attention; give attention a score, such as general")
        self.input_feeding = input_feeding
        self.embedding = nn.Embedding(vocab_size, width)
        # As wide as the embedding where its matrix is to read it; the recurrent output is not known yet, for its input
        # may hold the features.
        fed = width if tie_weights else check_size("feature_size", feature_size)
        self.recurrent = make_encoder("decoder", recurrent, width + fed if input_feeding else width)
        if self.recurrent.bidirectional:
            raise ValueError("decoder.bidirectional: expected false, for a decoder can't read what it is yet to write")
        size = self.recurrent.output_size
        self.feature_size = size if attention is None else fed
        self.attention = None if attention is None else Attention(size, memory_size, attention, attention_size)
        self.combine = None if attention is None else nn.Linear(memory_size + size, fed)
        self.output = nn.Linear(self.feature_size, vocab_size)
        self.tie_weights = tie_weights
        if tie_weights:
            if self.feature_size != width:
                sizes = f"output_size {self.feature_size} and embedding_size {width}"
                raise ValueError(
                    f"tie_weights: expected recurrent layers as wide as the embedding, got {sizes}; make them equal"
                )
            self.output.weight = self.embedding.weight

    def start(self, state: tuple[NestedState, ...]) -> DecoderState:
        """The state before the first step, from that of the recurrent layers."""
        if not self.input_feeding:
            return state, ()
        like = _first_tensor(state)
        return state, like.new_zeros(like.size(0), self.feature_size)

    def logits(self, features: Tensor) -> Tensor:
        """Scores for the next token, ``(..., feature_size) -> (..., vocab_size)``."""
        scores: Tensor = self.output(functional.dropout(features, self.output_dropout, self.training))
        return scores

    def forward(
        self, inputs: Tensor, state: DecoderState, memory: Memory | None
    ) -> tuple[Tensor, DecoderState, Tensor | None]:
        check_tokens("inputs", inputs)
        if (memory is None) != (self.attention is None):
            wanted = "the memory that the encoder left" if memory is None else "None without attention"
            raise ValueError(f"memory: expected {wanted}, got {'None' if memory is None else 'one'}")
        embedded = functional.dropout(self.embedding(inputs), self.embedding_dropout, self.training)
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
        return f"input_feeding={self.input_feeding}, tie_weights={self.tie_weights}"


def _first_tensor(state: NestedState) -> Tensor:
    while not isinstance(state, Tensor):
        if not state:
            raise ValueError(f"state: expected an encoder's state, got {describe(state)}")
        state = state[0]
    return state
