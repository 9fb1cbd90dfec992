"""The speech study: digits by a synthesiser and by people, transcribed by CTC, beside a nearest-template baseline.

One command trains three seeds of each setting and prints a table. Called again, it goes on where it was stopped.
``--published`` adds the spoken digits below SEQLAB_DATA.
"""

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqlab.config import build
from seqlab.config.compose import compose_config
from seqlab.run.record import read_record

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
SETTINGS = {"synthetic": ("experiment=synthetic_digits",)}
PUBLISHED = {
    "spoken, official split": ("experiment=spoken_digits",),
    **{f"spoken, {name} left out": ("experiment=spoken_digits", f"data.speaker={name}") for name in SPEAKERS},
    "spoken, strings of four": ("experiment=spoken_digits", "data.digits=4"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/speech"))
    parser.add_argument("--published", action="store_true")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="further overrides of every run")
    args = parser.parse_args()
    settings = SETTINGS | (PUBLISHED if args.published else {})
    for name, overrides in settings.items():
        folder = args.runs / name.replace(", ", "-").replace(" ", "_")
        if code := seqlab("train", "-m", *overrides, "seed=1,2,3", f"hydra.sweep.dir={folder}", *args.overrides):
            print("the same command goes on with what is left", file=sys.stderr)
            return code
    print("| digits | n | test WER | exact match | nearest template, errors |\n| :-- | --: | --: | --: | --: |")
    for name, overrides in settings.items():
        folder = args.runs / name.replace(", ", "-").replace(" ", "_")
        records = [read_record(path) for path in sorted(folder.glob("*/run.json"))]
        metrics = [record["metrics"] for record in records if record["status"] == "completed"]
        wer, exact = ([each[f"test/{key}"] for each in metrics] for key in ("wer", "exact_match"))
        single = "synthetic" not in name and "strings" not in name
        template = f"{nearest_template((*overrides, *args.overrides)):.3f}" if single else "for single digits alone"
        print(f"| {name} | {len(metrics)} | {spread(wer)} | {spread(exact)} | {template} |")
    return 0


def nearest_template(overrides: tuple[str, ...]) -> float:
    """The share of test digits whose nearest training recording, after dynamic time warping, is another digit.

    Frames are standardised; of the training recordings every fifth is a template. Nothing is tuned on the test: the
    warping has no window.
    """
    data: Any = build.build_data(compose_config(overrides))
    data.prepare_data()
    mean, std = (value.numpy() for value in data.spec.statistics())
    frames = {
        split: [((data.collate(split, [n]).inputs[0].numpy() - mean) / std) for n in range(len(data.lengths(split)))]
        for split in ("train", "test")
    }
    words = {split: [row.text for row in data.rows(split)] for split in frames}
    templates = list(range(0, len(frames["train"]), 5))
    wrong = 0
    for place, sound in enumerate(frames["test"]):
        nearest = min(templates, key=lambda each: warped(sound, frames["train"][each]))
        wrong += words["train"][nearest] != words["test"][place]
    return wrong / len(frames["test"])


def warped(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The distance of two sounds by dynamic time warping (Sakoe & Chiba 1978), a mean over their lengths."""
    costs = np.sqrt(((one[:, None] - other[None]) ** 2).sum(2))
    totals = np.full((len(one) + 1, len(other) + 1), np.inf)
    totals[0, 0] = 0.0
    for row in range(len(one)):
        for column in range(len(other)):
            best = min(totals[row, column], totals[row, column + 1], totals[row + 1, column])
            totals[row + 1, column + 1] = costs[row, column] + best
    return float(totals[-1, -1]) / (len(one) + len(other))


def spread(values: list[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{deviation}"


if __name__ == "__main__":
    sys.exit(main())
