"""The comparison of a compiled step with the user's own code, on random input, before the step is first used."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor

from seqlab.nn.cells.base import GatedCell
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.function import Plan, Scan, materialize
from seqlab.nn.engine.scan.program import Program
from seqlab.nn.engine.scan.replay import replay
from seqlab.nn.engine.scan.schedule import Schedule
from seqlab.nn.engine.scan.step import Step
from seqlab.nn.engine.weights import has_bias

_TRIES = 2  # rounding may flip a comparison of the step's in one draw, and hardly in two
_ORDINARY = (1.0, 1.0, 2.0**-20, 0.0, 4.0, 1.0, 1.0)  # the scale of each row; powers of two keep products exact
_LARGE = (512.0, 64.0, 512.0)
_GRADIENT_SCALES = (1.0, 1e4, 1e-6, 1.0, 0.0, 1.0, 1.0)  # the scale of the incoming gradients of each row
_EPS_RATIO = torch.finfo(torch.float64).eps / torch.finfo(torch.float32).eps
_ROUNDINGS = 32  # units in the last place by which two ways to compute the same number may differ


def check_step(
    cell: GatedCell,
    step: Step,
    live: Sequence[Any],
    program: Program,
    schedule: Callable[[int, int], Schedule],
    gradients: bool,
) -> None:
    """Check that a program computes what the cell does, and its derivative.

    Three are compared: the cell's ``pointwise`` under autograd, the captured graph, and the compiled step. The rows are
    of ordinary, tiny, zero and large values, with gradients of as many scales, over one step and over two.

    Args:
        cell: the cell.
        step: its captured step.
        live: the current values of what the step reads.
        program: the compiled step.
        schedule: makes the schedule of (steps, rows).
        gradients: whether to compare gradients too.

    Raises:
        UnsupportedError: they differ by more than rounding; the message names where.
    """
    with torch.inference_mode(False), torch.set_grad_enabled(gradients), torch.autocast("cpu", enabled=False):
        extras = []
        for extra in step.extras(live):
            leaf = materialize(extra.detach().to(program.dtype)) if extra.is_floating_point() else materialize(extra)
            extras.append(leaf.requires_grad_(gradients and extra.requires_grad))
        trial = _Trial(cell, step, extras, program, schedule, gradients)
        for scales, steps in ((_ORDINARY, 1), (_ORDINARY, 2), (_LARGE, 1)):
            for seed in range(_TRIES):
                difference = trial.difference(scales, steps, seed)
                if difference is None:
                    break
            else:
                raise UnsupportedError(f"its compiled step differs from its own code, {difference}")
        if gradients and step.again is not step.body and trial.differs_twice():
            raise UnsupportedError(
                "the second derivative of its autograd function differs between code and captured graph"
            )


@dataclass(frozen=True)
class _Case:
    """One draw: the arguments of a step, and the incoming gradients."""

    gi: Tensor  # (B, T, G*H)
    weight: Tensor | None  # (G*H, H)
    bias: Tensor | None  # (G*H,)
    state: list[Tensor]  # (B, size) each
    extras: list[Tensor]
    gradients: list[Tensor]  # (B, size) for each part of the state

    @property
    def arguments(self) -> list[Tensor | None]:
        return [self.gi, self.weight, self.bias, *self.state, *self.extras]

    def with_arguments(self, arguments: Sequence[Tensor | None]) -> "_Case":
        """The same case with other arguments, in the same order."""
        gi, weight, bias, *rest = arguments
        state, extras = typed(list[Tensor], rest[: len(self.state)]), typed(list[Tensor], rest[len(self.state) :])
        return _Case(typed(Tensor, gi), weight, bias, state, extras, self.gradients)


Runner = Callable[[_Case], Sequence[Tensor]]


@dataclass(frozen=True)
class _Trial:
    """A cell, its captured graph and its program, all run on the same draws."""

    cell: GatedCell
    step: Step
    extras: list[Tensor]
    program: Program
    schedule: Callable[[int, int], Schedule]
    gradients: bool

    def difference(self, scales: Sequence[float], steps: int, seed: int) -> str | None:
        """Where the three differ on one draw, in words; None if they agree."""
        cell, program = self.cell, self.program
        case = self._draw(scales, steps, torch.Generator("cpu").manual_seed(seed))
        unit = torch.finfo(program.dtype).eps * (1 if program.dtype == torch.float32 else 16)
        graph = self._results(self._by_graph, case)
        # The graph once more in the other precision. The difference is float32's error; float64's is taken to be the
        # same, scaled down by the ratio of the two precisions.
        other = torch.float32 if program.dtype == torch.float64 else torch.float64
        arguments = [
            each.to(other) if each is not None and each.is_floating_point() else each for each in case.arguments
        ]
        try:
            converted = self._results(self._by_graph, case.with_arguments(arguments))
        except RuntimeError:  # the graph names a dtype
            converted, unit = graph, 8 * unit
        truth, share = (graph, _EPS_RATIO) if program.dtype == torch.float64 else (converted, 1.0)
        noise = [
            None if a is None or b is None else _finite(share * (a.double() - b.double()))
            for a, b in zip(graph, converted, strict=True)
        ]
        names, floors = self._names(), self._floors(case, steps)
        if next((each.dtype for each in cell.parameters()), program.dtype) == program.dtype:
            # The cell reads its parameters, not the extras, so it has no gradients of extras to compare.
            own = self._results(self._by_cell, case)[: len(names) - len(self.extras)]
            place = _first_difference(names, own, graph, noise, truth, floors, unit)
            if place is not None:
                return f"already in its captured graph, in {place}"
        place = _first_difference(names, self._results(self._by_program, case), graph, noise, truth, floors, unit)
        return None if place is None else f"in {place}"

    def differs_twice(self) -> bool:
        """Whether the second derivatives of the graph and of the cell differ."""
        case = self._draw((1.0,) * 3, 2, torch.Generator("cpu").manual_seed(0))
        own, graph = self._second(self._by_cell, case), self._second(self._by_graph, case)
        if own is None or graph is None:
            return own is not graph
        allowed = torch.finfo(self.program.dtype).eps ** 0.5
        return any(
            not torch.allclose(a, b, allowed, allowed * float(a.abs().amax())) for a, b in zip(own, graph, strict=True)
        )

    def _second(self, run: Runner, case: _Case) -> list[Tensor] | None:
        """The gradients of the squared gradients of all arguments but the extras; None if there are none."""
        own = case.arguments[: len(case.arguments) - len(case.extras)]
        leaves = [each.detach().requires_grad_() for each in own if each is not None]
        remaining = iter(leaves)
        arguments = [*(None if each is None else next(remaining) for each in own), *case.extras]
        final = run(case.with_arguments(arguments))[-len(case.gradients) :]
        pairs = [(part, gradient) for part, gradient in zip(final, case.gradients, strict=True) if part.requires_grad]
        parts, incoming = [part for part, _ in pairs], [gradient for _, gradient in pairs]
        try:
            first = torch.autograd.grad(parts, leaves, incoming, create_graph=True, allow_unused=True)
            squares = [each.square().sum() for each in first if each is not None and each.requires_grad]
            second = torch.autograd.grad(squares, leaves, allow_unused=True)
        except RuntimeError:
            return None
        return [leaf * 0.0 if each is None else each for leaf, each in zip(leaves, second, strict=True)]

    def _draw(self, scales: Sequence[float], steps: int, draw: torch.Generator) -> _Case:
        """Draw rows of these scales. The numbers have few bits: a product is exact, in whatever order it is summed."""
        cell, dtype, rows = self.cell, self.program.dtype, len(scales)
        gates, size = cell.num_gates * cell.hidden_size, torch.tensor(scales, device="cpu").view(-1, 1)

        def exact(*shape: int) -> Tensor:
            return torch.randint(-16, 17, shape, generator=draw, device="cpu").to(dtype) / 8

        gradient_scales = torch.tensor(_GRADIENT_SCALES[:rows], device="cpu", dtype=dtype).view(-1, 1)
        return _Case(
            exact(rows, steps, gates) * size.unsqueeze(1).to(dtype),
            exact(gates, cell.hidden_size) / 8 if cell.recurrent else None,
            exact(gates) / 8 if has_bias(cell) else None,
            [exact(rows, each) * size.clamp(max=4.0).to(dtype) / 2 for each in cell.state_sizes],
            self.extras,
            [
                torch.randn(rows, n, generator=draw, dtype=dtype, device="cpu") * gradient_scales
                for n in cell.state_sizes
            ],
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
        state, states = tuple(case.state), []
        for t in range(case.gi.size(1)):
            gh = None
            if case.weight is not None:
                gh = torch.nn.functional.linear(state[0], case.weight, case.bias)
            state = tuple(self.cell.pointwise(case.gi[:, t], typed(Tensor, gh), state))
            states.append(state)
        sequences = [torch.stack(each, 1).flatten(0, 1) for each in zip(*states, strict=True)]
        return [*sequences[: self.program.sequences], *state]

    def _results(self, run: Runner, case: _Case) -> list[Tensor | None]:
        """The states, and the gradients of all arguments, in the order of :meth:`_names`."""
        steps = case.gi.size(1)
        arguments: list[Tensor | None] = []
        for place, each in enumerate(case.arguments):
            if each is None:
                arguments.append(None)
                continue
            is_extra = place >= 3 + len(case.state)
            learns = self.gradients and each.is_floating_point() and (each.requires_grad or not is_extra)
            arguments.append(each.detach().requires_grad_(learns))
        outputs = list(run(case.with_arguments(arguments)))
        states: list[Tensor | None] = [each.detach() for each in outputs]
        if not self.gradients:
            return [*states, *[None] * len(arguments)]
        of_steps = [part.repeat_interleave(steps, 0) for part in case.gradients[: self.program.sequences]]
        pairs = [
            (part, gradient.to(part.dtype))
            for part, gradient in zip(outputs, [*of_steps, *case.gradients], strict=True)
            if part.requires_grad
        ]
        parts, incoming = [part for part, _ in pairs], [gradient for _, gradient in pairs]
        leaves = [each for each in arguments if each is not None and each.requires_grad]
        gradients = torch.autograd.grad(parts, leaves, incoming, allow_unused=True)
        by_tensor = {id(leaf): gradient for leaf, gradient in zip(leaves, gradients, strict=True)}
        return [*states, *(by_tensor.get(id(each)) for each in arguments)]

    def _names(self) -> list[str]:
        names, sequences = self.cell.state_names, self.program.sequences
        states = [*(f"the steps' {name}" for name in names[:sequences]), *(f"the final {name}" for name in names)]
        arguments = ["gi", "weight_hh", "bias_hh", *(f"the initial {name}" for name in names)]
        arguments += [f"what it reads ({number} of {len(self.extras)})" for number in range(1, len(self.extras) + 1)]
        return [*states, *(f"the gradient of {name}" for name in arguments)]

    def _floors(self, case: _Case, steps: int) -> list[Tensor]:
        """The scale by which to judge each result, at least: the largest incoming gradient of the row ``(B,)``; of all
        rows for sums over rows; 0 for states."""
        by_row = torch.stack([each.abs().amax(1) for each in case.gradients]).amax(0).double()
        zero, largest = torch.zeros_like(by_row), by_row.amax()
        states = [zero.repeat_interleave(steps)] * self.program.sequences + [zero] * len(case.state)
        return [*states, by_row, largest, largest, *[by_row] * len(case.state), *[largest] * len(case.extras)]


def _finite(error: Tensor) -> Tensor:
    return error.nan_to_num(0.0, 0.0, 0.0)


def _first_difference(
    names: Sequence[str],
    results: Sequence[Tensor | None],
    graph: Sequence[Tensor | None],
    noise: Sequence[Tensor | None],
    truth: Sequence[Tensor | None],
    floors: Sequence[Tensor],
    unit: float,
) -> str | None:
    """The first result that is further from the truth than rounding explains, as its name and two values.

    Args:
        names: the name of each result.
        results: the results to judge; None stands for zeros.
        graph: the results of the captured graph, in the precision of the program.
        noise: the graph's rounding errors in that precision. Eight times as much is allowed.
        truth: the graph's results in float64.
        floors: the least scale by which to judge each result, by row ``(B,)`` or one number. A result may also differ
            by some units in the last place of the row's largest number, or of this scale.
        unit: the unit in the last place, relative to a number.
    """
    for name, *values, error, floor in zip(names, results, graph, truth, noise, floors, strict=False):
        if all(each is None for each in values):
            continue
        result, expected, exact = (floor.new_zeros(()) if each is None else each.double() for each in values)
        shape = torch.broadcast_shapes(result.shape, expected.shape, exact.shape)  # type: ignore[no-untyped-call]
        result, expected, exact = result.expand(shape), expected.expand(shape), exact.expand(shape)
        size = exact.abs().nan_to_num(0.0, 0.0, 0.0)
        largest = size.amax()
        if floor.dim():  # each row is judged by its own scale
            by_row = (-1, *(1,) * (exact.dim() - 1))
            largest, floor = size.flatten(1).amax(1).view(by_row), floor.view(by_row)
        graph_error = 0.0 if error is None else error.abs()
        allowed = 8 * graph_error + _ROUNDINGS * unit * (torch.maximum(largest, floor) + exact.abs()) + 1e-30
        both_nan, both_infinite = result.isnan() & expected.isnan(), ~result.isfinite() & ~expected.isfinite()
        same = (result == expected) | both_nan | both_infinite
        both_finite = result.isfinite() & expected.isfinite()
        close = both_finite & ((result - exact).abs() <= allowed.nan_to_num(torch.inf))
        wrong = ~(same | close)
        if wrong.any():
            place = wrong.flatten().nonzero()[0]
            return f"{name}: {float(result.flatten()[place]):.6g} instead of {float(expected.flatten()[place]):.6g}"
    return None
