"""What an answerer answers and what it looks at, shown."""

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from seqlab.callbacks.at_test import AtTest
from seqlab.callbacks.writer import check_num_examples, data_and_task, tensorboard_writer
from seqlab.data.answers.module import AnswerData
from seqlab.data.formats.babi import StoryQuestion
from seqlab.tasks.answer import AnswerTask, probabilities

_SHOWN = 40  # sentences or words that a figure has room for


class SampleAnswers(AtTest):
    """The answers to the first ``num_examples`` questions of a split.

    Those of validation go to TensorBoard at each validation, as a table; those of the test are printed at the end,
    where ``print_test`` is true. Nothing is drawn at random.
    """

    def __init__(self, num_examples: int = 8, print_test: bool = False) -> None:
        self.num_examples = check_num_examples("answers", num_examples)
        self.print_test = print_test

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        writer = tensorboard_writer(trainer)
        if writer is None:
            return
        rows = ["story | question | true | answer | probability", "--- | --- | --- | --- | ---"]
        for row, answer, probability in self._answers(trainer, pl_module, "validation"):
            shown = answer if answer == row.answer else f"**{answer}**"
            cells = [" ".join(row.story), row.question, row.answer, shown, f"{probability:.3f}"]
            rows.append(" | ".join(cell.replace("|", "\\|") for cell in cells))
        writer.add_text("answers", "\n".join(f"| {row} |" for row in rows), trainer.global_step)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.print_test:
            for row, answer, probability in self._answers(trainer, pl_module, "test"):
                print(" ".join(row.story), flush=True)
                print(f"  {row.question}  {answer} {probability:.4f}  (true: {row.answer})", flush=True)

    def _answers(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, split: str
    ) -> list[tuple[StoryQuestion, str, float]]:
        """Each question with its likeliest answer and that one's probability."""
        data, task = data_and_task(trainer, pl_module, AnswerData, AnswerTask)
        rows = data.rows(split)[: self.num_examples]
        found, _ = probabilities(task.model, data.collate(split, list(range(len(rows)))))
        best = found.max(1)
        answers = [task.answers[number] for number in best.indices.tolist()]
        return list(zip(rows, answers, best.values.tolist(), strict=True))


class AnswerAttention(AtTest):
    """Draws where the trained model's attention lies in a story into TensorBoard, ``attention/1``, ``attention/2``, ...

    One map for each of the first ``num_examples`` questions of the test: a row for each sentence (or word) of the
    story, the last 40 of a longer one, and a column for each hop, which sums to one over the whole story. A star stands
    before the sentences that the data says tell the answer. A model without attention has no maps.
    """

    def __init__(self, num_examples: int = 3) -> None:
        self.num_examples = check_num_examples("attention", num_examples)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data, task = data_and_task(trainer, pl_module, AnswerData, AnswerTask)
        if self.writer is None or task.model.attention is None:
            return
        rows = data.rows("test")[: self.num_examples]
        found, weights = probabilities(task.model, data.collate("test", list(range(len(rows)))))
        for number, row in enumerate(rows):
            steps = _steps(row, data, task.model.unit)
            answer = task.answers[int(found[number].argmax())]
            title = f"{row.question} {answer}" + ("" if answer == row.answer else f" (true: {row.answer})")
            figure = draw(steps[-_SHOWN:], weights[number, :, : len(steps)][:, -_SHOWN:], title)
            self.writer.add_figure(f"attention/{number + 1}", figure, self.last_step)


def _steps(row: StoryQuestion, data: AnswerData, unit: str) -> list[str]:
    """What a story is read by, sentences or words."""
    if unit == "word":
        return [piece for sentence in row.story for piece in data.vocabulary.pieces(sentence)]
    return [("* " if position in row.supports else "") + text for position, text in enumerate(row.story)]


def draw(steps: Sequence[str], weights: Tensor, title: str) -> Any:
    """A figure of attention's weights ``(hops, steps)``, a row for each step."""
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
