"""A compiled step held against the user's own code before it is used, on random input of many sizes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor

from seqlab.nn.cells.base import GatedCell
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.once import has_bias
from seqlab.nn.engine.scan.function import Plan, Scan
from seqlab.nn.engine.scan.program import Program
from seqlab.nn.engine.scan.replay import replay
from seqlab.nn.engine.scan.schedule import Schedule
from seqlab.nn.engine.scan.step import Step

_TRIES = 2  # a rounding may flip a comparison once, and hardly twice
_ORDINARY = (1.0, 1.0, 2.0**-20, 0.0, 4.0, 1.0, 1.0)  # sizes of the rows; exact powers, so that products are exact
_LARGE = (512.0, 64.0, 512.0)
_PUSHES = (1.0, 1e4, 1e-6, 1.0, 0.0, 1.0, 1.0)  # sizes of the gradients that come to each row
_NARROW = torch.finfo(torch.float64).eps / torch.finfo(torch.float32).eps
_ROUNDINGS = 32  # units in the last place that may lie between two ways of computing the same


def check_step(
    cell: GatedCell,
    step: Step,
    live: Sequence[Any],
    program: Program,
    schedule: Callable[[int, int], Schedule],
    gradients: bool,
) -> None:
    """Raises :class:`UnsupportedError` unless the program computes what the cell does, and its derivative.

    Three are compared: the cell's own ``pointwise`` under autograd, its captured graph, and the compiled step, over
    rows of ordinary, tiny, zero and large values, with gradients of as many sizes, in one step and in two.
    """
    with torch.inference_mode(False), torch.set_grad_enabled(gradients), torch.autocast("cpu", enabled=False):
        extras = []
        for extra in step.extras(live):
            moved = extra.detach().to(program.dtype) if extra.is_floating_point() else extra
            extras.append(moved.requires_grad_(gradients and extra.requires_grad))
        trial = _Trial(cell, step, extras, program, schedule, gradients)
        for scales, steps in ((_ORDINARY, 1), (_ORDINARY, 2), (_LARGE, 1)):
            for seed in range(_TRIES):
                difference = trial.difference(scales, steps, seed)
                if difference is None:
                    break
            else:
                raise UnsupportedError(f"its compiled step differs from its own code, {difference}")
        if gradients and step.again is not step.body and trial.differs_twice():
            raise UnsupportedError("an autograd function of its own has another second derivative as a graph")


@dataclass(frozen=True)
class _Case:
    """One draw: what a step is given, and the gradients that come back."""

    gi: Tensor  # (B, T, G*H)
    weight: Tensor | None
    bias: Tensor | None
    state: list[Tensor]
    extras: list[Tensor]
    push: list[Tensor]  # (B, size) for each part of the state

    @property
    def given(self) -> list[Tensor | None]:
        return [self.gi, self.weight, self.bias, *self.state, *self.extras]

    def replaced(self, given: Sequence[Tensor | None]) -> "_Case":
        """The same with other tensors, in the order of ``given``."""
        gi, weight, bias, *rest = given
        state, extras = typed(list[Tensor], rest[: len(self.state)]), typed(list[Tensor], rest[len(self.state) :])
        return _Case(typed(Tensor, gi), weight, bias, state, extras, self.push)


Run = Callable[[_Case], Sequence[Tensor]]


@dataclass(frozen=True)
class _Trial:
    """A cell, its graph and its program, to be run on the same draws."""

    cell: GatedCell
    step: Step
    extras: list[Tensor]
    program: Program
    schedule: Callable[[int, int], Schedule]
    gradients: bool

    def difference(self, scales: Sequence[float], steps: int, seed: int) -> str | None:
        """Where the three differ on one draw, in words; None where they do not."""
        cell, program = self.cell, self.program
        case = self._draw(scales, steps, torch.Generator("cpu").manual_seed(seed))
        unit = torch.finfo(program.dtype).eps * (1 if program.dtype == torch.float32 else 16)
        graph = self._results(self._by_graph, case)
        other = torch.float32 if program.dtype == torch.float64 else torch.float64
        given = [each.to(other) if each is not None and each.is_floating_point() else each for each in case.given]
        # The graph in the other precision: float32's errors are a measure of float64's, so much smaller.
        try:
            moved = self._results(self._by_graph, case.replaced(given))
        except RuntimeError:  # it names a type of its own
            moved, unit = graph, 8 * unit
        truth, share = (graph, _NARROW) if program.dtype == torch.float64 else (moved, 1.0)
        noise = [
            None if a is None or b is None else _finite(share * (a.double() - b.double()))
            for a, b in zip(graph, moved, strict=True)
        ]
        names, floors = self._names(), self._floors(case, steps)
        if next((each.dtype for each in cell.parameters()), program.dtype) == program.dtype:
            # Gradients of extras are the graph's own affair: the cell reads parameters.
            own = self._results(self._by_cell, case)[: len(names) - len(self.extras)]
            where = _differ(names, own, graph, noise, truth, floors, unit)
            if where is not None:
                return f"already as a graph, in {where}"
        where = _differ(names, self._results(self._by_program, case), graph, noise, truth, floors, unit)
        return None if where is None else f"in {where}"

    def differs_twice(self) -> bool:
        """Whether the graph's second derivatives are others than the cell's."""
        case = self._draw((1.0,) * 3, 2, torch.Generator("cpu").manual_seed(0))
        own, graph = self._second(self._by_cell, case), self._second(self._by_graph, case)
        if own is None or graph is None:
            return own is not graph
        allowed = torch.finfo(self.program.dtype).eps ** 0.5
        return any(
            not torch.allclose(a, b, allowed, allowed * float(a.abs().amax())) for a, b in zip(own, graph, strict=True)
        )

    def _second(self, run: Run, case: _Case) -> list[Tensor] | None:
        """The gradients of the squares of the gradients of what is given; None where there are none."""
        own = case.given[: len(case.given) - len(case.extras)]
        leaves = [each.detach().requires_grad_() for each in own if each is not None]
        wanted = iter(leaves)
        outputs = run(case.replaced([*(None if each is None else next(wanted) for each in own), *case.extras]))
        pairs = [
            (each, push) for each, push in zip(outputs[-len(case.push) :], case.push, strict=True) if each.requires_grad
        ]
        try:
            found = torch.autograd.grad(
                [each for each, _ in pairs], leaves, [push for _, push in pairs], create_graph=True, allow_unused=True
            )
            squares = [each.square().sum() for each in found if each is not None and each.requires_grad]
            second = torch.autograd.grad(squares, leaves, allow_unused=True)
        except RuntimeError:
            return None
        return [leaf * 0.0 if each is None else each for leaf, each in zip(leaves, second, strict=True)]

    def _draw(self, scales: Sequence[float], steps: int, draw: torch.Generator) -> _Case:
        """Rows of these sizes. Numbers are few bits long, so that a product is the same in whatever order it sums."""
        cell, dtype, rows = self.cell, self.program.dtype, len(scales)
        gates, size = cell.num_gates * cell.hidden_size, torch.tensor(scales, device="cpu").view(-1, 1)

        def exact(*shape: int) -> Tensor:
            return torch.randint(-16, 17, shape, generator=draw, device="cpu").to(dtype) / 8

        pushes = torch.tensor(_PUSHES[:rows], device="cpu", dtype=dtype).view(-1, 1)
        return _Case(
            exact(rows, steps, gates) * size.unsqueeze(1).to(dtype),
            exact(gates, cell.hidden_size) / 8 if cell.recurrent else None,
            exact(gates) / 8 if has_bias(cell) else None,
            [exact(rows, each) * size.clamp(max=4.0).to(dtype) / 2 for each in cell.state_sizes],
            self.extras,
            [torch.randn(rows, n, generator=draw, dtype=dtype, device="cpu") * pushes for n in cell.state_sizes],
        )

    def _by_graph(self, case: _Case) -> Sequence[Tensor]:
        states, final = replay(self.step, case.gi.transpose(0, 1), case.weight, case.bias, case.state, case.extras)
        return [*(part.transpose(0, 1).flatten(0, 1) for part in states[: self.program.sequences]), *final]

    def _by_program(self, case: _Case) -> Sequence[Tensor]:
        plan = Plan(self.program, self.step, self.schedule(case.gi.size(1), case.gi.size(0)), None, None)
        rest = (case.weight, case.bias, *case.state, *case.extras)
        results = Scan.apply(plan, self.gradients, case.gi.flatten(0, 1), None, None, None, *rest)  # type: ignore[no-untyped-call]
        return typed(Sequence[Tensor], results)

    def _by_cell(self, case: _Case) -> Sequence[Tensor]:
        now, states = tuple(case.state), []
        for t in range(case.gi.size(1)):
            gh = None
            if case.weight is not None:
                gh = torch.nn.functional.linear(now[0], case.weight, case.bias)
            now = tuple(self.cell.pointwise(case.gi[:, t], typed(Tensor, gh), now))
            states.append(now)
        sequences = [torch.stack(each, 1).flatten(0, 1) for each in zip(*states, strict=True)]
        return [*sequences[: self.program.sequences], *now]

    def _results(self, run: Run, case: _Case) -> list[Tensor | None]:
        """The states, and the gradients of all that was given."""
        steps = case.gi.size(1)
        given: list[Tensor | None] = []
        for place, each in enumerate(case.given):
            if each is None:
                given.append(None)
                continue
            an_extra = place >= 3 + len(case.state)
            learns = self.gradients and each.is_floating_point() and (each.requires_grad or not an_extra)
            given.append(each.detach().requires_grad_(learns))
        outputs = list(run(case.replaced(given)))
        states: list[Tensor | None] = [each.detach() for each in outputs]
        if not self.gradients:
            return [*states, *[None] * len(given)]
        pushes = [*(part.repeat_interleave(steps, 0) for part in case.push[: self.program.sequences]), *case.push]
        pairs = [(each, push.to(each.dtype)) for each, push in zip(outputs, pushes, strict=True) if each.requires_grad]
        wanted = [each for each in given if each is not None and each.requires_grad]
        found = torch.autograd.grad([each for each, _ in pairs], wanted, [push for _, push in pairs], allow_unused=True)
        by_tensor = {id(each): gradient for each, gradient in zip(wanted, found, strict=True)}
        return [*states, *(by_tensor.get(id(each)) for each in given)]

    def _names(self) -> list[str]:
        names, sequences = self.cell.state_names, self.program.sequences
        states = [*(f"the steps' {name}" for name in names[:sequences]), *(f"the final {name}" for name in names)]
        given = ["gi", "weight_hh", "bias_hh", *(f"the initial {name}" for name in names)]
        given += [f"what it reads ({number} of {len(self.extras)})" for number in range(1, len(self.extras) + 1)]
        return [*states, *(f"the gradient of {name}" for name in given)]

    def _floors(self, case: _Case, steps: int) -> list[Tensor]:
        """Below which a difference is none: for a row's gradients by that row's push, for sums by the largest one."""
        pushed = torch.stack([each.abs().amax(1) for each in case.push]).amax(0).double()
        nothing, largest = torch.zeros_like(pushed), pushed.amax()
        states = [nothing.repeat_interleave(steps)] * self.program.sequences + [nothing] * len(case.state)
        return [*states, pushed, largest, largest, *[pushed] * len(case.state), *[largest] * len(case.extras)]


def _finite(error: Tensor) -> Tensor:
    return error.nan_to_num(0.0, 0.0, 0.0)


def _differ(
    names: Sequence[str],
    found: Sequence[Tensor | None],
    near: Sequence[Tensor | None],
    noise: Sequence[Tensor | None],
    truth: Sequence[Tensor | None],
    floors: Sequence[Tensor],
    unit: float,
) -> str | None:
    """The first that is further from the truth than rounding takes it, with the two values.

    Rounding is judged by ``noise``, the graph's own error in this precision: eight times that, and some units in the
    last place of the largest number of the row, or of ``floors``. ``near`` is what the graph gives.
    """
    for name, *values, error, floor in zip(names, found, near, truth, noise, floors, strict=False):
        if all(each is None for each in values):
            continue
        one, other, exact = (floor.new_zeros(()) if each is None else each.double() for each in values)
        shape = torch.broadcast_shapes(one.shape, other.shape, exact.shape)  # type: ignore[no-untyped-call]
        one, other, exact = one.expand(shape), other.expand(shape), exact.expand(shape)
        size = exact.abs().nan_to_num(0.0, 0.0, 0.0)
        largest = size.amax()
        if floor.dim():  # a row of its own
            by_row = (-1, *(1,) * (exact.dim() - 1))
            largest, floor = size.flatten(1).amax(1).view(by_row), floor.view(by_row)
        own = 0.0 if error is None else error.abs()
        allowed = 8 * own + _ROUNDINGS * unit * (torch.maximum(largest, floor) + exact.abs()) + 1e-30
        same = (one == other) | (one.isnan() & other.isnan()) | (~one.isfinite() & ~other.isfinite())
        close = one.isfinite() & other.isfinite() & ((one - exact).abs() <= allowed.nan_to_num(torch.inf))
        wrong = ~(same | close)
        if wrong.any():
            place = wrong.flatten().nonzero()[0]
            return f"{name}: {float(one.flatten()[place]):.6g} instead of {float(other.flatten()[place]):.6g}"
    return None
