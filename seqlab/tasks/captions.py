"""Captioning: a picture described in words."""

import logging
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from seqlab.data.captions.batch import CaptionBatch, CaptionSpec
from seqlab.data.captions.pictures import NamedPicture
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.nn.models.captioner import Captioner
from seqlab.tasks.base import OptimizerFactory, Schedule
from seqlab.tasks.devices import gathered
from seqlab.tasks.examples import Examples, table
from seqlab.tasks.prediction import Prediction
from seqlab.tasks.translation import Scoring, TranslationTask, check_search, decode, translate

logger = logging.getLogger("seqlab")


class CaptionTask(TranslationTask):
    r"""Describes pictures; trained by teacher forcing, with the loss of :class:`~seqlab.tasks.TranslationTask`.

    The test describes each picture by beam search. ``exact_match`` is the share of pictures whose description is one of
    the references, to the letter or, with ``lowercase_scores``, whatever the case; ``bleu`` is that of the corpus
    against all references (Papineni et al. 2002), by sacrebleu.

    Args:
        model: the captioner.
        spec: the facts about the data.
        label_smoothing, scoring, optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.TranslationTask`.
    """

    model: Captioner  # type: ignore[assignment]

    def __init__(
        self,
        model: Captioner,
        spec: CaptionSpec,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        label_smoothing: float = 0.0,
        scoring: Scoring = Scoring(),
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__(model, spec, optimizer, schedule, label_smoothing, scoring, metric, mode)  # type: ignore[arg-type]

    def num_read(self, batch: CaptionBatch, written: Tensor) -> Tensor:  # type: ignore[override]
        """The tokens of the descriptions: a picture has none."""
        return written

    @property
    def search(self) -> dict[str, Any]:
        search = super().search
        return {**search, "max_length": search["max_length"] or 2 * self.spec.longest}  # type: ignore[attr-defined]

    def finish(self, split: str) -> None:
        metrics = self.metrics_of(split)
        values: dict[str, Any] = metrics.compute()
        self.log_dict({f"{split}/{name}": values[name] for name in ("loss", "perplexity", "accuracy")})
        metrics.reset()
        written, references = (
            [each for part in gathered(texts[split]) for each in part] for texts in (self.hypotheses, self._references)
        )
        if written:
            self.warn_of_case(split, (text for texts in references for text in texts))
            scores, signature = scored(written, references, self.scoring.lowercase_scores)
            self.log_dict({f"{split}/{name}": torch.tensor(value).double() for name, value in scores.items()})
            shown = "  ".join(f"{name} {value:.4g}" for name, value in scores.items())
            logger.info("%s: %s (bleu: %s)", split, shown, signature)

    def examples(self, data: Any, split: str, count: int, generator: torch.Generator) -> Examples:
        """Shows the descriptions of pictures, by beam search, beside the references."""
        rows = data.rows(split)[:count]
        pictures = np.stack([row.values for row in rows])
        texts = describe(self.model, self.spec, data.vocabulary, pictures, **self.search)  # type: ignore[arg-type]
        shown = [[row.name or row.place, text, " / ".join(row.texts)] for row, text in zip(rows, texts, strict=True)]
        lines = tuple(f"{text}  (reference: {reference})" for _, text, reference in shown)
        return Examples("descriptions", table(["picture", "description", "references"], shown), lines)

    @staticmethod
    def predict(  # type: ignore[override]
        model: Captioner,
        spec: CaptionSpec,
        vocabularies: Mapping[str, Vocabulary],
        inputs: Sequence[NamedPicture],
        beam_size: int = 5,
        length_penalty: float = 1.0,
        max_length: int | None = None,
    ) -> list[Prediction]:
        """Returns the best description of each picture by beam search.

        Args:
            model: the trained model.
            spec: the facts about its data.
            vocabularies: the vocabulary of its data, as "target".
            inputs: pictures.
            beam_size, length_penalty, max_length: see :class:`~seqlab.tasks.TranslationTask`.

        Raises:
            InputError: an option is out of range.
        """
        check_search(beam_size, length_penalty, max_length)
        answers = []
        for each in inputs:
            search = {"beam_size": beam_size, "length_penalty": length_penalty, "max_length": max_length}
            (text,) = describe(model, spec, vocabularies["target"], each.values[None], **search)
            answers.append(Prediction({"picture": each.name, "text": text}, f"{each.name}: {text}"))
        return answers


def describe(model: Captioner, spec: CaptionSpec, vocabulary: Vocabulary, pictures: Any, **search: Any) -> list[str]:
    """The descriptions of pictures ``(B, ...)`` by beam search, with at most twice the words of training's longest."""
    limits = torch.full((len(pictures),), 2 * spec.longest)
    search["max_length"] = search["max_length"] or limits
    written = translate(model, spec, torch.from_numpy(pictures), limits, **search)  # type: ignore[arg-type]
    return [decode(spec, vocabulary, tokens) for tokens in written.best()]  # type: ignore[arg-type]


def read(text: str, lowercase: bool) -> str:
    """A text as exact matches compare it: without extra spaces, and if asked for in lower case."""
    words = " ".join(text.split())
    return words.lower() if lowercase else words


def scored(
    written: Sequence[str], references: Sequence[Sequence[str]], lowercase: bool
) -> tuple[dict[str, float], str]:
    """BLEU against all references, from 0 to 100, the share of exact matches, and the signature of BLEU.

    Example:
        >>> scores, _ = scored(["a red square", "a dog"], [["a red square", "a square"], ["a cat"]], lowercase=False)
        >>> scores["exact_match"]
        0.5
    """
    from sacrebleu.metrics.bleu import BLEU

    scorer = BLEU(lowercase=lowercase)
    streams = [list(stream) for stream in zip_longest(*references)]
    right = sum(
        read(text, lowercase) in {read(each, lowercase) for each in texts}
        for text, texts in zip(written, references, strict=True)
    )
    bleu = scorer.corpus_score(list(written), streams).score
    return {"bleu": bleu, "exact_match": right / len(written)}, str(scorer.get_signature())
