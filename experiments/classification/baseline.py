"""The baseline of sentence classification: a bag of words under logistic regression, on the very split of the runs.

    python experiments/classification/baseline.py experiment=mr_gru

takes the overrides of ``seqlab train``, reads the same data, chooses the regularisation on validation alone and leaves
a record in ``runs/<name>/bag_of_words``, so that ``seqlab report runs/<name> --by model._target_`` has it in its table.
Needs scikit-learn.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss
from sklearn.pipeline import Pipeline, make_pipeline

from seqlab.config import build
from seqlab.config.compose import compose_config
from seqlab.data import ClassificationData
from seqlab.errors import InputError

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tables import is_measured, leave_record

STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # C of scikit-learn: the inverse of the penalty's weight
NGRAMS = (1, 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", metavar="KEY=VALUE", help="of seqlab train")
    args = parser.parse_args()
    try:
        config = compose_config(args.overrides)
        run_dir = Path("runs") / str(config["name"]) / "bag_of_words"
        if is_measured(run_dir, config["data"]):
            print(f"{run_dir} is there already; remove it to measure it again")
            return 0
        data = build.build_data(config)
        data.prepare_data()
    except InputError as error:
        print(f"baseline: {error}", file=sys.stderr)
        return 2
    assert isinstance(data, ClassificationData)
    texts, labels = {}, {}
    for split in ("train", "validation", "test"):
        rows = data.source.read(split)
        texts[split], labels[split] = [row.text for row in rows], [row.label for row in rows]

    started = time.perf_counter()
    models = {strength: fit(texts["train"], labels["train"], strength, config) for strength in STRENGTHS}
    scores = {strength: model.score(texts["validation"], labels["validation"]) for strength, model in models.items()}
    chosen = max(scores, key=scores.__getitem__)
    model = models[chosen]
    config["model"] = {
        "_target_": "sklearn.linear_model.LogisticRegression",
        "C": chosen,
        "ngrams": list(NGRAMS),
    }
    measured: dict[str, float] = {}
    for name, split in (("val", "validation"), ("test", "test")):
        predicted = model.predict(texts[split])
        measured[f"{name}/loss"] = float(
            log_loss(labels[split], model.predict_proba(texts[split]), labels=model.classes_)
        )
        measured[f"{name}/accuracy"] = float(model.score(texts[split], labels[split]))
        measured[f"{name}/macro_f1"] = float(f1_score(labels[split], predicted, average="macro"))
    size, seconds = int(model[-1].coef_.size + model[-1].intercept_.size), time.perf_counter() - started
    leave_record(run_dir, config, args.overrides, measured, num_parameters=size, seconds=seconds)
    print("  ".join(f"{name} {value:.4f}" for name, value in measured.items()) + f"  C {chosen}")
    print(run_dir)
    return 0


def fit(texts: list[str], labels: list[str], strength: float, config: dict[str, Any]) -> Pipeline:
    """Words and pairs of words that stand next to each other, counted once a text (Wang & Manning 2012)."""
    words = CountVectorizer(
        ngram_range=NGRAMS, binary=True, lowercase=config["data"]["lowercase"], token_pattern=r"\S+"
    )
    return make_pipeline(words, LogisticRegression(C=strength, max_iter=1000)).fit(texts, labels)


if __name__ == "__main__":
    sys.exit(main())
