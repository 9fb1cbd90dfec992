"""Figures of attention: over a story at each hop, over a source at each token of its translation."""

from collections.abc import Sequence
from typing import Any, Final

import lightning.pytorch as pl
from torch import Tensor

from seqlab.callbacks.at_test import AtTest, Observer
from seqlab.callbacks.writer import check_num_examples, data_and_task, validation_writer
from seqlab.data.answers.module import AnswerData
from seqlab.data.formats.babi import StoryQuestion
from seqlab.data.translation.module import TranslationData
from seqlab.tasks.answer import AnswerTask, probabilities
from seqlab.tasks.translation import TranslationTask, translate

_SHOWN: Final = 40  # sentences or words that a figure has room for


class AnswerAttention(AtTest):
    """Draws the attention of the trained model over stories into TensorBoard, ``attention/1``, ``attention/2``, ...

    Each of the first ``num_examples`` questions of the test has a figure. It has a row for each sentence (or word) of
    the story, the last 40 of a longer one, and a column for each hop, which sums to one over the whole story. A star
    marks the sentences that the data names as facts for the answer. A model without attention has no figures.

    Args:
        num_examples: the number of questions.

    Raises:
        InputError: ``num_examples`` is less than 1; before training: the task answers no questions.
    """

    tasks = (AnswerTask,)

    def __init__(self, num_examples: int = 3) -> None:
        self.num_examples = check_num_examples("attention", num_examples)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data, task = data_and_task(trainer, pl_module, AnswerData, AnswerTask)
        if self.writer is None or task.model.head.attention is None:
            return
        rows = data.rows("test")[: self.num_examples]
        answers, weights = probabilities(task.model, data.collate("test", list(range(len(rows)))))
        for number, row in enumerate(rows):
            steps = _steps(row, data, task.model.unit)
            answer = task.answers[int(answers[number].argmax())]
            title = f"{row.question} {answer}" + ("" if answer == row.answer else f" (true: {row.answer})")
            figure = draw_hops(steps[-_SHOWN:], weights[number, :, : len(steps)][:, -_SHOWN:], title)
            self.writer.add_figure(f"attention/{number + 1}", figure, self.last_step)


def _steps(row: StoryQuestion, data: AnswerData, unit: str) -> list[str]:
    """The steps in which a model reads a story: its sentences, or its words."""
    if unit == "word":
        return [piece for sentence in row.story for piece in data.vocabulary.pieces(sentence)]
    return [("* " if position in row.supports else "") + text for position, text in enumerate(row.story)]


def draw_hops(steps: Sequence[str], weights: Tensor, title: str) -> Any:
    """Draws the attention of each hop, with a row for each step.

    Args:
        steps: the text of each step.
        weights: the weights of attention, ``(hops, steps)``.
        title: the title.

    Returns:
        The Matplotlib figure.
    """
    from matplotlib.figure import Figure

    hops = weights.size(0)
    figure = Figure(figsize=(4 + 0.5 * hops, 1.5 + 0.28 * len(steps)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(weights.T.numpy(), aspect="auto", cmap="Greys", vmin=0, vmax=1)
    axes.set_xticks(range(hops), [str(hop + 1) for hop in range(hops)])
    axes.set_yticks(range(len(steps)), [step.replace("$", r"\$") for step in steps])
    axes.set_xlabel("hop")
    axes.set_title(title.replace("$", r"\$"), fontsize="medium")
    return figure


class AttentionMaps(Observer):
    """Draws the attention of a translator into TensorBoard at each validation, ``attention/1``, ``attention/2``, ...

    Each of the first ``num_examples`` sentences of validation has a figure. It has a column for each token of the
    source and a row for each token of the translation that beam search finds, with its end. A row sums to one. A model
    without attention has no figures.

    Args:
        num_examples: the number of sentences.

    Raises:
        InputError: ``num_examples`` is less than 1; before training: the task does not translate.
    """

    tasks = (TranslationTask,)

    def __init__(self, num_examples: int = 3) -> None:
        self.num_examples = check_num_examples("attention", num_examples)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        writer = validation_writer(trainer)
        if writer is None:
            return
        data, task = data_and_task(trainer, pl_module, TranslationData, TranslationTask)
        if task.model.decoder.attention is None:
            return
        pairs = data.rows("validation")[: self.num_examples]
        batch = data.collate("validation", list(range(len(pairs))))
        translations = translate(task.model, task.spec, batch.source, batch.source_lengths, **task.search)
        assert translations.attention is not None
        source, target = (data.vocabularies[side] for side in task.spec.vocabularies)
        for number, (pair, tokens) in enumerate(zip(pairs, translations.best(), strict=True)):
            source_tokens = source.encode(pair.source).tolist()
            columns = [source.decode([token]) for token in source_tokens]
            rows = [target.decode([token]) if token < task.spec.bos else "<bos>" for token in tokens]
            weights = translations.attention[number, : len(tokens) + 1, : len(source_tokens)]
            figure = draw_alignment(columns, [*rows, "<eos>"], weights, task.sides)
            writer.add_figure(f"attention/{number + 1}", figure, trainer.global_step)


def draw_alignment(
    source: Sequence[str], target: Sequence[str], weights: Tensor, sides: tuple[str, str] = ("source", "translation")
) -> Any:
    """Draws the attention of a translation.

    Args:
        source: the tokens of the source, the columns.
        target: the tokens of the translation, the rows.
        weights: the weights of attention, ``(target tokens, source tokens)``.
        sides: the names of the two axes.

    Returns:
        The Matplotlib figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.2 + 0.2 * len(source), 1.2 + 0.2 * len(target)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(weights.float().cpu().numpy(), aspect="auto", cmap="Greys", vmin=0, vmax=1)
    axes.set_xticks(range(len(source)), [_visible(token) for token in source], rotation=90, fontsize=8)
    axes.set_yticks(range(len(target)), [_visible(token) for token in target], fontsize=8)
    axes.set_xlabel(sides[0])
    axes.set_ylabel(sides[1])
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    return figure


def _visible(token: str) -> str:
    """A token as a label: spaces and unprintable characters become visible, and a dollar begins no formula."""
    printable = "".join(character if character.isprintable() else "\ufffd" for character in token)
    return printable.replace(" ", "\u2423").replace("$", r"\$")
