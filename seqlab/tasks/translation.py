"""Translation by an encoder-decoder."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.data.core.batch import IGNORE_INDEX, pad
from seqlab.data.translation.batch import TranslationBatch, TranslationSpec
from seqlab.data.vocabulary.base import Vocabulary, lower
from seqlab.errors import InputError
from seqlab.nn.models.beams import Translations
from seqlab.nn.models.translator import Translator
from seqlab.tasks.base import (
    OptimizerFactory,
    Schedule,
    SequenceTask,
    StepOutput,
    check_label_smoothing,
    full_precision,
)
from seqlab.tasks.devices import gathered, global_mean
from seqlab.tasks.examples import Examples, table
from seqlab.tasks.metrics import TokenMetrics
from seqlab.tasks.prediction import Prediction
from seqlab.tasks.scores import score

logger = logging.getLogger("seqlab")

_AT_ONCE: Final = 64  # the most texts that ``predict`` translates at once


def check_search(beam_size: int, length_penalty: float, max_length: int | None) -> None:
    """Checks the options of beam search.

    Raises:
        InputError: an option is out of range.
    """
    for name, value in (("beam_size", beam_size), ("max_length", 1 if max_length is None else max_length)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"task.{name} is {value}; expected a whole number, 1 or more")
    if isinstance(length_penalty, bool) or not isinstance(length_penalty, (int, float)) or not length_penalty >= 0:
        raise InputError(f"task.length_penalty is {length_penalty}; expected 0 or more")


@dataclass(frozen=True)
class Scoring:
    """How translations are searched for and scored.

    Args:
        beam_size: the number of open translations of a source.
        length_penalty: the exponent of the length by which a translation's log-probability is divided (Wu et al. 2016);
            0 favours short ones.
        max_length: the most tokens of a translation; None: twice the source's and ten more.
        lowercase_scores: whether BLEU and chrF ignore case, for data in lower case.
        bleu_every_n_validations: every n-th validation also translates its split, for ``val/bleu`` and ``val/chrf``;
            None: none does.

    Raises:
        InputError: an option is out of range.
    """

    beam_size: int = 5
    length_penalty: float = 1.0
    max_length: int | None = None
    lowercase_scores: bool = False
    bleu_every_n_validations: int | None = None

    def __post_init__(self) -> None:
        check_search(self.beam_size, self.length_penalty, self.max_length)
        every = self.bleu_every_n_validations
        if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
            raise InputError(f"task.bleu_every_n_validations is {every}; expected 1 or more, or null")


class TranslationTask(SequenceTask):
    r"""Translates sentences; trained by teacher forcing.

    .. math::  \mathcal{L} = -\frac{1}{N} \sum_{b,s} \Bigl[ (1 - \epsilon) \log p(y_{bs} \mid y_{b,<s}, x_b)
               + \frac{\epsilon}{V} \sum_{v} \log p(v \mid y_{b,<s}, x_b) \Bigr]

    over the N tokens of the translations, with the end of each; :math:`\epsilon` is ``label_smoothing`` (Szegedy et al.
    2016). It is for training: the logged loss and perplexity are without it.

    sacrebleu (Post 2018) computes BLEU (Papineni et al. 2002) and chrF (Popović 2015), with its own tokens, from the
    text that the model writes and the reference as it is in the data. The test translates by beam search. Validation,
    where it scores translations, takes the likeliest token at each step.

    Args:
        model: the encoder-decoder.
        spec: the facts about the data.
        label_smoothing: the share of each target that is spread over all tokens.
        scoring: how translations are searched for and scored.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.SequenceTask`.

    Attributes:
        hypotheses: for each translated split, its last translations, in the order of its batches.

    Raises:
        InputError: an option is out of range, or not every validation logs ``metric``.
    """

    perplexity = True
    scores: ClassVar[tuple[str, ...]] = ("bleu", "chrf")
    sides: ClassVar[tuple[str, str]] = ("source", "translation")  # what is read and written, for figures
    every_key: ClassVar[str] = "bleu_every_n_validations"  # of the configuration
    model: Translator

    def __init__(
        self,
        model: Translator,
        spec: TranslationSpec,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        label_smoothing: float = 0.0,
        scoring: Scoring = Scoring(),
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__(model, optimizer, schedule, metric, mode)
        if metric in (f"val/{name}" for name in self.scores) and scoring.bleu_every_n_validations != 1:
            raise InputError(f"optimize.metric={metric} is needed at every validation: give task.{self.every_key}=1")
        self.spec = spec
        self.label_smoothing = check_label_smoothing(label_smoothing)
        self.scoring = scoring
        self.eval_metrics = nn.ModuleDict({split: TokenMetrics() for split in ("val", "test")})
        self.hypotheses: dict[str, list[str]] = {}
        self._references: dict[str, list[Any]] = {}
        self._validations = 0

    @property
    def search(self) -> dict[str, Any]:
        """The options of beam search, as :func:`translate` takes them."""
        scoring = self.scoring
        return {
            "beam_size": scoring.beam_size,
            "length_penalty": scoring.length_penalty,
            "max_length": scoring.max_length,
        }

    def carried(self) -> Any:
        return self._validations

    def carry_on(self, state: Any) -> None:
        self._validations = state

    def num_read(self, batch: TranslationBatch, written: Tensor) -> Tensor:
        """The number of tokens that the model reads of a batch: those of the sources, and the ``written`` ones."""
        return batch.source_lengths.sum() + written

    def training_step(self, batch: TranslationBatch, batch_idx: int) -> StepOutput:
        log_p, targets = self._log_probabilities(batch)
        nll = F.nll_loss(log_p, targets, reduction="sum")
        loss = nll
        if self.label_smoothing:
            uniform = -log_p.sum() / log_p.size(-1)
            loss = (1 - self.label_smoothing) * nll + self.label_smoothing * uniform
        tokens = torch.tensor(targets.numel(), device=loss.device)
        return {
            "loss": global_mean(loss / tokens, tokens),
            "nll": nll.detach(),
            "tokens": tokens,
            "steps": self.num_read(batch, tokens),
        }

    def evaluate(self, batch: TranslationBatch, split: str) -> None:
        log_p, targets = self._log_probabilities(batch)
        nll = F.nll_loss(log_p, targets, reduction="none").sum(dtype=torch.float64)
        self.metrics_of(split).update(nll, torch.tensor(targets.numel()), (log_p.argmax(-1) == targets).sum())
        if split == "test":
            self._translate(batch, split, self.scoring.beam_size)
        elif self._scores_validation():
            self._translate(batch, split, 1)

    def on_validation_epoch_start(self) -> None:
        if self.trainer.state.fn == "fit":
            self._validations += 1
        self._forget("val")

    def on_test_epoch_start(self) -> None:
        self._forget("test")

    def _scores_validation(self) -> bool:
        every = self.scoring.bleu_every_n_validations
        return every is not None and (self.trainer.state.fn != "fit" or self._validations % every == 0)

    def _log_probabilities(self, batch: TranslationBatch) -> tuple[Tensor, Tensor]:
        """Log-probabilities ``(N, V)`` and targets ``(N,)`` of the N steps that have a target."""
        features, _ = self.model.features(batch.source, batch.source_lengths, batch.inputs)
        valid = batch.targets != IGNORE_INDEX  # (B, S)
        logits = self.model.logits(features[valid])
        return full_precision(logits).log_softmax(-1), batch.targets[valid]

    def _translate(self, batch: TranslationBatch, split: str, beam_size: int) -> None:
        vocabulary = self.trainer.datamodule.vocabularies["target"]  # type: ignore[attr-defined]
        search = {**self.search, "beam_size": beam_size}
        translations = translate(self.model, self.spec, batch.source, batch.source_lengths, **search)
        self.hypotheses[split] += [decode(self.spec, vocabulary, tokens) for tokens in translations.best()]
        self._references[split] += self.references_of(batch)

    def references_of(self, batch: Any) -> Sequence[Any]:
        """What the translations of a batch are scored against."""
        references: Sequence[str] = batch.references
        return references

    def _forget(self, split: str) -> None:
        self.hypotheses[split], self._references[split] = [], []

    def finish(self, split: str) -> None:
        metrics = self.metrics_of(split)
        values: dict[str, Any] = metrics.compute()
        self.log_dict({f"{split}/{name}": values[name] for name in ("loss", "perplexity", "accuracy")})
        metrics.reset()
        hypotheses, references = (
            [text for part in gathered(texts[split]) for text in part] for texts in (self.hypotheses, self._references)
        )
        if hypotheses:
            if "bleu" in self.scores:
                self.warn_of_case(split, references)
            scores = self.score(split, hypotheses, references)
            self.log_dict({f"{split}/{name}": torch.tensor(value).double() for name, value in scores.items()})

    def score(self, split: str, hypotheses: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        """The scores of a translated split by their names, which are those of ``scores``."""
        scores, signatures = score(hypotheses, references, self.scoring.lowercase_scores)
        shown = "  ".join(f"{name} {value:.2f} ({signatures[name]})" for name, value in scores.items())
        logger.info("%s: %s", split, shown)
        return scores

    def warn_of_case(self, split: str, references: Iterable[str]) -> None:
        """Warns where a model that writes lower case is scored against capitals: none of these is ever right."""
        vocabulary = self.trainer.datamodule.vocabularies["target"]  # type: ignore[attr-defined]
        if vocabulary.settings.lowercase and not self.scoring.lowercase_scores and any(map(_has_capitals, references)):
            logger.warning(
                "%s: what is written is lower-cased (data.lowercase=true), and the scores tell capitals apart; give "
                "task.lowercase_scores=true",
                split,
            )

    def examples(self, data: Any, split: str, count: int, generator: torch.Generator) -> Examples:
        """Shows each source with its translation by beam search and the reference."""
        pairs = data.rows(split)[:count]
        batch = data.collate(split, list(range(len(pairs))))
        translations = translate(self.model, self.spec, batch.source, batch.source_lengths, **self.search)
        vocabulary = data.vocabularies["target"]
        rows = [
            [pair.source, decode(self.spec, vocabulary, tokens), pair.target]
            for pair, tokens in zip(pairs, translations.best(), strict=True)
        ]
        lines = tuple(f"{source}\n  {translation}\n  (reference: {target})" for source, translation, target in rows)
        return Examples("translations", table(["source", "translation", "reference"], rows), lines)

    @staticmethod
    def predict(
        model: Translator,
        spec: TranslationSpec,
        vocabularies: Mapping[str, Vocabulary],
        inputs: Sequence[str],
        beam_size: int = 5,
        length_penalty: float = 1.0,
        max_length: int | None = None,
    ) -> list[Prediction]:
        """Returns the best translation of each text by beam search, and its score.

        Args:
            model: the trained encoder-decoder.
            spec: the facts about its data.
            vocabularies: the vocabularies of its data, "source" and "target".
            inputs: the texts.
            beam_size, length_penalty, max_length: see :class:`TranslationTask`.

        Raises:
            InputError: a text is empty, or an option is out of range.
        """
        check_search(beam_size, length_penalty, max_length)
        source, target = (vocabularies[side] for side in spec.vocabularies)
        rows = [source.encode(text, f"text {number}") for number, text in enumerate(inputs, start=1)]
        for number, (text, row) in enumerate(zip(inputs, rows, strict=True), start=1):
            if not (text.strip() and len(row)):
                raise InputError(f"text {number} is empty; give it at least one {source.unit}")
        answers: list[Prediction] = []
        for start in range(0, len(rows), _AT_ONCE):
            batch = pad(rows[start : start + _AT_ONCE])
            translations = translate(model, spec, *batch, beam_size, length_penalty, max_length)
            for tokens, best in zip(translations.best(), translations.scores[:, 0].tolist(), strict=True):
                translation = decode(spec, target, tokens)
                values = {"text": inputs[len(answers)], "translation": translation, "score": best}
                answers.append(Prediction(values, translation))
        return answers


def translate(
    model: Translator,
    spec: TranslationSpec,
    source: Tensor,
    source_lengths: Tensor,
    beam_size: int,
    length_penalty: float,
    max_length: int | None,
) -> Translations:
    """Returns the translations of some sources by beam search; see :meth:`Translator.beam_search`.

    Args:
        model: the encoder-decoder.
        spec: the facts about its data.
        source: the token ids, ``(B, T)``.
        source_lengths: the number of tokens of each source, ``(B,)``.
        beam_size, length_penalty, max_length: see :class:`TranslationTask`.
    """
    device = next(model.parameters()).device
    source_lengths = source_lengths.to(device)
    limits = 2 * source_lengths + 10 if max_length is None else max_length
    return model.beam_search(
        source.to(device),
        source_lengths,
        beam_size=beam_size,
        max_length=limits,
        length_penalty=length_penalty,
        bos=spec.bos,
        eos=spec.eos,
    )


def _has_capitals(text: str) -> bool:
    return text != lower(text)


def decode(spec: TranslationSpec, vocabulary: Vocabulary, tokens: Sequence[int]) -> str:
    """Returns the text of a translation, without a ``<bos>`` that the model may have written."""
    return vocabulary.decode([token for token in tokens if token < spec.bos])
