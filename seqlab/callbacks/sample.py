"""Text written by the model while it trains."""

import lightning.pytorch as pl
import torch

from seqlab.callbacks.at_test import Observer
from seqlab.callbacks.writer import language_model, tensorboard_writer
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.nn.models.generation import generate


def default_prompt(vocabulary: Vocabulary) -> str:
    """What a sample starts from where no prompt is given: the start of a line where the vocabulary knows one, else its
    first token."""
    for start in ("\n", vocabulary.settings.end_of_line):
        if start in vocabulary.index:
            return str(start)
    return vocabulary.tokens[0]


class SampleText(Observer):
    """Writes a continuation of ``prompt`` into TensorBoard at each validation.

    Sampling draws from a generator of its own, seeded by the step: training's random numbers are the same with and
    without it.
    """

    def __init__(self, prompt: str | None = None, num_tokens: int = 200, temperature: float = 0.8) -> None:
        if prompt == "" or num_tokens < 1 or not temperature > 0:
            raise InputError(
                "callbacks.sample: expected a prompt or null, num_tokens of 1 or more and a temperature above 0, got "
                f"prompt={prompt!r}, num_tokens={num_tokens} and temperature={temperature}"
            )
        self.prompt = prompt
        self.num_tokens = num_tokens
        self.temperature = temperature

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        writer = tensorboard_writer(trainer)
        if writer is None:
            return
        vocabulary = trainer.datamodule.vocabulary  # type: ignore[attr-defined]
        prompt = default_prompt(vocabulary) if self.prompt is None else self.prompt
        tokens = generate(
            language_model(pl_module),
            vocabulary.encode(prompt).tolist(),
            self.num_tokens,
            temperature=self.temperature,
            generator=torch.Generator().manual_seed(trainer.global_step),
        )
        text = vocabulary.decode([*vocabulary.encode(prompt), *tokens[0].tolist()])
        # TensorBoard renders Markdown: an indented block keeps line breaks and asterisks as they are.
        block = "\n".join("    " + line for line in text.splitlines())
        writer.add_text("sample", block, trainer.global_step)
