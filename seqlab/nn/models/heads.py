"""Heads: the part of a model that turns its encoder's output into scores."""

from collections.abc import Callable
from typing import cast as typed

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_dropout, check_size
from seqlab.nn.layers.sequence import SequenceEncoder
from seqlab.nn.models.attention import Attention
from seqlab.nn.models.pooling import Part, make_pooling


class TokenHead(nn.Module):
    """An output layer over tokens: P(w | y) = softmax(W D_o(y) + b).

    ``head(features (..., input_size)) -> logits (..., vocab_size)``. Another kind of output layer derives from it.

    Args:
        input_size: The width of y; the model gives it.
        vocab_size: The number of tokens.
        embedding: The embedding of the tokens, where the model has one; the model gives it.
        output_dropout: The probability of the dropout D_o, in [0, 1).
        tie_weights: Whether W is the embedding's own matrix (Press & Wolf 2017).

    Raises:
        TypeError: a size is no integer.
        ValueError: a size or probability is out of range, or ``tie_weights`` meets no embedding of that many tokens
            and of ``input_size``.

    Example:
        >>> embedding = nn.Embedding(9, 4)
        >>> head = TokenHead(4, 9, embedding=embedding, tie_weights=True)
        >>> head(torch.zeros(2, 3, 4)).shape, head.output.weight is embedding.weight
        (torch.Size([2, 3, 9]), True)
    """

    def __init__(
        self,
        input_size: int,
        vocab_size: int,
        *,
        embedding: nn.Embedding | None = None,
        output_dropout: float = 0.0,
        tie_weights: bool = False,
    ) -> None:
        super().__init__()
        self.vocab_size = check_size("vocab_size", vocab_size)
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        self.output = nn.Linear(check_size("input_size", input_size), vocab_size)
        self.tie_weights = tie_weights
        if tie_weights:
            self.output.weight = _shared_matrix(embedding, self.output)

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.output(functional.dropout(features, self.output_dropout, self.training))
        return scores

    def extra_repr(self) -> str:
        return f"tie_weights={self.tie_weights}"


def _shared_matrix(embedding: nn.Embedding | None, output: nn.Linear) -> nn.Parameter:
    """The embedding's matrix, where it fits the output layer."""
    if embedding is None:
        raise ValueError("tie_weights: expected an input with an embedding, got one without; give tie_weights=False")
    if output.in_features != embedding.embedding_dim:
        sizes = f"output_size {output.in_features} and embedding_size {embedding.embedding_dim}"
        raise ValueError(f"tie_weights: expected features as wide as the embedding, got {sizes}; make them equal")
    if output.out_features != embedding.num_embeddings:
        sizes = f"{embedding.num_embeddings} and {output.out_features}"
        raise ValueError(f"tie_weights: expected as many tokens in the input as in the output, got {sizes}")
    return typed(nn.Parameter, embedding.weight)


class ClassHead(nn.Module):
    """Scores of the classes of a whole sequence: s = pooling(y), P(class | y_1..y_n) = softmax(W D_o(s) + b).

    With two classes the softmax is a sigmoid of the difference of their scores. ``head(part) -> logits (B,
    num_classes)``, with ``part`` from ``head.pooling.part(output, lengths)``: so a sequence may come in windows.

    Args:
        encoder: The encoder whose outputs are pooled; the model gives it.
        num_classes: The number of classes.
        pooling: "last", "max", "mean" or "attention"; see :mod:`seqlab.nn.models.pooling`.
        attention_size: The width of the scores of ``pooling="attention"``; None: as the encoder's output.
        output_dropout: The probability of the dropout D_o, in [0, 1).

    Raises:
        TypeError: a size is no integer.
        ValueError: a size, probability or choice is out of range.

    Example:
        >>> from seqlab.nn import Encoder, GRUCell
        >>> head = ClassHead(Encoder(GRUCell, 3, 4), num_classes=2, pooling="max")
        >>> head(head.pooling.part(torch.zeros(5, 7, 4))).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        encoder: SequenceEncoder,
        num_classes: int,
        *,
        pooling: str = "last",
        attention_size: int | None = None,
        output_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        self.pooling = make_pooling(pooling, encoder, attention_size)
        self.output = nn.Linear(encoder.output_size, check_size("num_classes", num_classes))

    def forward(self, part: Part) -> Tensor:
        pooled = functional.dropout(self.pooling.finish(part), self.output_dropout, self.training)
        scores: Tensor = self.output(pooled)
        return scores


class AnswerHead(nn.Module):
    """Scores of the answers to a question u about a story y_1..y_n.

        c = sum_t softmax_t(score(u, y_t)) y_t,   u' = tanh(W_u u + W_c D_o(c))        once for each of ``hops``
        P(answer | story, question) = softmax(W D_o(u') + b)

    One hop is the attentive reader of Hermann et al. (2015). With more, the question is put again, changed by what was
    found (Sukhbaatar et al. 2015, here with the weights of all hops tied). ``attention=None`` is the plain pair of
    encoders without hops: softmax(W D_o([u; last state of y]) + b).

    ``head(query (B, query_size), read, lengths (B,), reread=False) -> (logits (B, num_answers), weights (B, hops,
    n))``. ``read(query)`` gives the story's states ``(B, n, F)``; with ``reread`` each hop reads the story again, in
    the light of the question as it stands. The weights are the attention of each hop; without attention they are
    ``(B, 0, n)``.

    Args:
        query_size: The width of u; the model gives it.
        encoder: The story's encoder; the model gives it.
        num_answers: The number of answers to choose from.
        attention: The score of :class:`Attention`, "dot", "general" or "additive"; None for last states alone.
        hops: How often the question is put to the story.
        output_dropout: The probability of the dropout D_o, in [0, 1).

    Raises:
        TypeError: a size is no integer.
        ValueError: a size, probability or choice is out of range, or ``hops`` come without attention.
    """

    def __init__(
        self,
        query_size: int,
        encoder: SequenceEncoder,
        num_answers: int,
        *,
        attention: str | None = "general",
        hops: int = 1,
        output_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_size("num_answers", num_answers)
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        self.hops = check_size("hops", hops)
        if attention is None and hops > 1:
            raise ValueError(f"hops: expected 1 without attention, got {hops}; give attention=general")
        size = query_size + encoder.output_size
        self.attention = None if attention is None else Attention(query_size, encoder.output_size, attention)
        self.pooling = make_pooling("last", encoder) if attention is None else None
        self.update = None if attention is None else nn.Linear(size, query_size)
        self.output = nn.Linear(size if attention is None else query_size, num_answers)

    def forward(
        self, query: Tensor, read: Callable[[Tensor], Tensor], lengths: Tensor, reread: bool = False
    ) -> tuple[Tensor, Tensor]:
        states = read(query)  # (B, n, F)
        if self.attention is None or self.update is None:
            assert self.pooling is not None
            both = torch.cat((query, self.pooling(states, lengths)), 1)
            return self.output(self._drop(both)), states.new_zeros(states.size(0), 0, states.size(1))
        memory = self.attention.prepare(states, lengths)
        weights = []
        for hop in range(self.hops):
            if hop and reread:
                memory = self.attention.prepare(read(query), lengths)
            context, weight = self.attention.attend(query.unsqueeze(1), memory)  # (B, 1, F), (B, 1, n)
            query = torch.tanh(self.update(torch.cat((query, self._drop(context.squeeze(1))), 1)))
            weights.append(weight)
        return self.output(self._drop(query)), torch.cat(weights, 1)

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.output_dropout, self.training)
