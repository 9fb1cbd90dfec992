"""The tagger: one tag for each word, from its form, its letters and its neighbours."""

from collections.abc import Mapping, Sequence
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_choice, check_dropout, check_input, check_lengths, check_size, check_tokens
from seqlab.nn.layers.encoder import EncoderFactory, make_encoder
from seqlab.nn.layers.init import initialize
from seqlab.nn.layers.recurrent import Bidirectional
from seqlab.nn.models.crf import CRF, bio_constraints
from seqlab.nn.models.distinct import distinct_rows
from seqlab.nn.state import State

_ANY = -100  # the tag of a step that may have any: what PyTorch's losses ignore
_NEVER = -1e9  # the emission of a tag that a step does not have; finite, for -inf gives NaN gradients


class CharacterEncoder(nn.Module):
    """A word's letters as one vector: the final outputs of a recurrent layer from each end (Ling et al. 2015).

        r_w = [forward layer after the last letter; backward layer after the first]

    ``encoder(characters (B, T, C), word_lengths (B, T)) -> (B, T, output_size)``, with ``word_lengths`` the number of
    each word's letters, padding on the right of any character number. Each distinct word of the batch is read once. A
    word without letters gives what the layer's initial state gives.

    Args:
        num_characters: The number of characters.
        encoder: The factory of the layer, called ``encoder(input_size=embedding_size)``: a ``functools.partial`` of
            :class:`Encoder` with ``bidirectional=True`` and one layer.
        embedding_size: The width of a letter's vector.

    Raises:
        TypeError: ``encoder`` is no factory of encoders, or a size no integer.
        ValueError: a size is below 1, the encoder has one direction or several layers, or, when called, characters or
            lengths have a wrong shape or type.

    >>> from functools import partial
    >>> from seqlab.nn import Encoder, LSTMCell
    >>> letters = partial(Encoder, LSTMCell, hidden_size=4, bidirectional=True)
    >>> encoder = CharacterEncoder(5, letters, embedding_size=3)
    >>> vectors = encoder(torch.tensor([[[1, 2], [3, 0], [1, 2]]]), torch.tensor([[2, 1, 2]]))
    >>> vectors.shape, torch.equal(vectors[0, 0], vectors[0, 2])
    (torch.Size([1, 3, 8]), True)
    """

    def __init__(
        self,
        num_characters: int,
        encoder: EncoderFactory,
        *,
        embedding_size: int,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(check_size("num_characters", num_characters), embedding_size)
        self.encoder = make_encoder("character_encoder", encoder, embedding_size)
        if not self.encoder.bidirectional or self.encoder.num_layers != 1:
            got = f"bidirectional={self.encoder.bidirectional}, num_layers={self.encoder.num_layers}"
            raise ValueError(f"character_encoder: expected bidirectional=True and num_layers=1, got {got}")
        self.output_size = self.encoder.output_size

    def forward(self, characters: Tensor, word_lengths: Tensor) -> Tensor:
        if characters.dim() != 3 or word_lengths.shape != characters.shape[:2]:
            shapes = f"{tuple(characters.shape)} and {tuple(word_lengths.shape)}"
            raise ValueError(f"characters, word_lengths: expected shapes (B, T, C) and (B, T), got {shapes}")
        rows = characters.flatten(0, 1)  # (B * T, C)
        check_tokens("characters", rows)
        counts = check_lengths(word_lengths.flatten(), rows)
        distinct, lengths, which = distinct_rows(rows, counts)  # (D, C), (D,), (B * T,)
        _, (final,) = self.encoder(self.embedding(distinct), lengths=lengths)
        layer = typed(Bidirectional, self.encoder.layers[0])
        forward, backward = typed(tuple[State, State], final)
        outputs = layer.forward_layer.cell.output(forward), layer.backward_layer.cell.output(backward)
        return torch.cat(outputs, 1).index_select(0, which).view(*word_lengths.shape, self.output_size)


class Tagger(nn.Module):
    """A recurrent tagger over words and their letters (Plank et al. 2016; with a CRF, Lample et al. 2016).

        x_t = [E[w_t]; r(letters of w_t)],   e = W D_o(encoder(D_e(x))) + b

    and P(y_t) = softmax(e_t) with ``decoder="greedy"``, or P(y) of :class:`CRF` over e with ``decoder="crf"``. Where
    the ``tags`` are those of ``entities``, in BIO, that CRF gives only what BIO allows, unless ``constrained=False``.

    ``model(words (B, T), characters (B, T, C), lengths (B,), word_lengths (B, T)) -> emissions e (B, T, len(tags))``,
    r being :class:`CharacterEncoder`; all padding is on the right and changes nothing. ``num_characters=None`` leaves
    letters out: ``characters`` and ``word_lengths`` are then None. :meth:`nll`, :meth:`loss` and :meth:`decode` take
    the emissions.

    Args:
        vocab_size: The number of words.
        tags: The names of the tags.
        encoder: The factory of the encoder, called ``encoder(input_size=width of x_t)``: a ``functools.partial`` of
            :class:`Encoder` with all other options.
        character_encoder: The factory of the layer that reads letters, see :class:`CharacterEncoder`; needed with
            ``num_characters`` alone.
        embedding_size: The width of E[w].
        num_characters: The number of characters; None leaves letters out.
        character_embedding_size: The width of a letter's vector.
        embedding_dropout: The probability of D_e, in [0, 1).
        output_dropout: The probability of D_o, in [0, 1).
        word_dropout: The share of words that training reads as ``unknown_index``, so that the model learns to do with
            letters and neighbours what it must do for a word it has never seen.
        unknown_index: The number of the unknown word.
        decoder: "greedy" or "crf".
        entities: Whether the tags are those of entities, in BIO.
        constrained: Whether a CRF over entities gives only what BIO allows.
        vectors: The first values of E, ``(vocab_size, embedding_size)``, taken after ``init``; a row of NaN leaves that
            word its random ones.
        init: The arguments of :func:`initialize`; None leaves PyTorch's initial values.

    Raises:
        TypeError: ``encoder`` is no factory of encoders, or a size no integer.
        ValueError: a size, probability, shape or choice is wrong, the tags are not BIO where a CRF is to keep to it,
            ``word_dropout`` comes without ``unknown_index``, ``num_characters`` without ``character_encoder``, or, when
            called, characters without ``num_characters`` or the reverse.

    >>> from functools import partial
    >>> from seqlab.nn import Encoder, GRUCell
    >>> tags = ["B-place", "I-place", "O"]
    >>> encoder = partial(Encoder, GRUCell, hidden_size=4, bidirectional=True)
    >>> model = Tagger(9, tags, encoder, encoder, num_characters=7, decoder="crf", entities=True)
    >>> model.crf.allowed.int().tolist()
    [[1, 1, 1], [1, 1, 1], [1, 0, 1]]
    >>> words, lengths = torch.tensor([[3, 4], [5, 0]]), torch.tensor([2, 1])
    >>> characters, word_lengths = torch.tensor([[[1, 2], [3, 0]], [[4, 5], [0, 0]]]), torch.tensor([[2, 1], [2, 0]])
    >>> emissions = model(words, characters, lengths, word_lengths)
    >>> emissions.shape, model.decode(emissions, lengths).shape
    (torch.Size([2, 2, 3]), torch.Size([2, 2]))
    >>> model.loss(emissions, torch.tensor([[0, 1], [2, 0]]), lengths).item() > 0
    True
    """

    def __init__(
        self,
        vocab_size: int,
        tags: Sequence[str],
        encoder: EncoderFactory,
        character_encoder: EncoderFactory | None = None,
        *,
        embedding_size: int = 100,
        num_characters: int | None = None,
        character_embedding_size: int = 30,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        word_dropout: float = 0.0,
        unknown_index: int | None = None,
        decoder: str = "greedy",
        entities: bool = False,
        constrained: bool = True,
        vectors: Tensor | None = None,
        init: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        sizes = check_size("vocab_size", vocab_size), check_size("embedding_size", embedding_size)
        self.num_tags = check_size("tags", len(tags))
        self.embedding_dropout = check_dropout("embedding_dropout", embedding_dropout)
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        self.word_dropout = check_dropout("word_dropout", word_dropout)
        if word_dropout and (unknown_index is None or not 0 <= unknown_index < vocab_size):
            raise ValueError(f"unknown_index: word_dropout expects one of {vocab_size} words, got {unknown_index}")
        self.unknown_index = unknown_index
        self.embedding = nn.Embedding(*sizes)
        self.characters = None
        if num_characters is not None:
            if character_encoder is None:
                raise ValueError("character_encoder: expected a factory of encoders with num_characters, got None")
            letter_size = check_size("character_embedding_size", character_embedding_size)
            self.characters = CharacterEncoder(num_characters, character_encoder, embedding_size=letter_size)
        width = embedding_size + (0 if self.characters is None else self.characters.output_size)
        self.encoder = make_encoder("encoder", encoder, width)
        self.output = nn.Linear(self.encoder.output_size, self.num_tags)
        check_choice("decoder", decoder, ("greedy", "crf"))
        constraints = None
        if decoder == "crf" and entities and constrained:
            with torch.device("cpu"):  # the CRF looks at them, which no meta tensor bears
                constraints = bio_constraints(tags)
        self.crf = CRF(self.num_tags, constraints) if decoder == "crf" else None
        if init is not None:
            initialize(self, **init)
        if vectors is not None:
            self._take_vectors(vectors)

    def _take_vectors(self, vectors: Tensor) -> None:
        weight = self.embedding.weight
        if vectors.dim() == 2 and vectors.size(1) != weight.size(1):
            mend = f"give embedding_size={vectors.size(1)}"
            raise ValueError(f"vectors: expected {weight.size(1)} numbers a word, got {vectors.size(1)}; {mend}")
        if vectors.shape != weight.shape or not vectors.is_floating_point():
            got = f"{vectors.dtype} of shape {tuple(vectors.shape)}"
            raise ValueError(f"vectors: expected floating-point values {tuple(weight.shape)}, got {got}")
        with torch.no_grad():
            weight.copy_(torch.where(vectors.isnan().to(weight.device), weight, vectors.to(weight)))

    def forward(
        self,
        words: Tensor,
        characters: Tensor | None = None,
        lengths: Tensor | None = None,
        word_lengths: Tensor | None = None,
    ) -> Tensor:
        check_tokens("words", words)
        if self.training and self.word_dropout and self.unknown_index is not None:
            dropped = torch.rand(words.shape, device=words.device) < self.word_dropout
            words = words.masked_fill(dropped, self.unknown_index)
        x = self.embedding(words)
        if self.characters is not None:
            if characters is None or word_lengths is None or characters.shape[:2] != words.shape:
                raise ValueError(
                    f"characters, word_lengths: expected ({', '.join(map(str, words.shape))}, C) and one length a word"
                )
            x = torch.cat((x, self.characters(characters, word_lengths).to(x.dtype)), 2)
        elif characters is not None or word_lengths is not None:
            raise ValueError("characters: expected None, for the model was made without; give num_characters")
        x = functional.dropout(x, self.embedding_dropout, self.training)
        output, _ = self.encoder(x, lengths=lengths)
        emissions: Tensor = self.output(functional.dropout(output, self.output_dropout, self.training))
        return emissions

    def nll(self, emissions: Tensor, tags: Tensor, lengths: Tensor | None = None) -> Tensor:
        """-log P of each row's ``tags (B, T)``, ``(B,)``, in nats, summed over its steps; padding may hold anything.

        A step whose tag is -100 may have any tag: P is that of the others together.
        """
        if self.crf is not None:
            known = tags != _ANY
            if bool(known.all()):
                return self.crf(emissions, tags, lengths)  # type: ignore[no-any-return]
            others = torch.arange(self.num_tags, device=tags.device) != tags.unsqueeze(2)  # (B, T, N)
            given = emissions.to(torch.promote_types(emissions.dtype, torch.float32))
            given = given.masked_fill(others & known.unsqueeze(2), _NEVER)
            return self.crf.log_partition(emissions, lengths) - self.crf.log_partition(given, lengths)
        check_input(emissions, self.num_tags)
        padding = _padding(emissions, lengths)
        if tags.shape != padding.shape:
            raise ValueError(f"tags: expected {tuple(padding.shape)}, one a step, got {tuple(tags.shape)}")
        tags = tags.masked_fill(padding, _ANY)  # what cross entropy leaves out, wherever it lies
        if emissions.dtype in (torch.float16, torch.bfloat16):
            emissions = emissions.float()
        losses = functional.cross_entropy(emissions.transpose(1, 2), tags, ignore_index=_ANY, reduction="none")
        return losses.sum(1)

    def loss(self, emissions: Tensor, tags: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The mean of :meth:`nll` over the batch's steps: nats a word, also with a CRF; 0 if there are none."""
        total = self.nll(emissions, tags, lengths).sum()
        return total / (tags.numel() if lengths is None else lengths.sum().clamp_min(1).to(total.device))

    def decode(self, emissions: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The likeliest tags, ``(B, T)``: of each step by itself, or with a CRF of the row; 0 in the padding."""
        if self.crf is not None:
            tags: Tensor = self.crf.decode(emissions, lengths)[0]
            return tags
        check_input(emissions, self.num_tags)
        return emissions.argmax(2).masked_fill(_padding(emissions, lengths), 0)


def _padding(emissions: Tensor, lengths: Tensor | None) -> Tensor:
    """Where a row's steps have ended, ``(B, T)``."""
    rows, steps = emissions.shape[:2]
    if lengths is None:
        return emissions.new_zeros(rows, steps, dtype=torch.bool)
    return torch.arange(steps, device=emissions.device) >= check_lengths(lengths, emissions).unsqueeze(1)
