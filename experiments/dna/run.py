"""DNA: how near a recurrent network comes to the Bayes decision, and how it does at published splice junctions.

Trains with ``seqlab train`` (what is there already is not trained again), fits tuned baselines on the very same splits,
and writes the tables into README.md. Needs scikit-learn; ``--part splice`` needs SEQLAB_DATA.
``--part grammar --seeds 1 --sweep-dir runs/dna_try --output runs/dna_try trainer.max_epochs=1
data.sizes=[4000,400,1000]`` is a quick trial: with all sequences the baselines alone take minutes.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.sparse import spmatrix
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from seqlab.config import build
from seqlab.config.compose import compose_config
from seqlab.data import SpliceGrammar
from seqlab.files import write_atomically

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab
from tables import completed, with_table

HERE = Path(__file__).parent
PARTS: Final = ("grammar", "splice")
STRENGTHS: Final = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # C of scikit-learn: the inverse of the penalty's weight
FOLDS: Final = 10
RATE_SEQUENCES: Final = 200_000  # for the Bayes rate of the grammar itself
SPLITS: Final = ("train", "validation", "test")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE, help="the folder for README.md")
    parser.add_argument("--sweep-dir", type=Path, default=Path("runs/dna_study"))
    parser.add_argument("--part", choices=PARTS, help="one part alone")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="further overrides, for a trial")
    args = parser.parse_args()

    args.output.mkdir(parents=True, exist_ok=True)
    readme = args.output / "README.md"
    if not readme.exists():
        readme.write_text((HERE / "README.md").read_text())
    known = Known(args.sweep_dir / "baselines.jsonl")
    for part in PARTS if args.part is None else (args.part,):
        folder = args.sweep_dir / part
        preset = {"grammar": "dna", "splice": "splice"}[part]
        folds = [] if part == "grammar" else [f"data.fold={','.join(map(str, range(FOLDS)))}"]
        if train([f"experiment={preset}", *folds, f"seed={args.seeds}", *args.overrides], folder):
            return 1
        make = grammar_table if part == "grammar" else splice_table
        table = make(runs_of(folder, args.seeds), known, args.overrides)
        write_atomically(readme, with_table(readme.read_text(), table, part).encode())
        print(f"\n{table}\n")
    return 0


def train(overrides: list[str], folder: Path) -> int:
    """The sweep as a user would type it; what is there already is not trained again."""
    plain = ("runtime.num_threads=1", "callbacks.examples=null", "logger=none")
    return seqlab("train", "-m", *overrides, *plain, f"hydra.sweep.dir={folder}")


def runs_of(folder: Path, seeds: str) -> list[dict[str, Any]]:
    records = completed(folder, "data.fold").values()
    return [each for each in records if str(each["config"]["seed"]) in seeds.split(",")]


class Known:
    """Figures in a file, a line each, so that a study that is stopped goes on where it was."""

    def __init__(self, file: Path) -> None:
        self.file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self.values = {json.dumps(line["key"]): line["value"] for line in map(json.loads, lines)}

    def get(self, key: list[Any], make: Callable[[], Any]) -> Any:
        """A figure that was kept, or else is made now."""
        name = json.dumps(key)
        if name not in self.values:
            self.values[name] = make()
            rows = [json.dumps({"key": json.loads(each), "value": value}) for each, value in self.values.items()]
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.file, ("\n".join(rows) + "\n").encode())
        print(f"{key}: {self.values[name]}", flush=True)
        return self.values[name]


def rows_of(overrides: list[str]) -> dict[str, tuple[list[str], list[str]]]:
    """The sequences and classes of each split, as a run with these overrides reads them."""
    data = build.build_data(compose_config(overrides))
    data.prepare_data()
    return {s: ([row.text for row in data.rows(s)], [row.label for row in data.rows(s)]) for s in SPLITS}


def places(texts: list[str]) -> np.ndarray:
    """A number for each base at each place; N is no base."""
    letters = np.array([list(text) for text in texts])
    return np.concatenate([letters == base for base in "ACGT"], axis=1).astype(np.float64)


def by_place(strength: float) -> Pipeline:
    return make_pipeline(Places(), LogisticRegression(C=strength, max_iter=2000))


def by_words(strength: float) -> Pipeline:
    """Words of one to six bases, counted, wherever they stand."""
    words = CountVectorizer(analyzer="char", ngram_range=(1, 6), lowercase=False, min_df=5)
    return make_pipeline(words, Scaled(), LogisticRegression(C=strength, max_iter=2000))


class Places:
    """The transformer of :func:`places`."""

    def fit(self, texts: list[str], labels: Any = None) -> "Places":
        return self

    def fit_transform(self, texts: list[str], labels: Any = None) -> np.ndarray:
        return places(texts)

    def transform(self, texts: list[str]) -> np.ndarray:
        return places(texts)


class Scaled:
    """Counts as their square roots, so that common short words do not drown the long ones."""

    def fit(self, counts: spmatrix, labels: Any = None) -> "Scaled":
        return self

    def fit_transform(self, counts: spmatrix, labels: Any = None) -> spmatrix:
        return counts.astype(np.float64).sqrt()

    def transform(self, counts: spmatrix) -> spmatrix:
        return counts.astype(np.float64).sqrt()


def tuned(rows: dict[str, tuple[list[str], list[str]]], make: Callable[[float], Pipeline]) -> dict[str, float]:
    """The strength that is best on validation; then a fit on training and validation together, tested once."""
    scores = {c: float(make(c).fit(*rows["train"]).score(*rows["validation"])) for c in STRENGTHS}
    chosen = max(scores, key=scores.__getitem__)
    both = tuple(one + other for one, other in zip(rows["train"], rows["validation"], strict=True))
    texts, labels = rows["test"]
    right = np.array(make(chosen).fit(*both).predict(texts)) == np.array(labels)
    return {"C": chosen, "validation": scores[chosen], "right": int(right.sum()), "rows": len(labels)}


def grammar_table(records: list[dict[str, Any]], known: Known, extra: list[str]) -> str:
    model = np.array([100 * record["metrics"]["test/accuracy"] for record in records])
    bayes = 100 * records[0]["metrics"]["test/bayes_accuracy"]
    rate, error = known.get(["rate", RATE_SEQUENCES], bayes_rate)
    overrides = ["experiment=dna", *(each for each in extra if each.startswith("data."))]
    rows: dict[str, tuple[list[str], list[str]]] = {}

    def fitted(make: Callable[[float], Pipeline]) -> dict[str, float]:
        if not rows:
            rows.update(rows_of(overrides))
        return tuned(rows, make)

    lines = [
        "| on the same test sequences | accuracy, % | minus Bayes |",
        "| :-- | --: | --: |",
        f"| Bayes decision | {bayes:.2f} | |",
        f"| bidirectional GRU, {records[0]['num_parameters']:,} parameters | {spread(model)} | "
        f"{spread(model - bayes)} |",
    ]
    baselines = {
        "logistic regression, words of 1 to 6 bases": by_words,
        "logistic regression, bases by place": by_place,
    }
    for name, make in baselines.items():
        figures = known.get([name, records[0]["config"]["data"]], lambda make=make: fitted(make))
        accuracy = 100 * figures["right"] / figures["rows"]
        lines.append(f"| {name} (C = {figures['C']:g}) | {accuracy:.2f} | {accuracy - bayes:+.2f} |")
    majority = max(records[0]["data"]["test"]["classes"].values()) / sum(records[0]["data"]["test"]["classes"].values())
    lines.append(f"| the commonest class | {100 * majority:.2f} | {100 * majority - bayes:+.2f} |")
    note = (
        f"The Bayes rate of the grammar itself, over {RATE_SEQUENCES:,} further sequences: {rate:.2f} ± {error:.2f} %."
    )
    return "\n".join([*lines, "", note])


def bayes_rate() -> tuple[float, float]:
    """The mean probability of the Bayes decision over sequences of another seed, and its standard error, in %."""
    grammar = SpliceGrammar().grammar
    sequences, _ = grammar.sample(RATE_SEQUENCES, (1_000_003, 0))
    surest = grammar.posterior(grammar.numbers(sequences)).max(1)
    return 100 * float(surest.mean()), 100 * float(surest.std(ddof=1) / len(surest) ** 0.5)


def splice_table(records: list[dict[str, Any]], known: Known, extra: list[str]) -> str:
    right: dict[int, list[int]] = {}  # by seed: the rows that are right, fold by fold
    sizes: dict[int, int] = {}
    for record in sorted(records, key=lambda each: each["config"]["data"]["fold"]):
        fold, rows = record["config"]["data"]["fold"], record["data"]["test"]["counts"]["rows"]
        sizes[fold] = rows
        right.setdefault(record["config"]["seed"], []).append(round(rows * record["metrics"]["test/accuracy"]))
    data = [each for each in extra if each.startswith("data.")]
    read = {record["config"]["data"]["fold"]: record["config"]["data"] for record in records}
    baseline = [
        known.get(["bases by place", read[fold]], lambda fold=fold: of_fold(fold, data)) for fold in sorted(sizes)
    ]
    if any(len(folds) != len(sizes) for folds in right.values()):
        raise SystemExit(f"runs are missing: by seed there are {[len(folds) for folds in right.values()]} folds")
    total = np.array([sizes[fold] for fold in sorted(sizes)])
    assert [each["rows"] for each in baseline] == total.tolist()
    network = 100 * np.array(list(right.values())) / total  # (seeds, folds)
    regression = 100 * np.array([each["right"] for each in baseline]) / total
    pooled = 100 * np.array(list(right.values())).sum(1) / total.sum()
    difference = network.mean(0) - regression
    of_regression = 100 * sum(each["right"] for each in baseline) / total.sum()
    strengths = ", ".join(f"{each['C']:g}" for each in baseline)
    return "\n".join(
        [
            f"| all {total.sum():,} sequences, each tested once | accuracy, % | over folds, sd |",
            "| :-- | --: | --: |",
            f"| bidirectional GRU, {records[0]['num_parameters']:,} parameters, seeds {', '.join(map(str, right))} | "
            f"{spread(pooled)} | {network.mean(0).std(ddof=1):.2f} |",
            f"| one-hot logistic regression | {of_regression:.2f} | {regression.std(ddof=1):.2f} |",
            "",
            f"GRU minus regression, fold by fold: {difference.mean():+.2f} ± "
            f"{difference.std(ddof=1) / len(difference) ** 0.5:.2f} (standard error over the folds). "
            f"C by fold: {strengths}.",
        ]
    )


def of_fold(fold: int, data: list[str]) -> dict[str, float]:
    return tuned(rows_of(["experiment=splice", f"data.fold={fold}", *data]), by_place)


def spread(values: np.ndarray) -> str:
    return f"{values.mean():.2f}" if len(values) < 2 else f"{values.mean():.2f} ± {values.std(ddof=1):.2f}"


if __name__ == "__main__":
    sys.exit(main())
