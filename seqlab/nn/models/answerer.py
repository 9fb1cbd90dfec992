"""The answerer: a question put to a story, each read by an encoder, brought together by a head."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_choice, check_dropout, check_lengths, check_tokens
from seqlab.nn.layers.sequence import EncoderFactory, SequenceEncoder, make_encoder
from seqlab.nn.models.distinct import distinct_rows
from seqlab.nn.models.heads import AnswerHead
from seqlab.nn.models.inputs import Input, InputFactory
from seqlab.nn.models.parts import make_part
from seqlab.nn.models.pooling import make_pooling


class Answerer(nn.Module):
    """Reads a story and a question, and chooses among answers (the tasks are those of Weston et al. 2015).

        u = last state of the question's encoder over e(q_1..q_m)
        y = story's encoder over D_o(x_1..x_n)
        logits = head(u, y)

    with e the input, and a head such as :class:`AnswerHead`.

    - ``unit="sentence"``: x_t is a sentence's vector, the last state of an encoder over its words, so that the
      story's encoder steps from sentence to sentence. That encoder is the question's, or with ``shared=False`` one of
      its own. ``unit="word"``: x_t = e(w_t), one sentence after the other.
    - ``match``: the story is read in the light of the question, [x_t; u; x_t * u] in place of x_t (the products are
      those that open the gates of Kumar et al. 2016 and Seo et al. 2017); where x_t is not as wide as u, W u takes
      its place. Each further hop of the head then reads the story anew, in the light of the question as it stands.

    ``model(story (B, S, W), sentence_lengths (B, S), story_lengths (B,), question (B, Q), question_lengths (B,)) ->
    logits (B, num_answers)``: token numbers by sentence, how many words and sentences count, padding on the right, of
    any token number, that never changes an answer. Each distinct sentence of a batch is read once. :meth:`read` gives
    the attention too.

    Args:
        input: The factory of the input of words, such as a ``functools.partial`` of :class:`TokenInput`.
        encoder: The factory of the encoder of words, the question's and the sentences', called
            ``encoder(input_size=input.output_size)``: a ``functools.partial`` of :class:`Encoder` with all other
            options.
        story_encoder: The same for the story's encoder, whose input width is that of x_t, or of [x_t; u; x_t * u].
        head: The factory of the head, called ``head(query_size=encoder.output_size, encoder=story encoder)``: a
            ``functools.partial`` of :class:`AnswerHead` with all other options.
        unit: What the story's encoder steps over, "sentence" or "word".
        shared: Whether sentences and question have one encoder.
        match: Whether the story is read in the light of the question.
        output_dropout: The probability of the dropout D_o, in [0, 1).

    Raises:
        TypeError: a part is no factory of such a part.
        ValueError: what the parts refuse, a probability or choice is out of range, ``shared=False`` comes with words,
            or, when called, tensors have wrong shapes or a story has no words.

    Example:
        >>> from functools import partial
        >>> from seqlab.nn import Encoder, GRUCell, TokenInput
        >>> encoder = partial(Encoder, GRUCell, hidden_size=4)
        >>> model = Answerer(partial(TokenInput, 9, 4), encoder, encoder, partial(AnswerHead, num_answers=3, hops=2))
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
        input: InputFactory,
        encoder: EncoderFactory,
        story_encoder: EncoderFactory,
        head: Callable[..., AnswerHead],
        *,
        unit: str = "sentence",
        shared: bool = True,
        match: bool = True,
        output_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        self.unit = check_choice("unit", unit, ("sentence", "word"))
        self.match = match
        if not shared and unit == "word":
            raise ValueError('shared: expected True with unit="word", which has no encoder of sentences')
        self.input = make_part("input", input, Input)
        width = self.input.output_size
        self.question_encoder = make_encoder("encoder", encoder, width, SequenceEncoder)
        self.question_pooling = make_pooling("last", self.question_encoder)
        self.sentence_encoder = None if shared else make_encoder("encoder", encoder, width, SequenceEncoder)
        query_size = self.question_encoder.output_size
        size = query_size if unit == "sentence" else width
        self.bridge = nn.Linear(query_size, size) if match and size != query_size else None
        self.story_encoder = make_encoder("story_encoder", story_encoder, 3 * size if match else size, SequenceEncoder)
        self.head = make_part("head", head, AnswerHead, query_size=query_size, encoder=self.story_encoder)

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
        query = self.question_pooling(self._encode(self.question_encoder, question, question_lengths), question_lengths)
        if self.unit == "sentence":
            steps, lengths = self._sentences(story, sentence_lengths), story_lengths
        else:
            words, lengths = _in_one_row(story, sentence_lengths)
            steps = self.input(words)

        def read(query: Tensor) -> Tensor:
            return self._story(steps, query, lengths)

        answer: tuple[Tensor, Tensor] = self.head(query, read, lengths, reread=self.match)
        return answer

    def _story(self, steps: Tensor, query: Tensor, lengths: Tensor) -> Tensor:
        """The states ``(B, steps, F)`` of the story's encoder, with ``match`` in the light of the question."""
        if self.match:
            light = (query if self.bridge is None else self.bridge(query)).unsqueeze(1).expand_as(steps)
            steps = torch.cat((steps, light, steps * light), 2)
        dropped = functional.dropout(steps, self.output_dropout, self.training)
        output: Tensor = self.story_encoder(dropped, lengths=lengths)[0]
        return output

    def _sentences(self, story: Tensor, lengths: Tensor) -> Tensor:
        """A vector for each sentence, ``(B, S, F)``; stories share most of their sentences, so each is read once."""
        sentences, counts, which = distinct_rows(story.flatten(0, 1), lengths.flatten())  # (D, W), (D,), (B * S,)
        encoder = self.question_encoder if self.sentence_encoder is None else self.sentence_encoder
        vectors: Tensor = self.question_pooling(self._encode(encoder, sentences, counts), counts)
        return vectors.index_select(0, which).view(*lengths.shape, -1)

    def _encode(self, encoder: SequenceEncoder, tokens: Tensor, lengths: Tensor) -> Tensor:
        output: Tensor = encoder(self.input(tokens), lengths=lengths)[0]
        return output


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
    # Numbers that all differ, because ONNX knows no stable sort.
    places = torch.arange(padding.size(1), device=padding.device)
    order = torch.where(padding, places + (1 << 40), places).argsort(dim=1)
    if not torch.compiler.is_exporting():  # an exported program can't look how long the longest is
        order = order[:, : int(lengths.max())]
    return story.flatten(1).gather(1, order), lengths
