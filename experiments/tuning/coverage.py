"""How often the interval of ``seqlab report --tune`` holds the true mean of what was chosen, by simulation.

Every rate is equally good, and seeds scatter around zero: three seeds choose the rate, others judge it. Beside it
stands the interval of the seeds that chose, which the report does not print.
"""

import argparse
import math
import random
from collections.abc import Callable

from seqlab.report.collect import Run
from seqlab.report.configs import Sections
from seqlab.report.means import mean_of
from seqlab.report.tuning import choose

CHOOSING = 3
KEY = "optimizer.lr"
NOISES: dict[str, Callable[[random.Random], float]] = {
    "normal": lambda draw: draw.gauss(0, 1),
    "lognormal": lambda draw: draw.lognormvariate(0, 1) - math.exp(0.5),
}


def simulate(noise: str, rates: int, judging: int, repeats: int, seed: int) -> tuple[float, float]:
    """The share of reports whose interval holds the true mean, zero: that of the judging seeds, and of the choosing."""
    draw, sections = random.Random(seed), Sections()
    configs = [sections.of({"optimizer": {"lr": rate}}) for rate in range(rates)]

    def train(rate: int, seeds: range) -> list[Run]:
        values = [NOISES[noise](draw) for _ in seeds]
        return [
            Run(f"{rate}-{number}", "completed", config=configs[rate], seed=number, metrics={"val": value})
            for number, value in zip(seeds, values, strict=True)
        ]

    by_judging = by_choosing = 0
    for _ in range(repeats):
        sweep = [run for rate in range(rates) for run in train(rate, range(CHOOSING))]
        choice, choosing = choose(sweep, [KEY], "val", higher_is_better=False)
        fresh = train(choice.values[KEY], range(CHOOSING, CHOOSING + judging))
        choice, judges = choose([*sweep, *fresh], [KEY], "val", higher_is_better=False)
        assert choice.judged and judges == fresh
        by_judging += holds(judges)
        by_choosing += holds(choosing)
    return by_judging / repeats, by_choosing / repeats


def holds(runs: list[Run]) -> bool:
    """Whether the interval of these runs holds zero."""
    low, high = mean_of([run.metrics["val"] for run in runs]).interval
    return low <= 0 <= high


def main() -> None:
    """Prints a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print("| noise | rates | judging seeds | judging: interval holds | choosing: interval holds |")
    print("|---|--:|--:|--:|--:|")
    for noise in NOISES:
        for judging in (5, 10):
            for rates in (3, 6, 12):
                judges, chooses = simulate(noise, rates, judging, arguments.repeats, arguments.seed)
                print(f"| {noise} | {rates} | {judging} | {100 * judges:.1f} % | {100 * chooses:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
