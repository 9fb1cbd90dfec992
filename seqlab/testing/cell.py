"""The contract of a recurrent cell as tests: for the project's cells and for a user's own."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError
from torch.overrides import TorchFunctionMode

from seqlab.nn import GRUCell, LSTMCell, RecurrentCell, RNNCell
from seqlab.nn.engine import available
from seqlab.nn.state import select_rows
from seqlab.testing.case import Case, CellFactory, gradients_of, leaves_of
from seqlab.testing.parts import part
from seqlab.testing.resets import check_resets

TwinFactory = Callable[[int, int], nn.Module]


def check_cell(
    cell_factory: CellFactory,
    input_size: int = 3,
    hidden_size: int = 4,
    *,
    batch_size: int = 3,
    steps: int = 5,
    torch_twin: TwinFactory | None = None,
    tolerance: float = 1e-10,
    seed: int = 0,
) -> None:
    """Runs the whole contract of a cell, in float64 and evaluation mode.

    - step: a cell called by itself, step by step, and a second time, gives what its layer gives.
    - parity: it equals its twin in ``torch.nn``, gradients too.
    - batch: each row's answer depends on that row alone, so that permuting rows permutes answers.
    - padding: what stands in the padding, NaN even, changes no valid output, no state and no gradient; padded outputs
      and the gradient to the padding are zero; a row of length 0 keeps its state.
    - windows: two windows with the state carried equal one long one, gradients too.
    - gradient: gradients of output and state equal finite differences (``torch.autograd.gradcheck``) with respect to
      inputs, initial state and every parameter; all that is learned is registered.
    - state_dict: a second cell that loads it computes the same.
    - gates: each of the cell's ``gate_names`` has a value, and that is one that the step itself computes.
    - engines: every engine that serves the cell agrees with ``loop`` in outputs, states and gradients.
    - resets: on every engine, a row that begins anew inside the sequence is as its segments run apart, gradients too.

    The global random state is left as it was.

    Args:
        cell_factory: Makes the cell: ``cell_factory(input_size, hidden_size)``.
        input_size: The width of the input.
        hidden_size: The width of the state.
        batch_size: The number of rows, 3 or more.
        steps: The number of steps, 3 or more.
        torch_twin: Makes the cell's twin, a module like ``nn.LSTMCell`` that loads the cell's ``state_dict``:
            ``torch_twin(input_size, hidden_size)``. None: the project's own cells have theirs, others none.
        tolerance: The largest difference, relative and absolute.
        seed: The seed of the weights and inputs.

    Raises:
        AssertionError: the contract does not hold; the message names its part and the difference.
        ValueError: ``batch_size`` or ``steps`` is too small.

    Example:
        >>> check_cell(LSTMCell)
    """
    if batch_size < 3 or steps < 3:
        raise ValueError(f"batch_size, steps: expected 3 or more of each, got {batch_size} and {steps}")
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        with part("construction", "cell"):
            case = Case.make(cell_factory, input_size, hidden_size, batch_size, steps, tolerance)
        twin = torch_twin or _stock_twin(case.cell)
        checks: dict[str, Callable[[], None]] = {
            "step": lambda: _check_step(case),
            "parity": lambda: _check_parity(case, twin) if twin is not None else None,
            "batch": lambda: _check_batch(case),
            "padding": lambda: _check_padding(case),
            "windows": lambda: _check_windows(case),
            "gradient": lambda: _check_gradient(case),
            "state_dict": lambda: _check_state_dict(case, cell_factory),
            "gates": lambda: _check_gates(case),
            "engines": lambda: _check_engines(case),
            "resets": lambda: check_resets(case),
        }
        for name, check in checks.items():
            with part(name, "cell"):
                check()


def _check_step(case: Case) -> None:
    output, final = case.run(case.x, case.state)
    again, final_again = case.run(case.x, case.state)
    case.agree("a second call with the same input (the cell remembers or draws something)", again, output)
    case.agree_states("a second call's state (the cell remembers or draws something)", final_again, final)
    state = case.state
    for t in range(case.x.size(1)):
        state = case.cell(case.x[:, t], state)
        case.agree(f"the cell stepped by itself, step {t}", case.cell.output(state), output[:, t])
    case.agree_states("the cell stepped by itself, final state", state, final)


def _stock_twin(cell: RecurrentCell) -> TwinFactory | None:
    """torch.nn's cell for one of the project's own."""
    if type(cell) is RNNCell and cell.nonlinearity in ("tanh", "relu"):
        return lambda i, h: nn.RNNCell(i, h, bias=cell.bias, nonlinearity=cell.nonlinearity)
    if type(cell) is GRUCell:
        return lambda i, h: nn.GRUCell(i, h, bias=cell.bias)
    if type(cell) is LSTMCell:
        return lambda i, h: nn.LSTMCell(i, h, bias=cell.bias)
    return None


def _check_parity(case: Case, twin_factory: TwinFactory) -> None:
    twin = twin_factory(case.cell.input_size, case.cell.hidden_size).double().eval()
    twin.load_state_dict(case.cell.state_dict())
    x, state, leaves = leaves_of(case)
    output, final = case.run(x, state)
    x_twin, state_twin, leaves_twin = leaves_of(case)
    theirs, outputs = state_twin, []
    for t in range(x_twin.size(1)):
        new = twin(x_twin[:, t], theirs if len(theirs) > 1 else theirs[0])
        theirs = (new,) if isinstance(new, Tensor) else tuple(new)
        outputs.append(theirs[0])
    case.agree("output against the torch twin", output, torch.stack(outputs, 1))
    case.agree_states("state against the torch twin", final, theirs)
    expected = gradients_of(twin, torch.stack(outputs, 1), theirs, leaves_twin)
    case.agree_gradients("against the torch twin", gradients_of(case.cell, output, final, leaves), expected)


def _check_batch(case: Case) -> None:
    """Permuted rows, and then a part of them: a mean over the batch survives the first and not the second."""
    output, final = case.run(case.x, case.state)
    rows = case.x.size(0)
    for what, index in (
        ("permuted rows", torch.arange(rows).flip(0)),
        ("rows without the others", torch.arange(rows - 2)),
    ):
        some, new = case.run(case.x.index_select(0, index), select_rows(case.state, index))
        case.agree(f"{what}, output (the cell mixes rows)", some, output.index_select(0, index))
        case.agree_states(f"{what}, state (the cell mixes rows)", new, select_rows(final, index))


def _check_padding(case: Case) -> None:
    for reverse in (False, True):
        _check_padding_in(case, reverse)


def _check_padding_in(case: Case, reverse: bool) -> None:
    """Rows of length T, T - 2, 0, ... run together with NaN in the padding, against each row run alone and cut."""
    rows, steps = case.x.shape[:2]
    lengths = torch.tensor([steps, steps - 2, 0, *([1] * (rows - 3))])
    padding = torch.arange(steps) >= lengths.unsqueeze(1)  # (B, T)
    x, state, leaves = leaves_of(case)
    garbage = torch.where(padding.unsqueeze(2), torch.nan, x)
    output, final = case.run(garbage, state, lengths, reverse=reverse)
    together = gradients_of(case.cell, output, final, leaves | {"the padded input": garbage})
    case.agree("output at padded steps", output[padding], torch.zeros_like(output[padding]))
    at_padding = together["the padded input"][padding]
    case.agree("gradient to the padding", at_padding, torch.zeros_like(at_padding))
    case.agree_states("state of a row of length 0", select_rows(final, torch.tensor([2])), tuple(p[2:3] for p in state))

    x_alone, state_alone, leaves_alone = leaves_of(case)
    outputs, finals = [], []
    for row, length in enumerate(lengths.tolist()):
        new = tuple(part[row : row + 1] for part in state_alone)
        if length:
            alone, new = case.run(x_alone[row : row + 1, :length], new, reverse=reverse)
            case.agree(
                f"valid output of a row of length {length} beside padding", output[row : row + 1, :length], alone
            )
            outputs.append(torch.cat((alone, alone.new_zeros(1, steps - length, alone.size(2))), 1))
        else:
            outputs.append(torch.zeros_like(output[:1]))
        finals.append(new)
    joined = tuple(torch.cat(parts) for parts in zip(*finals, strict=True))
    case.agree_states("state beside padding", final, joined)
    case.agree_gradients("beside padding", together, gradients_of(case.cell, torch.cat(outputs), joined, leaves_alone))


def _check_windows(case: Case) -> None:
    x, state, leaves = leaves_of(case)
    whole, final = case.run(x, state)
    expected = gradients_of(case.cell, whole, final, leaves)
    x, state, leaves = leaves_of(case)
    cut = case.x.size(1) // 2
    first, carried = case.run(x[:, :cut], state)
    second, end = case.run(x[:, cut:], carried)
    case.agree("two windows with the state carried, output", torch.cat((first, second), 1), whole)
    case.agree_states("two windows with the state carried, state", end, final)
    actual = gradients_of(case.cell, torch.cat((first, second), 1), end, leaves)
    case.agree_gradients("two windows with the state carried", actual, expected)


def _check_gradient(case: Case) -> None:
    x, state = case.x[:2, :3].clone().requires_grad_(), tuple(part[:2].clone().requires_grad_() for part in case.state)
    parameters = dict(case.cell.named_parameters())
    learned = {name: parameter for name, parameter in parameters.items() if parameter.requires_grad}

    def from_state(x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        output, final = case.run(x, others[: len(state)])
        return output, *final

    def from_initial(x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        output, final = case.run(x, None)
        return output, *final

    # gradcheck moves each value in place, so parameters need only be named as inputs for the cell to see them move.
    _gradcheck(
        "from a given state", from_state, {"x": x} | dict(zip(case.cell.state_names, state, strict=True)) | learned
    )
    _gradcheck("from its own initial state", from_initial, {"x": x} | learned)
    registered = {id(tensor) for tensor in (x, *state, *parameters.values())}
    for result in (from_state(x, *state), from_initial(x)):
        for leaf in _graph_leaves(result):
            if id(leaf) not in registered:
                raise AssertionError(
                    f"a learned tensor {tuple(leaf.shape)} is no registered parameter: use nn.Parameter"
                )


def _gradcheck(what: str, function: Callable[..., tuple[Tensor, ...]], inputs: dict[str, Tensor]) -> None:
    try:
        torch.autograd.gradcheck(function, tuple(inputs.values()), eps=1e-6, atol=1e-6, rtol=1e-4)
    except GradcheckError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        names = ", ".join(f"{index} = {name}" for index, name in enumerate(inputs))
        raise AssertionError(f"{what}: {lines[0]} (inputs: {names})") from error


def _graph_leaves(outputs: tuple[Tensor, ...]) -> Iterator[Tensor]:
    """The tensors in which the graph of ``outputs`` accumulates gradients."""
    pending, seen = [output.grad_fn for output in outputs], set()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        pending.extend(parent for parent, _ in node.next_functions)


def _check_state_dict(case: Case, factory: CellFactory) -> None:
    output, final = case.run(case.x, None)
    second = factory(case.cell.input_size, case.cell.hidden_size).double().eval()
    second.load_state_dict(copy.deepcopy(case.cell.state_dict()))
    loaded = Case(second, case.x, case.state, case.tolerance)
    again, new = loaded.run(case.x, None)
    case.agree("a cell that loaded the state_dict (something it needs is not in it)", again, output)
    case.agree_states("a cell that loaded the state_dict, state", new, final)


def _check_engines(case: Case) -> None:
    rows, steps = case.x.shape[:2]
    lengths = torch.tensor([steps - 1, 0, steps, *([1] * (rows - 3))])
    for engine in available(case.cell):
        for each in (None, lengths, torch.zeros_like(lengths)):
            for reverse in (False, True):
                what = f"{engine} against loop, lengths {None if each is None else each.tolist()}, reverse={reverse}"
                results = []
                for backend in (engine, "loop"):
                    x, state, leaves = leaves_of(case)
                    output, final = case.run(x, state, each, backend, reverse)
                    results.append((output, final, gradients_of(case.cell, output, final, leaves)))
                (output, final, gradients), (output_loop, final_loop, gradients_loop) = results
                case.agree(what, output, output_loop)
                case.agree_states(f"{what}, state", final, final_loop)
                case.agree_gradients(what, gradients, gradients_loop)


class _Values(TorchFunctionMode):
    """Keeps every tensor that a function of PyTorch returns."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        results = result if isinstance(result, (tuple, list)) else (result,)
        self.tensors += [each for each in results if isinstance(each, Tensor)]
        return result


def _check_gates(case: Case) -> None:
    """A gate is a value of the step, and not of another one that its class once had."""
    cell = case.cell
    if not cell.gate_names:
        return
    gi = cell.project(case.x)[:, 0]
    values = cell.gates(gi, case.state)
    assert len(values) == len(cell.gate_names), f"expected a value for each of {cell.gate_names}, got {len(values)}"
    with _Values() as computed:
        cell.step(gi, case.state)
    for name, value in zip(cell.gate_names, values, strict=True):
        alike = (each for each in computed.tensors if (each.shape, each.dtype) == (value.shape, value.dtype))
        assert any(torch.allclose(each, value, case.tolerance, case.tolerance) for each in alike), (
            f"gate {name}: no value that the step computes is the gate's"
        )
