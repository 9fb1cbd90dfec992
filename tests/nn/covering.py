"""Which combinations of independent options a test tries."""

import heapq
from collections.abc import Sequence
from itertools import combinations, product
from typing import Any


def covering(*options: Sequence[Any], strength: int = 2) -> list[tuple[Any, ...]]:
    """Few combinations of options in which all values of any two (or ``strength``) of them stand together.

    Faults of independent options show where one value, or two together, go wrong: the full product tries each pair many
    times over. It is the same list each time: greedily, of those that have most that is new, the first.
    """
    rows = list(product(*(range(len(values)) for values in options)))
    groups = list(combinations(range(len(options)), strength))
    covered: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()

    def new(row: tuple[int, ...]) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
        return {(group, tuple(row[place] for place in group)) for group in groups} - covered

    chosen = []
    queue = [(-len(groups), number) for number in range(len(rows))]  # what is new of a row becomes less alone
    while queue:
        gain, number = heapq.heappop(queue)
        fresh = new(rows[number])
        if len(fresh) < -gain:
            if fresh:
                heapq.heappush(queue, (-len(fresh), number))
            continue
        covered |= fresh
        chosen.append(rows[number])
    return [tuple(values[at] for values, at in zip(options, row, strict=True)) for row in chosen]
