"""What each cell can and cannot learn: carries out ``sweep=expressivity`` and writes the table into README.md.

Called again, it goes on where it was stopped, and skips what is done. ``--report`` trains nothing and shows what there
is so far. Further KEY=VALUE arguments go to every training.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from seqlab import runs as runs_below
from seqlab.data import AssociativeRecall, Copy, Dyck, ModularArithmetic, Parity, Permutations, SelectiveCopy

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab
from tables import completed, write_table

HERE = Path(__file__).parent
LENGTHS = (64, 1024)
TASKS = {
    "parity": ("parity_data", Parity()),
    "modular arithmetic": ("modular_data", ModularArithmetic()),
    "S3": ("permutation_data", Permutations(3)),
    "S5": ("permutation_data", Permutations(5)),
    "Dyck-2": ("dyck_data", Dyck()),
    "copy": ("copy_data", Copy()),
    "selective copy": ("selective_copy_data", SelectiveCopy()),
    "MQAR": ("mqar_data", AssociativeRecall()),
}
"""Each task with the function that makes its data, and its generator, whose options are those of the sweep."""
CELLS = {"RNN": "RNNCell", "GRU": "GRUCell", "LSTM": "LSTMCell", "minGRU": "MinGRUCell", "IndRNN": "IndRNNCell"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="runs at once, one thread each")
    parser.add_argument("--sweep-dir", type=Path, default=Path("runs/expressivity"))
    parser.add_argument("--output", type=Path, default=HERE / "README.md", help="the file for the table")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of seqlab train")
    args = parser.parse_args()
    if not args.report:
        launcher = ["launcher=joblib", f"hydra.launcher.n_jobs={args.jobs}"] if args.jobs > 1 else []
        command = ["train", "-m", "sweep=expressivity", f"hydra.sweep.dir={args.sweep_dir}", *launcher, "logger=none"]
        if code := seqlab(*command, *args.overrides):
            print("the same command goes on with what is left", file=sys.stderr)
            return code
    if not args.sweep_dir.is_dir():
        parser.error(f"--sweep-dir: there are no runs in {args.sweep_dir} yet; train some first, without --report")
    varied = ("data._target_", "data.degree", "model.cell._target_")
    completed(args.sweep_dir, *varied)  # refuses two runs of one setting and seed
    runs = runs_below(args.sweep_dir)
    write_table(table(runs[runs["status"] == "completed"]), args.output, HERE / "README.md")
    return 0


def table(runs: pd.DataFrame) -> list[str]:
    """The lines of a table of accuracies: mean and deviation over seeds, at each length."""
    lengths = " and ".join(f"{length:,}" for length in LENGTHS)
    lines = [f"| accuracy at {lengths} | chance | {' | '.join(CELLS)} |", f"| :-- | --: |{' :-- |' * len(CELLS)}"]
    for name, (function, source) in TASKS.items():
        own = runs[runs["data._target_"] == f"seqlab.data.{function}"]
        if isinstance(source, Permutations):
            own = own[own["data.degree"] == len(source.tokens[0])]
        cells = []
        for kind in CELLS.values():
            of_cell = own[own["model.cell._target_"] == f"seqlab.nn.{kind}"]
            cells.append("; ".join(figure(of_cell, length) for length in LENGTHS) if len(of_cell) else "not run")
        lines.append(f"| {name} | {source.chance(LENGTHS[-1]):.3f} | {' | '.join(cells)} |")
    return lines


def figure(runs: pd.DataFrame, length: int) -> str:
    """Mean and deviation of the accuracy at a length, and the number of seeds where that is not three.

    A run whose test was cut short (``trainer.limit_test_batches``) has met no sequence of the greater length.
    """
    values: Any = runs[f"test/accuracy_{length}"].dropna()
    if not len(values):
        return "not tested"
    spread = f" ± {values.std():.3f}" if len(values) > 1 else ""
    seeds = "" if len(values) == 3 else f" ({len(values)})"
    return f"{values.mean():.3f}{spread}{seeds}"


if __name__ == "__main__":
    sys.exit(main())
