"""Times contenders in turn in one process, so that other load on the machine affects all of them."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

Call = Callable[[], object]
MAX_REPETITIONS = 1000


@dataclass(frozen=True)
class Turns:
    """Seconds of one call of each contender, one value a round."""

    seconds: dict[Hashable, list[float]]

    def median(self, name: Hashable) -> float:
        """Median over the rounds, in seconds.

        Example:
            >>> Turns({"a": [3.0, 1.0, 2.0]}).median("a")
            2.0
        """
        return statistics.median(self.seconds[name])

    def speed_ratio(self, name: Hashable, baseline: Hashable) -> float:
        """The speed of a contender relative to ``baseline``: the median of the ratios within each round.

        Example:
            >>> Turns({"a": [1.0, 2.0, 1.0], "b": [4.0, 4.0, 3.0]}).speed_ratio("a", "b")
            3.0
        """
        pairs = zip(self.seconds[baseline], self.seconds[name], strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)


def take_turns(
    contenders: Mapping[Hashable, Call],
    rounds: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
    synchronize: Callable[[], object] = lambda: None,
    warm_up: int = 2,
    at_least: float = 0.01,
) -> Turns:
    """Times every contender once a round; the order rotates by one from round to round. There is no garbage collection.

    Args:
        contenders: a call of each contender, by its name.
        rounds: the number of timings of each.
        clock: seconds.
        synchronize: waits for the device.
        warm_up: calls before the first timing, in which a contender may compile.
        at_least: the least seconds of a timing: a fast call is repeated.

    Example:
        >>> take_turns({"a": lambda: None}, rounds=3, clock=iter(range(99)).__next__).seconds
        {'a': [1.0, 1.0, 1.0]}
    """

    def timed(call: Call, repetitions: int) -> float:
        synchronize()
        started = clock()
        for _ in range(repetitions):
            call()
        synchronize()
        return (clock() - started) / repetitions

    repetitions = {}
    for name, call in contenders.items():
        for _ in range(warm_up):
            call()
        once = timed(call, 1)
        repetitions[name] = min(math.ceil(at_least / once), MAX_REPETITIONS) if once > 0 else MAX_REPETITIONS
    names = list(contenders)
    turns = Turns({name: [] for name in names})
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            first = number % len(names) if names else 0
            for name in names[first:] + names[:first]:
                turns.seconds[name].append(timed(contenders[name], repetitions[name]))
    finally:
        if collects:
            gc.enable()
    return turns
