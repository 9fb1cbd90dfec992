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
    """What a class computes by: its methods, and what these are made of."""
    found = [getattr(kind, name) for name in _METHODS]
    code = [getattr(each, "__code__", None) for each in found]
    called = [vars(Tensor).get(name) for each in code if each is not None for name in each.co_names]
    return *found, *code, *called, functional.linear, dict(cells._NONLINEARITIES)


# As they are while this module is imported: a kernel stands for that code and no other.
_CODE = {kind: _code(kind) for kind in (RNNCell, GRUCell, LSTMCell)}


def refusal(cell: RecurrentCell) -> str | None:
    """Why this engine can't serve ``cell``, or None. A subclass may step otherwise: only the exact classes count."""
    kind = type_before_parametrizations(cell)
    if kind not in (RNNCell, GRUCell, LSTMCell):
        return f"it has kernels for RNNCell, GRUCell and LSTMCell themselves, not for {kind.__name__}"
    if isinstance(cell, RNNCell) and cell.nonlinearity not in _RNN_KERNELS:
        return f"its RNNCell kernels are {' and '.join(_RNN_KERNELS)}, not {cell.nonlinearity}"
    changed = next((name for name in _METHODS if name in vars(cell)), None)
    if changed is not None or _code(type(cell)) != _CODE[kind]:  # a parametrized cell has a class of its own
        return f"its kernels compute {kind.__name__} as it ships, and {changed or 'its code'} was replaced"
    return None


def run(cell: RecurrentCell, x: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
    """Run the kernel that computes ``cell`` over ``x (B, T, I)``; padded steps keep the state and output zero.

    Raises:
        UnsupportedError: the cell is not what it was.
    """
    reason = refusal(cell)
    if reason is not None:
        raise UnsupportedError(reason)
    assert isinstance(cell, GatedCell)
    weights = _weights(cell)
    if len(weights) == 3:
        raise UnsupportedError("its kernels have two biases or none, and it has one")
    dtype, device = weights[0].dtype, x.device.type
    autocast = torch.is_autocast_enabled(device)
    if not autocast and x.dtype != dtype:
        raise ValueError(f"x: expected {dtype}, the dtype of the cell's weights, got {x.dtype}")
    if autocast and device == "cpu" and torch.get_autocast_dtype("cpu") == torch.float16:
        # oneDNN trains no float16 LSTM: this engine answers a CPU's float16 autocast in the weights' own precision.
        with torch.autocast("cpu", enabled=False):
            return _run(cell, weights, x.to(dtype), state, lengths)
    return _run(cell, weights, x, state, lengths)


def _run(
    cell: GatedCell, weights: list[Tensor], x: Tensor, state: State, lengths: Tensor | None
) -> tuple[Tensor, State]:
    options = _options(weights, x)
    if lengths is None:
        return _run_dense(_kernel(cell), options, x, state)
    return _run_packed(_kernel(cell), options, x, state, lengths)


def _run_dense(kernel: _Kernel, options: _Options, x: Tensor, state: State) -> tuple[Tensor, State]:
    output, *final = kernel(x, _to_kernel(state), *options, True)
    if output.requires_grad:
        output = output.clone()  # the kernel keeps its own, and the caller may change this one in place
    return output, tuple(part.squeeze(0) for part in final)


def _run_packed(kernel: _Kernel, options: _Options, x: Tensor, state: State, lengths: Tensor) -> tuple[Tensor, State]:
    """Pack the rows that have steps, longest first; the others, and all padding, never reach the kernel."""
    sizes, order = lengths.cpu().sort(descending=True, stable=True)
    count = int(sizes.count_nonzero())
    if count == x.size(0) and int(sizes[-1]) == x.size(1):
        return _run_dense(kernel, options, x, state)
    if count == 0:  # run all the same: every weight gets its gradient, which is zero
        nothing = torch.zeros_like(lengths, dtype=torch.bool).view(-1, 1, 1)
        output, final = _run_dense(kernel, options, x.masked_fill(~nothing, 0.0), state)
        kept = [torch.where(nothing.squeeze(2), new.to(old.dtype), old) for old, new in zip(state, final, strict=True)]
        return output.masked_fill(~nothing, 0.0), tuple(kept)
    order = order[:count].to(x.device)
    rows = pack_padded_sequence(x.index_select(0, order), sizes[:count], batch_first=True)
    hx = _to_kernel(tuple(part.index_select(0, order) for part in state))
    data, *final = kernel(rows.data, rows.batch_sizes, hx, *options)
    packed = PackedSequence(data, rows.batch_sizes)
    valid, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.size(1))
    output = valid.new_zeros(x.size(0), *valid.shape[1:]).index_copy(0, order, valid)
    new = zip(state, final, strict=True)
    return output, tuple(old.index_copy(0, order, part.squeeze(0).to(old.dtype)) for old, part in new)


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
    """The cell's weights in the kernels' order, each read once: a parametrization computes it anew at every reading."""
    weights = (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    return [weight for weight in weights if weight is not None]


def _options(weights: list[Tensor], x: Tensor) -> _Options:
    """The kernels' arguments: weights, has_biases, num_layers, dropout, train, bidirectional.

    cuDNN keeps what its backward pass needs only if told to train, whatever ``module.training`` says.
    """
    if x.is_cuda:
        weights = _one_chunk(weights)
    return weights, len(weights) == 4, 1, 0.0, torch.is_grad_enabled(), False


def _one_chunk(weights: list[Tensor]) -> list[Tensor]:
    """The weights as views of one buffer, which cuDNN asks for, with zeros for biases that are not there.

    One small copy a call; cuDNN would make the same copy itself, with a warning. Unlike a buffer kept on the module it
    can't go stale when weights move, are sharded, tied or computed by a parametrization, and gradients flow through it.
    """
    if len(weights) == 2:
        weights = [*weights, *[weights[1].new_zeros(weights[1].size(0))] * 2]
    flat = torch.cat([weight.flatten() for weight in weights])
    parts = torch.split(flat, [weight.numel() for weight in weights])
    return [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]
