"""How the time of a step depends on the number of steps."""

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
    """Forward and backward at one T. ``growth`` is the time of a step over that at the first T; ``speed_ratios`` tell
    how many times as fast as each other contender at the same T this one is."""

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
    steps: Sequence[int],
    batch_size: int,
    hidden_size: int,
    engines: Sequence[str] | None,
    rounds: int,
    setting: Setting,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[list[ScalingRow], dict[str, str]]:
    """All engines but "loop" (or those asked for) and the counterpart in ``torch.nn``, at every T, all in turn.

    The second part of the answer tells of contenders that were refused at some T, and why.
    """
    served = available(factory(1, 1))
    chosen = engines or [engine for engine in served if engine != "loop" or len(served) == 1]
    calls: dict[Hashable, Call] = {}
    names: dict[str, None] = {}
    failures: dict[str, str] = {}
    for T in steps:
        case = layer_case(name, factory, Size(T, batch_size, hidden_size), chosen, setting, only_stock=True)
        failures |= {f"{contender} at T={T}": reason for contender, reason in case.failures.items()}
        for contender in (*case.engines, case.baselines["stock"]):
            if contender in case.contenders:
                calls[contender, T] = case.contenders[contender].both
                names[contender] = None
    turns = take_turns(calls, rounds, clock=clock, synchronize=setting.synchronize)
    return make_rows(name, list(names), steps, batch_size, hidden_size, turns), failures


def make_rows(
    cell: str, contenders: Sequence[str], steps: Sequence[int], batch_size: int, hidden_size: int, turns: Turns
) -> list[ScalingRow]:
    """Rows of turns that are named ``(contender, T)``; a contender's growth starts at the first T at which it ran."""
    rows = []
    for contender in contenders:
        ran = [T for T in steps if (contender, T) in turns.seconds]
        for T in ran:
            others = [name for name in contenders if name != contender and (name, T) in turns.seconds]
            rows.append(
                ScalingRow(
                    cell,
                    contender,
                    T,
                    batch_size,
                    hidden_size,
                    1e6 * turns.median((contender, T)) / T,
                    turns.speed_ratio((contender, ran[0]), (contender, T)) * ran[0] / T,
                    {name: turns.speed_ratio((contender, T), (name, T)) for name in others},
                )
            )
    return rows
