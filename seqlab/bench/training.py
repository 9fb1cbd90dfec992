"""``seqlab bench training``: this project's training loop against plain PyTorch scripts of the same model, in turn; and
its evaluation in a lower precision against float32."""

import json
import logging
import multiprocessing
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from seqlab.callbacks import TrainingMetrics
from seqlab.data import LanguageModelSpec
from seqlab.data.core.stream import Stream, StreamLoader
from seqlab.nn import Encoder, LanguageModel, LSTMCell, TokenHead, TokenInput
from seqlab.run.torch_settings import ignore_foreign_warnings, keep_freed_memory
from seqlab.tasks import LanguageModelTask
from seqlab.tasks.schedules import StepDecay


@dataclass(frozen=True)
class Sizes:
    """The sizes of the small model of Zaremba et al. (2014) on the words of the Penn Treebank."""

    vocab_size: int = 10_000
    hidden_size: int = 200
    num_layers: int = 2
    batch_size: int = 20
    tbptt_steps: int = 20

    @property
    def tokens(self) -> int:
        """Tokens of one step."""
        return self.batch_size * self.tbptt_steps


def training(precision: str, json_file: Path | None, rounds: int = 7, steps: int = 60) -> int:
    """Prints the median tokens per second of this project's training loop and of plain scripts, and the ratios.

    They take turns, so that other load on the machine affects all of them. The plain script runs in three processes: in
    float32, in ``precision``, and in ``precision`` with freed memory kept, as this project keeps it. If the precision
    is not float32, an evaluation in it is measured against one in float32.

    Args:
        precision: Lightning's name of a precision, such as ``bf16-mixed``.
        json_file: where the figures are written; None: nowhere.
        rounds: turns of each contender.
        steps: optimizer steps of a turn.

    Returns:
        The exit code, 0.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    sizes = Sizes()
    settings = {  # of plain scripts; in float32 the first two are the same
        "plain 32-true": ("32-true", False),
        f"plain {precision}": (precision, False),
        f"plain {precision}, freed memory kept": (precision, True),
    }
    scripts = {name: _Worker(sizes, dtype, steps, keep) for name, (dtype, keep) in settings.items()}
    turns = _Turns(sizes, steps, [worker.rate for worker in scripts.values()])
    keep_freed_memory()
    _train(sizes, precision, steps * (rounds + 1), turns)
    for worker in scripts.values():
        worker.stop()
    measured = turns.rates[1:]  # the first round warms up
    ours = statistics.median(rates[0] for rates in measured)
    rows: dict[str, dict[str, float]] = {f"seqlab {precision}": {"tokens_per_second": ours, "seqlab_ratio": 1.0}}
    for index, name in enumerate(scripts, 1):
        rows[name] = {
            "tokens_per_second": statistics.median(rates[index] for rates in measured),
            "seqlab_ratio": statistics.median(rates[0] / rates[index] for rates in measured),
        }
    if precision != "32-true":
        rows |= _evaluation_rows(sizes, precision, rounds, steps)
    print(f"{'':<40} tokens/s  seqlab is")
    for name, row in rows.items():
        print(f"{name:<40} {row['tokens_per_second']:8,.0f}  {row['seqlab_ratio']:8.2f}x")
    if json_file is not None:
        results = {"threads": torch.get_num_threads(), "sizes": vars(sizes), "rounds": rounds, "rows": rows}
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def _evaluation_rows(sizes: Sizes, precision: str, rounds: int, steps: int) -> dict[str, dict[str, float]]:
    """Tokens per second of an evaluation in float32 and in ``precision``, and the ratio of the second to the first."""
    task, loader = _task(sizes), StreamLoader(Stream(_text(sizes, steps), sizes.batch_size, sizes.tbptt_steps))
    rates: list[tuple[float, float]] = []
    with warnings.catch_warnings():
        ignore_foreign_warnings()
        trainers = [
            pl.Trainer(
                accelerator="cpu",
                precision=name,  # type: ignore[arg-type]
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            for name in ("32-true", precision)
        ]
        for _ in range(rounds + 1):
            seconds = []
            for trainer in trainers:
                started = time.perf_counter()
                trainer.validate(task, loader, verbose=False)
                seconds.append(time.perf_counter() - started)
            rates.append((steps * sizes.tokens / seconds[0], steps * sizes.tokens / seconds[1]))
    measured = rates[1:]  # the first round warms up
    ratio = statistics.median(ours / other for other, ours in measured)
    return {
        "evaluation, 32-true": {
            "tokens_per_second": statistics.median(other for other, _ in measured),
            "seqlab_ratio": ratio,
        },
        f"evaluation, {precision}": {
            "tokens_per_second": statistics.median(ours for _, ours in measured),
            "seqlab_ratio": 1.0,
        },
    }


class _Worker:
    """The plain script in a process of its own."""

    def __init__(self, sizes: Sizes, precision: str, steps: int, keep: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, sizes, precision, steps, keep), daemon=True)
        self._process.start()

    def rate(self) -> float:
        """Runs a round; returns its tokens per second."""
        self._connection.send("go")
        return float(self._connection.recv())

    def stop(self) -> None:
        self._connection.send("stop")
        self._process.join()


def _serve(connection: Connection, sizes: Sizes, precision: str, steps: int, keep: bool) -> None:
    if keep:
        keep_freed_memory()
    step = _plain_step(sizes, precision, steps)
    while connection.recv() == "go":
        started = time.perf_counter()
        for _ in range(steps):
            step()
        connection.send(steps * sizes.tokens / (time.perf_counter() - started))


class _Turns(pl.Callback):
    """Times each round of a training, and has the other contenders run a round after it."""

    def __init__(self, sizes: Sizes, steps: int, others: list[Callable[[], float]]) -> None:
        self.sizes, self.steps, self.others = sizes, steps, others
        self.rates: list[tuple[float, ...]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step % self.steps == 0:
            ours = self.steps * self.sizes.tokens / (time.perf_counter() - self._started)
            self.rates.append((ours, *(rate() for rate in self.others)))
            self._started = time.perf_counter()


def _text(sizes: Sizes, steps: int) -> np.ndarray[Any, Any]:
    generator = np.random.default_rng(0)
    return generator.integers(0, sizes.vocab_size, sizes.tokens * (steps + 1) + 1, dtype=np.uint16)


def _plain_step(sizes: Sizes, precision: str, steps: int) -> Callable[[], None]:
    """A training step written by hand: ``nn.LSTM``, cross-entropy, clipping, SGD."""
    torch.manual_seed(0)
    embedding = nn.Embedding(sizes.vocab_size, sizes.hidden_size)
    lstm = nn.LSTM(sizes.hidden_size, sizes.hidden_size, sizes.num_layers, batch_first=True)
    output = nn.Linear(sizes.hidden_size, sizes.vocab_size)
    parameters = [*embedding.parameters(), *lstm.parameters(), *output.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    tokens = _text(sizes, steps)
    columns = len(tokens) // sizes.batch_size
    text = torch.from_numpy(tokens[: columns * sizes.batch_size].astype(np.int64)).view(sizes.batch_size, columns)
    state: tuple[Tensor, Tensor] | None = None
    position = 0

    def step() -> None:
        nonlocal state, position
        inputs = text[:, position : position + sizes.tbptt_steps]
        targets = text[:, position + 1 : position + sizes.tbptt_steps + 1]
        position = (position + sizes.tbptt_steps) % (columns - sizes.tbptt_steps - 1)
        with _autocast(precision):
            hidden, state = lstm(embedding(inputs), state)
            state = (state[0].detach().float(), state[1].detach().float())
            logits = output(hidden)
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten()) * sizes.tbptt_steps
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    return step


def _autocast(precision: str) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16-mixed" else nullcontext()


def _task(sizes: Sizes) -> LanguageModelTask:
    torch.manual_seed(0)
    encoder = partial(Encoder, LSTMCell, hidden_size=sizes.hidden_size, num_layers=sizes.num_layers)
    tokens = partial(TokenInput, sizes.vocab_size, sizes.hidden_size)
    model = LanguageModel(tokens, encoder, partial(TokenHead, vocab_size=sizes.vocab_size))
    characters = {"train": 1.0, "validation": 1.0, "test": 1.0}
    return LanguageModelTask(
        model,
        LanguageModelSpec(sizes.vocab_size, "word", characters, {}),
        lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        StepDecay(),
        reduction="time_sum",
    )


def _train(sizes: Sizes, precision: str, steps: int, turns: _Turns) -> None:
    """Trains with this project's loop under Lightning, and the callbacks of ``seqlab train``."""
    task = _task(sizes)
    loader = StreamLoader(Stream(_text(sizes, steps), sizes.batch_size, sizes.tbptt_steps))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        ignore_foreign_warnings()
        warnings.filterwarnings("ignore", message="You defined a `validation_step` but have no `val_dataloader`")
        trainer = pl.Trainer(
            accelerator="cpu",
            precision=precision,  # type: ignore[arg-type]
            max_steps=steps,
            gradient_clip_val=5.0,
            log_every_n_steps=50,
            logger=TensorBoardLogger(folder),
            callbacks=[TrainingMetrics(), turns],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(task, loader)
