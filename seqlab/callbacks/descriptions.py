"""Where a captioner looks: attention over pictures, word by word."""

from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqlab.callbacks.at_test import AtTest
from seqlab.callbacks.writer import check_num_examples, data_and_task
from seqlab.data.captions.module import CaptionData
from seqlab.tasks.captions import CaptionTask
from seqlab.tasks.translation import decode, translate


class DescriptionFigures(AtTest):
    """Draws where the trained model looks in pictures of the test into TensorBoard, ``description/1``, ...

    Each figure has the picture, and for each token of its description the attention over the places, laid over the
    picture. A model without attention has the picture alone.

    Args:
        num_examples: how many pictures.

    Raises:
        InputError: ``num_examples`` is less than 1; before training: the task describes no pictures.
    """

    tasks = (CaptionTask,)

    def __init__(self, num_examples: int = 3) -> None:
        self.num_examples = check_num_examples("descriptions", num_examples)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data, task = data_and_task(trainer, pl_module, CaptionData, CaptionTask)
        if self.writer is None or len(data.spec.picture_size) == 2:
            return
        rows = data.rows("test")[: self.num_examples]
        batch = data.collate("test", list(range(len(rows))))
        search = {**task.search, "max_length": task.scoring.max_length or int(batch.source_lengths[0])}
        written = translate(task.model, data.spec, batch.source, batch.source_lengths, **search)  # type: ignore[arg-type]
        for number, tokens in enumerate(written.best()):
            names = [decode(data.spec, data.vocabulary, [token]) for token in tokens]  # type: ignore[arg-type]
            weights = None if written.attention is None else written.attention[number, : len(tokens)].cpu()
            title = decode(data.spec, data.vocabulary, tokens)  # type: ignore[arg-type]
            figure = draw_description(rows[number].values, names, weights, title)
            self.writer.add_figure(f"description/{number + 1}", figure, self.last_step)


def draw_description(picture: NDArray[np.float32], tokens: list[str], weights: Tensor | None, title: str) -> Any:
    """Draws a picture, and attention over it at each token.

    Args:
        picture: ``(C, H, W)``.
        tokens: the tokens of the description.
        weights: the attention, ``(S, L)``; None: none.
        title: the title.

    Returns:
        The Matplotlib figure.
    """
    from matplotlib.figure import Figure

    count = 1 + (len(tokens) if weights is not None else 0)
    columns = min(count, 6)
    figure = Figure(figsize=(1.6 * columns, 1.8 * -(-count // columns) + 0.3), layout="constrained")
    panels = figure.subplots(-(-count // columns), columns, squeeze=False).ravel()
    shown = picture.transpose(1, 2, 0) if picture.shape[0] == 3 else picture[0]
    for panel in panels:
        panel.axis("off")
    panels[0].imshow(shown, cmap="Greys_r", vmin=0, vmax=1)
    for number, (panel, token) in enumerate(zip(panels[1:], tokens if weights is not None else [], strict=False)):
        assert weights is not None
        panel.imshow(shown, cmap="Greys_r", vmin=0, vmax=1)
        panel.imshow(_spread(weights[number], picture.shape[1:]), cmap="Reds", alpha=0.6, vmin=0)
        panel.set_title(token, fontsize="small")
    figure.suptitle(title, fontsize="medium")
    return figure


def _spread(weights: Tensor, size: tuple[int, ...]) -> NDArray[np.float32]:
    """The weights of places, as large as the picture."""
    rows = -(-size[0] // 8)
    grid = weights.view(1, 1, rows, -1).float()
    spread: NDArray[np.float32] = torch.nn.functional.interpolate(grid, size=tuple(size), mode="nearest")[0, 0].numpy()
    return spread
