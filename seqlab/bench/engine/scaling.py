"""The time of a step by the number of steps."""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass

from seqlab.bench.engine.cases import layer_case
from seqlab.bench.engine.cells import CellFactory
from seqlab.bench.engine.contenders import Setting, Size
from seqlab.bench.engine.timing import Call, Turns, take_turns
from seqlab.nn.engine import available


@dataclass(frozen=True)
class ScalingRow:
    """Forward and backward pass of a contender at one T.

    Attributes:
        cell: the cell's name.
        contender: an engine, or the layer of ``torch.nn``.
        T: steps.
        B: rows.
        H: width.
        microseconds_per_step: median time of a step.
        growth: the time of a step relative to that at the contender's first T.
        speed_ratios: the contender's speed relative to each other contender at the same T.
    """

    cell: str
    contender: str
    T: int
    B: int
    H: int
    microseconds_per_step: float
    growth: float
    speed_ratios: dict[str, float]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def scaling_rows(
    name: str,
    factory: CellFactory,
    sizes: Sequence[Size],
    engines: Sequence[str] | None,
    rounds: int,
    setting: Setting,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[list[ScalingRow], dict[str, str]]:
    """Times the engines of a cell and its counterpart in ``torch.nn`` at every size, all in turn.

    Args:
        name: the cell's name.
        factory: makes the cell.
        sizes: sizes that differ in T alone.
        engines: None for all engines that serve the cell, except "loop".
        rounds: timings of each contender.
        setting: the device and the precision.
        clock: seconds.

    Returns:
        The rows, and why contenders were refused, by contender and T.
    """
    served = available(factory(1, 1))
    chosen = engines or [engine for engine in served if engine != "loop" or len(served) == 1]
    calls: dict[Hashable, Call] = {}
    names: dict[str, None] = {}
    failures: dict[str, str] = {}
    for size in sizes:
        case = layer_case(name, factory, size, chosen, setting, only_stock=True)
        failures |= {f"{contender} at T={size.T}": reason for contender, reason in case.failures.items()}
        for contender in (*case.engines, case.baselines["stock"]):
            if contender in case.contenders:
                calls[contender, size] = case.contenders[contender].both
                names[contender] = None
    turns = take_turns(calls, rounds, clock=clock, synchronize=setting.synchronize)
    return make_rows(name, list(names), sizes, turns), failures


def make_rows(cell: str, contenders: Sequence[str], sizes: Sequence[Size], turns: Turns) -> list[ScalingRow]:
    """Rows from turns by ``(contender, size)``; a contender's growth begins at the first size that it was timed at."""
    rows = []
    for contender in contenders:
        timed = [size for size in sizes if (contender, size) in turns.seconds]
        for size in timed:
            first = timed[0]
            others = [name for name in contenders if name != contender and (name, size) in turns.seconds]
            rows.append(
                ScalingRow(
                    cell,
                    contender,
                    size.T,
                    size.B,
                    size.H,
                    1e6 * turns.median((contender, size)) / size.T,
                    turns.speed_ratio((contender, first), (contender, size)) * first.T / size.T,
                    {name: turns.speed_ratio((contender, size), (name, size)) for name in others},
                )
            )
    return rows
