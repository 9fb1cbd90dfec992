"""The classifier: an embedding, an encoder, pooling over time and an output layer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_dropout, check_size, check_tokens
from seqlab.nn.layers.encoder import EncoderFactory, make_encoder
from seqlab.nn.layers.init import initialize
from seqlab.nn.models.pooling import Part, make_pooling
from seqlab.nn.state import NestedState


class Classifier(nn.Module):
    """A recurrent classifier of whole sequences.

        e_t = D_e(E[w_t]),   y = encoder(e),   s = pooling(y),   P(class | w_1..w_n) = softmax(W D_o(s) + b)

    With two classes the softmax is a sigmoid of the difference of their scores.

    ``model(inputs (B, T), lengths=None) -> logits (B, num_classes)``; ``inputs`` are token numbers, ``lengths (B,)``
    the tokens of each row, whose padding never changes an answer.

    Args:
        vocab_size: The number of tokens.
        num_classes: The number of classes.
        encoder: The factory of the encoder, called ``encoder(input_size=embedding_size)``: a ``functools.partial`` of
            :class:`Encoder` with all other options.
        embedding_size: The width of e_t.
        embedding_dropout: The probability of D_e, in [0, 1).
        word_dropout: The probability that a whole e_t is zero in training (Iyyer et al. 2015).
        output_dropout: The probability of D_o, in [0, 1).
        pooling: "last", "max", "mean" or "attention"; see :mod:`seqlab.nn.models.pooling`.
        attention_size: The width of the scores of ``pooling="attention"``; None: as the encoder's output.
        tbptt_steps: For long documents: a row is read in windows of that many tokens, the state and the pooling
            carried on detached, and the gradient flows through its last ``tbptt_steps`` tokens alone (truncated as in
            Williams & Peng 1990). The answer is the same, and training takes the memory of one window.
        init: The arguments of :func:`initialize`; None leaves PyTorch's initial values.

    Raises:
        TypeError: ``encoder`` is no factory of encoders, or a size no integer.
        ValueError: a size, probability or choice is out of range, ``tbptt_steps`` meets a bidirectional encoder,
            which reads from the end, or, when called, ``inputs`` are not integers ``(B, T)``.

    >>> from functools import partial
    >>> from seqlab.nn import Encoder, GRUCell
    >>> encoder = partial(Encoder, GRUCell, hidden_size=6, bidirectional=True)
    >>> model = Classifier(11, 2, encoder, embedding_size=6, pooling="max")
    >>> model(torch.tensor([[1, 2, 3], [4, 0, 0]]), torch.tensor([3, 1])).shape
    torch.Size([2, 2])
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        encoder: EncoderFactory,
        *,
        embedding_size: int,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
        output_dropout: float = 0.0,
        pooling: str = "last",
        attention_size: int | None = None,
        tbptt_steps: int | None = None,
        init: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.vocab_size = check_size("vocab_size", vocab_size)
        self.num_classes = check_size("num_classes", num_classes)
        self.embedding_size = width = check_size("embedding_size", embedding_size)
        self.embedding_dropout = check_dropout("embedding_dropout", embedding_dropout)
        self.word_dropout = check_dropout("word_dropout", word_dropout)
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        self.tbptt_steps = None if tbptt_steps is None else check_size("tbptt_steps", tbptt_steps)
        self.embedding = nn.Embedding(vocab_size, width)
        self.encoder = make_encoder("encoder", encoder, width)
        if tbptt_steps is not None and self.encoder.bidirectional:
            raise ValueError("tbptt_steps: expected None with bidirectional=True, whose backward direction begins last")
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
