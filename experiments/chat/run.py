"""The chat study: the perplexity of held-out conversations, by recurrent language models and by n-grams.

One command trains three seeds, counts the n-grams, and writes the table into README.md. Called again, it goes on where
it was stopped; ``--report`` trains nothing.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from seqlab import runs as runs_below

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab, some_of
from tables import completed, spread, write_table

HERE = Path(__file__).parent
ORDERS = (2, 3, 4, 5)
CELLS = {"lstm": "LSTM", "gru": "GRU"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/chat"))
    parser.add_argument("--cells", type=some_of(CELLS), default=list(CELLS), metavar="NAME[,NAME]", help="train these")
    parser.add_argument("--output", type=Path, default=HERE / "README.md", help="the file for the table")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="further overrides of the recurrent runs")
    args = parser.parse_args()
    where = f"hydra.sweep.dir={args.runs}"
    recurrent = ("experiment=chat", "seed=1,2,3", f"model/cell={','.join(args.cells)}", where, *args.overrides)
    counted = ("experiment=chat_kneser_ney", f"model.order={','.join(map(str, ORDERS))}", where)
    for command in () if args.report else (recurrent, counted):
        if code := seqlab("train", "-m", *command):
            print("the same command goes on with what is left", file=sys.stderr)
            return code
    if not args.runs.is_dir():
        parser.error(f"--runs: there are no runs in {args.runs} yet; train some first, without --report")
    completed(args.runs, "model._target_", "model.cell._target_", "model.order")  # refuses two of one setting and seed
    runs = runs_below(args.runs)
    write_table(table(runs[runs["status"] == "completed"]), args.output, HERE / "README.md")
    return 0


def table(runs: pd.DataFrame) -> list[str]:
    """The lines of a table: perplexities of both held-out splits, a model a line."""
    lines = [
        "| model | n | validation perplexity | test perplexity | minutes a run |",
        "| :-- | --: | --: | --: | --: |",
    ]
    recurrent = {name: runs.get("model.cell._target_") == f"seqlab.nn.{name}Cell" for name in CELLS.values()}
    ngrams = {f"Kneser-Ney, {order} words": runs.get("model.order") == order for order in ORDERS}
    for name, chosen in (recurrent | ngrams).items():
        own = runs[chosen]
        perplexities = " | ".join(spread(list(own[f"{split}/perplexity"]), ".1f") for split in ("val", "test"))
        minutes = spread([seconds / 60 for seconds in own["train_seconds"]], ".1f")
        lines.append(f"| {name} | {len(own)} | {perplexities} | {minutes} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
