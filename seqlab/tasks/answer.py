"""Answering questions to stories."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.data.answers.batch import AnswerBatch, AnswerSpec, EncodedStories, cut_story, split_sentences
from seqlab.data.core.batch import IGNORE_INDEX
from seqlab.data.formats.babi import StoryQuestion
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.nn.models.answerer import Answerer
from seqlab.nn.models.generation import evaluation
from seqlab.tasks.base import (
    OptimizerFactory,
    Schedule,
    SequenceTask,
    StepOutput,
    check_label_smoothing,
    full_precision,
)
from seqlab.tasks.devices import global_mean
from seqlab.tasks.examples import Examples, table
from seqlab.tasks.metrics import OpenClassMetrics
from seqlab.tasks.prediction import Prediction


class AnswerTask(SequenceTask):
    r"""Answers questions about stories. An answer is one of those that occur in training.

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
        super().__init__(model, optimizer, schedule, metric, mode)
        self.label_smoothing = check_label_smoothing(label_smoothing)
        self.answers = spec.answers
        self.eval_metrics = nn.ModuleDict({split: OpenClassMetrics(len(spec.answers)) for split in ("val", "test")})

    def training_step(self, batch: AnswerBatch, batch_idx: int) -> StepOutput:
        logits = self.model(*batch.read)  # (B, A)
        loss = F.cross_entropy(logits, batch.targets, label_smoothing=self.label_smoothing)
        questions = (batch.targets != IGNORE_INDEX).sum()
        steps = batch.sentence_lengths.sum() + batch.question_lengths.sum()
        mean = global_mean(loss, questions)
        return {"loss": mean, "nll": loss.detach() * questions, "tokens": questions, "steps": steps}

    def evaluate(self, batch: AnswerBatch, split: str) -> None:
        logits = full_precision(self.model(*batch.read))
        nll = F.cross_entropy(logits, batch.targets, reduction="none")
        targets = batch.targets.masked_fill(batch.targets == IGNORE_INDEX, len(self.answers))
        self.metrics_of(split).update(nll.sum(dtype=torch.float64), logits.argmax(-1), targets)

    def examples(self, data: Any, split: str, count: int, generator: torch.Generator) -> Examples:
        """Shows each question with its likeliest answer and the probability of that answer."""
        questions = data.rows(split)[:count]
        found, _ = probabilities(self.model, data.collate(split, list(range(len(questions)))))
        best = found.max(1)
        rows, lines = [], []
        for row, number, value in zip(questions, best.indices.tolist(), best.values.tolist(), strict=True):
            story, answer = " ".join(row.story), self.answers[number]
            shown = answer if answer == row.answer else f"**{answer}**"
            rows.append([story, row.question, row.answer, shown, f"{value:.3f}"])
            lines.append(f"{story}\n  {row.question}  {answer} {value:.4f}  (true: {row.answer})")
        return Examples("answers", table(["story", "question", "true", "answer", "probability"], rows), tuple(lines))

    @staticmethod
    def predict(
        model: Answerer, spec: AnswerSpec, vocabularies: Mapping[str, Vocabulary], inputs: Sequence[str]
    ) -> list[Prediction]:
        """Returns the likeliest answer to each input with the probabilities of all.

        An input is the sentences of a story, each with a mark at its end, and then the question with a question mark.

        Raises:
            InputError: an input has no story, or does not end in a question.
        """
        rows = [parse_question(text, f"text {number}") for number, text in enumerate(inputs, start=1)]
        if spec.max_sentences is not None:
            rows = [cut_story(row, spec.max_sentences) for row in rows]
        encoded = EncodedStories(rows, vocabularies["tokens"], "the text")
        batch = encoded.batch(range(len(rows)), np.zeros(len(rows), dtype=np.int64))
        found = probabilities(model, batch)[0].tolist()
        return [
            _prediction(text, dict(zip(spec.answers, row, strict=True)))
            for text, row in zip(inputs, found, strict=True)
        ]


def parse_question(text: str, place: str) -> StoryQuestion:
    """Splits a text into a story and the question after it.

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


def _prediction(text: str, found: dict[str, float]) -> Prediction:
    ranked = sorted(found.items(), key=lambda item: -item[1])
    shown = "  ".join(f"{answer} {probability:.4f}" for answer, probability in ranked[:3])
    return Prediction({"text": text, "answer": ranked[0][0], "probabilities": found}, f"{shown}  {text}")
