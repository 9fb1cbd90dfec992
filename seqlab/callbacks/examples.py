"""A few of the model's answers, shown while it trains and at the test."""

import inspect
import logging
from typing import Any, Final, TypeGuard

import lightning.pytorch as pl
import torch

from seqlab.callbacks.at_test import AtTest
from seqlab.callbacks.writer import check_num_examples, tensorboard_writer
from seqlab.errors import InputError
from seqlab.tasks import Examples, SequenceTask

_OF_EVERY_TASK: Final = frozenset(inspect.signature(SequenceTask.examples).parameters)

log = logging.getLogger("seqlab")


class ShowExamples(AtTest):
    """Shows what the model answers to the first examples of a split; see :meth:`SequenceTask.examples`.

    Those of validation go to TensorBoard's tab Text at each validation. Those of the test are printed at the end, where
    ``print_test`` is true. What is drawn at random comes from a generator of its own, seeded by the step: training's
    random numbers are the same with and without this callback. A task that shows no examples is named in a log line.

    Args:
        num_examples: how many are shown.
        print_test: whether those of the test are printed.
        **options: further arguments of the task's ``examples``, such as the ``prompt`` of a language model.

    Raises:
        InputError: ``num_examples`` is less than 1; as a training begins, the task has no such option.
    """

    def __init__(self, num_examples: int = 8, print_test: bool = False, **options: Any) -> None:
        self.num_examples = check_num_examples("examples", num_examples)
        self.print_test = print_test
        self.options = options

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if not _shows_examples(pl_module):
            if stage == "fit":
                log.info("callbacks.examples: a %s shows no examples", type(pl_module).__name__)
            return
        known = [name for name in inspect.signature(pl_module.examples).parameters if name not in _OF_EVERY_TASK]
        for name in self.options:
            if name not in known:
                raise InputError(
                    f"callbacks.examples.{name}: the examples of a {type(pl_module).__name__} have no such option; "
                    f"expected {' or '.join(known) if known else 'none'}; give the callbacks of its preset, or "
                    "callbacks.examples=null"
                )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        writer = tensorboard_writer(trainer)
        if writer is not None and (shown := self._examples(trainer, pl_module, "validation", trainer.global_step)):
            writer.add_text(shown.name, shown.text, trainer.global_step)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.print_test and (shown := self._examples(trainer, pl_module, "test", self.last_step)):
            print("\n".join(shown.lines), flush=True)

    def _examples(self, trainer: pl.Trainer, pl_module: pl.LightningModule, split: str, seed: int) -> Examples | None:
        if not _shows_examples(pl_module):
            return None
        data = trainer.datamodule  # type: ignore[attr-defined]
        generator = torch.Generator().manual_seed(seed)
        return pl_module.examples(data, split, self.num_examples, generator, **self.options)


def _shows_examples(task: pl.LightningModule) -> TypeGuard[SequenceTask]:
    return isinstance(task, SequenceTask) and type(task).examples is not SequenceTask.examples
