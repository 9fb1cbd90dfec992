"""Tagging: one tag for each word of a sentence."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seqlab.data.tag_batch import EncodedSentences, TaggingBatch, TaggingSpec
from seqlab.data.vocabulary import Vocabulary
from seqlab.errors import InputError
from seqlab.nn.generation import evaluation
from seqlab.nn.tagger import Tagger
from seqlab.tasks.base import OptimizerFactory, Schedule, SequenceTask, full_precision
from seqlab.tasks.devices import global_mean, summed
from seqlab.tasks.prediction import Prediction
from seqlab.tasks.tag_metrics import EntityMetrics, TagMetrics

_SENTENCES = 32  # read at once by predict


class TaggingTask(SequenceTask):
    r"""Tells the tag of each word.

    .. math::  \mathcal{L} = -\frac{1}{N} \sum_s \log p(y_{s,1}, \dots, y_{s,T_s} \mid x_s)

    over sentences s of N words together: with a greedy output layer the mean of :math:`-\log p(y_{s,t} \mid x_s)`.

    Args:
        model: the tagger.
        spec: what the data says of itself; with ``entities`` they are scored too.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.base.SequenceTask`.

    Attributes:
        confusion: for each split that was evaluated, the counts ``(true, predicted)`` of the last evaluation.
    """

    model: Tagger

    def __init__(
        self,
        model: Tagger,
        spec: TaggingSpec,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__(model, optimizer, schedule, metric, mode)
        self.tags = spec.tags
        splits = ("val", "test")
        self.eval_metrics = nn.ModuleDict({split: TagMetrics(spec.tags) for split in splits})
        scored = splits if spec.entities else ()
        self.entity_metrics = nn.ModuleDict({split: EntityMetrics(spec.tags) for split in scored})
        self.confusion: dict[str, Tensor] = {}

    def training_step(self, batch: TaggingBatch, batch_idx: int) -> dict[str, Tensor]:
        emissions = read(self.model, batch)
        loss = self.model.loss(emissions, batch.targets, batch.lengths)
        words = batch.lengths.sum()
        return {"loss": global_mean(loss, words), "nll": loss.detach() * words, "tokens": words}

    def evaluate(self, batch: TaggingBatch, split: str) -> None:
        emissions = full_precision(read(self.model, batch))
        nll = self.model.nll(emissions, batch.targets, batch.lengths).sum(dtype=torch.float64)
        predicted = self.model.decode(emissions, batch.lengths)
        valid = torch.arange(predicted.size(1), device=predicted.device) < batch.lengths.unsqueeze(1)  # (B, T)
        self.metrics_of(split).update(nll, predicted[valid], batch.targets[valid], batch.unseen[valid])
        if split in self.entity_metrics:
            entities: Any = self.entity_metrics[split]
            entities.update(*(list(_rows(tags, batch.lengths)) for tags in (predicted, batch.targets)))

    def finish(self, split: str) -> None:
        self.confusion[split] = summed(self.metrics_of(split).confusion).cpu()
        super().finish(split)
        if split in self.entity_metrics:
            entities: Any = self.entity_metrics[split]
            self.log_dict({f"{split}/{name}": value for name, value in entities.compute().items()})
            entities.reset()

    @staticmethod
    def predict(
        model: Tagger, spec: TaggingSpec, vocabularies: Mapping[str, Vocabulary], inputs: Sequence[str]
    ) -> list[Prediction]:
        """The tags of each sentence's words, which stand between spaces.

        Raises:
            InputError: a sentence is empty.
        """
        sentences = [text.split() for text in inputs]
        for number, sentence in enumerate(sentences, start=1):
            if not sentence:
                raise InputError(f"text {number} is empty; give it at least one word")
        encoded = EncodedSentences(sentences, vocabularies, spec.max_word_length)
        found: list[Prediction] = []
        for start in range(0, len(sentences), _SENTENCES):
            numbers = range(start, min(start + _SENTENCES, len(sentences)))
            words, lengths = encoded.words(numbers)
            characters, word_lengths = encoded.letters(numbers) if spec.num_characters is not None else (None, None)
            nothing = torch.zeros_like(words)
            batch = TaggingBatch(words, characters, lengths, word_lengths, nothing, nothing.bool())
            for number, row in zip(numbers, likeliest(model, batch), strict=True):
                found.append(_prediction(sentences[number], [spec.tags[tag] for tag in row]))
        return found


def read(model: Tagger, batch: TaggingBatch) -> Tensor:
    """The model's emissions for a batch, ``(B, T, tags)``."""
    emissions: Tensor = model(batch.words, batch.characters, batch.lengths, batch.word_lengths)
    return emissions


def likeliest(model: Tagger, batch: TaggingBatch) -> list[list[int]]:
    """The likeliest tags of each sentence of a batch on the CPU, without its padding."""
    device = next(model.parameters()).device
    parts = (batch.words, batch.characters, batch.lengths, batch.word_lengths)
    words, characters, lengths, word_lengths = (None if part is None else part.to(device) for part in parts)
    with evaluation(model):
        return list(_rows(model.decode(model(words, characters, lengths, word_lengths), lengths), batch.lengths))


def _rows(tags: Tensor, lengths: Tensor) -> Iterator[list[int]]:
    for row, length in zip(tags.tolist(), lengths.tolist(), strict=True):
        yield row[:length]


def _prediction(words: list[str], tags: list[str]) -> Prediction:
    line = " ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True))
    return Prediction({"text": " ".join(words), "words": words, "tags": tags}, line)
