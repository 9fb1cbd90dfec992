"""A compiled step held against the user's own code before it is used, on random input of many sizes."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from seqlab.nn.cell import GatedCell
from seqlab.nn.engine.capture import UnsupportedError
from seqlab.nn.engine.scan.function import Plan, Scan
from seqlab.nn.engine.scan.program import Program
from seqlab.nn.engine.scan.replay import replay
from seqlab.nn.engine.scan.schedule import Schedule
from seqlab.nn.engine.scan.trace import Step

Run = Callable[[list[Tensor | None]], Sequence[Tensor]]
_TRIES = 2  # a rounding may flip a comparison once, and hardly twice
_ORDINARY = (1.0, 1.0, 2.0**-20, 0.0, 4.0, 1.0, 1.0)  # sizes of the rows; exact powers, so that products are exact
_LARGE = (512.0, 64.0, 512.0)
_PUSHES = (1.0, 1e4, 1e-6, 1.0, 0.0, 1.0, 1.0)  # sizes of the gradients that come


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
        extras = [each.detach().requires_grad_(each.requires_grad) for each in step.extras(live)]
        cast = [each.to(program.dtype) if each.is_floating_point() else each for each in extras]
        cast = [each.detach().requires_grad_(each.requires_grad and gradients) for each in cast]
        for scales, steps in ((_ORDINARY, 1), (_ORDINARY, 2), (_LARGE, 1)):
            for attempt in range(_TRIES):
                draw = torch.Generator("cpu").manual_seed(1 + attempt)
                found = _difference(cell, step, cast, program, schedule, gradients, scales, steps, draw)
                if found is None:
                    break
            else:
                raise UnsupportedError(f"its compiled step differs from its own code, {found}")


def _difference(
    cell: GatedCell,
    step: Step,
    extras: list[Tensor],
    program: Program,
    schedule: Callable[[int, int], Schedule],
    gradients: bool,
    scales: Sequence[float],
    steps: int,
    draw: torch.Generator,
) -> str | None:
    """Where the three differ on one draw, in words; None where they do not."""
    rows, dtype, hidden = len(scales), program.dtype, cell.hidden_size
    gates = cell.num_gates * hidden
    size = torch.tensor(scales, device="cpu").view(-1, 1)

    def exact(*shape: int) -> Tensor:
        return torch.randint(-16, 17, shape, generator=draw, device="cpu").to(dtype) / 8

    gi = exact(rows, steps, gates) * size.unsqueeze(1).to(dtype)
    state = [exact(rows, each) * size.clamp(max=4.0).to(dtype) / 2 for each in cell.state_sizes]
    weight = exact(gates, hidden) / 8 if cell.recurrent else None
    bias = exact(gates) / 8 if cell.bias_hh is not None else None
    given: list[Tensor | None] = [gi, weight, bias, *state, *extras]
    count = len(state)
    push_sizes = torch.tensor(_PUSHES[:rows], device="cpu", dtype=dtype).view(-1, 1)
    push = [
        torch.randn(rows, each, generator=draw, dtype=dtype, device="cpu") * push_sizes for each in cell.state_sizes
    ]

    def by_graph(tensors: list[Tensor | None]) -> Sequence[Tensor]:
        whole, final = replay(
            step, tensors[0].transpose(0, 1), tensors[1], tensors[2], tensors[3 : 3 + count], tensors[3 + count :]
        )  # type: ignore[union-attr,arg-type]
        return [*(part.transpose(0, 1).flatten(0, 1) for part in whole[: program.sequences]), *final]

    def by_program(tensors: list[Tensor | None]) -> Sequence[Tensor]:
        plan = Plan(program, step, schedule(steps, rows), None, None)
        flat = tensors[0].flatten(0, 1)  # type: ignore[union-attr]
        return Scan.apply(plan, gradients, flat, None, None, None, *tensors[1:])  # type: ignore[no-any-return,no-untyped-call]

    def by_cell(tensors: list[Tensor | None]) -> Sequence[Tensor]:
        now, whole = tuple(tensors[3 : 3 + count]), []
        for t in range(steps):
            gh = None if tensors[1] is None else torch.nn.functional.linear(now[0], tensors[1], tensors[2])  # type: ignore[arg-type]
            now = tuple(cell.pointwise(tensors[0][:, t], gh, now))  # type: ignore[index,arg-type]
            whole.append(now)
        parts = [torch.stack(each, 1).flatten(0, 1) for each in zip(*whole, strict=True)]  # type: ignore[arg-type]
        return [*parts[: program.sequences], *now]  # type: ignore[list-item]

    names = _names(cell, program.sequences, extras)
    unit = torch.finfo(dtype).eps * (1 if dtype == torch.float32 else 16)
    # A row's states and gradients are judged by that row; what is summed over rows by the largest push.
    pushed = torch.stack([each.abs().amax(1) for each in push]).amax(0).double()
    states = [pushed.new_zeros(rows).repeat_interleave(steps)] * program.sequences + [pushed.new_zeros(rows)] * count
    summed = pushed.amax()
    floors = [*states, pushed, summed, summed, *[pushed] * count, *[summed] * len(extras)]
    wide = [None if each is None else each.double() if each.is_floating_point() else each for each in given]
    options = (push, program.sequences, steps, gradients)
    graph = _results(by_graph, given, *options)
    try:
        truth = _results(by_graph, wide, *options)
    except RuntimeError:  # it names a type of its own
        truth, unit = graph, 8 * unit
    if next((each.dtype for each in cell.parameters()), dtype) == dtype:
        where = _differ(names, _results(by_cell, given, *options, len(extras)), graph, truth, floors, unit)
        if where is not None:
            return f"already as a graph, in {where}"
    where = _differ(names, _results(by_program, given, *options), graph, truth, floors, unit)
    return None if where is None else f"in {where}"


def _names(cell: GatedCell, sequences: int, extras: Sequence[Tensor]) -> list[str]:
    states = [
        *(f"the steps' {name}" for name in cell.state_names[:sequences]),
        *(f"the final {name}" for name in cell.state_names),
    ]
    given = ["gi", "weight_hh", "bias_hh", *(f"the initial {name}" for name in cell.state_names)]
    given += [f"what it reads ({index + 1} of {len(extras)})" for index in range(len(extras))]
    return [*states, *(f"the gradient of {name}" for name in given)]


def _results(
    run: Run,
    given: Sequence[Tensor | None],
    push: Sequence[Tensor],
    sequences: int,
    steps: int,
    gradients: bool,
    without: int = 0,
) -> list[Tensor | None]:
    """The states, and the gradients of all that was given; ``without`` the last of these."""
    last = len(given) - without
    leaves = [
        None
        if each is None
        else each.detach().requires_grad_(
            gradients and each.is_floating_point() and (k < 3 + len(push) or each.requires_grad)
        )
        for k, each in enumerate(given)
    ]
    outputs = list(run(leaves))
    if not gradients:
        return [*(each.detach() for each in outputs), *[None] * last]
    factors = [*(part.repeat_interleave(steps, 0) for part in push[:sequences]), *push]
    pairs = [(each, factor.to(each.dtype)) for each, factor in zip(outputs, factors, strict=True) if each.requires_grad]
    wanted = [k for k, each in enumerate(leaves[:last]) if each is not None and each.requires_grad]
    found = torch.autograd.grad(
        [each for each, _ in pairs],
        [leaves[k] for k in wanted],
        [factor for _, factor in pairs],
        allow_unused=True,  # type: ignore[misc]
    )
    by_place = dict(zip(wanted, found, strict=True))
    return [*(each.detach() for each in outputs), *(by_place.get(k) for k in range(last))]


def _differ(
    names: Sequence[str],
    found: Sequence[Tensor | None],
    near: Sequence[Tensor | None],
    truth: Sequence[Tensor | None],
    floors: Sequence[Tensor],
    unit: float,
) -> str | None:
    """The first that is further from the truth than rounding takes it, with the two values.

    Rounding is judged by ``near``, the same graph in the same precision: eight times its own error, and 32 units in the
    last place of the largest number of the row, or of ``floors``.
    """
    for name, *values, floor in zip(names, found, near, truth, floors, strict=False):
        if all(each is None for each in values):
            continue
        one, other, exact = (floor.new_zeros(()) if each is None else each.double() for each in values)
        one, other, exact = torch.broadcast_tensors(one, other, exact)
        finite = exact.abs().nan_to_num(0.0, 0.0, 0.0)
        largest = finite.flatten(1).amax(1).view(-1, *(1,) * (exact.dim() - 1)) if floor.dim() else finite.amax()
        floor = floor.view(-1, *(1,) * (exact.dim() - 1)) if floor.dim() else floor
        allowed = 8 * (other - exact).abs() + 32 * unit * (torch.maximum(largest, floor) + exact.abs()) + 1e-30
        same = (one == other) | (one.isnan() & other.isnan()) | (~one.isfinite() & ~other.isfinite())
        close = one.isfinite() & other.isfinite() & ((one - exact).abs() <= allowed.nan_to_num(torch.inf))
        wrong = ~(same | close)
        if wrong.any():
            place = wrong.flatten().nonzero()[0]
            return f"{name}: {float(one.flatten()[place]):.6g} instead of {float(other.flatten()[place]):.6g}"
    return None
