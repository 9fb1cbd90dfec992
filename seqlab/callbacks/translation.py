"""What a translator writes and what it looks at, shown."""

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from seqlab.callbacks.at_test import AtTest, Observer
from seqlab.callbacks.writer import check_num_examples, data_and_task, tensorboard_writer
from seqlab.data.translation.module import TranslationData
from seqlab.nn.models.translator import Translations
from seqlab.tasks.translation import TranslationTask, decode, translate


class SampleTranslations(AtTest):
    """The translations of the first ``num_examples`` sentences of a split, as the task's beam search finds them.

    Those of validation go to TensorBoard at each validation, as a table beside the references; those of the test are
    printed at the end, where ``print_test`` is true. Nothing is drawn at random.
    """

    def __init__(self, num_examples: int = 8, print_test: bool = False) -> None:
        self.num_examples = check_num_examples("translations", num_examples)
        self.print_test = print_test

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        writer = tensorboard_writer(trainer)
        if writer is None:
            return
        rows = ["source | translation | reference", "--- | --- | ---"]
        for row in self._rows(trainer, pl_module, "validation"):
            rows.append(" | ".join(text.replace("|", "\\|") for text in row))
        writer.add_text("translations", "\n".join(f"| {row} |" for row in rows), trainer.global_step)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.print_test:
            for source, translation, reference in self._rows(trainer, pl_module, "test"):
                print(f"{source}\n  {translation}\n  (reference: {reference})", flush=True)

    def _rows(self, trainer: pl.Trainer, pl_module: pl.LightningModule, split: str) -> list[tuple[str, str, str]]:
        """Source, translation and reference of each example, the source as it stands in the data."""
        data, task = data_and_task(trainer, pl_module, TranslationData, TranslationTask)
        pairs, found = examples(data, task, split, self.num_examples)
        vocabulary = data.vocabularies["target"]
        return [
            (pair.source, decode(task.spec, vocabulary, tokens), pair.target)
            for pair, tokens in zip(pairs, found.best(), strict=True)
        ]


class AttentionMaps(Observer):
    """Draws what attention looks at into TensorBoard at each validation, ``attention/1``, ``attention/2``, ...

    One map for each of the first ``num_examples`` sentences of validation: a column for each token of the source, a row
    for each token of the translation that beam search finds, its end among them. Rows sum to one. A model without
    attention has no maps.
    """

    def __init__(self, num_examples: int = 3) -> None:
        self.num_examples = check_num_examples("attention", num_examples)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        writer = tensorboard_writer(trainer)
        if writer is None:
            return
        data, task = data_and_task(trainer, pl_module, TranslationData, TranslationTask)
        if task.model.decoder.attention is None:
            return
        pairs, found = examples(data, task, "validation", self.num_examples)
        assert found.attention is not None
        source, target = (data.vocabularies[side] for side in task.spec.vocabularies)
        for number, (pair, tokens) in enumerate(zip(pairs, found.best(), strict=True)):
            read = source.encode(pair.source).tolist()
            written = [target.decode([token]) if token < task.spec.bos else "<bos>" for token in tokens]
            weights = found.attention[number, : len(tokens) + 1, : len(read)]
            figure = draw([source.decode([token]) for token in read], [*written, "<eos>"], weights)
            writer.add_figure(f"attention/{number + 1}", figure, trainer.global_step)


def examples(data: TranslationData, task: TranslationTask, split: str, count: int) -> tuple[list[Any], Translations]:
    """The first pairs of a split and their translations."""
    pairs = data.pairs(split)[:count]
    batch = data.collate(split, list(range(len(pairs))))
    return pairs, translate(task.model, task.spec, batch.source, batch.source_lengths, **task.search)


def draw(source: Sequence[str], target: Sequence[str], weights: Tensor) -> Any:
    """A figure of attention's weights ``(target tokens, source tokens)``."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.2 + 0.2 * len(source), 1.2 + 0.2 * len(target)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(weights.float().cpu().numpy(), aspect="auto", cmap="Greys", vmin=0, vmax=1)
    axes.set_xticks(range(len(source)), [_visible(token) for token in source], rotation=90, fontsize=8)
    axes.set_yticks(range(len(target)), [_visible(token) for token in target], fontsize=8)
    axes.set_xlabel("source")
    axes.set_ylabel("translation")
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    return figure


def _visible(token: str) -> str:
    """The token as an axis shows it: a dollar begins no formula, a space is seen, and so is what can't be printed."""
    printable = "".join(character if character.isprintable() else "\ufffd" for character in token)
    return printable.replace(" ", "\u2423").replace("$", r"\$")
