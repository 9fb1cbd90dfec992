"""A run from Python, as ``seqlab.load`` and ``seqlab.train`` return it; and the table of ``seqlab.runs``."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from seqlab.commands.run_folder import run_folder
from seqlab.commands.run_record import PresentRecord, UserModules, file_stamp, run_identity
from seqlab.config.hash import flatten
from seqlab.config.parts import referred_key
from seqlab.config.project import project_runs, use_project_modules
from seqlab.config.trust import allow
from seqlab.errors import InputError
from seqlab.imports import quick_imports
from seqlab.report.collect import UNREADABLE, run_folders
from seqlab.run.record import read_record

if TYPE_CHECKING:
    import lightning.pytorch as pl
    import pandas as pd
    from torch import nn

    from seqlab.data import Spec, Vocabulary
    from seqlab.inside import States, UnitRanking
    from seqlab.inside.labels import Label
    from seqlab.run.load import SavedRun
    from seqlab.tasks import Prediction

log = logging.getLogger("seqlab")


class Run:
    """A run read back from its folder: its metrics, its model, and the model's answers.

    Each part is loaded at its first use; the record needs no PyTorch. A loaded part is kept. If the run has another
    checkpoint at a later use, or the folder another run, all of it is read again, with a log line. What a command would
    say of the run on standard error, such as that your code has changed since, is said at the first use of the model.

    Args:
        run_dir: the run's folder.

    Attributes:
        run_dir: the run's folder, an absolute path.

    Raises:
        InputError: the folder holds no run.
    """

    def __init__(self, run_dir: str | os.PathLike[str]) -> None:
        self.run_dir = run_folder(run_dir).absolute()
        self._record = PresentRecord(self.run_dir)
        self._loaded: tuple[Any, SavedRun] | None = None  # with the identity of its run and the stamp of its checkpoint
        self._task: pl.LightningModule | None = None
        self._modules = UserModules.now()

    def __repr__(self) -> str:
        return f"<Run {str(self.run_dir)!r}: {self.record['status']}>"

    def _repr_html_(self) -> str:
        """The run in a notebook: its status, its metrics, and what was asked for."""
        facts = {"run": str(self.run_dir), "status": str(self.record["status"])}
        if self.record["error"]:
            facts["error"] = str(self.record["error"])
        facts["overrides"] = " ".join(self.record["overrides"])
        if self.record["num_parameters"] is not None:
            facts["parameters"] = f"{self.record['num_parameters']:,}"
        facts |= {name: f"{value:.6g}" for name, value in self.record["metrics"].items()}
        rows = (f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in facts.items() if text)
        return f'<table class="seqlab-run">{"".join(rows)}</table>'

    @property
    def record(self) -> dict[str, Any]:
        """The fields of the run's ``run.json`` as they are now; see :mod:`seqlab.run.record`."""
        return self._record.read()

    @property
    def config(self) -> dict[str, Any]:
        """The run's resolved configuration."""
        return dict(self.record["config"])

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the best checkpoint by their names in TensorBoard, such as ``test/loss``."""
        return dict(self.record["metrics"])

    @property
    def _saved(self) -> "SavedRun":
        """The run as its record and its checkpoint are now."""
        run = run_identity(self.record)
        stamp = (run, _checkpoint_stamp(self.run_dir))  # first: what is replaced meanwhile is read again next time
        if self._loaded is None or self._loaded[0] != stamp:
            self._use()
            with quick_imports():
                from seqlab.run.load import load_run
            saved = load_run(self.run_dir)
            if self._loaded is not None and self._loaded[0][0] == run:
                log.info("%s has another checkpoint by now: it is read again", self.run_dir)
            self._loaded, self._task = (stamp, saved), None
        return self._loaded[1]

    def _use(self) -> None:
        """Makes the user's modules those of the folder that the run was loaded in, and says what has changed."""
        self._modules.use(self.record)
        self._record.tell_changes()

    @property
    def spec(self) -> "Spec":
        """What the model was made from of its data, such as the number of tokens."""
        return self._saved.spec

    @property
    def vocabularies(self) -> "Mapping[str, Vocabulary]":
        """The vocabularies by their names; empty for data of numbers."""
        return self._saved.vocabularies

    @property
    def vocabulary(self) -> "Vocabulary":
        """The main vocabulary.

        Raises:
            InputError: the run's data has none.
        """
        return self._saved.vocabulary

    @property
    def model(self) -> "nn.Module":
        """The model with the weights of the best checkpoint, in evaluation mode, on the CPU.

        It stays one object until the run has another checkpoint. :meth:`generate`, :meth:`complete` and :meth:`predict`
        use it: they see what you change in it.

        Raises:
            InputError: there is no checkpoint yet, or it does not fit the configuration.
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
        """Measures the best checkpoint on validation and test, as ``seqlab evaluate RUN_DIR OVERRIDES`` does.

        Args:
            *overrides: ``KEY=VALUE`` changes of the run's configuration, such as ``"data.path=other.txt"``.

        Returns:
            The metrics by their names in TensorBoard, such as ``test/loss``.

        Raises:
            InputError: an override or the data is wrong.
        """
        with quick_imports():
            from seqlab.commands.evaluate import evaluate
            from seqlab.run.torch_settings import settings_put_back
        self._use()
        with settings_put_back():
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
        """Continues a prompt, as ``seqlab generate RUN_DIR`` does.

        Args:
            prompt: the text to continue.
            max_new_tokens: the most tokens to add.
            greedy: takes the likeliest token each time.
            temperature: below 1 sharpens the distribution, above 1 flattens it.
            top_k: draws from this many likeliest tokens; None: from all.
            top_p: draws from the fewest likeliest tokens whose probabilities sum to this; None: from all.
            num_samples: the number of texts.
            seed: of the random draws.

        Returns:
            The texts, each beginning with the prompt.

        Raises:
            InputError: this is no language model, the prompt is empty, or an option is out of range.
        """
        with quick_imports():
            from seqlab.commands.generate import generate
            from seqlab.nn.models.generation import Sampling
        sampling = Sampling(greedy, temperature, top_k, top_p)
        return generate(self._saved, prompt, max_new_tokens, sampling, num_samples, seed)

    def complete(self, text: str, count: int = 10, num_words: int = 1) -> list[tuple[str, float]]:
        """Lists the likeliest continuations of a text, as ``seqlab complete RUN_DIR`` does.

        Args:
            text: the text to continue.
            count: the most continuations.
            num_words: the words of each continuation.

        Returns:
            Continuations and their probabilities, the likeliest first.

        Raises:
            InputError: this is no language model, or the text is empty.
        """
        with quick_imports():
            from seqlab.commands.generate import complete
        return complete(self._saved, text, count, num_words)

    def predict(
        self, *inputs: str | os.PathLike[str], file: str | os.PathLike[str] | None = None
    ) -> "list[Prediction]":
        """Asks the model about new input, as ``seqlab predict RUN_DIR`` does.

        Args:
            *inputs: texts; or files, where the run was trained on numbers. Those of a list: ``run.predict(*items)``.
            file: a text file of further inputs, one a line; or one more file of numbers.

        Returns:
            An answer for each input, in their order.

        Raises:
            InputError: the task answers no input, there is no input, or an input is empty, is no text, or names a file
                where texts are expected (``file=`` reads its lines).
        """
        with quick_imports():
            from seqlab.commands.predict import predict
        return predict(self._saved, inputs, None if file is None else Path(file))

    def export(
        self,
        folder: str | os.PathLike[str] | None = None,
        format: str = "onnx",
        *,
        int8: bool = False,
        overwrite: bool = False,
    ) -> Path:
        """Writes the model as files that run without seqlab, as ``seqlab export RUN_DIR`` does.

        Args:
            folder: a new folder; None: ``export/FORMAT`` in the run's folder.
            format: "onnx", or "torch" for programs of ``torch.export``.
            int8: whether files with 8-bit weights are written too, and measured on the validation split.
            overwrite: whether an export that is there already is replaced.

        Returns:
            The folder; its ``export.json`` says what is in it.

        Raises:
            InputError: the model can't be exported, an export is there already, or a package is missing.
        """
        with quick_imports():
            from seqlab.commands.export import export
        output = None if folder is None else Path(folder)
        return export(self._saved, format, output, quantized=int8, overwrite=overwrite)[0]

    def states(self, text: str, *, gates: bool = True) -> "States":
        """Shows what every layer holds while the model reads a text, token by token.

        The layers are those of the model's encoder, and the states those of its forward pass; a classifier that reads
        no more than so many tokens has so many states. :meth:`seqlab.inside.States.figure` draws them, as
        ``seqlab states RUN_DIR TEXT`` does.

        Args:
            text: of a language model the beginning of a text, of other tasks an input as :meth:`predict` takes it.
            gates: whether gates are kept too.

        Returns:
            The states with the text's tokens: ``run.states("hello").part("h", layer=1)`` is ``(5, H)``.

        Raises:
            InputError: the text is empty or has tokens that the vocabulary lacks, or no recurrent layer reads them.
        """
        with quick_imports():
            from seqlab.commands.states import states_of
        return states_of(self._saved, text, gates=gates)

    def find_units(self, text: str, label: "str | Label", **options: Any) -> "UnitRanking":
        """Finds units that follow a label over a text, as Karpathy et al. (2015) found one that counts a line's length.

        Units are ranked on the first half of the text and scored again on the second, beside an untrained network and
        beside labels that are shifted by chance. Give a text that the model was not trained on.

        Args:
            text: as in :meth:`states`; some thousands of tokens.
            label: a name of :data:`seqlab.inside.LABELS`, such as ``"position_in_line"``, or a function from the tokens
                to a number for each.
            **options: ``parts``, ``held_out``, ``shifts``, ``top``, ``seed`` and ``name``; see
                :func:`seqlab.inside.rank_units`.

        Returns:
            The ranking; printed, it is a table.

        Raises:
            InputError: there is no such label, it is the same at every token, or as :meth:`states` does.
        """
        with quick_imports():
            from seqlab.commands.states import find_units
        return find_units(self._saved, text, label, **options)


def _checkpoint_stamp(run_dir: Path) -> tuple[Any, ...] | None:
    """A value that changes when another file takes the place of the run's checkpoint; None without a checkpoint."""
    for name in ("best", "last"):
        if (stamp := file_stamp(run_dir / "checkpoints" / f"{name}.ckpt")) is not None:
            return name, *stamp
    return None


def load(run_dir: str | os.PathLike[str], *, allowed: Iterable[str] = ()) -> Run:
    """See :func:`seqlab.load`."""
    run = Run(run_dir)
    allow(allowed)
    use_project_modules()
    run._modules = UserModules.now()
    return run


def runs(folders: Sequence[str | os.PathLike[str]]) -> "pd.DataFrame":
    """See :func:`seqlab.runs`."""
    import pandas as pd

    rows = [_row(os.path.abspath(folder)) for folder in sorted(run_folders(folders or [project_runs()]))]
    results = dict.fromkeys(name for facts, _ in rows for name in facts)
    keys = dict.fromkeys(name for _, config in rows for name in config)
    differing = [key for key in keys if len({repr(config.get(key)) for _, config in rows}) > 1]
    columns = [*results, *differing, *(key for key in keys if key not in differing)]
    return pd.DataFrame([{**config, **facts} for facts, config in rows], columns=list(dict.fromkeys(columns)))


_FACTS: Final = ("status", "error", "num_parameters", "tokens_per_second", "train_seconds", "peak_memory_bytes")


def _row(folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run's results, and its configuration by dotted keys; of a damaged record, what is wrong with it."""
    try:
        record = read_record(folder)
    except InputError as error:
        return {"run_dir": folder, "status": UNREADABLE, "error": str(error)}, {}
    facts = {"run_dir": folder, **{name: record[name] for name in _FACTS}, **record["metrics"]}
    config = dict(flatten(record["config"]))
    referred = {name: config.get(referred_key(name, value) or name, value) for name, value in config.items()}
    return facts, referred
