"""Stories with questions in batches, and what an answerer needs to know of its data."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqlab.data.core.batch import Spec, pad
from seqlab.data.formats.babi import StoryQuestion
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\s*\n\s*")


@dataclass
class AnswerBatch:
    """B questions, each with its story. Values beyond a length are 0 and mean nothing.

    Attributes:
        story: ``(B, S, W)`` int64, the token ids of each sentence.
        sentence_lengths: ``(B, S)`` int64, the number of tokens of each sentence; 0 beyond the end of the story.
        story_lengths: ``(B,)`` int64, the number of sentences of each story, 1 or more.
        question: ``(B, Q)`` int64, the token ids of each question.
        question_lengths: ``(B,)`` int64, the number of tokens of each question, 1 or more.
        targets: ``(B,)`` int64, the number of each answer; ``IGNORE_INDEX`` for one that training never saw.
    """

    story: Tensor
    sentence_lengths: Tensor
    story_lengths: Tensor
    question: Tensor
    question_lengths: Tensor
    targets: Tensor

    @property
    def read(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """All fields but the targets: the arguments of a model."""
        return self.story, self.sentence_lengths, self.story_lengths, self.question, self.question_lengths


@dataclass(frozen=True)
class AnswerSpec(Spec):
    """What an answerer needs to know of its data.

    Attributes:
        vocab_size: the number of tokens in the vocabulary.
        answers: the answers in the order of their numbers.
        max_sentences: the most sentences of a story; longer ones are cut to their last sentences. None: no limit.
        num_examples: the number of questions in each split.
        majority: for each split, the share of the answer that is commonest in training: the accuracy of always giving
            that answer.
    """

    kind: ClassVar[str] = "answer"
    vocab_size: int
    answers: tuple[str, ...]
    max_sentences: int | None = None
    num_examples: dict[str, int] | None = None
    majority: dict[str, float] | None = None

    def model_arguments(self) -> dict[str, Any]:
        return {"vocab_size": self.vocab_size, "num_answers": len(self.answers)}

    def data_arguments(self) -> dict[str, Any]:
        return {"answers": list(self.answers)}

    def read_by(self) -> dict[str, Any]:
        return {"max_sentences": self.max_sentences}

    def output_names(self) -> dict[str, Any]:
        return {"answers": list(self.answers)} | ({"max_sentences": self.max_sentences} if self.max_sentences else {})


class EncodedStories:
    """Questions with their stories as token ids. Each different sentence and question is kept once.

    Args:
        rows: the questions.
        vocabulary: the vocabulary of stories and questions.
        name: where the rows come from, for messages.

    Attributes:
        lengths: ``(N,)`` int64, the number of sentences of each question's story.
        unknown: the share of tokens that read as ``<unk>``, from 0 to 1, of the different sentences and questions.

    Raises:
        InputError: a story, one of its sentences or a question is empty; names its place.
    """

    def __init__(self, rows: Sequence[StoryQuestion], vocabulary: Vocabulary, name: str) -> None:
        for row in rows:
            if not row.story:
                raise InputError(f"{row.place}: the story is empty; give it at least one sentence")
        texts = list(dict.fromkeys(text for row in rows for text in (*row.story, row.question)))
        ids, counts = vocabulary.encode_many(texts, name)
        if not counts.all():
            empty = texts[int(counts.argmin())]
            row = next(row for row in rows if empty in (*row.story, row.question))
            part = "the question" if row.question == empty else f"sentence {row.story.index(empty) + 1} of the story"
            raise InputError(f"{row.place}: {part} is empty; give it words or leave it out")
        self.unknown = 0.0 if vocabulary.unknown_id is None else float((ids == vocabulary.unknown_id).mean())
        self._counts = np.concatenate([[0], counts])  # text 0 has no words: it pads stories
        self._words = np.zeros((len(self._counts), counts.max()), dtype=ids.dtype)
        self._words[np.arange(counts.max()) < self._counts[:, None]] = ids
        number = {text: i for i, text in enumerate(texts, start=1)}
        self._stories = [np.array([number[text] for text in row.story]) for row in rows]
        self._questions = np.array([number[row.question] for row in rows])
        self.lengths = np.fromiter(map(len, self._stories), dtype=np.int64, count=len(rows))

    def batch(self, numbers: Sequence[int], targets: NDArray[np.int64]) -> AnswerBatch:
        """Makes a batch.

        Args:
            numbers: of the rows, from 0, in the order of the batch.
            targets: the numbers of the rows' answers, ``(B,)``.
        """
        stories, story_lengths = pad([self._stories[number] for number in numbers])
        story, sentence_lengths = self._tokens(stories.numpy())
        question, question_lengths = self._tokens(self._questions[list(numbers)])
        return AnswerBatch(
            story, sentence_lengths, story_lengths, question, question_lengths, torch.from_numpy(targets)
        )

    def _tokens(self, numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The token ids ``(..., W)`` and lengths ``(...)`` of the texts with these numbers."""
        counts = self._counts[numbers]
        words = self._words[numbers][..., : counts.max()]
        return torch.from_numpy(words.astype(np.int64)), torch.from_numpy(counts.astype(np.int64))


def cut_story(row: StoryQuestion, most: int) -> StoryQuestion:
    """The question with the last sentences of its story, and those of its supporting sentences among them.

    Args:
        row: a question with its story.
        most: the number of sentences to keep, 1 or more.

    Example:
        >>> cut_story(StoryQuestion(("a", "b", "c"), "q", "x", (0, 2), 0, "f:4"), 2)[:4]
        (('b', 'c'), 'q', 'x', (1,))
    """
    start = max(len(row.story) - most, 0)
    supports = tuple(position - start for position in row.supports if position >= start)
    return row._replace(story=row.story[start:], supports=supports)


def split_sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text. A sentence ends with ``.``, ``!`` or ``?`` before a space, or at the end of its line.

    Example:
        >>> split_sentences("Ann is at No.5. Where is Ann?")
        ('Ann is at No.5.', 'Where is Ann?')
    """
    return tuple(filter(None, _SENTENCE_END.split(text.strip())))
