"""A bag of steps: what can be known of a sequence without its order, as a baseline beside recurrent layers."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_dropout, check_input, check_lengths, check_size
from seqlab.nn.layers.sequence import SequenceEncoder, without_padding
from seqlab.nn.state import NestedState


class BagEncoder(SequenceEncoder):
    """L layers over each step by itself: h_0 = x_t, h_l = relu(W_l D(h_{l-1}) + b_l), output_t = h_L.

    No step sees another. With a head that pools by mean, max or attention, a model knows which steps a sequence has and
    not their order: the bag of words or of frames (deep averaging, Iyyer et al. 2015). There is nothing to carry from
    step to step, so the state is the empty tuple.

    ``encoder(x (B, T, input_size), state=None, lengths=None) -> (output (B, T, hidden_size), ())``; beyond
    ``lengths (B,)`` the output is zero.

    Args:
        input_size: The width of x.
        hidden_size: The width of each layer.
        num_layers: L.
        dropout: The probability of the dropout D between layers, in [0, 1).

    Raises:
        TypeError: a size is no integer, or, when called, ``x`` or ``lengths`` have a wrong type.
        ValueError: a size or probability is out of range, or, when called, ``x`` or ``lengths`` have a wrong shape.

    Example:
        >>> encoder = BagEncoder(input_size=3, hidden_size=8)
        >>> x = torch.randn(1, 6, 3)
        >>> torch.equal(encoder(x)[0].flip(1), encoder(x.flip(1))[0])
        True
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__(input_size, check_size("hidden_size", hidden_size))
        sizes = [input_size, *[hidden_size] * check_size("num_layers", num_layers)]
        self.dropout = check_dropout("dropout", dropout)
        self.layers = nn.ModuleList(nn.Linear(one, other) for one, other in pairwise(sizes))

    def initial_state(self, batch_size: int, *, like: Tensor) -> tuple[NestedState, ...]:
        """The empty tuple."""
        return ()

    def forward(
        self, x: Tensor, state: tuple[NestedState, ...] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[NestedState, ...]]:
        check_input(x, self.input_size)
        if state:
            raise ValueError(f"state: expected none, as no step sees another, got {len(state)} parts")
        h = x
        for number, layer in enumerate(self.layers):
            if number:
                h = functional.dropout(h, self.dropout, self.training)
            h = torch.relu(layer(h))
        return without_padding(h, None if lengths is None else check_lengths(lengths, x)), ()
