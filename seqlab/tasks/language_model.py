"""Language modelling by truncated backpropagation through time."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlab.data.core.batch import IGNORE_INDEX, Batch
from seqlab.data.language_model.batch import LanguageModelSpec
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.nn.models.generation import Sampling, generate
from seqlab.nn.models.language_model import NextTokenModel
from seqlab.tasks.base import OptimizerFactory, Schedule, SequenceTask, StepOutput, full_precision
from seqlab.tasks.carry import StateCarry, segments_of
from seqlab.tasks.devices import gather_rows, global_mean, own_rows
from seqlab.tasks.examples import Examples, block
from seqlab.tasks.metrics import TokenMetrics


class LanguageModelTask(SequenceTask):
    r"""Predicts each token from those before it.

    .. math::  \mathcal{L} = -\frac{1}{N} \sum_{n} \log p(x_{n+1} \mid x_{\le n})

    One window of the data is one training step. The state is carried, detached, from window to window, so the gradient
    flows back over the ``tbptt_steps`` of a window and no further.

    Args:
        model: the language model; it must read from left to right.
        spec: the facts about the data.
        reduction: ``mean`` divides the loss by the window's tokens; ``time_sum`` sums over time and averages over rows
            (Zaremba et al. 2014), which makes gradients ``tbptt_steps`` times as large.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.SequenceTask`.

    Raises:
        InputError: the encoder is bidirectional, or ``reduction`` is unknown.
    """

    perplexity = True
    model: NextTokenModel

    def __init__(
        self,
        model: NextTokenModel,
        spec: LanguageModelSpec,
        optimizer: OptimizerFactory | None,
        schedule: Schedule | None = None,
        reduction: Literal["mean", "time_sum"] = "mean",
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__(model, optimizer, schedule, metric, mode)
        if model.reads_ahead:
            raise InputError(
                "model.bidirectional=true under a language model: the backward direction would read the very tokens to "
                "be predicted, and only left context exists; set model.bidirectional=false"
            )
        if reduction not in ("mean", "time_sum"):
            raise InputError(f"task.reduction is {reduction!r}; expected mean or time_sum")
        self.reduction = reduction
        self.train_carry = StateCarry()
        self.eval_carries = {"val": StateCarry(), "test": StateCarry()}
        characters = spec.characters_per_token
        self.eval_metrics = nn.ModuleDict(
            {"val": TokenMetrics(characters["validation"]), "test": TokenMetrics(characters["test"])}
        )

    def carried(self) -> Any:
        return gather_rows(self.train_carry.state)

    def carry_on(self, state: Any) -> None:
        self.train_carry.state = own_rows(state)

    def training_step(self, batch: Batch, batch_idx: int) -> StepOutput:
        logits = self._logits(batch, self.train_carry)  # (B * T, V)
        targets = batch.targets.flatten()
        nll = F.cross_entropy(logits, targets, ignore_index=IGNORE_INDEX, reduction="sum")
        tokens = (targets != IGNORE_INDEX).sum()
        if self.reduction == "mean":
            loss = global_mean(nll / tokens.clamp(min=1), tokens)
        else:
            loss = nll / batch.targets.size(0)  # every device has equally many rows
        return {"loss": loss, "nll": nll.detach(), "tokens": tokens}

    def _logits(self, batch: Batch, carry: StateCarry) -> Tensor:
        rows = batch.inputs.size(0)
        state = carry.take(batch.is_first, lambda: self.model.initial_state(rows))
        features, state = self.model.features(batch.inputs, state, batch.lengths, **segments_of(batch.is_first))
        carry.keep(state)
        return self.model.logits(features).flatten(0, 1)

    def evaluate(self, batch: Batch, split: str) -> None:
        logits = full_precision(self._logits(batch, self.eval_carries[split]))
        targets = batch.targets.flatten()
        nll = F.cross_entropy(logits, targets, ignore_index=IGNORE_INDEX, reduction="none")
        valid = targets != IGNORE_INDEX
        correct = (logits.argmax(-1) == targets).sum()
        self.metrics_of(split).update(nll.sum(dtype=torch.float64), valid.sum(), correct)

    def loss_terms(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        features, _ = self.model.features(batch.inputs, None, batch.lengths, **segments_of(batch.is_first))
        logits = self.model.logits(features).transpose(1, 2)  # (B, V, T)
        return F.cross_entropy(logits, batch.targets, ignore_index=IGNORE_INDEX, reduction="none"), batch.lengths

    def finish(self, split: str) -> None:
        super().finish(split)
        self.eval_carries[split].clear()

    def examples(
        self,
        data: Any,
        split: str,
        count: int,
        generator: torch.Generator,
        prompt: str | None = None,
        num_tokens: int = 200,
        temperature: float = 0.8,
    ) -> Examples:
        """Shows continuations of a prompt.

        Args:
            data: the data module at work.
            split: not used: samples are of no split.
            count: the number of continuations.
            generator: the source of random numbers.
            prompt: the beginning of each text; None: a new line, or the first token of the vocabulary.
            num_tokens: the number of tokens of each continuation.
            temperature: what the logits are divided by before sampling.
        """
        vocabulary: Vocabulary = data.vocabulary
        start = vocabulary.encode(default_prompt(vocabulary) if prompt is None else prompt).tolist()
        tokens = generate(
            self.model, start, num_tokens, Sampling(temperature=temperature), num_samples=count, generator=generator
        )
        texts = [vocabulary.decode([*start, *row]) for row in tokens.tolist()]
        return Examples("sample", "\n\n---\n\n".join(map(block, texts)), tuple(texts))


def default_prompt(vocabulary: Vocabulary) -> str:
    """The prompt of samples where none is given: a new line if the vocabulary has it, otherwise its first token."""
    for start in ("\n", vocabulary.settings.end_of_line):
        if start in vocabulary.index:
            return str(start)
    return vocabulary.tokens[0]
