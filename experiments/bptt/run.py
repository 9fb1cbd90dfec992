"""How far back a recurrent network learns: the gradient through time of RNN, GRU and LSTM, drawn and tabled.

Trains the nine models with ``seqlab train`` (or takes those that a first call left), measures them as they were before
and after training, and writes three plots and the README's tables. ``--steps 20 --seeds 1`` is a quick trial.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from seqlab.config import build
from seqlab.files import write_atomically
from seqlab.nn import LanguageModel
from seqlab.nn.gradients import norms_by_distance, state_gradients, step_gradients, truncation_bias
from seqlab.run.load import load_run
from seqlab.run.record import read_record

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab
from tables import with_table

HERE = Path(__file__).parent
CELLS = {"rnn": "#0072B2", "gru": "#D55E00", "lstm": "#009E73"}  # Okabe and Ito's colours
WHEN = ("untrained", "trained")
ROWS, STEPS, WARM_UP = 64, 128, 64  # sequences, their steps, and the steps before them that set the state
WINDOWS = (1, 2, 4, 8, 16, 32, 64)
LAYER = "encoder.layers.0"
WEIGHT = f"{LAYER}.cell.weight_hh"


@dataclass
class Measured:
    """One model: everything by distance from the last step, the last step first."""

    states: dict[str, NDArray[Any]]  # by part of the state, |dL/ds_t| for a loss at the last step, mean over rows
    parts: NDArray[Any]  # norm of each step's part of dL/dW_hh, over that of dL/dW_hh
    errors: NDArray[Any]  # |sum of the parts up to there - dL/dW_hh| / |dL/dW_hh|
    cosines: NDArray[Any]  # of the truncated and the full gradient of the language model's loss, for each of WINDOWS
    biases: NDArray[Any]  # |truncated - full| / |full|, likewise
    loss: float  # a character's, in nats, on the sequences measured


Results = dict[tuple[str, str], list[Measured]]  # by cell and WHEN, a seed each


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE, help="the folder for the plots and README.md")
    parser.add_argument("--sweep-dir", type=Path, default=Path("runs/bptt"))
    parser.add_argument("--steps", type=int, default=600, help="training steps of each model")
    parser.add_argument("--seeds", default="1,2,3")
    args = parser.parse_args()

    torch.set_num_threads(1)
    started = time.perf_counter()
    if train(args.sweep_dir, args.steps, args.seeds):
        return 1
    results = measure_runs(args.sweep_dir, args.steps, [int(seed) for seed in args.seeds.split(",")])
    args.output.mkdir(parents=True, exist_ok=True)
    draw_states(results, args.output / "states.png")
    draw_parts(results, args.output / "parts.png")
    draw_truncation(results, args.output / "truncation.png")
    readme = args.output / "README.md"
    template = readme if readme.exists() else HERE / "README.md"
    write_atomically(readme, with_table(template.read_text(), tables(results), "tables").encode())
    print(f"{time.perf_counter() - started:.0f} s; plots and tables: {args.output}")
    return 0


def train(sweep_dir: Path, steps: int, seeds: str) -> int:
    """The sweep as a user would type it; what is there already is not trained again."""
    command = ["train", "-m", "experiment=kjv_char_lstm", f"model/cell={','.join(CELLS)}", f"seed={seeds}"]
    command += ["model.num_layers=1", "model.hidden_size=128", "model.match_parameters=null", "optimizer.lr=0.004"]
    command += [f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps}", "runtime.num_threads=1"]
    command += ["logger=none", f"hydra.sweep.dir={sweep_dir}"]
    return seqlab(*command)


def measure_runs(sweep_dir: Path, steps: int, seeds: list[int]) -> Results:
    results: Results = {(cell, when): [] for cell in CELLS for when in WHEN}
    for path in sorted(sweep_dir.glob("*/run.json")):
        record = read_record(path)
        config = record["config"]
        cell = config["model"]["cell"]["_target_"].rpartition(".")[2].removesuffix("Cell").lower()
        if record["status"] != "completed" or config["trainer"]["max_steps"] != steps or config["seed"] not in seeds:
            continue
        run = load_run(path.parent)
        torch.manual_seed(config["seed"])
        untrained = build.build_model(config, run.spec)
        assert isinstance(untrained, LanguageModel)
        tokens = rows_of(build.build_data(config).corpus.tokens["test"])
        for when, model in zip(WHEN, (untrained.eval(), run.language_model()), strict=True):
            results[cell, when].append(measure(model, tokens))
            print(f"measured: {cell}, seed {config['seed']}, {when}", flush=True)
    return results


def rows_of(tokens: NDArray[Any]) -> Tensor:
    """``ROWS`` sequences of ``WARM_UP + STEPS + 1`` tokens, spread evenly over the split."""
    length = WARM_UP + STEPS + 1
    starts = np.linspace(0, len(tokens) - length, ROWS).astype(int)
    return torch.from_numpy(np.stack([tokens[start : start + length] for start in starts]).astype(np.int64))


def measure(model: LanguageModel, tokens: Tensor) -> Measured:
    model.double()  # a gradient that vanishes is below float32's least number after a hundred steps
    with torch.no_grad():
        _, state = model(tokens[:, :WARM_UP])
    inputs, targets = tokens[:, WARM_UP:-1], tokens[:, WARM_UP + 1 :]

    def nats() -> Tensor:
        """Of each prediction, ``(B, T)``."""
        logits, _ = model(inputs, state)
        return cross_entropy(logits.transpose(1, 2), targets, reduction="none")

    def at_last_step() -> Tensor:
        return nats()[:, -1].sum()  # a row's gradient is then that of its own loss

    by_state = state_gradients(model, at_last_step)
    parts = step_gradients(model, at_last_step, WEIGHT).flatten(1).flip(0)  # (T, parameters)
    full = parts.sum(0)
    bias = truncation_bias(model, lambda: nats().mean(), WEIGHT, WINDOWS)
    return Measured(
        states={name.rpartition(".")[2]: norms_by_distance(found).numpy() for name, found in by_state.items()},
        parts=(parts.norm(dim=1) / full.norm()).numpy(),
        errors=((parts.cumsum(0) - full).norm(dim=1) / full.norm()).numpy(),
        cosines=np.array([found.cosine for found in bias]),
        biases=np.array([found.relative_error for found in bias]),
        loss=nats().mean().item(),
    )


def draw_states(results: Results, file: Path) -> None:
    """|dL/dh_t| by distance, relative to that at the last step."""

    def draw(axes: Any, cell: str, found: list[Measured]) -> None:
        lines(axes, range(STEPS), [one.states["h"] / one.states["h"][0] for one in found], CELLS[cell], cell)
        if "c" in found[0].states:
            memory = [one.states["c"][1:] / one.states["c"][1] for one in found]  # the last c acts by way of h alone
            lines(axes, range(1, STEPS), memory, "#CC79A7", f"{cell}, |dL/dc| over that one step back")

    figure = panels(results, draw)
    for axes in figure.axes:
        axes.set_yscale("log")
        axes.set_ylim(1e-9, 3)
        axes.set_xlabel("steps back from the loss")
    figure.axes[0].set_ylabel("|dL/dh| over that at the loss's own step")
    save(figure, file, "The gradient by the state, for a loss at the last step")


def draw_parts(results: Results, file: Path) -> None:
    """Each step's part of the gradient of the weight, and what is missing of the sum."""
    figure = panels(results, lambda axes, cell, found: None, rows=2)
    for column, when in enumerate(WHEN):
        above, below = figure.axes[column], figure.axes[2 + column]
        for cell, color in CELLS.items():
            found = results[cell, when]
            lines(above, range(STEPS), [one.parts for one in found], color, cell)
            lines(below, range(1, STEPS), [one.errors[:-1] for one in found], color, cell)
        for axes, lowest in ((above, 1e-7), (below, 1e-7)):
            axes.set_yscale("log")
            axes.set_ylim(lowest, 3)
        below.axhline(0.01, color="black", linewidth=0.8, linestyle=":")
        above.set_xlabel("steps back from the loss")
        below.set_xlabel("steps summed, from the loss back")
    figure.axes[0].set_ylabel("|a step's part| / |dL/dW_hh|")
    figure.axes[2].set_ylabel("|sum so far - dL/dW_hh| / |dL/dW_hh|")
    figure.axes[0].legend()
    save(figure, file, "dL/dW_hh as a sum over steps, for a loss at the last step")


def draw_truncation(results: Results, file: Path) -> None:
    """Cosine and distance of truncated and full gradient, by the length of the windows."""
    figure = panels(results, lambda axes, cell, found: None, rows=2)
    for column, when in enumerate(WHEN):
        above, below = figure.axes[column], figure.axes[2 + column]
        for cell, color in CELLS.items():
            found = results[cell, when]
            lines(above, WINDOWS, [one.cosines for one in found], color, cell, marker="o")
            lines(below, WINDOWS, [one.biases for one in found], color, cell, marker="o")
        below.set_yscale("log")
        for axes in (above, below):
            axes.set_xscale("log", base=2)
            axes.set_xticks(WINDOWS, labels=map(str, WINDOWS))
            axes.set_xlabel("tbptt_steps")
    figure.axes[0].set_ylabel("cosine of truncated and full dL/dW_hh")
    figure.axes[2].set_ylabel("|truncated - full| / |full|")
    figure.axes[0].legend()
    save(figure, file, f"Truncated against full gradient, a loss at each of {STEPS} steps")


def panels(results: Results, draw: Callable[[Any, str, list[Measured]], None], rows: int = 1) -> Figure:
    """A column for untrained models and one for trained ones, every cell drawn into the first row."""
    figure = Figure(figsize=(11, 4.6 * rows), dpi=130, layout="constrained")
    grid = figure.subplots(rows, len(WHEN), sharey="row", squeeze=False)
    for axes, when in zip(grid[0], WHEN, strict=True):
        for cell in CELLS:
            draw(axes, cell, results[cell, when])
        axes.set_title(when)
    for axes in grid.flat:
        axes.grid(alpha=0.3)
    if grid[0][0].lines:
        grid[0][0].legend()
    return figure


def lines(axes: Any, x: Any, values: list[NDArray[Any]], color: str, label: str, marker: str = "") -> None:
    """The median over seeds, and a band from the lowest to the highest."""
    stacked = np.stack(values)
    axes.plot(x, np.median(stacked, 0), color=color, label=label, marker=marker, linewidth=1.6)
    axes.fill_between(x, stacked.min(0), stacked.max(0), color=color, alpha=0.2, linewidth=0)


def save(figure: Figure, file: Path, title: str) -> None:
    figure.suptitle(f"{title} (line: median of the seeds, band: lowest to highest)")
    figure.savefig(file)


def tables(results: Results) -> str:
    """Both tables of README.md, mean and sample sd over seeds."""
    far = (8, 16, 32, 64, 127)
    header = ["cell", "", "nats a character", *(f"{d} back" for d in far), "steps to 1 %"]
    first = [
        [
            cell,
            when,
            spread([one.loss for one in found], "{:.3f}"),
            *(geometric([one.states["h"][d] / one.states["h"][0] for one in found]) for d in far),
            spread([1 + int(np.argmax(one.errors < 0.01)) for one in found], "{:.0f}"),
        ]
        for (cell, when), found in results.items()
    ]
    second, third = (
        [
            [cell, when, *(spread(list(column), "{:.3f}") for column in np.stack(list(map(values, found))).T)]
            for (cell, when), found in results.items()
        ]
        for values in (attrgetter("cosines"), attrgetter("biases"))
    )
    names = ["cell", "", *(f"{k} step{'s' if k > 1 else ''}" for k in WINDOWS)]
    return (
        f"{markdown(header, first)}\n\n|dL/dh| so many steps back, over that at the loss's own step: geometric mean "
        "over seeds, lowest and highest in brackets. *Steps to 1 %*: of how many steps, from the loss back, the parts "
        f"sum to dL/dW_hh within 1 %.\n\n{markdown(names, second)}\n\nCosine of the gradient of windows of so many "
        f"steps and the full one.\n\n{markdown(names, third)}\n\nTheir distance, |truncated - full| / |full|. Mean ± "
        "sample sd over seeds."
    )


def spread(values: list[float], style: str) -> str:
    sd = f" ± {style.format(np.std(values, ddof=1))}" if len(values) > 1 else ""
    return style.format(np.mean(values)) + sd


def geometric(values: list[float]) -> str:
    return f"{np.exp(np.mean(np.log(values))):.0e} [{min(values):.0e}, {max(values):.0e}]"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    rule = [":--", ":--"] + ["--:"] * (len(header) - 2)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *rows))


if __name__ == "__main__":
    sys.exit(main())
