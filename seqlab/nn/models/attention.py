"""Attention: a mean of keys, weighted by how well each of them fits a query."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqlab.nn.arguments import check_choice, check_lengths, check_size


class Memory(NamedTuple):
    """What a decoder reads at every step, prepared once: made by :meth:`Attention.prepare`."""

    keys: Tensor  # (B, T, K), zero where padded
    projected: Tensor  # (B, T, P), what the queries are compared with
    valid: Tensor | None  # (B, T), False where padded; None if nothing is


class Attention(nn.Module):
    """Global attention of queries q_s over keys k_1..k_T, which are the values too.

        a_st = exp(score(q_s, k_t)) / sum_t' exp(score(q_s, k_t')),   c_s = sum_t a_st k_t

    - ``score="dot"``: q . k (Luong et al. 2015), for keys as wide as queries.
    - ``score="general"``: q . W k (Luong et al. 2015).
    - ``score="additive"``: v . tanh(U q + b + W k) (Bahdanau et al. 2015), with ``attention_size`` rows in U and W. It
      holds (B, S, T, attention_size) numbers at once, the others (B, S, T).

    ``attention(query (B, S, Q), keys (B, T, K), lengths=None) -> (context (B, S, K), weights (B, S, T))``. ``lengths
    (B,)`` counts each row's valid keys, padding on the right: a padded key has the weight 0, exactly, whatever it
    holds, and a row of length 0 has the context 0. The softmax is taken in float32 where the scores have 16 bits.

    ``prepare(keys, lengths)`` computes W k once, and ``attend(query, memory)`` the rest: for a decoder that asks step
    by step. The query may then have N = r * B rows, r side by side for each row of keys, as in beam search.

    Args:
        query_size: The width Q of the queries.
        key_size: The width K of the keys.
        score: "dot", "general" or "additive".
        attention_size: The width of additive scores; None: ``query_size``.

    Raises:
        TypeError: a size is no integer.
        ValueError: a size is below 1, ``score`` is unknown, "dot" meets unequal widths, ``attention_size`` comes
            without "additive", or, when called, queries, keys or lengths have a wrong shape.

    Example:
        >>> attention = Attention(2, 2, score="dot")
        >>> keys = torch.tensor([[[1.0, 0.0], [3.0, 0.0], [9.0, 9.0]]])
        >>> context, weights = attention(torch.zeros(1, 1, 2), keys, torch.tensor([2]))
        >>> context.tolist(), weights.tolist()
        ([[[2.0, 0.0]]], [[[0.5, 0.5, 0.0]]])
    """

    def __init__(
        self, query_size: int, key_size: int, score: str = "general", attention_size: int | None = None
    ) -> None:
        super().__init__()
        self.query_size = check_size("query_size", query_size)
        self.key_size = check_size("key_size", key_size)
        self.score = check_choice("score", score, ("dot", "general", "additive"))
        if score == "dot" and query_size != key_size:
            widths = f"{query_size} and {key_size}"
            raise ValueError(f'score: "dot" expects queries and keys of one width, got {widths}; use "general"')
        if score != "additive" and attention_size is not None:
            raise ValueError(f'attention_size: expected None for score "{score}", got {attention_size}')
        if score == "general":
            self.key_projection = nn.Linear(key_size, query_size, bias=False)
        elif score == "additive":
            width = query_size if attention_size is None else check_size("attention_size", attention_size)
            self.key_projection = nn.Linear(key_size, width, bias=False)
            self.query_projection = nn.Linear(query_size, width)
            self.score_vector = nn.Linear(width, 1, bias=False)

    def prepare(self, keys: Tensor, lengths: Tensor | None = None) -> Memory:
        """``keys (B, T, K)`` with their padding out of the way and their projection computed."""
        _check("keys", keys, self.key_size)
        valid = None
        if lengths is not None:
            valid = torch.arange(keys.size(1), device=keys.device) < check_lengths(lengths, keys).unsqueeze(1)
            # A weight of 0 is not enough: times a NaN in the padding it is NaN.
            keys = keys.masked_fill(~valid.unsqueeze(2), 0.0)
        return Memory(keys, keys if self.score == "dot" else self.key_projection(keys), valid)

    def attend(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """``query (N, S, Q)`` over ``memory`` of B rows, N a multiple of B: ``(context (N, S, K), weights (N, S,
        T))``."""
        _check("query", query, self.query_size)
        rows, (batch, steps) = query.shape[:2], memory.keys.shape[:2]
        if rows[0] % batch:
            raise ValueError(f"query: expected a multiple of the keys' {batch} rows, got {rows[0]}")
        scores = self._scores(query.reshape(batch, -1, self.query_size), memory.projected)  # (B, r * S, T)
        if scores.dtype in (torch.float16, torch.bfloat16):
            scores = scores.float()
        if memory.valid is None:
            weights = scores.softmax(2)
        else:
            padding = ~memory.valid.unsqueeze(1)  # (B, 1, T)
            # The least finite number and not -inf, which for a row without keys is NaN on the way to 0.
            weights = scores.masked_fill(padding, torch.finfo(scores.dtype).min).softmax(2).masked_fill(padding, 0.0)
        context = torch.bmm(weights.to(memory.keys.dtype), memory.keys)
        return context.view(*rows, self.key_size), weights.view(*rows, steps)

    def _scores(self, query: Tensor, projected: Tensor) -> Tensor:
        if self.score != "additive":
            return torch.bmm(query, projected.transpose(1, 2))
        hidden = (self.query_projection(query).unsqueeze(2) + projected.unsqueeze(1)).tanh()  # (B, S, T, A)
        scores: Tensor = self.score_vector(hidden)
        return scores.squeeze(3)

    def forward(self, query: Tensor, keys: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        memory = self.prepare(keys, lengths)
        if query.dim() and query.size(0) != keys.size(0):
            raise ValueError(f"query: expected the keys' {keys.size(0)} rows, got {query.size(0)}")
        return self.attend(query, memory)

    def extra_repr(self) -> str:
        return f"{self.query_size}, {self.key_size}, score={self.score!r}"


def _check(name: str, x: Tensor, size: int) -> None:
    if x.dim() != 3 or x.size(2) != size or not x.numel():
        raise ValueError(f"{name}: expected shape (B, steps, {size}) with no empty axis, got {tuple(x.shape)}")
