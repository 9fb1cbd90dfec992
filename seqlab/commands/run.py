"""A run from Python: what ``seqlab.load`` and ``seqlab.train`` return."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from seqlab.config.trust import allow
from seqlab.errors import InputError
from seqlab.imports import add_user_folders, quick_imports
from seqlab.report.collect import UNREADABLE, run_folders
from seqlab.run.record import read_record

if TYPE_CHECKING:
    import lightning.pytorch as pl
    import pandas as pd
    from torch import nn

    from seqlab.data import Spec, Vocabulary
    from seqlab.run.load import SavedRun
    from seqlab.tasks import Prediction

log = logging.getLogger("seqlab")


class Run:
    """A run's folder, read back: what it measured, its model, and what the model says.

    Nothing is loaded before it is asked for: the record alone needs no PyTorch. What is loaded is kept, and read again,
    with a log line, where the run has another checkpoint by then.

    Args:
        run_dir: the run's folder.

    Attributes:
        run_dir: the run's folder.
        record: the fields of its ``run.json``; see :mod:`seqlab.run.record`.

    Raises:
        InputError: the folder holds no run.
    """

    def __init__(self, run_dir: str | os.PathLike[str]) -> None:
        self.run_dir = Path(run_dir)
        self.record: dict[str, Any] = read_record(self.run_dir)
        self._kept: tuple[Any, SavedRun] | None = None  # with the mark of its checkpoint
        self._task: pl.LightningModule | None = None

    def __repr__(self) -> str:
        return f"<Run {str(self.run_dir)!r}: {self.record['status']}>"

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        return dict(self.record["config"])

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the best checkpoint, by their names in TensorBoard."""
        return dict(self.record["metrics"])

    @property
    def _saved(self) -> "SavedRun":
        """The run as its checkpoint is now."""
        mark = _mark(self.run_dir)  # taken first: a checkpoint that is replaced meanwhile is read again next time
        if self._kept is None or self._kept[0] != mark:
            with quick_imports():
                from seqlab.run.load import load_run
            saved = load_run(self.run_dir)
            if self._kept is not None:
                log.info("%s has another checkpoint by now: it is read again", self.run_dir)
                self.record = saved.record
            self._kept, self._task = (mark, saved), None
        return self._kept[1]

    @property
    def spec(self) -> "Spec":
        """What its data said of itself: the sizes that the model was made with."""
        return self._saved.spec

    @property
    def vocabularies(self) -> "Mapping[str, Vocabulary]":
        """Its vocabularies by their names; none where its data is of numbers."""
        return self._saved.vocabularies

    @property
    def vocabulary(self) -> "Vocabulary":
        """The main vocabulary.

        Raises:
            InputError: its data has none.
        """
        return self._saved.vocabulary

    @property
    def model(self) -> "nn.Module":
        """The model with the weights of the best checkpoint, in evaluation mode, on the CPU.

        It is one object until the run has another checkpoint, and the one that :meth:`generate`, :meth:`complete` and
        :meth:`predict` ask: they see what you change in it.

        Raises:
            InputError: there is no checkpoint yet, or it does not fit.
        """
        return self._saved.model()

    @property
    def task(self) -> "pl.LightningModule":
        """The LightningModule around :attr:`model`."""
        with quick_imports():
            from seqlab.config.build import build_task
        saved = self._saved
        if self._task is None:
            self._task = build_task(saved.config, saved.spec, saved.model())
        return self._task

    def evaluate(self, *overrides: str) -> dict[str, float]:
        """The metrics of the best checkpoint on validation and test, as ``seqlab evaluate RUN_DIR OVERRIDES``.

        Raises:
            InputError: an override or the data is wrong.
        """
        with quick_imports():
            from seqlab.commands.evaluate import evaluate
        return evaluate(self.run_dir, list(overrides))

    def generate(
        self,
        prompt: str,
        max_new_tokens: int = 200,
        *,
        greedy: bool = False,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        num_samples: int = 1,
        seed: int = 0,
    ) -> list[str]:
        """Continuations of ``prompt``, each with the prompt, as ``seqlab generate RUN_DIR``.

        Raises:
            InputError: this is no language model, the prompt is empty, or an option is out of range.
        """
        with quick_imports():
            from seqlab.commands.generate import generate
            from seqlab.nn.models.generation import Sampling
        sampling = Sampling(greedy, temperature, top_k, top_p)
        return generate(self._saved, prompt, max_new_tokens, sampling, num_samples, seed)

    def complete(self, text: str, count: int = 10, num_words: int = 1) -> list[tuple[str, float]]:
        """The likeliest continuations of ``text`` with their probabilities, as ``seqlab complete RUN_DIR``.

        Raises:
            InputError: this is no language model, or the text is empty.
        """
        with quick_imports():
            from seqlab.commands.generate import complete
        return complete(self._saved, text, count, num_words)

    def predict(self, *inputs: str, file: str | os.PathLike[str] | None = None) -> "list[Prediction]":
        """The task's answers to new input, as ``seqlab predict RUN_DIR``.

        Raises:
            InputError: the task answers none, there is no input, or it is empty.
        """
        with quick_imports():
            from seqlab.commands.predict import predict
        return predict(self._saved, inputs, None if file is None else Path(file))


def _mark(run_dir: Path) -> tuple[Any, ...] | None:
    """What tells a run's checkpoint from one that took its place; None without one."""
    for name in ("best", "last"):
        try:
            file = os.stat(run_dir / "checkpoints" / f"{name}.ckpt")
        except FileNotFoundError:
            continue
        return name, file.st_ino, file.st_size, file.st_mtime_ns
    return None


def load(run_dir: str | os.PathLike[str], *, allowed: Iterable[str] = ()) -> Run:
    """See :func:`seqlab.load`."""
    run = Run(run_dir)
    allow(allowed)
    add_user_folders([os.getcwd()])
    return run


def runs(folders: Sequence[str | os.PathLike[str]]) -> "pd.DataFrame":
    """See :func:`seqlab.runs`."""
    import pandas as pd

    rows = [_row(folder) for folder in sorted(run_folders(folders))]
    results = dict.fromkeys(name for facts, _ in rows for name in facts)
    keys = dict.fromkeys(name for _, config in rows for name in config)
    varied = [key for key in keys if len({repr(config.get(key)) for _, config in rows}) > 1]
    columns = [*results, *varied, *(key for key in keys if key not in varied)]
    return pd.DataFrame([{**config, **facts} for facts, config in rows], columns=list(dict.fromkeys(columns)))


_FACTS: Final = ("status", "error", "num_parameters", "tokens_per_second", "train_seconds", "peak_memory_bytes")


def _row(folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run measured, and its configuration by dotted keys; of a damaged record, what is wrong with it."""
    try:
        record = read_record(folder)
    except InputError as error:
        return {"run_dir": folder, "status": UNREADABLE, "error": str(error)}, {}
    facts = {"run_dir": folder, **{name: record[name] for name in _FACTS}, **record["metrics"]}
    return facts, _leaves(record["config"])


def _leaves(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """The values of a configuration by their dotted keys."""
    leaves: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            leaves |= _leaves(value, f"{above}{name}.")
        else:
            leaves[f"{above}{name}"] = value
    return leaves
