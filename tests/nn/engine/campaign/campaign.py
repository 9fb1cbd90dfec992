"""One case: a cell, a history, and what became of it on each engine."""

import contextlib
import importlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from seqlab.nn import GatedCell
from seqlab.nn.engine.scan import build, operations, views
from tests.nn.engine.campaign.family import Family, family
from tests.nn.engine.campaign.history import CASES_OF_A_LIFE, history, life
from tests.nn.engine.campaign.judge import differences
from tests.nn.engine.campaign.play import Player
from tests.nn.engine.campaign.seen import RefusedError
from tests.nn.engine.campaign.subjects import load

HISTORIES = 16  # of each cell
_NAMED = ("scan", "native", "parallel")


class Lives:
    """Runs cases one after the other; those of one life go on with its layers."""

    def __init__(self, folder: Path, optimize: bool | None = None) -> None:
        self.folder, self.optimize = folder, optimize
        self.players: dict[str, Player] = {}
        self.next = -1  # the case that the players are ready for
        self.played: list[dict[str, Any]] = []  # all steps of this life

    def run(self, case: int) -> dict[str, Any]:
        """The outcome of a case, as plain values; those of the same life before it are run first if they were not."""
        began, cell = time.process_time(), family(case // HISTORIES)
        start = case - case % CASES_OF_A_LIFE
        if case != self.next:
            if case != start:
                self.run(case - 1)
            else:
                self._begin(cell)
        built, steps = life(cell, case % HISTORIES), history(cell, case % HISTORIES)
        with compiler_level(cell.optimized if self.optimize is None else self.optimize):
            result = self._outcome(cell, built, steps)
        self.next = case + 1
        if result["raised"] or result["faults"] or result["ran"] or self.next % CASES_OF_A_LIFE == 0:
            self._begin(cell)  # the sides may have parted: the next case begins anew
        features = sorted({*cell.used, *cell.special})
        return {
            "case": case, "cell": cell.kind, "dtype": cell.dtype, "structure": built["structure"], **result,
            "effects": list(cell.effects), "features": features, "seconds": round(time.process_time() - began, 3),
        }  # fmt: skip

    def _begin(self, cell: Family) -> None:
        self.players, self.played = {}, []

    def _player(self, cell: Family, built: dict[str, Any], subject: str, double: bool = False) -> Player:
        key = subject + ("_double" if double else "")
        if key not in self.players:
            player = Player(cell, built, subject, self.folder, double)
            if self.played:
                player.play(self.played)
            self.players[key] = player
        return self.players[key]

    def _outcome(self, cell: Family, built: dict[str, Any], steps: list[dict[str, Any]]) -> dict[str, Any]:
        hand = self._player(cell, built, "hand").play(steps)
        exact = cell.dtype == "float64" or "reads dtype" in cell.special
        truth = hand if exact else self._player(cell, built, "hand", double=True).play(steps)
        result: dict[str, Any] = {
            "engines": {}, "reasons": {}, "programs": 0, "refused": {}, "served": [], "faults": [], "ran": [],
            "raised": any("raised" in each for each in hand),
        }  # fmt: skip
        subjects = ["auto", *(["loop"] if built["loop"] else []), *(_NAMED if built["explicit"] else [])]
        moved: list[Any] | None = None
        while subjects:
            subject = subjects.pop(0)
            player = None
            try:
                player = self._player(cell, built, subject)
                if subject in _NAMED and player.layer is None and self.played:
                    continue  # it has refused before
                player.play(steps)
            except RefusedError as error:
                result["refused"][subject] = str(error)
                if player is not None:
                    player.layer = None
            except Exception as error:  # the layer could not even be built
                result["faults"].append({"subject": subject, "step": -1, "name": "built", "what": repr(error)[:300]})
            if player is None:
                continue
            result["programs"] += player.compilations
            if subject == "auto":
                result["engines"], result["reasons"] = dict(player.engines), dict(player.reasons)
            if subject not in result["refused"]:
                result["served"].append(subject)
            count = min(len(player.seen), len(hand), len(truth))
            arguments = (hand[:count], truth[:count], player.seen[:count], steps)
            found = differences(*arguments, [])
            if any(each.allowed for each in found):
                if moved is None:
                    moved = self._moved(cell, built, steps)
                found = differences(*arguments, moved)
            for each in found[:4]:
                kind = "ran" if each.name == "ran" else "faults"
                result[kind].append({"subject": subject, **vars(each)})
            if subject == "auto" and result["faults"] and "loop" not in subjects:
                subjects.insert(0, "loop")  # which of the two is at fault
        self.played += steps
        result["outcome"] = "fault" if result["faults"] else "agrees"
        return result

    def _moved(self, cell: Family, built: dict[str, Any], steps: list[dict[str, Any]]) -> list[Any]:
        """Hand-written histories in float64 whose numbers are off by the precision's rounding."""
        every = [*self.played, *steps]
        low = any(step.get("autocast") for step in every) and cell.dtype == "float32"
        eps = 2.0**-8 if low else 2.0**-23 if cell.dtype == "float32" else 2.0**-52
        double = "reads dtype" not in cell.special
        found = []
        for number, share in enumerate([share * eps for share in ((1, 2) if low else (1, 64)) for _ in range(8)]):
            player = Player(cell, {**built, "jitter": number}, "hand", self.folder, double=double, jitter=share)
            found.append(player.play(every)[len(self.played) :])
        return found


@contextlib.contextmanager
def compiler_level(optimize: bool) -> Iterator[None]:
    """Compiles steps as they are used, or without the optimizer in a third of the time."""
    kept = build._FLAGS
    build._FLAGS = tuple(
        "-O3" if optimize and f == "-O0" else "-O0" if not optimize and f == "-O3" else f for f in kept
    )
    try:
        yield
    finally:
        build._FLAGS = kept


def expected_to_compile(cell: Family, folder: Path) -> bool:
    """Whether the cell has neither side effects nor draws, and its operations stand in scan's table."""
    if cell.effects or "a list for a tuple" in cell.special or cell.kind in ("plain", "stepping", "MGUCell"):
        return False
    if "numpy array" in cell.special:  # its numbers come by `item`, which the table has not
        return False
    try:
        made = load(cell, "traced", folder, fresh=True).make(cell.input_size, cell.hidden_size).double()
        names = _operations(made)
    except Exception:
        return False
    known = {*operations.POINTWISE, *operations.REDUCTIONS, *views.VIEWS, "split_with_sizes", "detach", "full_like"}
    return names <= known | {"lift_fresh_copy", "scalar_tensor", "full", "zeros_like", "ones_like", "ones", "zeros"}


def _operations(cell: GatedCell) -> set[str]:
    names = [name for name, _ in (*cell.named_parameters(), *cell.named_buffers())]
    tensors = [each.detach() for _, each in (*cell.named_parameters(), *cell.named_buffers())]
    gates, rows = cell.num_gates * cell.hidden_size, 23
    inputs = [torch.zeros(rows, size).double() for size in (gates, gates, *cell.state_sizes)]

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, *given: torch.Tensor) -> Any:
            return self.cell.pointwise(given[0], given[1] if cell.recurrent else None, tuple(given[2:]))

    def step(*given: torch.Tensor) -> Any:
        held = {f"cell.{n}": t for n, t in zip(names, given[len(inputs) :], strict=True)}
        return torch.func.functional_call(Step(), held, given[: len(inputs)])

    table = importlib.import_module("seqlab.nn.engine.scan.decompositions").decompositions()
    graph = make_fx(torch.func.functionalize(step), decomposition_table=table)(*inputs, *tensors).graph
    if any(torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) for node in graph.nodes):
        return {"a draw"}  # used or not
    graph.eliminate_dead_code()
    moving: set[fx.Node] = set()
    for node in graph.nodes:  # what follows from parameters alone may be anything
        if (node.op == "placeholder" and len(moving) < len(inputs) and not node.all_input_nodes) or any(
            each in moving for each in node.all_input_nodes
        ):
            moving.add(node)
    return {operations.name_of(node) for node in moving if node.op == "call_function"}


def describe(case: int) -> str:
    """A case as a person reads it: the cell's source and what happens, the life's earlier cases included."""
    cell = family(case // HISTORIES)
    lines = [f"# case {case}: {cell.kind}, {cell.input_size} to {cell.hidden_size}, {cell.dtype}", cell.source]
    lines.append(f"# {life(cell, case % HISTORIES)}")
    for each in range(case - case % CASES_OF_A_LIFE, case + 1):
        lines.append(f"# case {each}")
        lines += [f"#   {k}: {step}" for k, step in enumerate(history(cell, each % HISTORIES))]
    return "\n".join(lines)
