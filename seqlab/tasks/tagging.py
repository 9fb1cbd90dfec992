"""Tagging: one tag for each word of a sentence."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.data.core.batch import IGNORE_INDEX
from seqlab.data.formats.tag_schemes import TagScheme
from seqlab.data.tagging.batch import EncodedSentences, TaggingBatch, TaggingSpec, as_read
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.nn.models.generation import evaluation
from seqlab.nn.models.tagger import Tagger
from seqlab.tasks.base import OptimizerFactory, Schedule, SequenceTask, StepOutput, full_precision
from seqlab.tasks.devices import global_mean, summed
from seqlab.tasks.examples import Examples, table
from seqlab.tasks.prediction import Prediction
from seqlab.tasks.tag_metrics import EntityMetrics, TagMetrics

_SENTENCES: Final = 32  # the most sentences that ``predict`` reads at once
_LETTERS: Final = 1_000_000  # the most letters that it reads at once, with padding


class TaggingTask(SequenceTask):
    r"""Predicts the tag of each word.

    .. math::  \mathcal{L} = -\frac{1}{N} \sum_s \log p(y_{s,1}, \dots, y_{s,T_s} \mid x_s)

    over sentences s, which have N words together. With a greedy output layer it is the mean of
    :math:`-\log p(y_{s,t} \mid x_s)`. ``accuracy`` is that of the tags that the model gives: where a greedy one gives a
    sequence that the scheme of entities lacks, ``predict`` writes the entities that it means, by which F1 is counted.

    Args:
        model: the tagger.
        spec: the facts about the data; with ``entities``, entities are scored too.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.SequenceTask`.

    Attributes:
        confusion: for each evaluated split, the counts ``(true, predicted)`` of its last evaluation. Words with tags
            that training never saw are a last row.
        entity_counts: for each split whose entities were scored, the counts of correct, predicted and true entities,
            ``(types, 3)``, in the order of ``entity_types``.
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
        self.scheme = TagScheme(spec.scheme or "BIO", spec.outside or "O") if spec.entities else None
        entities = {split: EntityMetrics(spec.tags + spec.unseen_tags) for split in scored}
        self.entity_metrics = nn.ModuleDict(entities)
        self.entity_types = entities["test"].types if entities else ()
        self.confusion: dict[str, Tensor] = {}
        self.entity_counts: dict[str, Tensor] = {}

    def training_step(self, batch: TaggingBatch, batch_idx: int) -> StepOutput:
        emissions = read(self.model, batch)
        loss = self.model.loss(emissions, batch.targets, batch.lengths)
        words = batch.lengths.sum()
        return {"loss": global_mean(loss, words), "nll": loss.detach() * words, "tokens": words}

    def evaluate(self, batch: TaggingBatch, split: str) -> None:
        emissions = full_precision(read(self.model, batch))
        learned = batch.targets.masked_fill(batch.targets >= len(self.tags), IGNORE_INDEX)
        nll = self.model.nll(emissions, learned, batch.lengths).sum(dtype=torch.float64)
        predicted = self.model.decode(emissions, batch.lengths)
        valid = torch.arange(predicted.size(1), device=predicted.device) < batch.lengths.unsqueeze(1)  # (B, T)
        self.metrics_of(split).update(nll, predicted[valid], batch.targets[valid], batch.unseen[valid])
        if split in self.entity_metrics:
            entities: Any = self.entity_metrics[split]
            entities.update(*(list(_rows(tags, batch.lengths)) for tags in (predicted, batch.targets)))

    def loss_terms(self, batch: TaggingBatch) -> tuple[Tensor, Tensor | None] | None:
        if self.model.head.crf is not None:
            return None  # the loss of a whole sentence
        learned = batch.targets.masked_fill(batch.targets >= len(self.tags), IGNORE_INDEX)
        emissions = read(self.model, batch).transpose(1, 2)  # (B, tags, T)
        return F.cross_entropy(emissions, learned, ignore_index=IGNORE_INDEX, reduction="none"), batch.lengths

    def finish(self, split: str) -> None:
        self.confusion[split] = self.metrics_of(split).counts()
        super().finish(split)
        if split in self.entity_metrics:
            entities: Any = self.entity_metrics[split]
            self.entity_counts[split] = summed(entities.counts).cpu()
            self.log_dict({f"{split}/{name}": value for name, value in entities.compute().items()})
            entities.reset()

    def examples(self, data: Any, split: str, count: int, generator: torch.Generator) -> Examples:
        """Shows each word of the sentences with its true and its predicted tag."""
        sentences = data.rows(split)[:count]
        answers = likeliest(self.model, data.collate(split, list(range(len(sentences)))))
        rows, lines = [], []
        for sentence, row in zip(sentences, answers, strict=True):
            predicted, true = [self.tags[tag] for tag in row], list(sentence.tags)
            if self.scheme is not None:
                predicted, true = self.scheme.write(predicted), self.scheme.write(true)
            words = []
            for word, true_tag, tag in zip(sentence.words, true, predicted, strict=True):
                rows.append([_plain(word), true_tag, tag if tag == true_tag else f"**{tag}**"])
                words.append(f"{word}/{tag}" + ("" if tag == true_tag else f" (true: {true_tag})"))
            rows.append(["", "", ""])
            lines.append(" ".join(words))
        return Examples("predictions", table(["word", "true", "predicted"], rows), tuple(lines))

    @staticmethod
    def predict(
        model: Tagger, spec: TaggingSpec, vocabularies: Mapping[str, Vocabulary], inputs: Sequence[str]
    ) -> list[Prediction]:
        """Returns the tags of each sentence's words. Tags of entities are in the scheme of the training data.

        An input is words with spaces, tabs or newlines between them. A no-break space is part of a word, as in a file
        of columns. Words that contain spaces are given as a JSON list of words.

        Args:
            model: the trained tagger.
            spec: the facts about its data.
            vocabularies: the vocabularies of its data, "tokens" and "characters".
            inputs: the sentences.

        Raises:
            InputError: a sentence is empty.
        """
        sentences = [_words(text) for text in inputs]
        for number, sentence in enumerate(sentences, start=1):
            if not sentence:
                raise InputError(f"text {number} is empty; give it at least one word")
        encoded = EncodedSentences(sentences, vocabularies, spec.max_word_length)
        scheme = TagScheme(spec.scheme or "BIO", spec.outside or "O") if spec.entities else None
        tags_of: dict[int, list[str]] = {}
        for numbers in _chunks(sentences):
            words, lengths = encoded.words(numbers)
            characters, word_lengths = encoded.letters(numbers) if spec.num_characters is not None else (None, None)
            zeros = torch.zeros_like(words)
            batch = TaggingBatch(words, characters, lengths, word_lengths, targets=zeros, unseen=zeros.bool())
            for number, row in zip(numbers, likeliest(model, batch), strict=True):
                tags = [spec.tags[tag] for tag in row]
                tags_of[number] = tags if scheme is None else scheme.write(tags)
        return [_prediction(sentence, tags_of[number]) for number, sentence in enumerate(sentences)]

    @staticmethod
    def pieces(text: str, vocabulary: Vocabulary) -> list[str]:
        """The words of an input, as the vocabulary spells them."""
        return [as_read(word, vocabulary) for word in _words(text)]


def read(model: Tagger, batch: TaggingBatch) -> Tensor:
    """Returns the emissions of the model for a batch, ``(B, T, tags)``."""
    emissions: Tensor = model(batch.words, batch.characters, batch.lengths, batch.word_lengths)
    return emissions


def likeliest(model: Tagger, batch: TaggingBatch) -> list[list[int]]:
    """Returns the numbers of the likeliest tags of each sentence, without padding. The batch is on the CPU."""
    device = next(model.parameters()).device
    parts = (batch.words, batch.characters, batch.lengths, batch.word_lengths)
    words, characters, lengths, word_lengths = (None if part is None else part.to(device) for part in parts)
    with evaluation(model):
        return list(_rows(model.decode(model(words, characters, lengths, word_lengths), lengths), batch.lengths))


def _plain(word: str) -> str:
    """A word with Markdown's characters escaped, but for vertical bars, which the table escapes."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+-.!" else letter for letter in word)


def _words(text: str) -> list[str]:
    """The words of an input."""
    if text.lstrip().startswith("["):
        try:
            words = json.loads(text)
        except ValueError:
            words = None
        if isinstance(words, list) and words and all(isinstance(word, str) and word.strip(" \t\n") for word in words):
            return words
    return re.findall(r"[^ \t\r\n\f\v]+", text)


def _chunks(sentences: Sequence[Sequence[str]]) -> Iterator[list[int]]:
    """The numbers of the sentences in groups of similar lengths, to be read with little padding."""
    lengths = [(len(sentence), max(map(len, sentence))) for sentence in sentences]
    chunk: list[int] = []
    for number in sorted(range(len(sentences)), key=lambda number: lengths[number]):
        group = [lengths[member] for member in (*chunk, number)]
        letters = len(group) * max(count for count, _ in group) * max(longest for _, longest in group)
        if chunk and (len(chunk) == _SENTENCES or letters > _LETTERS):
            yield chunk
            chunk = []
        chunk.append(number)
    if chunk:
        yield chunk


def _rows(tags: Tensor, lengths: Tensor) -> Iterator[list[int]]:
    """The rows of ``tags (B, T)`` without padding."""
    for row, length in zip(tags.tolist(), lengths.tolist(), strict=True):
        yield row[:length]


def _prediction(words: list[str], tags: list[str]) -> Prediction:
    line = " ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True))
    return Prediction({"text": " ".join(words), "words": words, "tags": tags}, line)
