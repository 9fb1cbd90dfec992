"""The baselines of question answering: the most frequent answer, and a bag of words under logistic regression.

    python experiments/babi/baseline.py experiment=babi

takes the overrides of ``seqlab train``, goes through all 20 tasks of bAbI (``--tasks 1,2`` for some), reads the very
splits of the runs, chooses the regularisation on validation alone, and leaves two records a task below ``runs/<name>``
(``--run-dir`` for another folder), so that ``seqlab report`` has them beside the models. Needs scikit-learn.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from seqlab.config import build
from seqlab.config.compose import compose_config
from seqlab.data import AnswerData
from seqlab.errors import InputError

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import some_of
from tables import is_measured, leave_record

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)  # C of scikit-learn: the inverse of the penalty's weight
KINDS = ("most_frequent_answer", "bag_of_words")
TASKS = range(1, 21)
SPLITS = {"train": "train", "val": "validation", "test": "test"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", metavar="KEY=VALUE", help="of seqlab train")
    parser.add_argument("--tasks", type=some_of(TASKS), default=TASKS, metavar="N[,N]")
    parser.add_argument("--run-dir", type=Path, help="default: runs/<name>")
    args = parser.parse_args()
    try:
        for task in args.tasks:
            overrides = [*args.overrides, f"data.task={task}"]
            config = compose_config(overrides)
            folder = args.run_dir or Path("runs") / str(config["name"])
            if all(is_measured(folder / kind / f"task{task}", config["data"]) for kind in KINDS):
                print(f"task {task}: measured already")
                continue
            print(f"task {task}: " + measure(config, overrides, folder), flush=True)
    except InputError as error:
        print(f"baseline: {error}", file=sys.stderr)
        return 2
    return 0


def measure(config: dict[str, Any], overrides: list[str], folder: Path) -> str:
    """Fits both baselines on one task and keeps their records; returns a line about them."""
    data = build.build_data(config)
    data.prepare_data()
    assert isinstance(data, AnswerData)
    texts = {name: [bag(data, row.story, row.question) for row in data.rows(split)] for name, split in SPLITS.items()}
    answers = {name: [row.answer for row in data.rows(split)] for name, split in SPLITS.items()}

    def accuracy(model: Any, name: str) -> float:
        return float(model.score(texts[name], answers[name]))

    line = []
    for kind in KINDS:
        run_dir = folder / kind / f"task{config['data']['task']}"
        if is_measured(run_dir, config["data"]):
            continue
        started = time.perf_counter()
        if kind == "bag_of_words":
            models = [fit(texts["train"], answers["train"], strength) for strength in STRENGTHS]
            model = max(models, key=lambda found: accuracy(found, "val"))
            last = model[-1]
            settings = {"_target_": "sklearn.linear_model.LogisticRegression", "C": last.C}
            size = int(last.coef_.size + last.intercept_.size)
        else:
            model = DummyClassifier(strategy="most_frequent").fit(texts["train"], answers["train"])
            settings, size = {"_target_": "sklearn.dummy.DummyClassifier"}, 0
        config = {**config, "model": settings}
        measured = {f"{name}/accuracy": accuracy(model, name) for name in ("val", "test")}
        seconds = time.perf_counter() - started
        leave_record(run_dir, config, overrides, measured, num_parameters=size, seconds=seconds)
        line.append(f"{kind} test {measured['test/accuracy']:.3f}")
    return "  ".join(line)


def bag(data: AnswerData, story: tuple[str, ...], question: str) -> str:
    """Story and question as words to be counted, a story's word being another than the same one in a question."""
    told = (f"story:{word}" for sentence in story for word in data.vocabulary.pieces(sentence))
    asked = (f"question:{word}" for word in data.vocabulary.pieces(question))
    return " ".join([*told, *asked])


def fit(texts: list[str], answers: list[str], strength: float) -> Pipeline:
    """Counts of words, each divided by its largest, without which the fit takes long."""
    words = CountVectorizer(lowercase=False, token_pattern=r"\S+")
    return make_pipeline(words, MaxAbsScaler(), LogisticRegression(C=strength, max_iter=2000)).fit(texts, answers)


if __name__ == "__main__":
    sys.exit(main())
