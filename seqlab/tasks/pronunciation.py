"""Letters to sounds: the pronunciation of a word by an encoder-decoder."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch

from seqlab.data.translation.spoken import PronunciationBatch, PronunciationSpec
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.nn.models.translator import Translator
from seqlab.tasks.base import OptimizerFactory, Schedule
from seqlab.tasks.examples import Examples, table
from seqlab.tasks.prediction import Prediction
from seqlab.tasks.scores import pronunciation_scores
from seqlab.tasks.translation import Scoring, TranslationTask, decode, translate

log = logging.getLogger("seqlab")


class PronunciationTask(TranslationTask):
    """Writes the phonemes of a word, letter by letter read; trained as :class:`TranslationTask` is.

    Its scores are the word error rate and the phoneme error rate, as shares; a word is right if any of its
    pronunciations is met. The test searches by beams. Validation, where it scores, takes the likeliest phoneme at each
    step.

    Args:
        model: the encoder-decoder.
        spec: the facts about the data.
        label_smoothing: the share of each target that is spread over all phonemes.
        scoring: how pronunciations are searched for and how often validation scores; it has no use for
            ``lowercase_scores``.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.SequenceTask`.

    Raises:
        InputError: an option is out of range, or not every validation logs ``metric``.
    """

    scores = ("wer", "per")
    sides = ("letters", "phonemes")
    every_key = "wer_every_n_validations"

    def __init__(
        self,
        model: Translator,
        spec: PronunciationSpec,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        label_smoothing: float = 0.0,
        scoring: Scoring = Scoring(),
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__(model, spec, optimizer, schedule, label_smoothing, scoring, metric, mode)

    def references_of(self, batch: PronunciationBatch) -> Sequence[tuple[str, ...]]:
        return batch.pronunciations

    def score(self, split: str, hypotheses: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        return pronunciation_scores(hypotheses, references)

    def examples(self, data: Any, split: str, count: int, generator: torch.Generator) -> Examples:
        """Shows each word with its pronunciation by beam search and those of the data."""
        pairs = data.rows(split)[:count]
        batch = data.collate(split, list(range(len(pairs))))
        translations = translate(self.model, self.spec, batch.source, batch.source_lengths, **self.search)
        vocabulary = data.vocabularies["target"]
        rows = [
            [pair.source, decode(self.spec, vocabulary, tokens), " | ".join(pronunciations)]
            for pair, tokens, pronunciations in zip(pairs, translations.best(), batch.pronunciations, strict=True)
        ]
        lines = tuple(f"{word}  {written}  (data: {known})" for word, written, known in rows)
        return Examples("pronunciations", table(["word", "pronunciation", "data"], rows), lines)

    @staticmethod
    def predict(  # type: ignore[override]
        model: Translator,
        spec: PronunciationSpec,
        vocabularies: Mapping[str, Vocabulary],
        inputs: Sequence[str],
        beam_size: int = 5,
        length_penalty: float = 1.0,
        max_length: int | None = None,
    ) -> list[Prediction]:
        """Returns the best pronunciation of each word by beam search, and its score.

        Args:
            model: the trained encoder-decoder.
            spec: the facts about its data.
            vocabularies: the vocabularies of its data, "source" and "target".
            inputs: the words.
            beam_size, length_penalty, max_length: see :class:`TranslationTask`.

        Raises:
            InputError: a word is empty, or an option is out of range.
        """
        words = [word.strip() for word in inputs]
        for word in words:
            if unknown := vocabularies["source"].unknown(word):
                letters = ", ".join(map(repr, unknown))
                log.warning("%s: training has no word with %s, so what stands for it is a guess", word, letters)
        answers = TranslationTask.predict(model, spec, vocabularies, words, beam_size, length_penalty, max_length)
        return [
            Prediction(
                {"word": word, "pronunciation": answer.values["translation"], "score": answer.values["score"]},
                f"{word}  {answer.values['translation']}",
            )
            for word, answer in zip(words, answers, strict=True)
        ]
