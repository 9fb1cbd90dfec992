"""The rows of a table from a case: times, ratios, and the geometric means of ratios over the sizes."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from seqlab.bench.engine.cases import Case
from seqlab.bench.engine.contenders import Setting, Size
from seqlab.bench.engine.timing import Call, Turns, take_turns

PASSES = ("forward", "forward+backward")
Ratios = dict[str, float]


@dataclass(frozen=True)
class Row:
    """One case in one pass; ``ratios[engine][baseline]`` above 1 means that the engine is faster."""

    cell: str
    kind: str
    size: Size
    direction: str
    auto: str
    baselines: dict[str, str]
    seconds: dict[str, float]
    ratios: dict[str, Ratios]
    flops: int | None
    failures: dict[str, str]

    def as_json(self) -> dict[str, object]:
        return {
            "cell": self.cell,
            "kind": self.kind,
            **self.size._asdict(),
            "pass": self.direction,
            "auto": self.auto,
            "baselines": self.baselines,
            "milliseconds": {name: 1000 * value for name, value in self.seconds.items()},
            "ratios": self.ratios,
            "flops": self.flops,
            "failures": self.failures,
        }


@dataclass(frozen=True)
class Mean:
    """Geometric means of an engine's ratios over the sizes."""

    cell: str
    kind: str
    direction: str
    engine: str
    sizes: int
    ratios: Ratios

    def as_json(self) -> dict[str, object]:
        return {
            "cell": self.cell,
            "kind": self.kind,
            "pass": self.direction,
            "engine": self.engine,
            "sizes": self.sizes,
            "ratios": self.ratios,
        }


def measure(case: Case, rounds: int, setting: Setting, *, clock: Callable[[], float] = time.perf_counter) -> list[Row]:
    """Times the contenders of ``case`` in turn, in each pass."""
    rows = []
    for direction in PASSES:
        calls: dict[Hashable, Call] = {
            name: contender.forward if direction == "forward" else contender.both
            for name, contender in case.contenders.items()
        }
        turns = take_turns(calls, rounds, clock=clock, synchronize=setting.synchronize)
        for contender in case.contenders.values():
            contender.release()
        rows.append(make_row(case, direction, turns))
    return rows


def make_row(case: Case, direction: str, turns: Turns) -> Row:
    """The medians of the times, and of each engine's ratios to the baselines that were timed."""
    timed = {role: name for role, name in case.baselines.items() if name in turns.seconds}
    return Row(
        case.cell,
        case.kind,
        case.size,
        direction,
        case.auto,
        case.baselines,
        {str(name): turns.median(name) for name in turns.seconds},
        {engine: {role: turns.speed_ratio(engine, name) for role, name in timed.items()} for engine in case.engines},
        case.flops.get(direction),
        case.failures,
    )


def geometric_means(rows: Iterable[Row]) -> list[Mean]:
    """The means over the sizes for each cell, kind, pass and engine; "auto" is the engine that it took at each size."""
    ratios_of: dict[tuple[str, str, str, str], list[Ratios]] = defaultdict(list)
    for row in rows:
        for engine, ratios in row.ratios.items():
            ratios_of[row.cell, row.kind, row.direction, engine].append(ratios)
        if "auto" not in row.ratios and row.auto in row.ratios:
            ratios_of[row.cell, row.kind, row.direction, "auto"].append(row.ratios[row.auto])
    means = []
    for (cell, kind, direction, engine), by_size in ratios_of.items():
        roles = [role for role in by_size[0] if all(role in ratios for ratios in by_size)]
        ratios = {role: statistics.geometric_mean(each[role] for each in by_size) for role in roles}
        means.append(Mean(cell, kind, direction, engine, len(by_size), ratios))
    return means
