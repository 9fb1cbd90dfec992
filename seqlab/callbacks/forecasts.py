"""Forecasts of the test in TensorBoard, beside what came."""

from typing import Any

import lightning.pytorch as pl
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from seqlab.callbacks.at_test import AtTest
from seqlab.callbacks.writer import check_num_examples, data_and_task
from seqlab.data.forecasting.module import ForecastData
from seqlab.tasks.forecasting import ForecastTask, answers


class ForecastFigures(AtTest):
    """Draws forecasts of the trained model into TensorBoard, ``forecast/1``, ``forecast/2``, ...

    The figures are of origins spread over the test. Each has the steps before its origin, what came, the median and the
    band between the outermost quantiles; with several targets, one panel each.

    Args:
        num_examples: how many figures.

    Raises:
        InputError: ``num_examples`` is less than 1; before training: the task forecasts nothing.
    """

    tasks = (ForecastTask,)

    def __init__(self, num_examples: int = 3) -> None:
        self.num_examples = check_num_examples("forecasts", num_examples)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data, task = data_and_task(trainer, pl_module, ForecastData, ForecastTask)
        if self.writer is None:
            return
        total = len(data.lengths("test"))
        numbers = [int(place) for place in np.linspace(0, total - 1, min(self.num_examples, total))]
        batch = data.collate("test", numbers)
        quantiles = answers(task.model, batch.inputs, batch.lengths, batch.future)
        median = task.model.head.quantiles.index(0.5)
        for row, number in enumerate(numbers):
            series, origin = data.origin("test", number)
            before = series.values[max(0, origin - data.cut.context) : origin, : len(task.spec.targets)]
            title = f"{series.name} from {series.when(origin)}"
            figure = draw_forecast(before, batch.targets[row], quantiles[row], task.spec.targets, title, median)
            self.writer.add_figure(f"forecast/{row + 1}", figure, self.last_step)


def draw_forecast(
    before: NDArray[np.float64], came: Tensor, quantiles: Tensor, names: tuple[str, ...], title: str, median: int
) -> Any:
    """Draws one forecast, a panel for each target.

    Args:
        before: the targets before the origin, ``(T, K)``.
        came: what came, ``(H, K)``.
        quantiles: ``(H, K, Q)``.
        names: the names of the targets.
        title: the title.
        median: which of the quantiles is the forecast.

    Returns:
        The Matplotlib figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.6 + 2.2 * len(names)), layout="constrained")
    past, steps = np.arange(-len(before), 0), np.arange(len(came))
    for number, (name, axes) in enumerate(zip(names, figure.subplots(len(names), squeeze=False)[:, 0], strict=True)):
        q = quantiles[:, number].numpy()
        axes.plot(past, before[:, number], color="black", linewidth=1)
        axes.plot(steps, came[:, number].numpy(), color="black", linewidth=1, linestyle="--", label="came")
        axes.plot(steps, q[:, median], color="tab:blue", label="forecast")
        axes.fill_between(
            steps, q[:, 0], q[:, -1], color="tab:blue", alpha=0.2, linewidth=0, label="outermost quantiles"
        )
        axes.set_ylabel(name)
    figure.axes[0].set_title(title)
    figure.axes[0].legend(loc="best", fontsize="small")
    figure.axes[-1].set_xlabel("step from the origin")
    return figure
