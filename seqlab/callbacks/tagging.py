"""What a tagger answers, shown: the confusion matrix of its tags, and single sentences."""

from collections.abc import Iterator

import lightning.pytorch as pl

from seqlab.callbacks.at_test import AtTest
from seqlab.callbacks.classification import draw
from seqlab.callbacks.writer import tensorboard_writer
from seqlab.data.tagging import TaggingData
from seqlab.errors import InputError
from seqlab.tasks.tagging import TaggingTask, likeliest


class TagConfusion(AtTest):
    """Draws the test's confusion matrix of tags into TensorBoard, ``test/confusion``: a row for each true tag.

    The colour is the share of its row; the counts stand in the fields where there are at most 20 tags.
    """

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        task = _tagging(pl_module)
        if self.writer is not None:
            self.writer.add_figure("test/confusion", draw(task.confusion["test"], task.tags), self.last_step)


class SampleTags(AtTest):
    """The first ``num_examples`` sentences of a split: each word with its true tag and the one that it got.

    Those of validation go to TensorBoard at each validation, as a table; those of the test are printed at the end,
    where ``print_test`` is true. Nothing is drawn at random.
    """

    def __init__(self, num_examples: int = 4, print_test: bool = False) -> None:
        if num_examples < 1:
            raise InputError(f"callbacks.predictions.num_examples is {num_examples}; expected 1 or more")
        self.num_examples = num_examples
        self.print_test = print_test

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        writer = tensorboard_writer(trainer)
        if writer is None:
            return
        rows = ["| word | true | predicted |", "| --- | --- | --- |"]
        for sentence in self._answers(trainer, _tagging(pl_module), "validation"):
            for word, true, predicted in sentence:
                shown = predicted if predicted == true else f"**{predicted}**"
                rows.append(f"| {_plain(word)} | {true} | {shown} |")
            rows.append("| | | |")
        writer.add_text("predictions", "\n".join(rows), trainer.global_step)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.print_test:
            return
        for sentence in self._answers(trainer, _tagging(pl_module), "test"):
            words = (
                f"{word}/{predicted}" + ("" if predicted == true else f" (true: {true})")
                for word, true, predicted in sentence
            )
            print(" ".join(words), flush=True)

    def _answers(self, trainer: pl.Trainer, task: TaggingTask, split: str) -> Iterator[list[tuple[str, str, str]]]:
        """Of each sentence the words, their true tags and those that they got."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, TaggingData)
        sentences = data.sentences(split)[: self.num_examples]
        found = likeliest(task.model, data.collate(split, list(range(len(sentences)))))
        for sentence, row in zip(sentences, found, strict=True):
            yield list(zip(sentence.words, sentence.tags, (task.tags[tag] for tag in row), strict=True))


def _plain(word: str) -> str:
    """A word without a meaning to Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+-.!|" else letter for letter in word)


def _tagging(pl_module: pl.LightningModule) -> TaggingTask:
    if not isinstance(pl_module, TaggingTask):
        raise TypeError(f"expected a TaggingTask, got a {type(pl_module).__name__}; give callbacks=default")
    return pl_module
