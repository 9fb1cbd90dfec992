"""The engine broken on purpose, each time in one place, to see whether the campaign catches it.

The engine holds each compiled step against the user's own code before it uses it. That alone would hide most of what is
broken here, so it is off: the campaign has to see it by itself. What it does by itself is told beside it.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from seqlab.nn.engine import capture, watch, weights
from seqlab.nn.engine.scan import function, readiness, views
from tests.nn.engine.campaign.campaign import HISTORIES
from tests.nn.engine.campaign.family import family
from tests.nn.engine.campaign.history import history


def wrong_stride() -> None:
    """gradients are read as if they lay densely in memory"""
    adjoint = function._adjoint

    def misread(gradient: Tensor) -> Tensor:
        size = gradient.untyped_storage().nbytes() // gradient.element_size() - gradient.storage_offset()
        if gradient.is_contiguous() or size < gradient.numel():
            return gradient
        return torch.as_strided(gradient, (gradient.numel(),), (1,), gradient.storage_offset()).view(gradient.shape)

    def broken(plan: Any, gi: Any, weight: Any, extras: Any, forward: Any, gradients: Any, needed: Any) -> Any:
        return adjoint(plan, gi, weight, extras, forward, [misread(each) for each in gradients], needed)

    function._adjoint = broken


def dropped_detach() -> None:
    """`detach` is left out of the step"""
    cut = readiness.cut

    def broken(captured: Any, *arguments: Any) -> Any:
        for node in list(captured.graph.graph.nodes):
            if "detach" in str(getattr(node.target, "__name__", node.target)):
                node.replace_all_uses_with(node.args[0])
                captured.graph.graph.erase_node(node)
        return cut(captured, *arguments)

    readiness.cut = broken
    readiness.check_step = lambda *_: None


def stale_number() -> None:
    """a number that is an argument of the program keeps its first value"""
    live = capture.Capture.live
    first: dict[int, list[Any]] = {}

    def broken(self: Any, scope: Any) -> list[Any]:
        values = live(self, scope)
        known = first.setdefault(id(self), values)
        return [old if not isinstance(new, Tensor) else new for new, old in zip(values, known, strict=True)]

    capture.Capture.live = broken
    readiness.check_step = lambda *_: None


def stale_constant() -> None:
    """a capture is used whatever became of what it read"""
    capture.Capture.holds = lambda self, scope: True


def swapped_gate() -> None:
    """the first two parts of a row that is cut in parts are swapped"""
    narrow = views._narrow

    def broken(run: Any, source: Any, dim: int, start: int, width: int, dropped: bool = False) -> Any:
        size = 1 if dropped else run.node.meta["val"].size(dim)
        whole = source.meta["val"].size(dim)
        if 2 * size <= whole and start in (0, size):
            start = size - start
        return narrow(run, source, dim, start, width, dropped)

    views._narrow = broken
    readiness.check_step = lambda *_: None


def missing_lock() -> None:
    """captures and cached weights of several threads are not kept apart"""

    class Open(nullcontext):  # type: ignore[type-arg]
        acquire = release = lambda self, *_, **__: True

    watch._LOCK = weights._CACHE_LOCK = Open()


def _threads(steps: list[dict[str, Any]]) -> bool:
    return steps[0]["do"] == "threads"


def _any(steps: list[dict[str, Any]]) -> bool:
    return True


def _numbers(steps: list[dict[str, Any]]) -> bool:
    return any(step["do"] == "change" and "number" in step["kind"] for step in steps)


MUTANTS: dict[str, Callable[[], None]] = {
    "wrong stride": wrong_stride, "dropped detach": dropped_detach, "stale number": stale_number,
    "stale constant": stale_constant, "swapped gate": swapped_gate, "missing lock": missing_lock,
}  # fmt: skip
_TOUCHED = {
    "dropped detach": lambda cell, steps: "detach" in cell.special and not cell.effects,
    "stale number": lambda cell, steps: _numbers(steps) and not cell.effects,
    "missing lock": lambda cell, steps: _threads(steps),
}


def cases_for(name: str, among: int = 6000) -> list[int]:
    """The campaign's cases that come near the place: those whose cell or history has what is broken."""
    touched = _TOUCHED.get(name, lambda cell, steps: not cell.effects)
    cases = []
    for case in range(among):
        cell = family(case // HISTORIES)
        if touched(cell, history(cell, case % HISTORIES)):
            cases.append(case)
        if len(cases) >= 200:
            break
    return cases
