"""ATen's own kernels for the stock cells: oneDNN or ATen on a CPU, cuDNN on a GPU."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.parametrize import type_before_parametrizations
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqlab.nn.cells import stock as cells
from seqlab.nn.cells.base import GatedCell, RecurrentCell
from seqlab.nn.cells.stock import GRUCell, LSTMCell, RNNCell
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.resets import Resets, Segments, find_segments
from seqlab.nn.state import State

_Kernel = Callable[..., Any]
_Options = tuple[list[Tensor], bool, int, float, bool, bool]
_RNN_KERNELS: dict[str, _Kernel] = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}
_METHODS = (
    "pointwise",
    "step",
    "product",
    "project",
    "output",
    "num_gates",
    "state_names",
    "state_sizes",
    "output_size",
)


def _code(kind: type) -> tuple[object, ...]:
    """All that decides what a class computes: its methods, their code, and the tensor methods that they call."""
    methods = [getattr(kind, name) for name in _METHODS]
    codes = [getattr(method, "__code__", None) for method in methods]
    tensor_methods = [vars(Tensor).get(name) for code in codes if code is not None for name in code.co_names]
    return *methods, *codes, *tensor_methods, functional.linear, dict(cells._NONLINEARITIES)


# The code as it is when this module is imported: a kernel may stand for that code and no other.
_CODE = {kind: _code(kind) for kind in (RNNCell, GRUCell, LSTMCell)}


def refusal(cell: RecurrentCell) -> str | None:
    """Why this engine can't serve ``cell``, or None. A subclass may step differently: only the exact classes count."""
    kind = type_before_parametrizations(cell)
    if kind not in (RNNCell, GRUCell, LSTMCell):
        return f"it has kernels for RNNCell, GRUCell and LSTMCell themselves, not for {kind.__name__}"
    if isinstance(cell, RNNCell) and cell.nonlinearity not in _RNN_KERNELS:
        return f"its RNNCell kernels are {' and '.join(_RNN_KERNELS)}, not {cell.nonlinearity}"
    changed = next((name for name in _METHODS if name in vars(cell)), None)
    if changed is not None or _code(type(cell)) != _CODE[kind]:  # a parametrized cell has a class of its own
        return f"its kernels compute {kind.__name__} as it ships, and {changed or 'its code'} was replaced"
    return None


def run(
    cell: RecurrentCell, x: Tensor, state: State, lengths: Tensor | None, resets: Resets | None = None
) -> tuple[Tensor, State]:
    """Run ``cell`` over a batch by its kernel; padded steps keep the state and output zero.

    Args:
        cell: an RNNCell, GRUCell or LSTMCell.
        x: the input ``(B, T, I)``.
        state: the initial state, ``(B, H)`` each.
        lengths: the valid steps of each row, ``(B,)``; None if all are.
        resets: the steps before which rows begin anew; None if there are none. The kernel then runs the stretches
            between them as rows of their own.

    Returns:
        The output ``(B, T, H)`` and the final state, ``(B, H)`` each.

    Raises:
        UnsupportedError: the cell's code was replaced, or it has one bias of the two.
        ValueError: ``x`` and the cell's weights differ in dtype.
    """
    reason = refusal(cell)
    if reason is not None:
        raise UnsupportedError(reason)
    assert isinstance(cell, GatedCell)
    weights = _weights(cell)
    if len(weights) == 3:
        raise UnsupportedError("its kernels have two biases or none, and the cell has one")
    dtype, device = weights[0].dtype, x.device.type
    autocast = torch.is_autocast_enabled(device)
    if not autocast and x.dtype != dtype:
        raise ValueError(f"x: expected {dtype}, the dtype of the cell's weights, got {x.dtype}")
    if autocast and device == "cpu" and torch.get_autocast_dtype("cpu") == torch.float16:
        # oneDNN trains no float16 LSTM: under float16 autocast on a CPU, the kernel runs in the weights' own dtype.
        with torch.autocast("cpu", enabled=False):
            return _run(cell, weights, x.to(dtype), state, lengths, resets)
    return _run(cell, weights, x, state, lengths, resets)


def _run(
    cell: GatedCell,
    weights: list[Tensor],
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    resets: Resets | None,
) -> tuple[Tensor, State]:
    options = _options(weights, x)
    if resets is not None:
        segments = find_segments(resets, lengths)
        if segments is not None:
            return _run_segments(_kernel(cell), options, x, state, resets.initial, segments)
    if lengths is None:
        return _run_dense(_kernel(cell), options, x, state)
    return _run_packed(_kernel(cell), options, x, state, lengths)


def _run_dense(kernel: _Kernel, options: _Options, x: Tensor, state: State) -> tuple[Tensor, State]:
    output, *final = kernel(x, _to_kernel(state), *options, True)
    if output.requires_grad:
        output = output.clone()  # the kernel saves its output for the adjoint, and the caller may write into this one
    return output, tuple(part.squeeze(0) for part in final)


def _run_packed(kernel: _Kernel, options: _Options, x: Tensor, state: State, lengths: Tensor) -> tuple[Tensor, State]:
    """Pack the rows that have steps, longest first. Rows of length 0 and padding never reach the kernel."""
    sizes, order = lengths.cpu().sort(descending=True, stable=True)
    count = int(sizes.count_nonzero())
    if count == x.size(0) and int(sizes[-1]) == x.size(1):
        return _run_dense(kernel, options, x, state)
    if count == 0:  # the kernel runs on zeros, so that every weight gets a gradient, which is zero
        valid_rows = torch.zeros_like(lengths, dtype=torch.bool).view(-1, 1, 1)  # none
        output, final = _run_dense(kernel, options, x.masked_fill(~valid_rows, 0.0), state)
        pairs = zip(state, final, strict=True)
        new_state = tuple(torch.where(valid_rows.squeeze(2), new.to(old.dtype), old) for old, new in pairs)
        return output.masked_fill(~valid_rows, 0.0), new_state
    order = order[:count].to(x.device)
    rows = pack_padded_sequence(x.index_select(0, order), sizes[:count], batch_first=True)
    hx = _to_kernel(tuple(part.index_select(0, order) for part in state))
    data, *final = kernel(rows.data, rows.batch_sizes, hx, *options)
    packed = PackedSequence(data, rows.batch_sizes)
    valid, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.size(1))
    output = valid.new_zeros(x.size(0), *valid.shape[1:]).index_copy(0, order, valid)
    new = zip(state, final, strict=True)
    return output, tuple(old.index_copy(0, order, part.squeeze(0).to(old.dtype)) for old, part in new)


def _run_segments(
    kernel: _Kernel, options: _Options, x: Tensor, state: State, initial: State, segments: Segments
) -> tuple[Tensor, State]:
    """Run each row's segments as rows of their own, longest first, in one packed sequence."""
    first = tuple(torch.cat(parts).index_select(0, segments.source) for parts in zip(state, initial, strict=True))
    data = x.flatten(0, 1).index_select(0, segments.places)
    data, *final = kernel(data, segments.counts, _to_kernel(first), *options)
    output = data.new_zeros(x.size(0) * x.size(1), data.size(1)).index_copy(0, segments.places, data)
    new = (part.squeeze(0).to(old.dtype).index_select(0, segments.last) for part, old in zip(final, state, strict=True))
    ends = tuple(old.index_copy(0, segments.rows, part) for old, part in zip(state, new, strict=True))
    return output.view(*x.shape[:2], -1), ends


def _kernel(cell: GatedCell) -> _Kernel:
    if isinstance(cell, LSTMCell):
        return torch.lstm
    if isinstance(cell, RNNCell):
        return _RNN_KERNELS[cell.nonlinearity]
    return torch.gru


def _to_kernel(state: State) -> Tensor | list[Tensor]:
    """(B, H) each to (1, B, H): a list for an LSTM, a bare tensor otherwise."""
    parts = [part.unsqueeze(0).contiguous() for part in state]
    return parts if len(parts) > 1 else parts[0]


def _weights(cell: GatedCell) -> list[Tensor]:
    """The cell's weights in the kernels' order. Each is read once, since a parametrization computes it at each read."""
    weights = (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    return [weight for weight in weights if weight is not None]


def _options(weights: list[Tensor], x: Tensor) -> _Options:
    """The kernels' arguments: weights, has_biases, num_layers, dropout, train, bidirectional.

    cuDNN saves what its backward pass needs only with train=True, so that follows the gradient mode, not
    ``module.training``.
    """
    if x.is_cuda:
        weights = _one_chunk(weights)
    return weights, len(weights) == 4, 1, 0.0, torch.is_grad_enabled(), False


def _one_chunk(weights: list[Tensor]) -> list[Tensor]:
    """The weights as views of one buffer, as cuDNN requires, with zeros for absent biases.

    It costs one small copy a call; cuDNN would make the same copy itself, with a warning. A buffer on the module would
    go stale when weights are moved, sharded, tied or parametrized. Gradients flow through this one.
    """
    if len(weights) == 2:
        weights = [*weights, *[weights[1].new_zeros(weights[1].size(0))] * 2]
    flat = torch.cat([weight.flatten() for weight in weights])
    parts = torch.split(flat, [weight.numel() for weight in weights])
    return [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]
