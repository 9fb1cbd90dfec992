"""Language models: what is asked of any, and the recurrent one."""

from collections.abc import Callable

from torch import Tensor, nn

from seqlab.nn.layers.sequence import EncoderFactory, SequenceEncoder, make_encoder
from seqlab.nn.models.heads import TokenHead
from seqlab.nn.models.inputs import Input, InputFactory
from seqlab.nn.models.parts import make_part
from seqlab.nn.state import NestedState


class NextTokenModel(nn.Module):
    """What predicts the next token from those before it, P(w_{t+1} | w_1..w_t), and is asked window by window.

    ``model(inputs (B, T), state=None, lengths=None) -> (logits (B, T, vocab_size), state)``; ``inputs`` are token
    numbers, ``state`` is what the model knows of the text before them: a tuple of tensors of B rows, nested or not,
    None at the beginning of a text. Text read in pieces, the state handed on, gives what text read at once does; beyond
    a row's length nothing is read. ``features`` and ``logits`` are the two halves, for those who need the logits of
    some steps only. A model whose ``features`` take ``is_first``, where segments of rows begin, takes it as well.

    A language model of another kind derives from it and defines ``initial_state``, ``features`` and ``logits``: the
    task, ``generate``, ``beam_search`` and the commands ask for no more.

    Example:
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
        self,
        inputs: Tensor,
        state: tuple[NestedState, ...] | None = None,
        lengths: Tensor | None = None,
        **segments: Tensor | None,
    ) -> tuple[Tensor, tuple[NestedState, ...]]:
        features, new = self.features(inputs, state, lengths, **segments)
        return self.logits(features), new


class LanguageModel(NextTokenModel):
    """A recurrent language model (Mikolov et al. 2010; Zaremba et al. 2014): logits = head(encoder(input(w_1..w_t))).

    It is called as any :class:`NextTokenModel`; its state is the encoder's. ``is_first (B, T)`` bool, if given, is true
    where a segment of a row begins, such as a document: it knows nothing of those before it.

    Args:
        input: The factory of the input, such as a ``functools.partial`` of :class:`TokenInput`.
        encoder: The factory of the encoder, called ``encoder(input_size=input.output_size)``: a ``functools.partial``
            of :class:`Encoder` with all other options.
        head: The factory of the output layer, called ``head(input_size=encoder.output_size,
            embedding=input.embedding)``: a ``functools.partial`` of :class:`TokenHead` with all other options.

    Raises:
        TypeError: a part is no factory of such a part.
        ValueError: what the parts refuse, such as tied weights of unequal widths; or the input reads whole rows alone.

    Example:
        >>> import torch
        >>> from functools import partial
        >>> from seqlab.nn import Encoder, LSTMCell, TokenInput
        >>> encoder = partial(Encoder, LSTMCell, hidden_size=6)
        >>> head = partial(TokenHead, vocab_size=11, tie_weights=True)
        >>> model = LanguageModel(partial(TokenInput, 11, 6), encoder, head)
        >>> logits, state = model(torch.tensor([[1, 2, 3]]))
        >>> logits.shape, model.head.output.weight is model.input.embedding.weight
        (torch.Size([1, 3, 11]), True)
    """

    def __init__(self, input: InputFactory, encoder: EncoderFactory, head: Callable[..., TokenHead]) -> None:
        super().__init__()
        self.input = make_part("input", input, Input)
        if self.input.reads_whole:
            name = type(self.input).__name__
            raise ValueError(f"input: {name} reads whole rows, and a language model reads windows: give TokenInput")
        self.encoder = make_encoder("encoder", encoder, self.input.output_size, SequenceEncoder)
        sizes = {"input_size": self.encoder.output_size, "embedding": self.input.embedding}
        self.head = make_part("head", head, TokenHead, **sizes)

    @property
    def reads_ahead(self) -> bool:
        return self.encoder.bidirectional

    def initial_state(self, batch_size: int) -> tuple[NestedState, ...]:
        """The encoder's state before the first token, on the model's device."""
        return self.encoder.initial_state(batch_size, like=next(self.encoder.parameters()))

    def features(
        self,
        inputs: Tensor,
        state: tuple[NestedState, ...] | None = None,
        lengths: Tensor | None = None,
        *,
        is_first: Tensor | None = None,
    ) -> tuple[Tensor, tuple[NestedState, ...]]:
        """What the output layer sees, ``(B, T, encoder.output_size)``, and the new state."""
        read: Tensor = self.input(inputs)
        output: tuple[Tensor, tuple[NestedState, ...]] = self.encoder(
            read, state, lengths, **self.input.segments(is_first)
        )
        return output

    def logits(self, features: Tensor) -> Tensor:
        """Scores for the next token, ``(..., encoder.output_size) -> (..., vocab_size)``."""
        scores: Tensor = self.head(features)
        return scores
