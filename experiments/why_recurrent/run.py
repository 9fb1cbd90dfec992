"""Why recurrent nets: n-grams, fixed windows, an RNN and an LSTM on the same words, by what they see and cost.

Trains them with ``seqlab train`` (or takes those that a first call left), and writes two plots and the README's table.
Further KEY=VALUE arguments go to every training: ``trainer.max_epochs=1 trainer.limit_train_batches=20
trainer.limit_val_batches=5 trainer.limit_test_batches=5`` is a quick trial. Needs ``SEQLAB_DATA``.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from seqlab.files import write_atomically
from seqlab.nn import Encoder, LanguageModel, LSTMCell, RNNCell, TokenHead, TokenInput, WindowModel
from seqlab.nn.size import count_parameters
from seqlab.run.load import SPEC_NAME
from seqlab.run.record import read_record

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab
from tables import with_table

HERE = Path(__file__).parent
SWEEPS = (
    ("experiment=ptb_kneser_ney", "model.order=5,4,3,2,6"),
    ("experiment=ptb_recurrent", "model/cell=lstm,rnn", "trainer.precision=bf16-mixed"),
    ("experiment=ptb_window", "model.window_size=5,2,8,3,1", "trainer.precision=bf16-mixed"),
)
COLORS = {"n-gram": "#000000", "window": "#0072B2", "rnn": "#D55E00", "lstm": "#009E73", "fully connected": "#CC79A7"}
SIZE = 200  # of embeddings and hidden layers in the count of parameters, as in the presets
CONTEXTS = (1, 2, 5, 10, 20, 50, 100)


@dataclass
class Row:
    """One run: its kind, the tokens that a prediction sees (None: all), and what it came to."""

    kind: str
    seen: int | None
    parameters: int
    validation: float
    test: float
    seconds: float


class FullyConnected(nn.Module):
    """One hidden layer over a whole sequence of T tokens: the hidden units of each step see every token of it, each by
    a weight of its own. A language model would have to cut those to later tokens, which are half of them.

    ``model(inputs (B, T)) -> logits (B, T, vocab_size)``
    """

    def __init__(self, vocab_size: int, steps: int, embedding_size: int, hidden_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.hidden = nn.Linear(steps * embedding_size, steps * hidden_size)
        self.output = nn.Linear(hidden_size, vocab_size)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(self.hidden(self.embedding(inputs).flatten(1)))
        logits: Tensor = self.output(hidden.unflatten(1, (inputs.size(1), -1)))
        return logits


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE, help="the folder for the plots and README.md")
    parser.add_argument("--sweep-dir", type=Path, default=Path("runs/why_recurrent"))
    parser.add_argument("--no-training", action="store_true", help="take the runs that are there")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of seqlab train")
    args = parser.parse_args()

    started = time.perf_counter()
    for sweep in () if args.no_training else SWEEPS:
        command = ["train", "-m", *sweep, "runtime.num_threads=1", "logger=none", f"hydra.sweep.dir={args.sweep_dir}"]
        command += args.overrides
        if code := seqlab(*command):
            return code
    rows = read_rows(args.sweep_dir)
    if not rows:
        print(f"no completed run below {args.sweep_dir}", file=sys.stderr)
        return 1
    vocab_size = json.loads(next(args.sweep_dir.glob(f"*/{SPEC_NAME}")).read_text())["vocab_size"]
    args.output.mkdir(parents=True, exist_ok=True)
    draw_perplexity(rows, args.output / "perplexity.png")
    draw_parameters(vocab_size, args.output / "parameters.png")
    readme = args.output / "README.md"
    template = readme if readme.exists() else HERE / "README.md"
    write_atomically(readme, with_table(template.read_text(), table(rows)).encode())
    print(f"{time.perf_counter() - started:.0f} s; plots and table: {args.output}")
    return 0


def read_rows(sweep_dir: Path) -> list[Row]:
    """The completed runs: n-grams, windows, then recurrent nets, each by what it sees."""
    rows = []
    for path in sorted(sweep_dir.glob("*/run.json")):
        record = read_record(path)
        if record["status"] != "completed":
            continue
        model, metrics = record["config"]["model"], record["metrics"]
        kind, seen = "window", model.get("window_size")
        if "order" in model:
            kind, seen = "n-gram", model["order"] - 1
        elif seen is None:
            kind = model["cell"]["_target_"].rpartition(".")[2].removesuffix("Cell").lower()
        perplexities = metrics["val/perplexity"], metrics["test/perplexity"]
        rows.append(Row(kind, seen, record["num_parameters"], *perplexities, record["train_seconds"]))
    return sorted(rows, key=lambda row: (list(COLORS).index(row.kind), row.seen or 0))


def draw_perplexity(rows: list[Row], file: Path) -> None:
    """Test perplexity by the tokens that a prediction sees; a level for each recurrent net."""
    figure = Figure(figsize=(8, 5), dpi=130, layout="constrained")
    axes = figure.subplots()
    for kind in ("n-gram", "window"):
        points = [(row.seen, row.test) for row in rows if row.kind == kind]
        if points:
            axes.plot(*zip(*points, strict=True), color=COLORS[kind], marker="o", label=kind)
    for row in rows:
        if row.seen is None:
            axes.axhline(row.test, color=COLORS[row.kind], linestyle="--", label=f"{row.kind}, from the beginning on")
    axes.set_xlabel("tokens that a prediction sees")
    axes.set_ylabel("test perplexity")
    axes.set_xticks(sorted({row.seen for row in rows if row.seen is not None}))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file)


def parameters(vocab_size: int, steps: int) -> dict[str, int]:
    """The parameters of each net that lets a prediction see ``steps`` tokens; built without memory, and counted."""
    tokens, head = partial(TokenInput, vocab_size, SIZE), partial(TokenHead, vocab_size=vocab_size)
    with torch.device("meta"):
        models: dict[str, nn.Module] = {
            "window": WindowModel(vocab_size, window_size=steps, hidden_size=SIZE),
            "rnn": LanguageModel(tokens, partial(Encoder, RNNCell, hidden_size=SIZE), head),
            "lstm": LanguageModel(tokens, partial(Encoder, LSTMCell, hidden_size=SIZE), head),
            "fully connected": FullyConnected(vocab_size, steps, SIZE, SIZE),
        }
    return {name: count_parameters(model) for name, model in models.items()}


def draw_parameters(vocab_size: int, file: Path) -> None:
    """Parameters by context, both logarithmic."""
    figure = Figure(figsize=(8, 5), dpi=130, layout="constrained")
    axes = figure.subplots()
    counts = [parameters(vocab_size, steps) for steps in CONTEXTS]
    for name in counts[0]:
        axes.plot(CONTEXTS, [count[name] for count in counts], color=COLORS[name], marker="o", label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(CONTEXTS, labels=map(str, CONTEXTS))
    axes.set_xlabel("tokens that a prediction can see")
    axes.set_ylabel(f"parameters ({vocab_size:,} words, embeddings and hidden layers of {SIZE})")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file)


def table(rows: list[Row]) -> str:
    """The README's table."""
    best = {kind: min(row.validation for row in rows if row.kind == kind) for kind in {row.kind for row in rows}}
    header = ["model", "tokens seen", "parameters", "validation", "test", "time"]
    body: list[list[Any]] = [
        [
            row.kind,
            "all" if row.seen is None else row.seen,
            f"{row.parameters:,}",
            f"{row.validation:.1f}",
            f"**{row.test:.1f}**" if row.validation == best[row.kind] else f"{row.test:.1f}",
            f"{row.seconds:.0f} s" if row.seconds < 120 else f"{row.seconds / 60:.0f} min",
        ]
        for row in rows
    ]
    rule = [":--"] + ["--:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in (header, rule, *body))


if __name__ == "__main__":
    sys.exit(main())
