"""Forecasting of series: quantiles of what comes."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from seqlab.data.core.batch import pad
from seqlab.data.forecasting.batch import ForecastBatch, ForecastSpec
from seqlab.data.formats.missing import filled, warn_of_nothing
from seqlab.data.formats.series import Series
from seqlab.data.formats.times import shown_alike
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.nn.models.forecaster import Forecaster
from seqlab.nn.models.generation import evaluation
from seqlab.tasks.base import OptimizerFactory, Schedule, SequenceTask, StepOutput, full_precision
from seqlab.tasks.devices import global_mean
from seqlab.tasks.examples import Examples, table
from seqlab.tasks.prediction import Prediction

log = logging.getLogger("seqlab")


def pinball(quantiles: Tensor, targets: Tensor, probabilities: Tensor) -> Tensor:
    """Twice the pinball loss, which is |y - q| for the median.

    .. math::  2 \\max(p (y - q),\\ (p - 1)(y - q))

    Its mean over evenly spread probabilities approaches the CRPS (Gneiting & Raftery 2007).

    Args:
        quantiles: q, ``(..., Q)``.
        targets: y, ``(...)``.
        probabilities: p of each quantile, ``(Q,)``.

    Returns:
        The loss, ``(..., Q)``.

    Example:
        >>> pinball(torch.tensor([1.0, 2.0]), torch.tensor(4.0), torch.tensor([0.5, 0.9]))
        tensor([3.0000, 3.6000])
    """
    errors = targets.unsqueeze(-1) - quantiles
    return 2 * torch.maximum(probabilities * errors, (probabilities - 1) * errors)


class ForecastMetrics(Metric):
    r"""Errors of forecasts over a whole split, in the user's units; missing targets do not count.

    With y a target, q its median forecast, and d the mean error of the seasonal-naive forecast over the training part:

    .. math::  \text{MAE} = \overline{|y - q|}, \quad \text{RMSE} = \sqrt{\overline{(y - q)^2}}, \quad
               \text{MASE} = \overline{|y - q| / d}

    (Hyndman & Koehler 2006). ``coverage`` is the share of targets between the outermost quantiles, ``crps`` the mean of
    :func:`pinball` over all quantiles. MAE, RMSE and CRPS are one figure a target where there are several, for these
    may have different units. Sums are float64 and counts integers, added up over all batches and devices.

    Args:
        targets: the names of the targets.
        probabilities: of the quantiles.
        stds: the deviation of each target in training, which the loss divides by.
    """

    full_state_update = False
    sums: Tensor
    counts: Tensor
    probabilities: Tensor

    def __init__(self, targets: Sequence[str], probabilities: Sequence[float]) -> None:
        super().__init__()
        self.targets = tuple(targets)
        self.register_buffer("probabilities", torch.tensor(probabilities), persistent=False)
        self.median = list(probabilities).index(0.5)
        size = len(self.targets)
        self.add_state("sums", torch.zeros((6, size), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros((2, size), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, quantiles: Tensor, targets: Tensor, scales: Tensor, stds: Tensor) -> None:
        """Adds a batch.

        Args:
            quantiles: ``(B, H, K, Q)``.
            targets: ``(B, H, K)``, NaN where missing.
            scales: ``(B, K)``, d of each row, NaN where there is none.
            stds: ``(K,)``, the deviation of each target in training.
        """
        there = ~targets.isnan()
        y = targets.masked_fill(~there, 0.0).double()
        q = quantiles.double()
        error = y - q[..., self.median]
        losses = pinball(q, y, self.probabilities.double()).mean(-1)
        inside = (y >= q[..., 0]) & (y <= q[..., -1])
        d = scales.double().unsqueeze(1).expand_as(y)
        scaled = there & ~d.isnan()
        rows = (error.abs(), error.square(), losses, losses / stds.double(), inside.double())
        self.sums[:5] += torch.stack([row.masked_fill(~there, 0.0).sum((0, 1)) for row in rows])
        self.sums[5] += (error.abs() / d).masked_fill(~scaled, 0.0).sum((0, 1))
        self.counts += torch.stack([there.sum((0, 1)), scaled.sum((0, 1))])

    def compute(self) -> dict[str, Tensor]:
        count, scaled = self.counts.double()
        mae, square, crps = (self.sums[row] / count for row in range(3))
        values = {"loss": self.sums[3].sum() / count.sum()}
        for name, each in (("mae", mae), ("rmse", square.sqrt()), ("crps", crps)):
            if len(self.targets) == 1:
                values[name] = each[0]
            else:
                values |= {f"{name}_{target}": value for target, value in zip(self.targets, each, strict=True)}
        values["coverage"] = self.sums[4].sum() / count.sum()
        if bool(scaled.sum() > 0):
            values["mase"] = self.sums[5].sum() / scaled.sum()
        return values


class ForecastTask(SequenceTask):
    r"""Forecasts the next H steps of series, as quantiles.

    .. math::  \mathcal{L} = \frac{1}{N} \sum_{n} \frac{1}{Q} \sum_{p} \frac{2}{s}
               \max(p\,(y_n - q_{n,p}),\ (p - 1)(y_n - q_{n,p}))

    with s the deviation of the target in training, so that targets of different units count alike. Missing targets do
    not count.

    Args:
        model: the forecaster.
        spec: the facts about the data.
        optimizer, schedule, metric, mode: see :class:`~seqlab.tasks.SequenceTask`.
    """

    reads = "frames"
    model: Forecaster
    probabilities: Tensor

    def __init__(
        self,
        model: Forecaster,
        spec: ForecastSpec,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
    ) -> None:
        super().__init__(model, optimizer, schedule, metric, mode)
        self.spec = spec
        quantiles = model.head.quantiles
        self.eval_metrics = nn.ModuleDict(
            {split: ForecastMetrics(spec.targets, quantiles) for split in ("val", "test")}
        )
        self.register_buffer("probabilities", torch.tensor(quantiles), persistent=False)

    def _terms(self, batch: ForecastBatch) -> tuple[Tensor, Tensor]:
        """The loss of each target, ``(B, H, K)``, 0 where it is missing; and which are there."""
        there = ~batch.targets.isnan()
        quantiles = full_precision(self.model(batch.inputs, batch.lengths, batch.future))
        errors = pinball(quantiles, batch.targets.masked_fill(~there, 0.0), self.probabilities).mean(-1)
        return (errors / self.model.target_stds).masked_fill(~there, 0.0), there

    def training_step(self, batch: ForecastBatch, batch_idx: int) -> StepOutput:
        terms, there = self._terms(batch)
        count, total = there.sum(), terms.sum()
        loss = global_mean(total / count.clamp(min=1), count)
        return {"loss": loss, "nll": total.detach(), "tokens": count, "steps": batch.lengths.sum()}

    def evaluate(self, batch: ForecastBatch, split: str) -> None:
        quantiles = full_precision(self.model(batch.inputs, batch.lengths, batch.future))
        self.metrics_of(split).update(quantiles, batch.targets, batch.scales, self.model.target_stds)

    def loss_terms(self, batch: ForecastBatch) -> tuple[Tensor, Tensor | None]:
        terms, there = self._terms(batch)
        return terms.sum((1, 2)) / there.sum((1, 2)).clamp(min=1), batch.lengths

    def examples(self, data: Any, split: str, count: int, generator: torch.Generator) -> Examples:
        """Shows the forecasts from a few origins, spread over the split, beside what came."""
        total = len(data.lengths(split))
        numbers = [int(place) for place in np.linspace(0, total - 1, min(count, total))]
        batch = data.collate(split, numbers)
        quantiles = answers(self.model, batch.inputs, batch.lengths, batch.future)
        median = self.model.head.quantiles.index(0.5)
        rows, lines = [], []
        for row, number in enumerate(numbers):
            series, origin = data.origin(split, number)
            when = series.when(origin)
            for feature, name in enumerate(self.spec.targets):
                values = quantiles[row, :, feature]
                forecast = ", ".join(f"{value:.4g}" for value in values[:, median].tolist()[:_SHOWN_STEPS])
                came = ", ".join(f"{value:.4g}" for value in batch.targets[row, :, feature].tolist()[:_SHOWN_STEPS])
                rows.append([series.name, name, when, forecast, came])
                lines.append(f"{series.name} {name} from {when}: {forecast}  (came: {came})")
        return Examples("forecasts", table(["series", "target", "from", "forecast", "came"], rows), tuple(lines))

    @staticmethod
    def predict(
        model: Forecaster, spec: ForecastSpec, vocabularies: Mapping[str, Vocabulary], inputs: Sequence[Series]
    ) -> list[Prediction]:
        """Returns the forecast of the steps that follow each series.

        Where features are known beforehand, a series ends with rows that hold these and no targets: the steps to
        forecast.

        Args:
            model: the trained model.
            spec: the facts about its data.
            vocabularies: none.
            inputs: the series.

        Raises:
            InputError: a series is empty, has missing values that training refused, or too few rows of what is known
                beforehand.
        """
        return [_forecast(model, spec, series) for series in inputs]


_SHOWN_STEPS = 6


def answers(model: Forecaster, inputs: Tensor, lengths: Tensor, future: Tensor) -> Tensor:
    """Returns the quantiles ``(B, H, K, Q)`` on the CPU, in float32 or wider."""
    device = next(model.parameters()).device
    with evaluation(model):
        return full_precision(model(inputs.to(device), lengths.to(device), future.to(device))).cpu()


def _forecast(model: Forecaster, spec: ForecastSpec, series: Series) -> Prediction:
    origin = _origin(spec, series)
    warn_of_nothing(series, spec.targets, max(0, origin - spec.context), origin)
    frames = filled(series, spec.features, spec.missing, model.input.standardize.mean.tolist(), origin)
    inputs, lengths = pad([frames[max(0, origin - spec.context) : origin]])
    future = inputs.new_zeros(1, spec.horizon, 0)
    if spec.known:
        ahead = frames[origin : origin + spec.horizon, -len(spec.known) :]
        if spec.missing == "refuse" and (gaps := np.argwhere(np.isnan(ahead))).size:
            step, feature = gaps[0]
            raise InputError(
                f"{series.places[origin + step]}: {spec.known[feature]} is missing in a row to forecast, where it is "
                "to be known"
            )
        future = torch.from_numpy(ahead[None])
    quantiles = answers(model, inputs, lengths, future)[0]
    probabilities = model.head.quantiles
    values: dict[str, Any] = {"series": series.name}
    if series.grid is not None:
        values["times"] = shown_alike(series.grid.times(np.arange(origin, origin + spec.horizon)))
    for number, target in enumerate(spec.targets):
        values[target] = {
            f"{probability:g}": [float(f"{value:.7g}") for value in quantiles[:, number, place].tolist()]
            for place, probability in enumerate(probabilities)
        }
    median = probabilities.index(0.5)
    parts = [
        f"{target} {', '.join(f'{value:.6g}' for value in quantiles[:, number, median].tolist())}"
        for number, target in enumerate(spec.targets)
    ]
    return Prediction(values, f"{series.name}: {'; '.join(parts)}")


def _origin(spec: ForecastSpec, series: Series) -> int:
    """The number of steps of a series before what is to be forecast."""
    origin = len(series)
    if spec.known:
        seen = np.flatnonzero(~np.isnan(series.values[:, : len(spec.targets)]).all(1))
        origin = int(seen[-1]) + 1 if seen.size else 0
        if len(series) - origin < spec.horizon:
            raise InputError(
                f"{series.places[-1]}: series {series.name} has {len(series) - origin} rows after its last target; "
                f"give {spec.horizon}, the horizon, with {', '.join(spec.known)} and empty targets"
            )
        if (beyond := len(series) - origin - spec.horizon) > 0:
            log.warning(
                "%s: the forecast of series %s begins here, after its last target, and %d rows after its %d steps are "
                "not read; leave them out, or fill in the targets that were seen",
                *(series.places[origin], series.name, beyond, spec.horizon),
            )
    if not origin:
        raise InputError(f"{series.places[0]}: series {series.name} has no step with a target; give at least one")
    return origin
