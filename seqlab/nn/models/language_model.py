"""Whole models, made of an embedding, an encoder and an output layer."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_dropout, check_size, check_tokens
from seqlab.nn.layers.encoder import EncoderFactory, make_encoder
from seqlab.nn.layers.init import initialize
from seqlab.nn.state import NestedState


class NextTokenModel(nn.Module):
    """What predicts the next token from those before it, P(w_{t+1} | w_1..w_t), and is asked window by window.

    ``model(inputs (B, T), state=None, lengths=None) -> (logits (B, T, vocab_size), state)``; ``inputs`` are token
    numbers, ``state`` is what the model knows of the text before them: a tuple of tensors of B rows, nested or not,
    None at the beginning of a text. Text read in pieces, the state handed on, gives what text read at once does; beyond
    a row's length nothing is read. ``features`` and ``logits`` are the two halves, for those who need the logits of
    some steps only.

    A language model of another kind derives from it and defines ``initial_state``, ``features`` and ``logits``: the
    task, ``generate``, ``beam_search`` and the commands ask for no more.

    >>> import torch
    >>> class Bigrams(NextTokenModel):  # P(w_{t+1} | w_t) from a table, and nothing to remember
    ...     def __init__(self, vocab_size):
    ...         super().__init__()
    ...         self.table = nn.Embedding(vocab_size, vocab_size)
    ...
    ...     def initial_state(self, batch_size):
    ...         return ()
    ...
    ...     def features(self, inputs, state=None, lengths=None):
    ...         return self.table(inputs), ()
    ...
    ...     def logits(self, features):
    ...         return features
    >>> Bigrams(5)(torch.tensor([[1, 2, 3]]))[0].shape
    torch.Size([1, 3, 5])
    """

    @property
    def reads_ahead(self) -> bool:
        """Whether features of a step depend on later tokens: no language model then, but still an encoder of text."""
        return False

    def initial_state(self, batch_size: int) -> tuple[NestedState, ...]:
        """The state before the first token, on the model's device."""
        raise NotImplementedError(f"{type(self).__name__} must define initial_state")

    def features(
        self, inputs: Tensor, state: tuple[NestedState, ...] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[NestedState, ...]]:
        """What ``logits`` makes its scores from, ``(B, T, ...)``, and the new state."""
        raise NotImplementedError(f"{type(self).__name__} must define features")

    def logits(self, features: Tensor) -> Tensor:
        """Scores for the next token, ``(..., F) -> (..., vocab_size)``, of the features of any steps."""
        raise NotImplementedError(f"{type(self).__name__} must define logits")

    def forward(
        self, inputs: Tensor, state: tuple[NestedState, ...] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[NestedState, ...]]:
        features, new = self.features(inputs, state, lengths)
        return self.logits(features), new


class LanguageModel(NextTokenModel):
    """A recurrent language model (Mikolov et al. 2010; Zaremba et al. 2014).

        e_t = D_e(E[w_t]),   y = encoder(e),   P(w_{t+1} | w_1..w_t) = softmax(W D_o(y_t) + b)

    It is called as any :class:`NextTokenModel`; its state is the encoder's.

    Args:
        vocab_size: The number of tokens V.
        encoder: The factory of the encoder, called ``encoder(input_size=embedding_size)``: a ``functools.partial`` of
            :class:`Encoder` with all other options.
        embedding_size: The width of e_t.
        embedding_dropout: The probability of D_e, in [0, 1).
        output_dropout: The probability of D_o, in [0, 1).
        tie_weights: Whether W is the embedding's own matrix E (Press & Wolf 2017).
        init: The arguments of :func:`initialize`; None leaves PyTorch's initial values.

    Raises:
        TypeError: ``encoder`` is no factory of encoders, or a size no integer.
        ValueError: a size or probability is out of range, ``tie_weights`` meets an encoder whose ``output_size`` is
            not ``embedding_size``, or, when called, ``inputs`` are not integers ``(B, T)``.

    >>> import torch
    >>> from functools import partial
    >>> from seqlab.nn import Encoder, LSTMCell
    >>> encoder = partial(Encoder, LSTMCell, hidden_size=6)
    >>> model = LanguageModel(11, encoder, embedding_size=6, tie_weights=True, init={"uniform": 0.1})
    >>> logits, state = model(torch.tensor([[1, 2, 3]]))
    >>> logits.shape, model.output.weight is model.embedding.weight
    (torch.Size([1, 3, 11]), True)
    """

    def __init__(
        self,
        vocab_size: int,
        encoder: EncoderFactory,
        *,
        embedding_size: int,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        tie_weights: bool = False,
        init: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.vocab_size = check_size("vocab_size", vocab_size)
        self.embedding_size = width = check_size("embedding_size", embedding_size)
        self.embedding_dropout = check_dropout("embedding_dropout", embedding_dropout)
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        self.embedding = nn.Embedding(vocab_size, width)
        self.encoder = make_encoder("encoder", encoder, width)
        self.output = nn.Linear(self.encoder.output_size, vocab_size)
        self.tie_weights = tie_weights
        if tie_weights:
            if self.encoder.output_size != width:
                sizes = f"output_size {self.encoder.output_size} and embedding_size {width}"
                raise ValueError(
                    f"tie_weights: expected an encoder as wide as the embedding, got {sizes}; make them equal"
                )
            self.output.weight = self.embedding.weight
        if init is not None:
            initialize(self, **init)

    @property
    def reads_ahead(self) -> bool:
        return self.encoder.bidirectional

    def initial_state(self, batch_size: int) -> tuple[NestedState, ...]:
        """The encoder's state before the first token, on the model's device."""
        return self.encoder.initial_state(batch_size, like=self.embedding.weight)

    def features(
        self, inputs: Tensor, state: tuple[NestedState, ...] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[NestedState, ...]]:
        """What the output layer sees, ``(B, T, encoder.output_size)``, and the new state."""
        check_tokens("inputs", inputs, empty=True)
        embedded = functional.dropout(self.embedding(inputs), self.embedding_dropout, self.training)
        output, new = self.encoder(embedded, state, lengths)
        return functional.dropout(output, self.output_dropout, self.training), new

    def logits(self, features: Tensor) -> Tensor:
        """Scores for the next token, ``(..., encoder.output_size) -> (..., vocab_size)``."""
        scores: Tensor = self.output(features)
        return scores
