"""Transcription: what is said in a recording, by connectionist temporal classification."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.functional.text import char_error_rate, word_error_rate

from seqlab.data.core.batch import pad
from seqlab.data.transcription.batch import Recording, TranscriptionBatch, TranscriptionSpec
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.nn.models.ctc import Transcriber, beam_labels, greedy_labels
from seqlab.nn.models.generation import evaluation
from seqlab.tasks.base import OptimizerFactory, Schedule, SequenceTask, StepOutput, full_precision
from seqlab.tasks.devices import global_mean
from seqlab.tasks.examples import Examples, table
from seqlab.tasks.prediction import Prediction


class TranscriptionMetrics(Metric):
    r"""Negative log-likelihood a token, and the error rates of what was written.

    .. math::  \text{WER} = \frac{S + D + I}{N}

    with the fewest substitutions, deletions and insertions of words that make what was said of what was written, and N
    the words said; ``cer`` is the same of characters, and ``exact_match`` the share of rows without an error. What was
    said counts as it is in the data: a word that the vocabulary lacks is never right. All are over the whole split;
    sums are float64 and counts integers.
    """

    full_state_update = False
    nll: Tensor
    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("nll", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(7, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, nll: Tensor, tokens: Tensor, written: Sequence[str], said: Sequence[str]) -> None:
        """Adds a batch.

        Args:
            nll: the sum of the negative log-likelihoods in nats, a scalar.
            tokens: the number of tokens said.
            written: the text that the model wrote for each row.
            said: what was said.
        """
        self.nll += nll
        words, letters = sum(len(text.split()) for text in said), sum(map(len, said))
        # The rates of TorchMetrics are counts over these numbers.
        wrong_words = round(float(word_error_rate(list(written), list(said))) * words)
        wrong_letters = round(float(char_error_rate(list(written), list(said))) * letters)
        right = sum(one == other for one, other in zip(written, said, strict=True))
        added = [int(tokens), wrong_words, words, wrong_letters, letters, right, len(said)]
        self.counts += torch.tensor(added, device=self.counts.device)

    def compute(self) -> dict[str, Tensor]:
        tokens, wrong_words, words, wrong_letters, letters, right, rows = self.counts.double()
        return {
            "loss": self.nll / tokens,
            "wer": wrong_words / words,
            "cer": wrong_letters / letters,
            "exact_match": right / rows,
        }


class TranscriptionTask(SequenceTask):
    r"""Writes down what is said, without being told when.

    .. math::  \mathcal{L} = -\frac{1}{N} \sum_b \log \sum_{\pi \text{ reads } y_b} \prod_t p(\pi_t \mid x_b)

    over all paths of symbols that read as the transcript once repeats are joined and blanks left out (CTC, Graves et
    al. 2006), with N the tokens said.

    Args:
        model: the transcriber.
        spec: the facts about the data.
        beam_size: 1 takes the likeliest path; more searches so many beginnings, in the test and for new recordings.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.SequenceTask`.

    Raises:
        InputError: ``beam_size`` is below 1.
    """

    reads = "frames"
    model: Transcriber

    def __init__(
        self,
        model: Transcriber,
        spec: TranscriptionSpec,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        beam_size: int = 1,
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__(model, optimizer, schedule, metric, mode)
        if beam_size < 1:
            raise InputError(f"task.beam_size is {beam_size}; expected 1 or more")
        self.beam_size = beam_size
        self.eval_metrics = nn.ModuleDict({split: TranscriptionMetrics() for split in ("val", "test")})

    def _nll(self, batch: TranscriptionBatch, logits: Tensor) -> Tensor:
        """-log P of each row's transcript, ``(B,)``."""
        logs = full_precision(logits).log_softmax(-1).transpose(0, 1)  # (T, B, V + 1)
        lengths = batch.lengths, batch.target_lengths
        return F.ctc_loss(logs, batch.targets, *lengths, blank=self.model.blank, reduction="none")

    def training_step(self, batch: TranscriptionBatch, batch_idx: int) -> StepOutput:
        logits, _ = self.model(batch.inputs, batch.lengths)
        total, tokens = self._nll(batch, logits).sum(), batch.target_lengths.sum()
        loss = global_mean(total / tokens, tokens)
        return {"loss": loss, "nll": total.detach(), "tokens": tokens, "steps": batch.lengths.sum()}

    def evaluate(self, batch: TranscriptionBatch, split: str) -> None:
        logits, _ = self.model(batch.inputs, batch.lengths)
        total = self._nll(batch, logits).sum(dtype=torch.float64)
        vocabulary = self.trainer.datamodule.vocabulary  # type: ignore[attr-defined]
        labels = labels_of(logits, batch.lengths, self.beam_size if split == "test" else 1)
        written = [vocabulary.decode(row) for row in labels]
        self.metrics_of(split).update(total, batch.target_lengths.sum(), written, batch.texts)

    def loss_terms(self, batch: TranscriptionBatch) -> tuple[Tensor, Tensor | None]:
        logits, _ = self.model(batch.inputs, batch.lengths)
        return self._nll(batch, logits), batch.lengths

    def examples(self, data: Any, split: str, count: int, generator: torch.Generator) -> Examples:
        """Shows what the model writes, beside what is said."""
        rows = data.rows(split)[:count]
        batch = data.collate(split, list(range(len(rows))))
        texts = transcripts(self.model, data.vocabulary, batch.inputs, batch.lengths, self.beam_size)
        lines = [f"{text!r} (said: {row.text!r})" for text, row in zip(texts, rows, strict=True)]
        shown = [[row.text, text] for text, row in zip(texts, rows, strict=True)]
        return Examples("transcripts", table(["said", "written"], shown), tuple(lines))

    @staticmethod
    def predict(
        model: Transcriber,
        spec: TranscriptionSpec,
        vocabularies: Mapping[str, Vocabulary],
        inputs: Sequence[Recording],
        beam_size: int = 1,
    ) -> list[Prediction]:
        """Returns what is said in each recording.

        Args:
            model: the trained model.
            spec: the facts about its data.
            vocabularies: the vocabulary of its data, as "tokens".
            inputs: recordings.
            beam_size: as in training.

        Raises:
            InputError: a recording is shorter than one step.
        """
        for each in inputs:
            if not len(each.frames):
                raise InputError(f"{each.name} is shorter than one step; give a longer recording")
        answers = []
        for each in inputs:
            (text,) = transcripts(model, vocabularies["tokens"], *pad([each.frames]), beam_size)
            answers.append(Prediction({"recording": each.name, "text": text}, f"{each.name}: {text}"))
        return answers


def labels_of(logits: Tensor, lengths: Tensor, beam_size: int) -> list[list[int]]:
    """The labels of each row, by the likeliest path or by beam search."""
    return greedy_labels(logits, lengths) if beam_size == 1 else beam_labels(logits, lengths, beam_size)


def transcripts(
    model: Transcriber, vocabulary: Vocabulary, inputs: Tensor, lengths: Tensor, beam_size: int
) -> list[str]:
    """Returns the text of each row of frames ``(B, T, F)``."""
    device = next(model.parameters()).device
    with evaluation(model):
        logits, _ = model(inputs.to(device), lengths.to(device))
        return [vocabulary.decode(row) for row in labels_of(full_precision(logits).cpu(), lengths, beam_size)]
