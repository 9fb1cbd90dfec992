"""``seqlab predict``: a trained model's answers to new input."""

import inspect
from collections.abc import Sequence
from pathlib import Path

from seqlab import build, saved
from seqlab.data.examples import read_lines
from seqlab.errors import InputError
from seqlab.tasks import Prediction


def predict(run_dir: Path, inputs: Sequence[str]) -> list[Prediction]:
    """What the best checkpoint of a run answers to each input, by its task's own ``predict``.

    Raises:
        InputError: there is no input, it is empty, or the task answers none.
    """
    run = saved.load_run(run_dir)
    task = build.task_class(run.config)
    answer = getattr(task, "predict", None)
    if answer is None:
        raise InputError(f"{run_dir} trained a {task.__name__}, which continues text: use seqlab generate or complete")
    if not inputs:
        raise InputError("there is nothing to predict; give a text, such as seqlab predict RUN_DIR 'a text', or --file")
    known = inspect.signature(answer).parameters  # of the task's options those that its answers depend on
    options = {name: value for name, value in run.config["task"].items() if name in known}
    found: list[Prediction] = answer(run.model(), run.spec, run.vocabularies, inputs, **options)
    return found


def inputs_of(given: Sequence[str], file: Path | None) -> list[str]:
    """The inputs of a command line and those of a file's lines.

    Raises:
        InputError: the file cannot be read, or a line of it is empty; names file and line.
    """
    lines = [] if file is None else read_lines(file)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise InputError(f"{file}:{number}: the text is empty")
    return [*given, *lines]
