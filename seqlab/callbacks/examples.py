"""Shows a few of the model's answers during training and at the test."""

import inspect
import logging
from typing import Any, Final, TypeGuard

import lightning.pytorch as pl
import torch

from seqlab.callbacks.at_test import AtTest
from seqlab.callbacks.writer import check_num_examples, validation_writer
from seqlab.errors import InputError
from seqlab.tasks import Examples, SequenceTask

_OF_EVERY_TASK: Final = frozenset(inspect.signature(SequenceTask.examples).parameters)

log = logging.getLogger("seqlab")


class ShowExamples(AtTest):
    """Shows the model's answers to the first examples of a split, as the task's ``examples`` writes them.

    Each validation writes its examples to the logger, in TensorBoard to its tab Text. The test prints them at the end
    with ``print_test``.
    Random numbers come from a generator that is seeded with the step, so training draws the same with and without this
    callback. A log line names a task that shows no examples.

    Args:
        num_examples: the number of examples.
        print_test: whether the test prints its examples.
        **options: further arguments of the task's ``examples``, such as the ``prompt`` of a language model; None leaves
            the task's default.

    Raises:
        InputError: ``num_examples`` is less than 1, or, when training begins, the task has no such option.
    """

    def __init__(self, num_examples: int = 8, print_test: bool = False, **options: Any) -> None:
        self.num_examples = check_num_examples("examples", num_examples)
        self.print_test = print_test
        self.options = {name: value for name, value in options.items() if value is not None}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if not _shows_examples(pl_module):
            if stage == "fit":
                log.info("callbacks.examples: %s shows no examples", type(pl_module).__name__)
            return
        options = [name for name in inspect.signature(pl_module.examples).parameters if name not in _OF_EVERY_TASK]
        for name in self.options:
            if name not in options:
                raise InputError(
                    f"callbacks.examples.{name}: the examples of a {type(pl_module).__name__} have no such option; "
                    f"expected {' or '.join(options) if options else 'none'}; give the callbacks of its preset, or "
                    "callbacks.examples=null"
                )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        writer = validation_writer(trainer)
        if writer is not None and (examples := self._examples(trainer, pl_module, "validation", trainer.global_step)):
            writer.add_text(examples.name, examples.text, trainer.global_step)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.print_test and (examples := self._examples(trainer, pl_module, "test", self.last_step)):
            print("\n".join(examples.lines), flush=True)

    def _examples(self, trainer: pl.Trainer, pl_module: pl.LightningModule, split: str, seed: int) -> Examples | None:
        if not _shows_examples(pl_module):
            return None
        data = trainer.datamodule  # type: ignore[attr-defined]
        generator = torch.Generator().manual_seed(seed)
        return pl_module.examples(data, split, self.num_examples, generator, **self.options)


def _shows_examples(task: pl.LightningModule) -> TypeGuard[SequenceTask]:
    return isinstance(task, SequenceTask) and type(task).examples is not SequenceTask.examples
