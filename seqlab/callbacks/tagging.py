"""What a tagger answers to single sentences, shown."""

from collections.abc import Iterator

import lightning.pytorch as pl

from seqlab.callbacks.at_test import AtTest
from seqlab.callbacks.writer import check_num_examples, data_and_task, tensorboard_writer
from seqlab.data.tagging.module import TaggingData
from seqlab.tasks.tagging import TaggingTask, likeliest


class SampleTags(AtTest):
    """The first ``num_examples`` sentences of a split: each word with its true tag and the one that it got.

    Those of validation go to TensorBoard at each validation, as a table; those of the test are printed at the end,
    where ``print_test`` is true. Nothing is drawn at random.
    """

    def __init__(self, num_examples: int = 4, print_test: bool = False) -> None:
        self.num_examples = check_num_examples("predictions", num_examples)
        self.print_test = print_test

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        writer = tensorboard_writer(trainer)
        if writer is None:
            return
        rows = ["| word | true | predicted |", "| --- | --- | --- |"]
        for sentence in self._answers(trainer, pl_module, "validation"):
            for word, true, predicted in sentence:
                shown = predicted if predicted == true else f"**{predicted}**"
                rows.append(f"| {_plain(word)} | {true} | {shown} |")
            rows.append("| | | |")
        writer.add_text("predictions", "\n".join(rows), trainer.global_step)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.print_test:
            return
        for sentence in self._answers(trainer, pl_module, "test"):
            words = (
                f"{word}/{predicted}" + ("" if predicted == true else f" (true: {true})")
                for word, true, predicted in sentence
            )
            print(" ".join(words), flush=True)

    def _answers(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, split: str
    ) -> Iterator[list[tuple[str, str, str]]]:
        """Of each sentence the words, their true tags and those that they got."""
        data, task = data_and_task(trainer, pl_module, TaggingData, TaggingTask)
        sentences = data.sentences(split)[: self.num_examples]
        found = likeliest(task.model, data.collate(split, list(range(len(sentences)))))
        for sentence, row in zip(sentences, found, strict=True):
            predicted, true = [task.tags[tag] for tag in row], list(sentence.tags)
            if task.scheme is not None:
                predicted, true = task.scheme.write(predicted), task.scheme.write(true)
            yield list(zip(sentence.words, true, predicted, strict=True))


def _plain(word: str) -> str:
    """A word without a meaning to Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+-.!|" else letter for letter in word)
