"""Piano rolls in TensorBoard: pieces, and how the model continues them."""

from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.callbacks.at_test import Observer
from seqlab.callbacks.writer import check_num_examples, data_and_task, validation_writer
from seqlab.data.music.module import MusicData
from seqlab.nn.models.frame_model import compose
from seqlab.nn.models.generation import evaluation
from seqlab.tasks.music import MusicTask


class PianoRollFigures(Observer):
    """Draws how the model continues pieces of validation into TensorBoard, ``piano_roll/1``, ..., at each validation.

    A blue line stands behind the frames that are the piece's own.

    Args:
        num_examples: how many pieces.
        num_frames: the frames of each continuation.
        prompt_frames: the first frames of a piece that the model is given.

    Raises:
        InputError: a number is less than 1; before training: the task is none of music.
    """

    tasks = (MusicTask,)

    def __init__(self, num_examples: int = 2, num_frames: int = 64, prompt_frames: int = 8) -> None:
        self.num_examples = check_num_examples("piano_rolls", num_examples)
        self.num_frames, self.prompt_frames = num_frames, prompt_frames

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        writer = validation_writer(trainer)
        if writer is None:
            return
        data, task = data_and_task(trainer, pl_module, MusicData, MusicTask)
        draws = torch.Generator().manual_seed(0)
        for number, piece in enumerate(data.pieces["validation"][: self.num_examples], start=1):
            start = torch.from_numpy(piece.roll[: self.prompt_frames])
            with evaluation(task.model):
                (frames,) = compose(task.model, start, self.num_frames, generator=draws)
            figure = draw_roll(frames.numpy(), task.spec.keys, len(start))
            writer.add_figure(f"piano_roll/{number}", figure, trainer.global_step)


def draw_roll(roll: NDArray[Any], keys: range, prompt_frames: int = 0) -> Any:
    """Draws a piano roll: time to the right, pitch upwards.

    Args:
        roll: ``(T, K)`` of 0 and 1.
        keys: the MIDI pitches of the keys.
        prompt_frames: how many frames were given; a line stands behind them.

    Returns:
        The Matplotlib figure.
    """
    from matplotlib.figure import Figure

    sounding = np.flatnonzero(roll.any(0))
    low, high = (int(sounding[0]), int(sounding[-1]) + 1) if sounding.size else (0, roll.shape[1])
    figure = Figure(figsize=(min(3 + 0.05 * len(roll), 14), 3.2), layout="constrained")
    axes = figure.subplots()
    extent = (0, len(roll), keys.start + low - 0.5, keys.start + high - 0.5)
    axes.imshow(roll[:, low:high].T, aspect="auto", origin="lower", cmap="Greys", extent=extent, interpolation="none")
    if prompt_frames:
        axes.axvline(prompt_frames, color="tab:blue", linewidth=1)
    axes.set_xlabel("frame")
    axes.set_ylabel("MIDI pitch")
    return figure
