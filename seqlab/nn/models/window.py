"""Language models of a fixed window: the last few tokens and nothing before them."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_dropout, check_lengths, check_size, check_state, check_tokens
from seqlab.nn.models.language_model import NextTokenModel
from seqlab.nn.state import NestedState, State


def read_on(before: Tensor, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The tokens before a window of text and the window in one, ``(B, K + T)``, and the last K of each row, ``(B, K)``.

    ``before (B, K)`` are the K tokens before ``inputs (B, T)``; of a row with ``lengths`` below T the tokens beyond
    count for nothing. What is returned last is ``before`` of the next window: so windows of K + 1 tokens lose nothing
    where one call ends and the next begins.

    Example:
        >>> tokens, last = read_on(torch.tensor([[1, 2]]), torch.tensor([[3, 4, 9]]), torch.tensor([2]))
        >>> tokens.tolist(), last.tolist()
        ([[1, 2, 3, 4, 9]], [[3, 4]])
    """
    tokens = torch.cat((before, inputs), 1)  # (B, K + T)
    if lengths is None:
        return tokens, tokens[:, inputs.size(1) :]
    places = torch.arange(before.size(1), device=tokens.device)
    return tokens, tokens.gather(1, check_lengths(lengths, inputs)[:, None] + places)


class WindowModel(NextTokenModel):
    """The neural language model of Bengio et al. 2003: the embeddings of the last k tokens side by side, one hidden
    layer, softmax.

        x_t = D_e([E[w_{t-k+1}]; ...; E[w_t]]),   h_t = tanh(H x_t + d),   P(w_{t+1} | ...w_t) = softmax(U D_o(h_t) + b)

    or with ``direct`` connections softmax(U D_o(h_t) + W D_o(x_t) + b), U and W side by side in ``output``. k is
    ``window_size``; before the beginning of a text stands a token of its own, the last of the embedding. H has a block
    for each of the k places, so it grows with the window, where a recurrent net uses the same weights at each step.

    It is called as any :class:`NextTokenModel`; its state ``(tokens (B, k - 1),)`` is what was read last.

    Args:
        vocab_size: The number of tokens.
        window_size: k, the tokens that a prediction sees.
        hidden_size: The width of h.
        embedding_size: The width of E[w]; None: ``hidden_size``.
        direct: Whether the output layer reads x_t too.
        embedding_dropout: The probability of D_e, in [0, 1).
        output_dropout: The probability of D_o, in [0, 1).

    Raises:
        TypeError: a size is no integer.
        ValueError: a size or probability is out of range, or, when called, ``inputs`` are not integers ``(B, T)``, or
            the state has another shape.

    Example:
        >>> model = WindowModel(11, window_size=3, hidden_size=6)
        >>> whole, _ = model(torch.tensor([[1, 2, 3, 4, 5]]))
        >>> _, state = model(torch.tensor([[1, 2, 3]]))
        >>> rest, state = model(torch.tensor([[4, 5]]), state)
        >>> torch.allclose(whole[:, 3:], rest, atol=1e-6), state
        (True, (tensor([[4, 5]]),))
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        window_size: int,
        hidden_size: int,
        embedding_size: int | None = None,
        direct: bool = False,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.vocab_size = check_size("vocab_size", vocab_size)
        self.window_size = check_size("window_size", window_size)
        self.hidden_size = check_size("hidden_size", hidden_size)
        self.embedding_size = check_size("embedding_size", hidden_size if embedding_size is None else embedding_size)
        self.direct = direct
        self.embedding_dropout = check_dropout("embedding_dropout", embedding_dropout)
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        width = self.window_size * self.embedding_size
        self.embedding = nn.Embedding(vocab_size + 1, self.embedding_size)
        self.hidden = nn.Linear(width, hidden_size)
        self.output = nn.Linear(hidden_size + width if direct else hidden_size, vocab_size)

    def initial_state(self, batch_size: int) -> tuple[Tensor]:
        """Nothing before the first token, on the model's device."""
        device = self.embedding.weight.device
        return (torch.full((batch_size, self.window_size - 1), self.vocab_size, device=device),)

    def features(
        self, inputs: Tensor, state: tuple[NestedState, ...] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor]]:
        """What the output layer sees, ``(B, T, output.in_features)``, and the new state."""
        (before,) = window_state(self, inputs, state, self.window_size - 1)
        tokens, last = read_on(before, inputs, lengths)
        embedded = self.embedding(tokens)  # (B, k - 1 + T, embedding_size)
        steps = inputs.size(1)
        x = torch.cat([embedded[:, place : place + steps] for place in range(self.window_size)], 2)
        x = functional.dropout(x, self.embedding_dropout, self.training)
        hidden = torch.tanh(self.hidden(x))
        seen = torch.cat((hidden, x), 2) if self.direct else hidden
        return functional.dropout(seen, self.output_dropout, self.training), (last,)

    def logits(self, features: Tensor) -> Tensor:
        """Scores for the next token, ``(..., output.in_features) -> (..., vocab_size)``."""
        scores: Tensor = self.output(features)
        return scores


def window_state(
    model: NextTokenModel, inputs: Tensor, state: tuple[NestedState, ...] | None, size: int
) -> tuple[Tensor]:
    """The checked state of a model that remembers the last ``size`` tokens: None is that of a text's beginning."""
    check_tokens("inputs", inputs, empty=True)
    tokens = cast(State, model.initial_state(inputs.size(0)) if state is None else state)
    check_state(tokens, ("tokens",), (size,), inputs)
    return cast(tuple[Tensor], tokens)
