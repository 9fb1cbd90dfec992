"""What a tagger answers to single sentences, and what it makes of each tag, shown and kept."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import lightning.pytorch as pl

from seqlab.atomic import write_atomically
from seqlab.callbacks.at_test import AtTest
from seqlab.callbacks.writer import check_num_examples, data_and_task, tensorboard_writer
from seqlab.data.tagging import TaggingData
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


class TagTables(AtTest):
    """Writes what the test makes of each tag into the run's folder, however many there are.

    ``test_tags.csv`` has a row for each tag that is true or predicted: its words, the words that got it, and how many
    of these rightly; ``test_entities.csv`` the same of the types of entities; ``test_confusion.csv`` a row for each
    pair of a true and a predicted tag that occurs, the commonest first. A true tag that training never saw is
    ``<unseen>``.
    """

    folder: Path | None = None

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_end(trainer, pl_module)
        self.folder = Path(trainer.default_root_dir)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        _, task = data_and_task(trainer, pl_module, TaggingData, TaggingTask)
        if self.folder is None:
            return
        counts = task.confusion["test"]  # (tags or one more, tags)
        names = (*task.tags, "<unseen>")[: len(counts)]
        true, predicted, correct = counts.sum(1).tolist(), counts.sum(0).tolist(), counts.diagonal().tolist()
        missing = len(names) - len(task.tags)
        columns = zip(names, true, [*predicted, *[0] * missing], [*correct, *[0] * missing], strict=True)
        head = ("true", "predicted", "correct")
        self._write("tags", ("tag", *head), (row for row in columns if row[1] or row[2]))
        places = counts.nonzero()
        pairs = zip(places.tolist(), counts[places[:, 0], places[:, 1]].tolist(), strict=True)
        ranked = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
        rows = ((names[i], task.tags[j], count) for (i, j), count in ranked)
        self._write("confusion", ("true", "predicted", "words"), rows)
        if "test" in task.entity_counts:
            entities = zip(task.entity_types, task.entity_counts["test"].tolist(), strict=True)
            self._write("entities", ("type", *head), ((name, row[2], row[1], row[0]) for name, row in entities))

    def _write(self, name: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        assert self.folder is not None
        content = io.StringIO()
        writer = csv.writer(content, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
        write_atomically(self.folder / f"test_{name}.csv", content.getvalue().encode())


def _plain(word: str) -> str:
    """A word without a meaning to Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+-.!|" else letter for letter in word)
