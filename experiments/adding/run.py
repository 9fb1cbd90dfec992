"""The adding problem of 600, 2,000 and 5,000 steps: which cell adds two numbers that far apart, and at what cost.

Carries out a sweep for each length, and writes the table into README.md. Called again, it goes on where it was stopped,
and skips what is done. ``--report`` trains nothing and shows what there is so far.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from seqlab import runs as runs_below
from seqlab.data import Adding

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab, some_of
from tables import completed, write_table

HERE = Path(__file__).parent
SEEDS = "seed=1,2,3"
LENGTHS = (600, 2000, 5000)


@dataclass(frozen=True)
class Contender:
    """A cell, the lengths that it is tried at, and its overrides; rates are chosen on validation."""

    name: str
    kind: str
    lengths: tuple[int, ...]
    rates: str
    own: tuple[str, ...] = ()
    memory: bool = False


WITHOUT = ("~model.cell.memory",)
CONTENDERS = (
    Contender("minGRU", "min_gru", (600, 2000), "0.01,0.03", ("model.cell.memory=null",)),
    Contender("minGRU, memories up to T", "min_gru", (600, 2000, 5000), "0.01,0.03", memory=True),
    Contender("GRU", "gru", (600,), "0.001,0.003,0.01", WITHOUT),
    Contender("LSTM, forget bias 5", "lstm", (600,), "0.001,0.003,0.01", (*WITHOUT, "model.init.forget_bias=5")),
    Contender("IndRNN, two layers", "ind_rnn", (600,), "0.0003,0.001,0.003", (*WITHOUT, "model.num_layers=2")),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="runs at once, one thread each")
    parser.add_argument("--sweep-dir", type=Path, default=Path("runs/adding_study"))
    parser.add_argument("--output", type=Path, default=HERE / "README.md", help="the file for the table")
    parser.add_argument("--lengths", type=some_of(LENGTHS), default=LENGTHS, metavar="T[,T]", help="these alone")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of seqlab train")
    args = parser.parse_args()
    launcher = ["launcher=joblib", f"hydra.launcher.n_jobs={args.jobs}"] if args.jobs > 1 else []
    each = ("logger=none", "runtime.num_threads=1", *launcher, *args.overrides)
    for length in args.lengths:
        for contender in () if args.report else CONTENDERS:
            if length in contender.lengths and (code := seqlab(*command_of(contender, length, args.sweep_dir, each))):
                print("the same command goes on with what is left", file=sys.stderr)
                return code
    if not args.sweep_dir.is_dir():
        parser.error(f"--sweep-dir: there are no runs in {args.sweep_dir} yet; train some first, without --report")
    varied = ("data.length", "model.cell._target_", "model.cell.memory", "optimizer.lr")
    completed(args.sweep_dir, *varied)  # refuses two runs of one setting and seed
    runs = runs_below(args.sweep_dir)
    write_table(table(runs[runs["status"] == "completed"]), args.output, HERE / "README.md")
    return 0


def command_of(contender: Contender, length: int, folder: Path, each: tuple[str, ...]) -> list[str]:
    """The command that trains a contender at a length."""
    shape = [f"model/cell={contender.kind}", f"data.length={length}", *contender.own]
    rates, place = f"optimizer.lr={contender.rates}", f"hydra.sweep.dir={folder}"
    return ["train", "-m", "experiment=adding", *shape, rates, SEEDS, place, *each]


def table(runs: pd.DataFrame) -> list[str]:
    """The lines of a table: the test's squared error at the rate whose validation is best in the mean over seeds."""
    lines = ["| steps | cell | rate | test MSE | minutes a run |", "| --: | :-- | --: | --: | --: |"]
    for length in sorted(set(runs["data.length"])):
        for contender in CONTENDERS:
            own = runs[(runs["data.length"] == length) & of(runs, contender)]
            if not len(own):
                continue
            rate = own.groupby("optimizer.lr")["val/mse"].mean().idxmin()
            best = own[own["optimizer.lr"] == rate]
            values = ", ".join(f"{value:.2g}" for value in sorted(best["test/mse"]))
            minutes = best["train_seconds"].mean() / 60
            lines.append(f"| {length:,} | {contender.name} | {rate:g} | {values} | {minutes:.1f} |")
    return [*lines, f"| | the best constant | | {Adding.baseline:.2g} | |"]


def of(runs: pd.DataFrame, contender: Contender) -> "pd.Series[bool]":
    """Which runs are a contender's."""
    kinds = {"min_gru": "MinGRUCell", "gru": "GRUCell", "lstm": "LSTMCell", "ind_rnn": "IndRNNCell"}
    is_kind = runs["model.cell._target_"] == f"seqlab.nn.{kinds[contender.kind]}"
    if contender.kind != "min_gru" or not is_kind.any():
        return is_kind
    return is_kind & (runs["model.cell.memory"].notna() == contender.memory)


if __name__ == "__main__":
    sys.exit(main())
