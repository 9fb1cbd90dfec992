"""The classifier: an embedding, an encoder, pooling over time and an output layer."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_dropout, check_size, check_tokens
from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.layers.encoder import Encoder
from seqlab.nn.layers.init import initialize
from seqlab.nn.models.pooling import Part, make_pooling
from seqlab.nn.state import NestedState


class Classifier(nn.Module):
    """A recurrent classifier of whole sequences.

        e_t = D_e(E[w_t]),   y = encoder(e),   s = pooling(y),   P(class | w_1..w_n) = softmax(W D_o(s) + b)

    With two classes the softmax is a sigmoid of the difference of their scores.

    ``model(inputs (B, T), lengths=None) -> logits (B, num_classes)``; ``inputs`` are token numbers, ``lengths (B,)``
    the tokens of each row, whose padding never changes an answer.

    ``cell``, ``hidden_size``, ``num_layers``, ``bidirectional``, ``connect``, ``dropout`` (between layers),
    ``backend`` and ``recompute`` are those of :class:`Encoder`. ``embedding_size=None`` takes ``hidden_size``.
    ``embedding_dropout`` is D_e, ``output_dropout`` D_o; ``word_dropout`` zeroes whole e_t (Iyyer et al. 2015).
    ``pooling`` is "last", "max", "mean" or "attention", and ``attention_size`` the width of the last one's scores; see
    :mod:`seqlab.nn.models.pooling`. ``init`` holds the arguments of :func:`initialize`.

    ``tbptt_steps`` is for long documents: a row is read in windows of that many tokens, the state and the pooling
    carried on detached, and the gradient flows through its last ``tbptt_steps`` tokens alone (truncated as in Williams
    & Peng 1990). The answer is the same, and training takes the memory of one window.

    Raises ``ValueError`` or ``TypeError`` for wrong sizes, probabilities and choices, for ``tbptt_steps`` under a
    bidirectional encoder, which would read from the end, and for ``inputs`` that are not integers ``(B, T)``.

    >>> from seqlab.nn import GRUCell
    >>> model = Classifier(11, 2, GRUCell, hidden_size=6, bidirectional=True, pooling="max")
    >>> model(torch.tensor([[1, 2, 3], [4, 0, 0]]), torch.tensor([3, 1])).shape
    torch.Size([2, 2])
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        cell: Callable[[int, int], RecurrentCell],
        *,
        hidden_size: int,
        embedding_size: int | None = None,
        num_layers: int = 1,
        bidirectional: bool = False,
        connect: str = "none",
        dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
        output_dropout: float = 0.0,
        pooling: str = "last",
        attention_size: int | None = None,
        tbptt_steps: int | None = None,
        backend: str = "auto",
        recompute: bool = False,
        init: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.vocab_size = check_size("vocab_size", vocab_size)
        self.num_classes = check_size("num_classes", num_classes)
        width = check_size("hidden_size", hidden_size) if embedding_size is None else embedding_size
        self.embedding_size = check_size("embedding_size", width)
        self.embedding_dropout = check_dropout("embedding_dropout", embedding_dropout)
        self.word_dropout = check_dropout("word_dropout", word_dropout)
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        self.tbptt_steps = None if tbptt_steps is None else check_size("tbptt_steps", tbptt_steps)
        if tbptt_steps is not None and bidirectional:
            raise ValueError("tbptt_steps: expected None with bidirectional=True, whose backward direction begins last")
        self.embedding = nn.Embedding(vocab_size, width)
        self.encoder = Encoder(
            cell, width, hidden_size, num_layers, bidirectional, connect, dropout, backend, recompute
        )
        self.pooling = make_pooling(pooling, self.encoder, attention_size)
        self.output = nn.Linear(self.encoder.output_size, num_classes)
        if init is not None:
            initialize(self, **init)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        check_tokens("inputs", inputs, empty=True)
        if self.tbptt_steps is None or inputs.size(1) <= self.tbptt_steps:
            part, _ = self._window(inputs, lengths, None)
        else:
            part = self._long(inputs, lengths, self.tbptt_steps)
        pooled = functional.dropout(self.pooling.finish(part), self.output_dropout, self.training)
        logits: Tensor = self.output(pooled)
        return logits

    def _window(
        self, inputs: Tensor, lengths: Tensor | None, state: tuple[NestedState, ...] | None
    ) -> tuple[Part, tuple[NestedState, ...]]:
        """What a window adds to the pooling, and the state after it."""
        embedded = functional.dropout(self.embedding(inputs), self.embedding_dropout, self.training)
        if self.training and self.word_dropout:
            embedded = embedded * functional.dropout(torch.ones_like(embedded[:, :, :1]), self.word_dropout)
        output, new = self.encoder(embedded, state, lengths)
        return self.pooling.part(output, lengths), new

    def _long(self, inputs: Tensor, lengths: Tensor | None, steps: int) -> Part:
        """The pooling of whole rows, with a gradient through the last ``steps`` tokens of each."""
        if lengths is None:
            lengths = torch.full(inputs.shape[:1], inputs.size(1), device=inputs.device)
        heads = (lengths - steps).clamp(min=0)  # the tokens before a row's last window
        state, earlier = None, None
        with torch.no_grad():
            for start in range(0, int(heads.max()), steps):
                window = inputs[:, start : start + steps]
                part, state = self._window(window, (heads - start).clamp(0, window.size(1)), state)
                earlier = part if earlier is None else self.pooling.merge(earlier, part)
        place = heads.unsqueeze(1) + torch.arange(steps, device=inputs.device)
        last = inputs.gather(1, place.clamp(max=inputs.size(1) - 1))
        part, _ = self._window(last, lengths - heads, state)
        return part if earlier is None else self.pooling.merge(earlier, part)
