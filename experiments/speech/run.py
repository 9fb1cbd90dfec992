"""The speech study: digits by a synthesiser and by people, transcribed by CTC, beside a nearest-template baseline.

One command trains three seeds of each setting and writes the table into README.md. Called again, it goes on where it
was stopped; ``--report`` trains nothing. ``--published`` adds the spoken digits below SEQLAB_DATA.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqlab import load
from seqlab.config import build
from seqlab.config.compose import compose_config
from seqlab.files import write_atomically

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab
from tables import completed, spread, write_table

Floats = NDArray[np.floating[Any]]
HERE = Path(__file__).parent
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
SETTINGS = {"synthetic": ("experiment=synthetic_digits",)}
FURTHER = (
    "data.generator_seed=1",
    "data.test_voices=[Mike,Storm,gustave,kaukovalta,miguel,norbert,pedro,robert,sandro,shelby,victor,zac]",
)
"""A test that nothing was chosen by: voices that are in no other split, with texts and noise of their own."""
PUBLISHED = {
    "spoken, official split": ("experiment=spoken_digits",),
    **{f"spoken, {name} left out": ("experiment=spoken_digits", f"data.speaker={name}") for name in SPEAKERS},
    "spoken, strings of four": ("experiment=spoken_digits", "data.digits=4"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/speech"))
    parser.add_argument("--output", type=Path, default=HERE / "README.md", help="the file for the table")
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="further overrides of every run")
    args = parser.parse_args()
    settings = SETTINGS | (PUBLISHED if args.published else {})
    for name, overrides in () if args.report else settings.items():
        folder = args.runs / name.replace(", ", "-").replace(" ", "_")
        if code := seqlab("train", "-m", *overrides, "seed=1,2,3", f"hydra.sweep.dir={folder}", *args.overrides):
            print("the same command goes on with what is left", file=sys.stderr)
            return code
    lines = ["| digits | n | test WER | exact match | nearest template, errors |", "| :-- | --: | --: | --: | --: |"]
    for name, overrides in settings.items():
        folder = args.runs / name.replace(", ", "-").replace(" ", "_")
        metrics = [record["metrics"] for record in completed(folder).values()]
        if not metrics:
            lines.append(f"| {name} | 0 | not run | | |")
            continue
        wer, exact = ([each[f"test/{key}"] for each in metrics] for key in ("wer", "exact_match"))
        single = "synthetic" not in name and "strings" not in name
        template = f"{nearest_template((*overrides, *args.overrides)):.4f}" if single else "for single digits alone"
        lines.append(f"| {name} | {len(metrics)} | {spread(wer, '.4f')} | {spread(exact, '.4f')} | {template} |")
        if name == "synthetic":
            lines.append(further(folder))
    write_table(lines, args.output, HERE / "README.md")
    return 0


def further(folder: Path) -> str:
    """The line of a test that nothing was chosen by: the trained networks hear further voices."""
    found = []
    for run_dir in completed(folder):
        kept = run_dir / "further.json"
        if not kept.exists():
            write_atomically(kept, json.dumps(load(run_dir).evaluate(*FURTHER)).encode())
        found.append(json.loads(kept.read_text()))
    wer, exact = ([each[f"test/{key}"] for each in found] for key in ("wer", "exact_match"))
    return f"| the same, further voices | {len(found)} | {spread(wer, '.4f')} | {spread(exact, '.4f')} | |"


def nearest_template(overrides: tuple[str, ...]) -> float:
    """The share of test digits whose nearest training recording, after dynamic time warping, is another digit.

    Frames are standardised, and all recordings of training are templates. Whether each recording's mean is subtracted
    before is chosen on validation, like nothing else: the warping has no window.
    """
    errors = []
    for subtract in ("true", "false"):
        data: Any = build.build_data(compose_config((*overrides, f"data.subtract_mean={subtract}")))
        data.prepare_data()
        mean, std = (value.numpy() for value in data.spec.statistics())
        templates = Templates(*recordings(data, "train", mean, std))
        errors.append([templates.error(*recordings(data, split, mean, std)) for split in ("validation", "test")])
    return min(errors)[1]


def recordings(data: Any, split: str, mean: Floats, std: Floats) -> tuple[list[Floats], list[str]]:
    """The standardised frames ``(T, F)`` of each recording of a split, and what is said in it."""
    sounds = [(data.collate(split, [n]).inputs[0].numpy() - mean) / std for n in range(len(data.lengths(split)))]
    return sounds, [row.text for row in data.rows(split)]


class Templates:
    """Sounds whose word is known; another has the word of the nearest of them by dynamic time warping.

    The distance of two sounds is that of Sakoe & Chiba (1978) without weights, a mean over their lengths.
    """

    def __init__(self, sounds: list[Floats], words: list[str]) -> None:
        self.words = words
        self.lengths = np.array([len(sound) for sound in sounds])
        self.frames = np.zeros((len(sounds), self.lengths.max(), sounds[0].shape[1]))
        for row, sound in zip(self.frames, sounds, strict=True):
            row[: len(sound)] = sound
        self.squares = (self.frames**2).sum(2)

    def distances(self, sound: Floats) -> Floats:
        """The distance of a sound ``(T, F)`` to each template."""
        products = self.frames @ sound.T
        costs = np.sqrt(np.maximum(self.squares[..., None] + (sound**2).sum(1) - 2 * products, 0.0)).transpose(2, 1, 0)
        rows, columns, count = costs.shape
        before = np.full((columns + 1, count), np.inf)
        before[0] = 0.0
        for row in range(rows):
            totals = np.full((columns + 1, count), np.inf)
            earlier = np.minimum(before[1:], before[:-1])
            for column in range(columns):
                totals[column + 1] = costs[row, column] + np.minimum(earlier[column], totals[column])
            before = totals
        return before[self.lengths, np.arange(count)] / (self.lengths + rows)

    def error(self, sounds: list[Floats], words: list[str]) -> float:
        """The share of sounds whose nearest template says another word."""
        said = [self.words[int(self.distances(sound).argmin())] for sound in sounds]
        return float(np.mean([one != other for one, other in zip(said, words, strict=True)]))


if __name__ == "__main__":
    sys.exit(main())
