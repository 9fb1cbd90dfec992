"""The lecture's drawing of a character model: hidden state and next-character probabilities, step by step."""

from typing import Any

import lightning.pytorch as pl
import torch

from seqlab.callbacks.at_test import Observer
from seqlab.callbacks.writer import language_model, validation_writer
from seqlab.nn.models.generation import evaluation
from seqlab.nn.models.language_model import NextTokenModel


class StateFigure(Observer):
    """Draws :math:`h_t` and :math:`P(x_{t+1} \\mid x_{\\le t})` at each step of ``text``, into TensorBoard at each
    validation.

    It is meant for small models: each unit and each token of the vocabulary has a row.

    Args:
        text: the text that the model reads.

    Raises:
        InputError: before training: the task has no language model.
    """

    def __init__(self, text: str = "hello") -> None:
        self.text = text

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        language_model(pl_module, "StateFigure")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        writer = validation_writer(trainer)
        if writer is None:
            return
        vocabulary = trainer.datamodule.vocabulary  # type: ignore[attr-defined]
        hidden, probabilities = unroll(language_model(pl_module, "StateFigure"), vocabulary.encode(self.text).tolist())
        writer.add_figure("state", draw(self.text, vocabulary.tokens, hidden, probabilities), trainer.global_step)


def unroll(model: NextTokenModel, tokens: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the output of the last layer, ``(T, F)``, and the probabilities of the next token, ``(T, V)``."""
    with evaluation(model):
        features, _ = model.features(torch.tensor([tokens], device=next(model.parameters()).device))
        return features[0].float().cpu(), model.logits(features)[0].softmax(-1).float().cpu()


def draw(text: str, tokens: list[str], hidden: torch.Tensor, probabilities: torch.Tensor) -> Any:
    """Draws two maps over the steps of a text: the hidden state above, and the probabilities with their values below.

    Args:
        text: the text, a character a step.
        tokens: the vocabulary.
        hidden: the output of the last layer, ``(T, F)``.
        probabilities: the probabilities of the next token, ``(T, V)``.

    Returns:
        The Matplotlib figure.
    """
    from matplotlib.figure import Figure

    steps = range(len(text))
    figure = Figure(figsize=(1.2 + 0.9 * len(text), 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    bound = max(1.0, float(hidden.abs().max()))
    states = above.imshow(hidden.T.numpy(), aspect="auto", cmap="RdBu", vmin=-bound, vmax=bound)
    above.set_ylabel("unit of h_t")
    figure.colorbar(states, ax=above)
    chances = below.imshow(probabilities.T.numpy(), aspect="auto", cmap="Greens", vmin=0, vmax=1)
    below.set_ylabel("next character")
    below.set_xlabel("input character")
    below.set_xticks(steps, [repr(character)[1:-1] for character in text])
    below.set_yticks(range(len(tokens)), [repr(token)[1:-1] for token in tokens])
    figure.colorbar(chances, ax=below, label="P(next)")
    for step in steps:
        for row in range(len(tokens)):
            value = float(probabilities[step, row])
            below.text(step, row, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.6 else "black")
    return figure
