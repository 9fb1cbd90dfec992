"""The captioning study: scenes with combinations that training has never seen, with and without attention, and blind.

One command trains three seeds of each setting and writes the table into README.md. Called again, it goes on where it
was stopped; ``--report`` trains nothing.
"""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab
from tables import completed, spread, write_table

HERE = Path(__file__).parent
SETTINGS = {
    "attention": ("model.attention=general",),
    # Under the preset's weight decay it describes a third as many of the seen scenes.
    "the mean of the places alone": ("model.attention=null", "optimizer.weight_decay=0.0"),
    "blank pictures": ("data.noise=100",),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/captions"))
    parser.add_argument("--output", type=Path, default=HERE / "README.md", help="the file for the table")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="further overrides of every run")
    args = parser.parse_args()
    for number, overrides in () if args.report else enumerate(SETTINGS.values()):
        sweep = ("experiment=scenes", "seed=1,2,3", f"hydra.sweep.dir={args.runs / str(number)}", *overrides)
        if code := seqlab("train", "-m", *sweep, "task.bleu_every_n_validations=1", *args.overrides):
            print("the same command goes on with what is left", file=sys.stderr)
            return code
    names = ("val/exact_match", "val/bleu", "test/exact_match", "test/bleu")
    lines = [
        "| | n | seen combinations, exact | BLEU | unseen, exact | BLEU |",
        "| :-- | --: | --: | --: | --: | --: |",
    ]
    for number, setting in enumerate(SETTINGS):
        metrics = [record["metrics"] for record in completed(args.runs / str(number)).values()]
        figures = " | ".join(spread([each[name] for each in metrics], ".3g") for name in names)
        lines.append(f"| {setting} | {len(metrics)} | {figures} |")
    write_table(lines, args.output, HERE / "README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
