"""What a classifier answers to single texts, shown."""

import lightning.pytorch as pl

from seqlab.callbacks.at_test import AtTest
from seqlab.callbacks.confusion import MOST_NAMED
from seqlab.callbacks.writer import check_num_examples, data_and_task, tensorboard_writer
from seqlab.data.classification.module import ClassificationData
from seqlab.tasks.classification import ClassificationTask, probabilities


class SamplePredictions(AtTest):
    """The probabilities of the first ``num_examples`` texts of a split, as the model reads them.

    Those of validation go to TensorBoard at each validation, as a table; those of the test are printed at the end,
    where ``print_test`` is true; of more than 50 classes the likeliest five. Nothing is drawn at random.
    """

    def __init__(self, num_examples: int = 8, print_test: bool = False) -> None:
        self.num_examples = check_num_examples("predictions", num_examples)
        self.print_test = print_test

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        writer = tensorboard_writer(trainer)
        if writer is None:
            return
        data, task = data_and_task(trainer, pl_module, ClassificationData, ClassificationTask)
        head = ["text", "true", *task.labels[:10]]
        rows = [" | ".join(head), " | ".join(["---"] * len(head))]
        for text, label, found in self._answers(data, task, "validation"):
            rows.append(" | ".join([text.replace("|", "\\|"), label, *(f"{value:.3f}" for value in found[:10])]))
        writer.add_text("predictions", "\n".join(f"| {row} |" for row in rows), trainer.global_step)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.print_test:
            return
        data, task = data_and_task(trainer, pl_module, ClassificationData, ClassificationTask)
        for text, label, found in self._answers(data, task, "test"):
            pairs = list(zip(task.labels, found, strict=True))
            if len(pairs) > MOST_NAMED:
                pairs = sorted(pairs, key=lambda pair: -pair[1])[:5]
            shown = "  ".join(f"{name} {value:.4f}" for name, value in pairs)
            print(f"{shown}  {text}  (true: {label})", flush=True)

    def _answers(
        self, data: ClassificationData, task: ClassificationTask, split: str
    ) -> list[tuple[str, str, list[float]]]:
        """Text, true label and probabilities of each example."""
        batch = data.collate(split, list(range(min(self.num_examples, len(data.lengths(split))))))
        found = probabilities(task.model, batch.inputs, batch.lengths)
        texts = [
            data.vocabulary.decode(row[:length].tolist())
            for row, length in zip(batch.inputs, batch.lengths, strict=True)
        ]
        labels = [row.label for row in data.rows(split)[: len(texts)]]
        return list(zip(texts, labels, found.tolist(), strict=True))
