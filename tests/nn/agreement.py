"""One engine held against ``loop``: outputs, final states, and the gradients of all that a layer is given or learns."""

import copy
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from seqlab.nn import GatedCell, LSTMCell, Recurrent, RecurrentCell
from seqlab.nn.engine.scan import execution
from seqlab.nn.engine.scan.program import Program
from seqlab.nn.engine.watch import watch_of

RAGGED = (3, 0, 6, 6, 1)  # for five rows of six steps


class Same(GatedCell):
    """Its projection is the input itself, so its output may be changed only where that leaves the input alone."""

    num_gates = 1

    def project(self, x: Tensor) -> Tensor:
        return x

    def pointwise(self, gi: Tensor, gh: Tensor | None, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return ((gi.sigmoid() + gh).tanh(),)


def programs_of(cell: RecurrentCell) -> list[Program]:
    """The compiled steps that a cell's runs on ``scan`` have used, each once."""
    found = {}
    for capture in watch_of(cell, "pointwise").captures:
        for derived in capture.derived.values():
            if isinstance(derived, tuple) and derived[1] is not None:
                found[derived[1].key] = derived[1]
    return list(found.values())


def batch(
    cell: RecurrentCell, rows: int, steps: int, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """``x (rows, steps, I)`` and a state for it."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, steps, cell.input_size, dtype=dtype, generator=draw)
    return x, tuple(torch.randn(rows, size, dtype=dtype, generator=draw) for size in cell.state_sizes)


def results(
    cell: RecurrentCell,
    backend: str,
    x: Tensor,
    state: tuple[Tensor, ...],
    lengths: Sequence[int] | None = None,
    reverse: bool = False,
    recompute: bool = False,
    is_first: Tensor | None = None,
) -> dict[str, Tensor]:
    """Everything that a layer gives, by name; the loss weighs each number of it otherwise."""
    x, state = x.clone().requires_grad_(), tuple(part.clone().requires_grad_() for part in state)
    counts = None if lengths is None else torch.tensor(lengths, device=x.device)
    output, final = Recurrent(cell, backend, reverse, recompute)(x, state, counts, is_first)
    draw = torch.Generator().manual_seed(7)
    weights = [torch.randn(part.shape, generator=draw, dtype=torch.float64) for part in (output, *final)]
    loss = torch.stack(
        [(part * weight.to(part)).sum() for part, weight in zip((output, *final), weights, strict=True)]
    ).sum()
    learned = {f"gradient of {name}": each for name, each in cell.named_parameters() if each.requires_grad}
    leaves = {"gradient of x": x} | {
        f"gradient of initial {n}": p for n, p in zip(cell.state_names, state, strict=True)
    }
    leaves |= learned
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    values = {"output": output} | {f"final {n}": p for n, p in zip(cell.state_names, final, strict=True)}
    return {name: each.detach() for name, each in (values | dict(zip(leaves, found, strict=True))).items()}


def assert_same(actual: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-10) -> None:
    assert actual.keys() == expected.keys()
    for name, each in expected.items():
        torch.testing.assert_close(
            actual[name], each, rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


def assert_agrees(
    cell: RecurrentCell,
    rows: int = 5,
    steps: int = 6,
    lengths: Sequence[int] | None = None,
    reverse: bool = False,
    backend: str = "scan",
    is_first: Tensor | None = None,
    recompute: bool = False,
) -> None:
    """``backend`` and ``loop`` give the same to 1e-10, in float64, from a carried state."""
    x, state = batch(cell.double(), rows, steps)
    expected = results(cell, "loop", x, state, lengths, reverse, is_first=is_first)
    assert all(each.isfinite().all() for each in expected.values()), "the cell itself overflows: nothing is compared"
    assert_same(results(cell, backend, x, state, lengths, reverse, recompute, is_first), expected)


def assert_as_near_as_loop(cell: RecurrentCell, rows: int, steps: int) -> None:
    """In float32, ``scan`` is off by no more than four times what ``loop`` is, held against float64."""
    x, state = batch(cell.float(), rows, steps, torch.float32)
    scanned, looped = (results(cell, backend, x, state) for backend in ("scan", "loop"))
    truth = results(cell.double(), "loop", x.double(), tuple(part.double() for part in state))
    for name, exact in truth.items():
        errors = [float((each[name].double() - exact).abs().max()) for each in (scanned, looped)]
        assert errors[0] <= 4 * errors[1] + 1e-6 * float(exact.abs().max()), (name, errors)


def small_cell(
    pointwise: Callable[..., object], gates: int = 1, names: tuple[str, ...] = ("h",), **attributes: object
) -> GatedCell:
    """A cell ``(3, 5)`` in float64 of a class of its own, whose step is ``pointwise(self, gi, gh, state)``."""
    torch.manual_seed(0)
    kind = type("Small", (GatedCell,), {"num_gates": gates, "state_names": names, "pointwise": pointwise})
    cell: GatedCell = kind(3, 5)
    for name, value in attributes.items():
        setattr(cell, name, value)
    return cell.double()


def assert_layer_agrees(
    layer: Recurrent, lengths: Sequence[int] | None = None, tolerance: float = 1e-10, without_gradients: bool = False
) -> Tensor:
    """The layer, as it is and whatever it has run before, gives what ``loop`` gives on its cell now; the output.

    ``without_gradients`` compares a pass under ``no_grad`` too.
    """
    found, counts = [], None if lengths is None else torch.tensor(lengths)
    for each in (layer, Recurrent(layer.cell, "loop", layer.reverse)):
        dtype = next((parameter.dtype for parameter in layer.cell.parameters()), torch.float64)
        x, state = batch(layer.cell, 5, 6, dtype)
        leaves = [x.requires_grad_(), *(part.requires_grad_() for part in state)]
        leaves += [parameter for parameter in layer.cell.parameters() if parameter.requires_grad]
        output, final = each(x, state, counts)
        loss = output.sin().sum() + sum((part.square() * (k + 1)).sum() for k, part in enumerate(final))
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        found.append([output.detach(), *(part.detach() for part in final), *gradients])
        if without_gradients:
            with torch.no_grad():
                found[-1].append(each(x, state, counts)[0])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
    return found[0][0]


def both(
    function: Callable[[Recurrent, Tensor], Iterable[Tensor]],
    make: Callable[[int, int], RecurrentCell] = LSTMCell,
) -> list[Tensor]:
    """What a function of a layer and of x gives on "auto", as it does on "loop"."""
    torch.manual_seed(0)
    cell = make(3, 5).double()
    found = []
    for backend in ("auto", "loop"):
        x, _ = batch(cell, 5, 6)
        found.append([*function(Recurrent(copy.deepcopy(cell), backend), x)])
    assert len(found[0]) == len(found[1]) > 0
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    return found[0]


def assert_compiled_agrees(cell: RecurrentCell, **how: object) -> None:
    """The same of a cell whose step is compiled."""
    assert_agrees(cell, **how)
    assert programs_of(cell), execution._warned
