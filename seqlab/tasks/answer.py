"""Answering questions about stories."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from seqlab.data.answers.batch import AnswerBatch, AnswerSpec, EncodedStories, cut_story, split_sentences
from seqlab.data.formats.babi import StoryQuestion
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.nn.models.answerer import Answerer
from seqlab.nn.models.generation import evaluation
from seqlab.tasks.base import OptimizerFactory, Schedule
from seqlab.tasks.classes import ClassTask, class_prediction
from seqlab.tasks.examples import Examples, table
from seqlab.tasks.prediction import Prediction


class AnswerTask(ClassTask):
    r"""Answers questions about stories. The answer is one of those that occur in training.

    .. math::  \mathcal{L} = -\frac{1}{B} \sum_b \log p(a_b \mid \text{story}_b, \text{question}_b)

    Args:
        model: the answerer.
        spec: the facts about the data.
        label_smoothing: the share of each target that is spread over all answers (Szegedy et al. 2016), in training.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.SequenceTask`.

    Raises:
        InputError: ``label_smoothing`` is not in [0, 1).
    """

    model: Answerer

    def __init__(
        self,
        model: Answerer,
        spec: AnswerSpec,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        label_smoothing: float = 0.0,
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__(model, len(spec.answers), optimizer, schedule, label_smoothing, metric, mode)
        self.answers = spec.answers

    def logits(self, batch: AnswerBatch) -> Tensor:
        logits: Tensor = self.model(*batch.read)
        return logits

    def num_read(self, batch: AnswerBatch) -> Tensor:
        return batch.sentence_lengths.sum() + batch.question_lengths.sum()

    def examples(self, data: Any, split: str, count: int, generator: torch.Generator) -> Examples:
        """Shows each question with its likeliest answer and the probability of that answer."""
        questions = data.rows(split)[:count]
        likeliest = probabilities(self.model, data.collate(split, list(range(len(questions)))))[0].max(1)
        rows, lines = [], []
        for row, number, value in zip(questions, likeliest.indices.tolist(), likeliest.values.tolist(), strict=True):
            story, answer = " ".join(row.story), self.answers[number]
            cell = answer if answer == row.answer else f"**{answer}**"
            rows.append([story, row.question, row.answer, cell, f"{value:.3f}"])
            lines.append(f"{story}\n  {row.question}  {answer} {value:.4f}  (true: {row.answer})")
        return Examples("answers", table(["story", "question", "true", "answer", "probability"], rows), tuple(lines))

    @staticmethod
    def predict(
        model: Answerer, spec: AnswerSpec, vocabularies: Mapping[str, Vocabulary], inputs: Sequence[str]
    ) -> list[Prediction]:
        """Returns the likeliest answer to each input with the probabilities of all.

        An input is the sentences of a story, each with a mark at its end, and then the question with a question mark.

        Args:
            model: the trained answerer.
            spec: the facts about its data.
            vocabularies: the vocabulary of its data, as "tokens".
            inputs: the stories with their questions.

        Raises:
            InputError: an input has no story, or does not end in a question.
        """
        rows = [parse_question(text, f"text {number}") for number, text in enumerate(inputs, start=1)]
        if spec.max_sentences is not None:
            rows = [cut_story(row, spec.max_sentences) for row in rows]
        encoded = EncodedStories(rows, vocabularies["tokens"], "the text")
        batch = encoded.batch(range(len(rows)), np.zeros(len(rows), dtype=np.int64))
        return [
            class_prediction(text, "answer", spec.answers, row, printed=3)
            for text, row in zip(inputs, probabilities(model, batch)[0].tolist(), strict=True)
        ]


def parse_question(text: str, place: str) -> StoryQuestion:
    """Splits a text into a story and the question after it.

    Args:
        text: the story's sentences and the question.
        place: its place, for messages.

    Raises:
        InputError: the text does not end in a question, has a question before it, or has no story.

    Example:
        >>> parse_question("Ann went out. Bob stayed. Who stayed?", "text 1")[:2]
        (('Ann went out.', 'Bob stayed.'), 'Who stayed?')
    """
    *story, question = split_sentences(text) or ("",)
    if not story or not question.endswith("?") or any(sentence.endswith("?") for sentence in story):
        raise InputError(
            f"{place}: expected a story's sentences and then one question that ends with ?, such as "
            f"'Ann went to the garden. Where is Ann?', got {text.strip()[:80]!r}"
        )
    return StoryQuestion(tuple(story), question, "", (), 0, place)


def probabilities(model: Answerer, batch: AnswerBatch) -> tuple[Tensor, Tensor]:
    """Returns the probability of each answer, ``(B, A)``, and the attention of each hop, ``(B, hops, steps)``.

    Both are on the CPU.
    """
    device = next(model.parameters()).device
    with evaluation(model):
        logits, weights = model.read(*(part.to(device) for part in batch.read))
        return logits.float().softmax(-1).cpu(), weights.float().cpu()
