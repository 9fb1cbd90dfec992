"""The depth study: 1, 2, 4 and 8 layers with each connection, of equal size, each at the learning rate that suits it.

Two sweeps into one folder: one layer has no connection to choose. Called again, they go on where they were stopped, and
skip what is done. ``--report`` prints what there is so far.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

PRESET = ("experiment=kjv_char_lstm", "model.match_parameters=400000", "model.match_tolerance=0.02")
SCHEDULE = ("scheduler=wsd", "scheduler.decay_from=0.5")
TUNE = (
    "optimizer.lr=0.0016,0.004,0.01,0.025",
    "seed=1,2,3",
    "hydra.sweeper.tune=[optimizer.lr]",
    "hydra.sweeper.fresh_seeds=[4,5,6,7,8]",
    "hydra.sweeper.rungs=[0.25,0.5]",
)
STACKS = (
    ("model.num_layers=1",),
    ("model.num_layers=2,4,8", "model.connect=none,residual,dense,highway"),
)
BY = "model.num_layers,model.connect"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=800, help="training steps of each run")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="runs at once, one thread each")
    parser.add_argument("--sweep-dir", type=Path, default=Path("runs/depth"))
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("overrides", nargs="*", help="further overrides of every run")
    args = parser.parse_args()
    each = (
        "name=depth",
        f"hydra.sweep.dir={args.sweep_dir}",
        f"trainer.max_steps={args.steps}",
        f"scheduler.warmup_steps={min(50, args.steps // 16)}",
        f"trainer.val_check_interval={max(1, args.steps // 4)}",
        "runtime.num_threads=1",
        "launcher=joblib",
        f"hydra.launcher.n_jobs={args.jobs}",
        *args.overrides,
    )
    for stack in () if args.report else STACKS:
        if code := seqlab("train", "-m", *PRESET, *SCHEDULE, *TUNE, *stack, *each):
            print("the same command goes on with what is left", file=sys.stderr)
            return code
    return seqlab(
        *("report", str(args.sweep_dir), "--by", BY, "--tune", "optimizer.lr", "--metric", "test/perplexity"),
        *("--baseline", "model.num_layers=1", "--plot", str(args.sweep_dir / "depth.png")),
    )


def seqlab(*arguments: str) -> int:
    """The command as a user would type it, in the environment of this script."""
    print("$ seqlab " + " ".join(arguments), flush=True)
    process = subprocess.Popen([sys.executable, "-m", "seqlab.cli", *arguments])
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # of the terminal, which tells the command too: it saves, and ends
            continue


if __name__ == "__main__":
    sys.exit(main())
