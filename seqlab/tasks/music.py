"""Music: which keys sound next."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import Metric

from seqlab.data.music.batch import MusicBatch, MusicSpec
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.nn.models.frame_model import FrameModel, compose
from seqlab.nn.models.generation import evaluation
from seqlab.tasks.base import OptimizerFactory, Schedule, SequenceTask, StepOutput, full_precision
from seqlab.tasks.carry import StateCarry, segments_of
from seqlab.tasks.devices import gather_rows, global_mean, own_rows
from seqlab.tasks.examples import Examples, block
from seqlab.tasks.prediction import Prediction

_SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


class MusicMetrics(Metric):
    r"""Mean negative log-likelihood of a frame, and the F1 of its notes.

    .. math::  \text{loss} = \frac{1}{N} \sum_n \sum_k -\log p(f_{n,k} \mid f_{<n}), \qquad
               \text{note F1} = \frac{2\,TP}{2\,TP + FP + FN}

    in nats, over the N frames that follow another one of their piece (Boulanger-Lewandowski et al. 2012). A note counts
    as predicted where its probability is above one half. Sums are float64 and counts integers.
    """

    full_state_update = False
    nll: Tensor
    frames: Tensor
    notes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("nll", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("frames", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("notes", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor, mask: Tensor) -> None:
        """Adds a batch.

        Args:
            logits: ``(B, T, K)``.
            targets: ``(B, T, K)`` of 0 and 1.
            mask: ``(B, T)``, which frames count.
        """
        nll = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(2, dtype=torch.float64)
        self.nll += nll.masked_fill(~mask, 0.0).sum()
        self.frames += mask.sum()
        predicted, true = (logits > 0) & mask.unsqueeze(2), (targets > 0.5) & mask.unsqueeze(2)
        self.notes += torch.stack([(predicted & true).sum(), predicted.sum(), true.sum()])

    def compute(self) -> dict[str, Tensor]:
        right, predicted, true = self.notes.double()
        return {"loss": self.nll / self.frames, "note_f1": 2 * right / (predicted + true).clamp(min=1)}


class MusicTask(SequenceTask):
    r"""Predicts each frame of a piece from those before it.

    .. math::  \mathcal{L} = -\frac{1}{N} \sum_n \sum_k \log p(f_{n+1,k} \mid f_{\le n})

    One window of the data is one training step. The state is carried, detached, from window to window of a piece.

    Args:
        model: the model; it must read from left to right.
        spec: the facts about the data.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.SequenceTask`.
    """

    reads = "frames"
    model: FrameModel

    def __init__(
        self,
        model: FrameModel,
        spec: MusicSpec,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__(model, optimizer, schedule, metric, mode)
        self.spec = spec
        self.train_carry = StateCarry()
        self.eval_carries = {"val": StateCarry(), "test": StateCarry()}
        self.eval_metrics = nn.ModuleDict({split: MusicMetrics() for split in ("val", "test")})

    def carried(self) -> Any:
        return gather_rows(self.train_carry.state)

    def carry_on(self, state: Any) -> None:
        self.train_carry.state = own_rows(state)

    def _logits(self, batch: MusicBatch, carry: StateCarry) -> Tensor:
        state = carry.take(batch.is_first, lambda: self.model.initial_state(batch.inputs.size(0)))
        logits: Tensor
        logits, state = self.model(batch.inputs, state, batch.lengths, **segments_of(batch.is_first))
        carry.keep(state)
        return logits

    def training_step(self, batch: MusicBatch, batch_idx: int) -> StepOutput:
        logits = self._logits(batch, self.train_carry)
        nll = F.binary_cross_entropy_with_logits(logits, batch.targets, reduction="none").sum(2)
        total, frames = nll.masked_fill(~batch.mask, 0.0).sum(), batch.mask.sum()
        loss = global_mean(total / frames.clamp(min=1), frames)
        return {"loss": loss, "nll": total.detach(), "tokens": frames}

    def evaluate(self, batch: MusicBatch, split: str) -> None:
        logits = full_precision(self._logits(batch, self.eval_carries[split]))
        self.metrics_of(split).update(logits, batch.targets, batch.mask)

    def finish(self, split: str) -> None:
        super().finish(split)
        self.eval_carries[split].clear()

    def loss_terms(self, batch: MusicBatch) -> tuple[Tensor, Tensor | None]:
        logits, _ = self.model(batch.inputs, None, batch.lengths)
        nll = F.binary_cross_entropy_with_logits(logits, batch.targets, reduction="none").sum(2)
        return nll.masked_fill(~batch.mask, 0.0), batch.lengths

    def examples(self, data: Any, split: str, count: int, generator: torch.Generator, num_frames: int = 32) -> Examples:
        """Shows how pieces of a split go on, by the names of the keys that sound.

        Args:
            data: the data module at work.
            split: "validation" or "test".
            count: how many pieces.
            generator: the source of random numbers.
            num_frames: the frames of each continuation.
        """
        lines = []
        with evaluation(self.model):
            for piece in data.pieces[split][:count]:
                start = torch.from_numpy(piece.roll[:8])
                (frames,) = compose(self.model, start, num_frames, generator=generator)
                lines.append(f"{piece.name}: {' | '.join(chord(frame, self.spec.keys) for frame in frames)}")
        return Examples("continuations", "\n\n---\n\n".join(map(block, lines)), tuple(lines))

    @staticmethod
    def predict(
        model: FrameModel,
        spec: MusicSpec,
        vocabularies: Mapping[str, Vocabulary],
        inputs: Sequence[tuple[str, NDArray[np.uint8]]],
    ) -> list[Prediction]:
        """Returns how likely each piece is: its negative log-likelihood a frame, in nats, the first frame left out.

        Args:
            model: the trained model.
            spec: the facts about its data.
            vocabularies: none.
            inputs: pieces: their names and piano rolls.

        Raises:
            InputError: a piece has a single frame.
        """
        answers = []
        device = next(model.parameters()).device
        for name, roll in inputs:
            if len(roll) < 2:
                raise InputError(f"{name} has a single frame, from which nothing follows; give two or more")
            frames = torch.from_numpy(roll.astype(np.float32)).unsqueeze(0).to(device)
            with evaluation(model):
                logits, _ = model(frames[:, :-1])
                nll = F.binary_cross_entropy_with_logits(full_precision(logits), frames[:, 1:], reduction="none")
            value = float(nll.sum(2, dtype=torch.float64).mean())
            answers.append(Prediction({"piece": name, "nll": value, "frames": len(roll)}, f"{value:.4f}  {name}"))
        return answers


def chord(frame: Tensor, keys: range) -> str:
    """The names of the keys that sound in a frame; a dash for silence.

    Example:
        >>> chord(torch.nn.functional.one_hot(torch.tensor([39, 43]), 88).sum(0), range(21, 109))
        'C4 E4'
    """
    names = [f"{_SHARPS[key % 12]}{key // 12 - 1}" for key in (frame.nonzero().flatten() + keys.start).tolist()]
    return " ".join(names) or "-"
