"""The music study: chorales and folk tunes by recurrent models of frames, and what they write.

One command trains three seeds of each preset, writes pieces of the first seed, measures how near they are to the
chorales, and writes the tables into README.md. Called again, it goes on where it was stopped; ``--report`` trains
nothing. ``--published`` adds the piano rolls below SEQLAB_DATA.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.config import build
from seqlab.nn import compose
from seqlab.run.load import load_run

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab
from tables import completed, spread, write_table

HERE = Path(__file__).parent
AT_ONCE, PUBLISHED = ("canon", "chorales"), ("jsb_chorales", "nottingham")
PROMPT = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/music"))
    parser.add_argument("--output", type=Path, default=HERE / "README.md", help="the file for the tables")
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="further overrides of every run")
    args = parser.parse_args()
    presets = AT_ONCE + (PUBLISHED if args.published else ())
    for preset in () if args.report else presets:
        sweep = (f"experiment={preset}", "seed=1,2,3", f"hydra.sweep.dir={args.runs / preset}", *args.overrides)
        if code := seqlab("train", "-m", *sweep):
            print("the same command goes on with what is left", file=sys.stderr)
            return code
    lines = [
        "| preset | n | test NLL a frame | keys by their own share | test note F1 |",
        "| :-- | --: | --: | --: | --: |",
    ]
    write_table([*lines, *(row(preset, args.runs / preset) for preset in presets)], args.output, HERE / "README.md")
    chorales = list(completed(args.runs / "chorales"))
    if not chorales:
        print(f"distances: no run of the chorales has completed in {args.runs / 'chorales'}", file=sys.stderr)
        return 0
    first = chorales[0]
    write_table(distances(first), args.output, HERE / "README.md", "distances")
    return seqlab(
        "generate", str(first), "--output", str(args.runs / "pieces"), "--num-samples", "3", "--max-new-tokens", "120"
    )


def row(preset: str, folder: Path) -> str:
    runs = completed(folder)
    if not runs:
        return f"| {preset} | 0 | not run | | |"
    nll, f1 = ([record["metrics"][f"test/{name}"] for record in runs.values()] for name in ("loss", "note_f1"))
    data: Any = build.build_data(load_run(next(iter(runs))).config)
    return f"| {preset} | {len(runs)} | {spread(nll)} | {unigram(data):.3f} | {spread(f1)} |"


def unigram(data: Any) -> float:
    """The NLL a frame of the test, if each key sounds as often as in training, whatever was before."""
    frames = np.concatenate([piece.roll[1:] for piece in data.pieces["train"]]).astype(float)
    share = (frames.sum(0) + 0.5) / (len(frames) + 1)
    test = np.concatenate([piece.roll[1:] for piece in data.pieces["test"]]).astype(float)
    return float(-(test * np.log(share) + (1 - test) * np.log(1 - share)).sum(1).mean())


def distances(run_dir: Path) -> list[str]:
    """How near pieces are to the chorales of the test: Jensen-Shannon divergence of chords and of their successions."""
    run = load_run(run_dir)
    data: Any = build.build_data(run.config)
    test = [piece.roll for piece in data.pieces["test"]]
    draws = torch.Generator().manual_seed(0)
    model: Any = run.model().eval()
    written = []
    with torch.inference_mode():
        for roll in [roll for roll in test if len(roll) > PROMPT]:
            start = torch.from_numpy(roll[:PROMPT])
            (frames,) = compose(model, start, len(roll) - PROMPT, 0.8, generator=draws)
            written.append(frames.numpy()[PROMPT:])
    order = np.random.default_rng(0)
    shuffled = [order.permutation(roll) for roll in test]
    by_key = [np.stack([order.permutation(column) for column in roll.T], 1) for roll in test]
    lines = ["| pieces | chords | chord to chord |", "| :-- | --: | --: |"]
    training = [piece.roll for piece in data.pieces["train"]]
    for name, rolls in (
        ("chorales of training", training),
        ("written, temperature 0.8", written),
        ("the test, frames shuffled", shuffled),
        ("the test, each key shuffled", by_key),
    ):
        lines.append(f"| {name} | {divergence(rolls, test, 1):.3f} | {divergence(rolls, test, 2):.3f} |")
    return lines


def divergence(rolls: list[NDArray[Any]], others: list[NDArray[Any]], order: int) -> float:
    """Jensen-Shannon divergence in nats between the pitch-class sets of frames, in runs of ``order`` of them."""
    one, other = (counts(each, order) for each in (rolls, others))
    names = sorted(one.keys() | other.keys())
    p, q = (np.array([each[name] for name in names], dtype=float) for each in (one, other))
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    return float(sum((x[x > 0] * np.log(x[x > 0] / middle[x > 0])).sum() for x in (p, q)) / 2)


def counts(rolls: list[NDArray[Any]], order: int) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for roll in rolls:
        sets = [frozenset(((np.flatnonzero(frame) + 21) % 12).tolist()) for frame in roll]
        found.update(tuple(map(tuple, map(sorted, sets[i : i + order]))) for i in range(len(sets) - order + 1))
    return found


if __name__ == "__main__":
    sys.exit(main())
