"""The gradient by layer of the deepest stacks of the depth study, before and after training.

The norm of d loss_t / d h_t of each layer, the mean over 16 rows of validation and 8 steps, of the first fresh seed of
each connection. It reads the runs of ``experiments/depth/run.py`` and writes ``gradients.png`` beside them.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from matplotlib.figure import Figure

from seqlab.callbacks.gradients import gradients_by_lag
from seqlab.config import build
from seqlab.run.load import load_run
from seqlab.run.record import read_record


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep-dir", type=Path, default=Path("runs/depth"))
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=4)
    args = parser.parse_args()
    runs = runs_of(args.sweep_dir, args.layers, args.seed)
    if not runs:
        print(f"{args.sweep_dir} has no completed run of {args.layers} layers with seed {args.seed}", file=sys.stderr)
        return 2
    norms = {connect: measure(run) for connect, run in runs.items()}
    head = " | ".join(f"layer {layer}" for layer in range(1, args.layers + 1))
    print(f"| model.connect | | {head} |\n| :-- | :-- |{' --: |' * args.layers}")
    for connect, moments in norms.items():
        for moment, values in moments.items():
            print(f"| {connect} | {moment} | {' | '.join(f'{value:.2g}' for value in values)} |")
    draw(norms).savefig(args.sweep_dir / "gradients.png", dpi=150)
    return 0


def runs_of(folder: Path, layers: int, seed: int) -> dict[str, Path]:
    """The completed run of each connection with so many layers and this seed."""
    runs = {}
    for path in sorted(folder.glob("*/run.json")):
        record = read_record(path)
        model = record["config"]["model"]
        if record["status"] == "completed" and record["seed"] == seed and model["num_layers"] == layers:
            runs[model["connect"]] = path.parent
    order = ("none", "residual", "dense", "highway")
    return {connect: runs[connect] for connect in order if connect in runs}


def measure(run: Path) -> dict[str, list[float]]:
    """The norms by layer, the lowest first, before and after training."""
    saved = load_run(run)
    data: Any = build.build_data(saved.config)
    data.prepare_data()
    data.setup("validate")
    batch = next(iter(data.val_dataloader()))
    pl.seed_everything(saved.config["seed"], verbose=False)
    norms = {}
    for moment, model in (("before", build.build_model(saved.config, saved.spec)), ("after", saved.model())):
        task: Any = build.build_task(saved.config, saved.spec, model)
        by_lag = gradients_by_lag(task, batch)
        assert by_lag is not None
        norms[moment] = [float(values[0]) for name, values in by_lag.items() if name.endswith(".h")]
    return norms


def draw(norms: dict[str, dict[str, list[float]]]) -> Figure:
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    for axes, moment in zip(figure.subplots(1, 2, sharey=True), ("before", "after"), strict=True):
        for connect, moments in norms.items():
            values = moments[moment]
            axes.plot(range(1, len(values) + 1), values, marker="o", label=connect)
        axes.set_yscale("log")
        axes.set_xlabel("layer, from the input")
        axes.set_title(f"{moment} training")
    figure.axes[0].set_ylabel(r"mean $|\partial \ell_t / \partial h_t|$")
    figure.axes[1].legend(title="connect")
    return figure


if __name__ == "__main__":
    sys.exit(main())
