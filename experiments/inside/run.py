"""Units of the demo's character models that follow the text: found, checked on other text, drawn and tabled.

Trains six models with ``seqlab train`` (or takes those that a first call left), one and two layers of the demo's size,
and looks for units that follow five labels. ``--seeds 1 --steps 100 --tokens 2000`` is a quick trial.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from matplotlib.figure import Figure

from seqlab.commands.states import states_of, untrained_model
from seqlab.config import build
from seqlab.files import write_atomically
from seqlab.inside import LABELS, States, UnitRanking, rank_units
from seqlab.inside.draw import visible
from seqlab.run.load import load_run
from seqlab.run.record import read_record

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab
from tables import with_table

HERE = Path(__file__).parent
LOOKED_FOR: Final = ("position_in_line", "position_in_sentence", "position_in_word", "after_space", "in_name")
SHOWN: Final = 150  # characters of the picture


@dataclass
class Found:
    """One model: the ranking of each label, and the states that it came from."""

    layers: int
    seed: int
    states: States
    rankings: dict[str, tuple[UnitRanking, UnitRanking]]  # trained and untrained


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE, help="the folder for the plot and README.md")
    parser.add_argument("--sweep-dir", type=Path, default=Path("runs/inside"))
    parser.add_argument("--steps", type=int, help="training steps of each run, other than the preset's")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--tokens", type=int, default=12_000, help="characters of the test split that are read")
    args = parser.parse_args()

    torch.set_num_threads(1)
    started = time.perf_counter()
    if train(args.sweep_dir, args.steps, args.seeds):
        return 1
    found = look_inside(args.sweep_dir, args.seeds, args.steps, args.tokens)
    args.output.mkdir(parents=True, exist_ok=True)
    draw(next(each for each in found if each.layers == 1), args.output / "units.png")
    readme = args.output / "README.md"
    template = readme if readme.exists() else HERE / "README.md"
    write_atomically(readme, with_table(template.read_text(), table(found), "tables").encode())
    print(f"{time.perf_counter() - started:.0f} s; plot and table: {args.output}")
    return 0


def train(sweep_dir: Path, steps: int | None, seeds: str) -> int:
    """The sweep as a user would type it; what is there already is not trained again."""
    command = ["train", "-m", "experiment=kjv_char_lstm", "model.num_layers=1,2", f"seed={seeds}"]
    command += ["runtime.num_threads=1", "logger=none", f"hydra.sweep.dir={sweep_dir}"]
    command += [] if steps is None else [f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps}"]
    return seqlab(*command)


def look_inside(sweep_dir: Path, seeds: str, steps: int | None, tokens: int) -> list[Found]:
    found = []
    for path in sorted(sweep_dir.glob("*/run.json")):
        record = read_record(path)
        config = record["config"]
        wanted = str(config["seed"]) in seeds.split(",") and config["trainer"]["max_steps"] == (steps or 800)
        if record["status"] != "completed" or not wanted:
            continue
        run = load_run(path.parent)
        ids = build.build_data(config).corpus.tokens["test"][:tokens]
        text = run.vocabulary.decode(ids.tolist())
        states = states_of(run, text, gates=False)
        untrained = states_of(run, text, model=untrained_model(run, config["seed"]), gates=False)
        rankings = {}
        for name in LOOKED_FOR:
            labels = LABELS[name](states.labels)
            both = tuple(rank_units(each, labels, name=name) for each in (states, untrained))
            rankings[name] = (both[0], both[1])
            print(f"\n{config['model']['num_layers']} layers, seed {config['seed']}\n{both[0]}", flush=True)
        found.append(Found(config["model"]["num_layers"], config["seed"], states, rankings))
    return sorted(found, key=lambda each: (each.layers, each.seed))


def table(found: list[Found]) -> str:
    head = "| label | layers | measure | best of each seed | chosen | held out | chance, 95 % | untrained, held out |"
    lines = [head, "| :-- | --: | :-- | :-- | --: | --: | --: | --: |"]
    for name in LOOKED_FOR:
        for layers in dict.fromkeys(each.layers for each in found):
            trained, untrained = zip(*(each.rankings[name] for each in found if each.layers == layers), strict=True)
            chance = trained[0].chance
            units = ", ".join(f"{each.best.part}{each.best.unit} of {each.best.layer}" for each in trained)
            columns = [
                spread([abs(each.best.chosen - chance) + chance for each in trained]),
                spread([held_out(each) for each in trained]),
                spread([each.threshold + chance for each in trained]),
                spread([held_out(each) for each in untrained]),
            ]
            lines.append(f"| `{name}` | {layers} | {trained[0].measure} | {units} | " + " | ".join(columns) + " |")
    return "\n".join(lines)


def held_out(ranking: UnitRanking) -> float:
    """The held-out score of the best unit, above chance where it is on the side that it was chosen for."""
    best, chance = ranking.best, ranking.chance
    return chance + float(np.sign(best.chosen - chance)) * (best.held_out - chance)


def spread(values: list[float]) -> str:
    mean = float(np.mean(values))
    return f"{mean:.3f}" if len(values) < 2 else f"{mean:.3f} ± {np.std(values, ddof=1):.3f}"


def draw(found: Found, file: Path) -> None:
    """The best unit of each label over a piece of the held-out text, each on its own scale."""
    start = len(found.states.labels) // 2
    texts = [visible(label) for label in found.states.labels[start : start + SHOWN]]
    figure = Figure(figsize=(12, 6.4), dpi=150, layout="constrained")
    lines = figure.subplots(len(LOOKED_FOR) * 2, 1)
    half = SHOWN // 2
    for row, name in enumerate(LOOKED_FOR):
        best = found.rankings[name][0].best
        values = found.states.part(best.part, best.layer)[:, best.unit]
        values = values[start : start + SHOWN].numpy()
        bound = float(np.abs(values).max()) or 1.0
        for side in (0, 1):
            axes = lines[side * len(LOOKED_FOR) + row]
            part = values[side * half : (side + 1) * half]
            axes.imshow(part[None], aspect="auto", cmap="RdBu", vmin=-bound, vmax=bound)
            label = f"{name}\n{best.part}{best.unit} of layer {best.layer}"
            axes.set_yticks([0], [label], fontsize=7)
            axes.set_xticks(range(half), texts[side * half : (side + 1) * half], fontsize=8)
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
            axes.tick_params(labelbottom=row == len(LOOKED_FOR) - 1)
    figure.suptitle(f"The unit that follows each label best; {found.layers} layer, seed {found.seed}, held-out text")
    figure.savefig(file)


if __name__ == "__main__":
    sys.exit(main())
