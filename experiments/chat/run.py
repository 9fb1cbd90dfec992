"""The chat study: the perplexity of held-out conversations, by recurrent language models and by n-grams.

One command trains three seeds, counts the n-grams, and prints a table. Called again, it goes on where it was stopped.
"""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/chat"))
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="further overrides of the recurrent runs")
    args = parser.parse_args()
    where = f"hydra.sweep.dir={args.runs}"
    for command in (
        ("experiment=chat", "seed=1,2,3", "model/cell=lstm,gru", where, *args.overrides),
        ("experiment=chat_kneser_ney", "model.order=2,3,4,5", where, "name=chat"),
    ):
        if code := seqlab("train", "-m", *command):
            print("the same command goes on with what is left", file=sys.stderr)
            return code
    return seqlab(
        "report", str(args.runs), "--by", "model._target_,model/cell,model.order", "--metric", "test/perplexity"
    )


if __name__ == "__main__":
    sys.exit(main())
