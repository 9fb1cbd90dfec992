"""Inputs: the part of a model that turns what the data gives into vectors, one a step."""

from collections.abc import Callable
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_dropout, check_size, check_tokens
from seqlab.nn.models.characters import CharacterEncoder
from seqlab.nn.models.parts import make_part

InputFactory: TypeAlias = Callable[[], "Input"]


class Input(nn.Module):
    """What a model's encoder reads: a vector for each step.

    ``input(x (B, T) or (B, T, F)) -> (B, T, output_size)``. Another kind of input derives from it and defines
    ``forward``; it needs no embedding.

    Args:
        output_size: The width of a step's vector.

    Attributes:
        embedding: The embedding, where there is one; an output layer may share its matrix.
        reads_whole: Whether a row has to be read from its first step on, never in windows or step by step.

    Example:
        >>> class Features(Input):  # what the data has as vectors already, such as the frames of speech
        ...     def forward(self, x):
        ...         return x
        >>> Features(40)(torch.zeros(2, 7, 40)).shape
        torch.Size([2, 7, 40])
    """

    reads_whole: ClassVar[bool] = False

    def __init__(self, output_size: int) -> None:
        super().__init__()
        self.output_size = check_size("output_size", output_size)
        self.embedding: nn.Embedding | None = None

    @property
    def step_shape(self) -> tuple[int, ...]:
        """The shape of what is read at each step: () for a token's number, else that of a step's numbers."""
        return () if self.embedding is not None else (self.output_size,)

    def segments(self, is_first: Tensor | None) -> dict[str, Tensor]:
        """The argument ``is_first`` for a model's encoder, if rows are cut: an encoder of one's own need not take it.

        Args:
            is_first: ``(B,)`` or ``(B, T)`` bool, where segments of rows begin; None: rows are not cut.

        Raises:
            ValueError: this input reads rows whole, so that a segment would know its place in the row.
        """
        if is_first is not None and self.reads_whole:
            raise ValueError(f"is_first: {type(self).__name__} reads rows whole; give each segment a row of its own")
        return {} if is_first is None else {"is_first": is_first}

    def load_vectors(self, vectors: Tensor) -> None:
        """Gives the embedding pretrained vectors.

        Args:
            vectors: ``(vocab_size, embedding_size)``, floating point. A row of NaN leaves that token its own vector.

        Raises:
            ValueError: there is no embedding, or the vectors have another shape or type.
        """
        if self.embedding is None:
            raise ValueError(f"vectors: expected an input with an embedding, got {type(self).__name__}")
        weight = self.embedding.weight
        if vectors.dim() == 2 and vectors.size(1) != weight.size(1):
            mend = f"give embedding_size={vectors.size(1)}"
            raise ValueError(f"vectors: expected {weight.size(1)} numbers a word, got {vectors.size(1)}; {mend}")
        if vectors.shape != weight.shape or not vectors.is_floating_point():
            got = f"{vectors.dtype} of shape {tuple(vectors.shape)}"
            raise ValueError(f"vectors: expected floating-point values {tuple(weight.shape)}, got {got}")
        with torch.no_grad():
            weight.copy_(torch.where(vectors.isnan().to(weight.device), weight, vectors.to(weight)))

    def load_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Takes the mean and the standard deviation of each feature in training, ``(F,)`` each.

        Raises:
            ValueError: this input does not standardise, or the numbers don't fit it.
        """
        raise ValueError(
            f"statistics: expected an input that standardises, as FrameInput does, got {type(self).__name__}"
        )


class TokenInput(Input):
    """The vectors of tokens: x_t = D_w(D_e(E[w_t])).

    ``input(tokens (B, T)) -> (B, T, embedding_size)``, with tokens as int64 numbers.

    Args:
        vocab_size: The number of tokens.
        embedding_size: The width of E[w].
        embedding_dropout: The probability of the dropout D_e, in [0, 1).
        word_dropout: The probability that D_w makes a whole x_t zero in training (Iyyer et al. 2015), in [0, 1).

    Raises:
        TypeError: a size is no integer.
        ValueError: a size or probability is out of range, or, when called, ``tokens`` are not integers ``(B, T)``.

    Example:
        >>> TokenInput(9, 4)(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 3, 4])
    """

    embedding: nn.Embedding

    def __init__(
        self, vocab_size: int, embedding_size: int, *, embedding_dropout: float = 0.0, word_dropout: float = 0.0
    ) -> None:
        sizes = check_size("vocab_size", vocab_size), check_size("embedding_size", embedding_size)
        super().__init__(embedding_size)
        self.embedding_dropout = check_dropout("embedding_dropout", embedding_dropout)
        self.word_dropout = check_dropout("word_dropout", word_dropout)
        self.embedding = nn.Embedding(*sizes)

    def forward(self, tokens: Tensor) -> Tensor:
        check_tokens("inputs", tokens, empty=True)
        x = functional.dropout(self.vectors(tokens), self.embedding_dropout, self.training)
        if self.training and self.word_dropout:
            x = x * functional.dropout(torch.ones_like(x[:, :, :1]), self.word_dropout)
        return x

    def vectors(self, tokens: Tensor) -> Tensor:
        """The vectors of tokens ``(B, T)`` before any dropout, ``(B, T, embedding_size)``."""
        vectors: Tensor = self.embedding(tokens)
        return vectors


class PlacedInput(TokenInput):
    """The vectors of tokens and of their places, added (Gehring et al. 2017): x_t = D_w(D_e(E[w_t] + P[t])).

    For sequences that are aligned, such as the bases around a junction: what a token means depends on where it stands.
    Places are counted from a row's first step, so rows are read whole: a language model and windows are refused.

    Args:
        vocab_size, embedding_size, embedding_dropout, word_dropout: See :class:`TokenInput`.
        num_places: The number of places that have a vector; further steps have that of the last.

    Raises:
        TypeError: a size is no integer.
        ValueError: a size or probability is out of range, or, when called, ``tokens`` are not integers ``(B, T)``.

    Example:
        >>> input = PlacedInput(9, 4, num_places=2)
        >>> x = input(torch.tensor([[1, 1, 1]]))
        >>> torch.equal(x[0, 0], x[0, 1]), torch.equal(x[0, 1], x[0, 2])
        (False, True)
    """

    reads_whole = True

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        *,
        num_places: int,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__(vocab_size, embedding_size, embedding_dropout=embedding_dropout, word_dropout=word_dropout)
        self.places = nn.Embedding(check_size("num_places", num_places), embedding_size)

    def vectors(self, tokens: Tensor) -> Tensor:
        steps = torch.arange(tokens.size(1), device=tokens.device)
        places: Tensor = self.places(steps.clamp(max=self.places.num_embeddings - 1))
        return super().vectors(tokens) + places


class WordInput(Input):
    """The vectors of words and of their letters, side by side (Plank et al. 2016): x_t = D_e([E[w_t]; r(letters)]).

    ``input(words (B, T), characters (B, T, C), word_lengths (B, T)) -> (B, T, output_size)``, with r a
    :class:`CharacterEncoder`. Without letters, ``characters`` and ``word_lengths`` are None.

    Args:
        vocab_size: The number of words.
        embedding_size: The width of E[w].
        characters: The factory of the character encoder, called ``characters(num_characters=num_characters)``; needed
            with ``num_characters`` alone.
        num_characters: The number of characters; None leaves letters out.
        embedding_dropout: The probability of the dropout D_e, in [0, 1).
        word_dropout: The share of words that training reads as ``unknown_index``, so that the model learns to do with
            letters and neighbours what it must do for a word it has never seen.
        unknown_index: The number of the unknown word.

    Raises:
        TypeError: a size is no integer, or ``characters`` no factory of character encoders.
        ValueError: a size or probability is out of range, ``word_dropout`` comes without ``unknown_index``,
            ``num_characters`` without ``characters``, or, when called, characters without ``num_characters`` or the
            reverse.

    Example:
        >>> from functools import partial
        >>> from seqlab.nn import Encoder, GRUCell
        >>> letters = partial(Encoder, GRUCell, hidden_size=3, bidirectional=True)
        >>> input = WordInput(9, 4, characters=partial(CharacterEncoder, encoder=letters), num_characters=7)
        >>> words, characters = torch.tensor([[5, 6]]), torch.tensor([[[1, 2], [3, 0]]])
        >>> input(words, characters, torch.tensor([[2, 1]])).shape
        torch.Size([1, 2, 10])
    """

    embedding: nn.Embedding

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        *,
        characters: Callable[..., CharacterEncoder] | None = None,
        num_characters: int | None = None,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
        unknown_index: int | None = None,
    ) -> None:
        sizes = check_size("vocab_size", vocab_size), check_size("embedding_size", embedding_size)
        super().__init__(embedding_size)
        self.embedding_dropout = check_dropout("embedding_dropout", embedding_dropout)
        self.word_dropout = check_dropout("word_dropout", word_dropout)
        if word_dropout and (unknown_index is None or not 0 <= unknown_index < vocab_size):
            raise ValueError(f"unknown_index: word_dropout expects one of {vocab_size} words, got {unknown_index}")
        self.unknown_index = unknown_index
        self.embedding = nn.Embedding(*sizes)
        self.characters: CharacterEncoder | None = None
        if num_characters is not None:
            if characters is None:
                raise ValueError("characters: expected a factory of character encoders with num_characters, got None")
            self.characters = make_part("characters", characters, CharacterEncoder, num_characters=num_characters)
            self.output_size += self.characters.output_size

    def forward(self, words: Tensor, characters: Tensor | None = None, word_lengths: Tensor | None = None) -> Tensor:
        check_tokens("words", words)
        if self.training and self.word_dropout and self.unknown_index is not None:
            dropped = torch.rand(words.shape, device=words.device) < self.word_dropout
            words = words.masked_fill(dropped, self.unknown_index)
        x: Tensor = self.embedding(words)
        if self.characters is not None:
            if characters is None or word_lengths is None or characters.shape[:2] != words.shape:
                raise ValueError(
                    f"characters, word_lengths: expected ({', '.join(map(str, words.shape))}, C) and one length a word"
                )
            x = torch.cat((x, self.characters(characters, word_lengths).to(x.dtype)), 2)
        elif characters is not None or word_lengths is not None:
            raise ValueError("characters: expected None, for the model was made without; give num_characters")
        return functional.dropout(x, self.embedding_dropout, self.training)
