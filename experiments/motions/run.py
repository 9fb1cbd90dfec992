"""Motions by sensors: recurrent networks beside nearest neighbours, on the archive's own split.

    python experiments/motions/run.py

trains ``basic_motions``, ``gunpoint`` and ``waveforms`` with three seeds, measures the baselines on the same test, and
prints a table of each. Called again, it goes on where it was stopped; ``--report`` trains nothing. Needs pyts and
scikit-learn (``pip install 'seqlab[motions]'``).
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqlab.config import build
from seqlab.config.compose import compose_config
from seqlab.data import SeriesClassData, waveform_posteriors
from seqlab.errors import InputError

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab, some_of
from tables import is_measured, leave_record

PRESETS = ("basic_motions", "gunpoint", "waveforms")
WINDOWS = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 1.0)  # of warping, as shares of a series
STRENGTHS = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)  # C of scikit-learn: the inverse of the penalty's weight

Values = NDArray[np.float64]  # (N, T, F)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", type=some_of(PRESETS), default=PRESETS, metavar="NAME[,NAME]")
    parser.add_argument("--sweep-dir", type=Path, default=Path("runs/motions"))
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="further overrides of every run")
    args = parser.parse_args()
    for preset in args.presets:
        folder = args.sweep_dir / preset
        if not args.report:
            sweep = ("train", "-m", f"experiment={preset}", "seed=1,2,3", f"hydra.sweep.dir={folder}")
            if code := seqlab(*sweep, "runtime.num_threads=1", *args.overrides):
                print("the same command goes on with what is left", file=sys.stderr)
                return code
            try:
                baselines(preset, folder, args.overrides)
            except InputError as error:
                print(f"motions: {error}", file=sys.stderr)
                return 2
        if code := seqlab("report", str(folder), "--by", "model._target_", "--metric", "test/accuracy"):
            return code
    return 0


def baselines(preset: str, folder: Path, overrides: Sequence[str] = ()) -> None:
    """Measures the baselines of a preset that are not there yet, and leaves a record of each in the folder."""
    config = compose_config([f"experiment={preset}", *overrides])
    made = {"nearest_neighbour_euclidean": euclidean, "nearest_neighbour_dtw": dtw, "dtw_window_by_train": dtw_tuned}
    if preset == "waveforms":
        made = {"bayes_rule": bayes, "logistic_regression": logistic}
    missing = {name: answer for name, answer in made.items() if not is_measured(folder / name, config["data"])}
    if not missing:
        return
    data = build.build_data(config)
    data.prepare_data()
    assert isinstance(data, SeriesClassData)
    for name, answer in missing.items():
        started = time.perf_counter()
        accuracy, note = answer(data)
        config["model"] = {"_target_": name, "note": note}
        seconds = time.perf_counter() - started
        leave_record(folder / name, config, overrides, {"test/accuracy": accuracy}, seconds=seconds)
        print(f"{preset}, {name}: test accuracy {accuracy:.4f}  {note}", flush=True)


def arrays(data: SeriesClassData, *splits: str) -> tuple[Values, NDArray[np.str_]]:
    """The series of some splits, and their labels."""
    rows = [row for split in splits for row in data.rows(split)]
    return np.stack([row.values for row in rows]), np.array([row.label for row in rows])


def neighbours(data: SeriesClassData, distance: Callable[[Values, Values], NDArray[np.float64]]) -> float:
    """The accuracy of the nearest neighbour's label; training and validation are the archive's training part."""
    train, labels = arrays(data, "train", "validation")
    test, truth = arrays(data, "test")
    nearest = [labels[distance(series, train).argmin()] for series in test]
    return float(np.mean(np.array(nearest) == truth))


def euclidean(data: SeriesClassData) -> tuple[float, str]:
    """Nothing is chosen."""
    return neighbours(data, lambda series, others: ((others - series) ** 2).sum((1, 2))), ""


def dtw(data: SeriesClassData) -> tuple[float, str]:
    """Dynamic time warping over all features together, without a limit."""
    return neighbours(data, lambda series, others: warped(series, others, 1.0)), "no limit"


def dtw_tuned(data: SeriesClassData) -> tuple[float, str]:
    """The limit of warping that is best within training, each series left out once; the smallest of equals."""
    train, labels = arrays(data, "train", "validation")
    scores = []
    for window in WINDOWS:
        right = 0
        for number, series in enumerate(train):
            distances = warped(series, train, window)
            distances[number] = np.inf
            right += labels[distances.argmin()] == labels[number]
        scores.append(right)
    best = WINDOWS[int(np.argmax(scores))]
    return neighbours(data, lambda series, others: warped(series, others, best)), f"window {best:.0%}"


def warped(series: Values, others: Values, window: float) -> NDArray[np.float64]:
    """The squared distance of one series ``(T, F)`` to each of others ``(N, T, F)`` by dynamic time warping.

    D[i, j] = |x_i - y_j|^2 + min(D[i-1, j], D[i, j-1], D[i-1, j-1]) within |i - j| <= window T (Sakoe & Chiba 1978),
    along the diagonals i + j = d, which depend on the two before alone.
    """
    steps, limit = len(series), int(np.ceil(window * len(series)))
    before = np.full((len(others), steps + 1), np.inf)  # D of the diagonal before, by i from 1; 0 is outside
    older = before.copy()
    older[:, 0] = 0.0  # so that D[1, 1] begins
    for diagonal in range(2 * steps - 1):
        first, last = max(0, diagonal - steps + 1), min(diagonal, steps - 1)
        i = np.arange(first, last + 1)
        i = i[np.abs(2 * i - diagonal) <= limit]
        now = np.full_like(before, np.inf)
        if len(i):
            cost = ((series[i] - others[:, diagonal - i]) ** 2).sum(2)
            least = np.minimum(np.minimum(before[:, i], before[:, i + 1]), older[:, i])
            now[:, i + 1] = cost + least
        if diagonal == 0:
            older[:, 0] = np.inf
        older, before = before, now
    return before[:, steps]


def bayes(data: SeriesClassData) -> tuple[float, str]:
    """The rule that knows how waveforms are made: nothing is more often right."""
    test, truth = arrays(data, "test")
    answers = np.array(["1", "2", "3"])[waveform_posteriors(test[:, :, 0]).argmax(1)]
    return float(np.mean(answers == truth)), ""


def logistic(data: SeriesClassData) -> tuple[float, str]:
    """Logistic regression on the 21 numbers, its penalty chosen on validation."""
    from sklearn.linear_model import LogisticRegression

    (x, y), (valid, valid_labels), (test, truth) = (arrays(data, split) for split in ("train", "validation", "test"))

    def flat(values: Values) -> NDArray[np.float64]:
        return values.reshape(len(values), -1)

    models = [LogisticRegression(C=strength, max_iter=2000).fit(flat(x), y) for strength in STRENGTHS]
    best = max(models, key=lambda model: model.score(flat(valid), valid_labels))
    return float(best.score(flat(test), truth)), f"C {best.C:g}"


def check(series: Sequence[float], other: Sequence[float], window: float) -> float:
    """The same distance as :func:`warped` of two short series, cell by cell."""
    steps, limit = len(series), int(np.ceil(window * len(series)))
    table = np.full((steps + 1, steps + 1), np.inf)
    table[0, 0] = 0.0
    for i in range(1, steps + 1):
        for j in range(1, steps + 1):
            if abs(i - j) <= limit:
                least = min(table[i - 1, j], table[i, j - 1], table[i - 1, j - 1])
                table[i, j] = (series[i - 1] - other[j - 1]) ** 2 + least
    return float(table[steps, steps])


if __name__ == "__main__":
    sys.exit(main())
