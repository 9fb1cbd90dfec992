"""Moving digits: a network that reads frames in their order beside a bag of frames, which cannot know it.

    python experiments/video/run.py

trains both with three seeds, the bag at three learning rates of which the best on validation counts, prints a table,
and copies a figure of test clips with the network's answers over time here. Called again, it goes on where it was
stopped; ``--report`` trains nothing. Needs scikit-learn (``pip install 'seqlab[digits]'``).
"""

import argparse
import shutil
import sys
from pathlib import Path

from seqlab.run.record import read_record

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab

SWEEPS = {
    "network": ("seed=1,2,3",),
    "bag": (
        *("model/encoder=bag", "model.pooling=mean", "model.num_layers=2"),
        *("optimizer.lr=0.0005,0.002,0.008", "seed=1,2,3"),
    ),
}
FIGURE = "answers.png"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep-dir", type=Path, default=Path("runs/video"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="the folder for the figure")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="further overrides of every run")
    args = parser.parse_args()
    for name, keys in () if args.report else SWEEPS.items():
        each = (f"hydra.sweep.dir={args.sweep_dir / name}", "runtime.num_threads=1")
        if code := seqlab("train", "-m", "experiment=moving_digits", *keys, *each, *args.overrides):
            print("the same command goes on with what is left", file=sys.stderr)
            return code
    folders = [str(args.sweep_dir / name) for name in SWEEPS]
    by = ("--by", "model.encoder._target_", "--tune", "optimizer.lr")
    if code := seqlab("report", *folders, *by, "--metric", "test/accuracy"):
        return code
    figures = sorted((args.sweep_dir / "network").glob(f"*/{FIGURE}"))
    first = next((path for path in figures if read_record(path.parent)["seed"] == 1), None)
    if first is not None:
        args.output.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(first, args.output / FIGURE)
        print(f"{first} copied to {args.output / FIGURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
