"""Regression: the numbers of whole sequences."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from seqlab.data.core.batch import pad
from seqlab.data.formats.missing import filled, warn_of_nothing
from seqlab.data.formats.series import Series
from seqlab.data.regression.batch import RegressionBatch, RegressionSpec
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.nn.models.generation import evaluation
from seqlab.nn.models.regressor import Regressor
from seqlab.tasks.base import OptimizerFactory, Schedule, SequenceTask, StepOutput, full_precision
from seqlab.tasks.devices import global_mean
from seqlab.tasks.examples import Examples, table
from seqlab.tasks.prediction import Prediction

_AT_ONCE = 64  # the most series that ``predict`` reads at once


class RegressionMetrics(Metric):
    r"""Errors of numbers over a whole split, in the user's units.

    With y a target, :math:`\hat y` its prediction and :math:`\bar y` the mean of the split:

    .. math::  \text{MSE} = \overline{(y - \hat y)^2}, \quad \text{RMSE} = \sqrt{\text{MSE}}, \quad
               \text{MAE} = \overline{|y - \hat y|}, \quad
               R^2 = 1 - \text{MSE} \,/\, \overline{(y - \bar y)^2}

    Each is one figure a target where there are several. The loss is the mean over the targets of MSE / s^2, with s the
    deviation of the target in training. :math:`R^2` is left out where the split has one value alone. Sums are float64,
    added up over all batches and devices.

    Args:
        targets: the names of the targets.

    Example:
        >>> metrics = RegressionMetrics(["y"])
        >>> metrics.update(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]]), torch.ones(1), torch.zeros(1))
        >>> {name: round(float(value), 3) for name, value in metrics.compute().items()}
        {'loss': 2.0, 'mse': 2.0, 'rmse': 1.414, 'mae': 1.0, 'r2': 0.111}
    """

    full_state_update = False
    sums: Tensor
    count: Tensor

    def __init__(self, targets: Sequence[str]) -> None:
        super().__init__()
        self.targets = tuple(targets)
        # of each target: squared errors, those over s^2, absolute errors, targets and their squares, from the mean on
        self.add_state("sums", torch.zeros((5, len(self.targets)), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, numbers: Tensor, targets: Tensor, stds: Tensor, means: Tensor) -> None:
        """Adds a batch.

        Args:
            numbers: the predictions, ``(B, K)``.
            targets: ``(B, K)``.
            stds: the deviation of each target in training, ``(K,)``.
            means: a number near each target's mean, ``(K,)``, which the sums are counted from; it changes no figure.
        """
        errors, centred = numbers.double() - targets.double(), targets.double() - means.double()
        rows = (errors.square(), (errors / stds.double()).square(), errors.abs(), centred, centred.square())
        self.sums += torch.stack([row.sum(0) for row in rows])
        self.count += len(targets)

    def compute(self) -> dict[str, Tensor]:
        mse, scaled, mae, mean, square = self.sums / self.count
        variance = square - mean.square()
        values = {"loss": scaled.mean()}
        figures = {"mse": mse, "rmse": mse.sqrt(), "mae": mae, "r2": 1 - mse / variance}
        for name, each in figures.items():
            for number, target in enumerate(self.targets):
                if name != "r2" or variance[number] > 1e-12 * square[number]:
                    values[name if len(self.targets) == 1 else f"{name}_{target}"] = each[number]
        return values


class RegressionTask(SequenceTask):
    r"""Predicts the numbers of whole sequences.

    .. math::  \mathcal{L} = \frac{1}{BK} \sum_{b,k} \Bigl( \frac{y_{b,k} - \hat y_{b,k}}{s_k} \Bigr)^2

    with s the deviation of a target in training, so that targets of different units count alike. Numbers that are not
    standardised, as those of the adding problem, have s = 1: the loss is then the mean squared error.

    Args:
        model: the regressor.
        spec: the facts about the data.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.SequenceTask`.
    """

    reads = "frames"
    model: Regressor

    def __init__(
        self,
        model: Regressor,
        spec: RegressionSpec,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__(model, optimizer, schedule, metric, mode)
        self.targets = spec.targets
        self.eval_metrics = nn.ModuleDict({split: RegressionMetrics(spec.targets) for split in ("val", "test")})

    def _terms(self, batch: RegressionBatch) -> Tensor:
        """The loss of each target of each row, ``(B, K)``."""
        numbers = full_precision(self.model(batch.inputs, batch.lengths))
        return ((numbers - batch.targets) / self.model.target_stds).square()

    def training_step(self, batch: RegressionBatch, batch_idx: int) -> StepOutput:
        terms = self._terms(batch)
        count = torch.tensor(terms.numel(), device=terms.device)
        loss = global_mean(terms.mean(), count)
        return {"loss": loss, "nll": terms.detach().sum(), "tokens": count, "steps": batch.lengths.sum()}

    def evaluate(self, batch: RegressionBatch, split: str) -> None:
        numbers = full_precision(self.model(batch.inputs, batch.lengths))
        head = self.model.head.standardize
        self.metrics_of(split).update(numbers, batch.targets, head.std, head.mean)

    def loss_terms(self, batch: RegressionBatch) -> tuple[Tensor, Tensor | None]:
        return self._terms(batch).mean(1), batch.lengths

    def examples(self, data: Any, split: str, count: int, generator: torch.Generator) -> Examples:
        """Shows the numbers of the first sequences beside those that the model gives."""
        batch = data.collate(split, list(range(min(count, len(data.lengths(split))))))
        rows, lines = [], []
        numbers = answers(self.model, batch.inputs, batch.lengths).tolist()
        for row, (predicted, true) in enumerate(zip(numbers, batch.targets.tolist(), strict=True)):
            for target, ours, theirs in zip(self.targets, predicted, true, strict=True):
                rows.append([str(row + 1), target, f"{theirs:.5g}", f"{ours:.5g}"])
                lines.append(f"{row + 1}: {target} {ours:.5g}  (true: {theirs:.5g})")
        return Examples("predictions", table(["sequence", "target", "true", "predicted"], rows), tuple(lines))

    @staticmethod
    def predict(
        model: Regressor, spec: RegressionSpec, vocabularies: Mapping[str, Vocabulary], inputs: Sequence[Series]
    ) -> list[Prediction]:
        """Returns the numbers of each series.

        Args:
            model: the trained model.
            spec: the facts about its data.
            vocabularies: none.
            inputs: the series.

        Raises:
            InputError: a series has missing values that training refused.
        """
        for each in inputs:
            warn_of_nothing(each, spec.features)
        frames = [filled(each, spec.features, spec.missing, spec.means, len(each)) for each in inputs]
        numbers: list[list[float]] = []
        for start in range(0, len(frames), _AT_ONCE):
            numbers += answers(model, *pad(frames[start : start + _AT_ONCE])).tolist()
        predictions = []
        for series, row in zip(inputs, numbers, strict=True):
            values = {target: float(f"{number:.7g}") for target, number in zip(spec.targets, row, strict=True)}
            line = f"{series.name}: {'; '.join(f'{target} {number:.6g}' for target, number in values.items())}"
            predictions.append(Prediction({"series": series.name, **values}, line))
        return predictions


def answers(model: Regressor, inputs: Tensor, lengths: Tensor) -> Tensor:
    """Returns the numbers ``(B, K)`` on the CPU, in float32 or wider."""
    device = next(model.parameters()).device
    with evaluation(model):
        return full_precision(model(inputs.to(device), lengths.to(device))).cpu()
