"""The answerer: a question put to a story, each read by an encoder, brought together by attention."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_choice, check_dropout, check_lengths, check_size, check_tokens
from seqlab.nn.layers.encoder import Encoder, EncoderFactory, make_encoder
from seqlab.nn.layers.init import initialize
from seqlab.nn.models.attention import Attention
from seqlab.nn.models.distinct import distinct_rows
from seqlab.nn.models.pooling import Pooling, make_pooling


class Answerer(nn.Module):
    """Reads a story and a question, and chooses among answers (the tasks are those of Weston et al. 2015).

        u = last state of the question's encoder over D_e(E[q_1..q_m])
        y = story's encoder over D_o(x_1..x_n)
        c = sum_t softmax_t(score(u, y_t)) y_t,   u' = tanh(W_u u + W_c D_o(c))        once for each of ``hops``
        P(answer | story, question) = softmax(W D_o(u') + b)

    - One hop is the attentive reader of Hermann et al. (2015); with more, the question is put again, changed by what
      was found (Sukhbaatar et al. 2015, here with the weights of all hops tied). ``attention`` is the score of
      :class:`Attention`: "dot", "general" or "additive". ``attention=None`` is the plain pair of encoders, softmax(W
      D_o([u; last state of y]) + b), without hops.
    - ``unit="sentence"``: x_t is a sentence's vector, the last state of an encoder over its words, so that the
      story's encoder steps from sentence to sentence. That encoder is the question's, or with ``shared=False`` one of
      its own. ``unit="word"``: x_t = D_e(E[w_t]), one sentence after the other.
    - ``match``: the story is read in the light of the question, [x_t; u; x_t * u] in place of x_t (the products are
      those that open the gates of Kumar et al. 2016 and Seo et al. 2017); where x_t is not as wide as u, W u takes
      its place. Each further hop then reads the story anew, in the light of the question as it stands.

    ``model(story (B, S, W), sentence_lengths (B, S), story_lengths (B,), question (B, Q), question_lengths (B,)) ->
    logits (B, num_answers)``: token numbers by sentence, how many words and sentences count, padding on the right, of
    any token number, that never changes an answer. Each distinct sentence of a batch is read once. :meth:`read` gives
    the attention too.

    Args:
        vocab_size: The number of words.
        num_answers: The number of answers to choose from.
        encoder: The factory of the encoder of words, the question's and the sentences', called
            ``encoder(input_size=embedding_size)``: a ``functools.partial`` of :class:`Encoder` with all other options.
        story_encoder: The same for the story's encoder, whose input width is that of x_t, or of [x_t; u; x_t * u].
        embedding_size: The width of E[w].
        embedding_dropout: The probability of D_e, in [0, 1).
        output_dropout: The probability of D_o, in [0, 1).
        unit: What the story's encoder steps over, "sentence" or "word".
        shared: Whether sentences and question have one encoder.
        match: Whether the story is read in the light of the question.
        attention: "dot", "general", "additive", or None for last states alone.
        hops: How often the question is put to the story.
        init: The arguments of :func:`initialize`; None leaves PyTorch's initial values.

    Raises:
        TypeError: an encoder is no factory of encoders, or a size no integer.
        ValueError: a size, probability or choice is out of range, ``hops`` come without attention or ``shared=False``
            with words, or, when called, tensors have wrong shapes or a story has no words.

    >>> from functools import partial
    >>> from seqlab.nn import Encoder, GRUCell
    >>> encoder = partial(Encoder, GRUCell, hidden_size=4)
    >>> model = Answerer(9, 3, encoder, encoder, embedding_size=4, hops=2)
    >>> story = torch.tensor([[[1, 2, 3], [4, 5, 0]]])
    >>> question = torch.tensor([[6, 1]])
    >>> arguments = story, torch.tensor([[3, 2]]), torch.tensor([2]), question, torch.tensor([2])
    >>> model(*arguments).shape
    torch.Size([1, 3])
    >>> logits, weights = model.read(*arguments)
    >>> weights.shape, bool(torch.allclose(weights.sum(2), torch.ones(1, 2)))
    (torch.Size([1, 2, 2]), True)
    """

    def __init__(
        self,
        vocab_size: int,
        num_answers: int,
        encoder: EncoderFactory,
        story_encoder: EncoderFactory,
        *,
        embedding_size: int,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        unit: str = "sentence",
        shared: bool = True,
        match: bool = True,
        attention: str | None = "general",
        hops: int = 1,
        init: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.vocab_size = check_size("vocab_size", vocab_size)
        self.num_answers = check_size("num_answers", num_answers)
        self.embedding_size = width = check_size("embedding_size", embedding_size)
        self.embedding_dropout = check_dropout("embedding_dropout", embedding_dropout)
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        self.unit = check_choice("unit", unit, ("sentence", "word"))
        self.match = match
        self.hops = check_size("hops", hops)
        if attention is None and hops > 1:
            raise ValueError(f"hops: expected 1 without attention, got {hops}; give attention=general")
        if not shared and unit == "word":
            raise ValueError('shared: expected True with unit="word", which has no encoder of sentences')
        self.embedding = nn.Embedding(vocab_size, width)
        self.question_encoder = make_encoder("encoder", encoder, width)
        self.question_pooling = make_pooling("last", self.question_encoder)
        self.sentence_encoder = None if shared else make_encoder("encoder", encoder, width)
        query_size = self.question_encoder.output_size
        size = query_size if unit == "sentence" else width
        self.bridge = nn.Linear(query_size, size) if match and size != query_size else None
        self.story_encoder = make_encoder("story_encoder", story_encoder, 3 * size if match else size)
        story_size = self.story_encoder.output_size
        self.attention = None if attention is None else Attention(query_size, story_size, attention)
        self.story_pooling: Pooling | None = None
        if attention is None:
            self.story_pooling = make_pooling("last", self.story_encoder)
            self.output = nn.Linear(query_size + story_size, num_answers)
        else:
            self.update = nn.Linear(query_size + story_size, query_size)
            self.output = nn.Linear(query_size, num_answers)
        if init is not None:
            initialize(self, **init)

    def forward(
        self,
        story: Tensor,
        sentence_lengths: Tensor,
        story_lengths: Tensor,
        question: Tensor,
        question_lengths: Tensor,
    ) -> Tensor:
        return self.read(story, sentence_lengths, story_lengths, question, question_lengths)[0]

    def read(
        self,
        story: Tensor,
        sentence_lengths: Tensor,
        story_lengths: Tensor,
        question: Tensor,
        question_lengths: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The logits, and how much of each hop's attention each step of the story gets: ``(B, hops, steps)``, steps
        being sentences or, with ``unit="word"``, words. Without attention there are no hops: ``(B, 0, steps)``.
        """
        sentence_lengths = _check_story(story, sentence_lengths, story_lengths)
        check_tokens("question", question)
        asked = self.question_pooling(self._encode(self.question_encoder, question, question_lengths), question_lengths)
        if self.unit == "sentence":
            steps, lengths = self._sentences(story, sentence_lengths), story_lengths
        else:
            words, lengths = _in_one_row(story, sentence_lengths)
            steps = self._embed(words)
        output = self._story(steps, asked, lengths)
        if self.attention is None:
            assert self.story_pooling is not None
            found = torch.cat((asked, self.story_pooling(output, lengths)), 1)
            return self.output(self._drop(found)), output.new_zeros(output.size(0), 0, output.size(1))
        memory = self.attention.prepare(output, lengths)
        weights = []
        for hop in range(self.hops):
            if hop and self.match:
                memory = self.attention.prepare(self._story(steps, asked, lengths), lengths)
            context, weight = self.attention.attend(asked.unsqueeze(1), memory)  # (B, 1, F), (B, 1, steps)
            asked = torch.tanh(self.update(torch.cat((asked, self._drop(context.squeeze(1))), 1)))
            weights.append(weight)
        return self.output(self._drop(asked)), torch.cat(weights, 1)

    def _story(self, steps: Tensor, asked: Tensor, lengths: Tensor) -> Tensor:
        """The states ``(B, steps, F)`` of the story's encoder, with ``match`` in the light of what is asked."""
        if self.match:
            light = (asked if self.bridge is None else self.bridge(asked)).unsqueeze(1).expand_as(steps)
            steps = torch.cat((steps, light, steps * light), 2)
        output: Tensor = self.story_encoder(self._drop(steps), lengths=lengths)[0]
        return output

    def _sentences(self, story: Tensor, lengths: Tensor) -> Tensor:
        """A vector for each sentence, ``(B, S, F)``; stories share most of their sentences, so each is read once."""
        sentences, counts, which = distinct_rows(story.flatten(0, 1), lengths.flatten())  # (D, W), (D,), (B * S,)
        encoder = self.question_encoder if self.sentence_encoder is None else self.sentence_encoder
        vectors: Tensor = self.question_pooling(self._encode(encoder, sentences, counts), counts)
        return vectors.index_select(0, which).view(*lengths.shape, -1)

    def _encode(self, encoder: Encoder, tokens: Tensor, lengths: Tensor) -> Tensor:
        output: Tensor = encoder(self._embed(tokens), lengths=lengths)[0]
        return output

    def _embed(self, tokens: Tensor) -> Tensor:
        return functional.dropout(self.embedding(tokens), self.embedding_dropout, self.training)

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.output_dropout, self.training)


def _check_story(story: Tensor, sentence_lengths: Tensor, story_lengths: Tensor) -> Tensor:
    """``sentence_lengths`` with 0 for the sentences that are padding."""
    if story.dim() != 3 or story.is_floating_point() or not story.numel():
        got = f"{story.dtype} of shape {tuple(story.shape)}"
        raise ValueError(f"story: expected int64 (B, S, W) with no empty axis, got {got}")
    if sentence_lengths.shape != story.shape[:2]:
        shape = tuple(sentence_lengths.shape)
        raise ValueError(f"sentence_lengths: expected shape {tuple(story.shape[:2])}, as the story has, got {shape}")
    counts = check_lengths(sentence_lengths.flatten(), story.flatten(0, 1)).view_as(sentence_lengths)
    valid = torch.arange(story.size(1), device=story.device) < check_lengths(story_lengths, story).unsqueeze(1)
    return counts.masked_fill(~valid, 0)


def _in_one_row(story: Tensor, sentence_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The words of ``story (B, S, W)`` one after the other, ``(B, T)``, and their number in each row."""
    words = torch.arange(story.size(2), device=story.device)
    padding = (words >= sentence_lengths.unsqueeze(2)).flatten(1)  # (B, S * W)
    lengths = sentence_lengths.sum(1)
    order = padding.int().argsort(dim=1, stable=True)[:, : int(lengths.max())]
    return story.flatten(1).gather(1, order), lengths
