"""From ``nn.RNN``, ``nn.GRU`` and ``nn.LSTM`` to an :class:`Encoder` and back; their states too."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast as typed

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from seqlab.nn.cells.base import GatedCell
from seqlab.nn.cells.stock import GRUCell, LSTMCell, RNNCell
from seqlab.nn.layers.bidirectional import Bidirectional
from seqlab.nn.layers.encoder import Encoder
from seqlab.nn.layers.recurrent import Recurrent
from seqlab.nn.state import from_torch as state_from_torch
from seqlab.nn.state import to_torch as state_to_torch

__all__ = ["from_torch", "state_from_torch", "state_to_torch", "to_torch"]

logger = logging.getLogger("seqlab")

_CELLS: dict[str, Callable[..., GatedCell]] = {
    "LSTM": LSTMCell,
    "GRU": GRUCell,
    "RNN_TANH": partial(RNNCell, nonlinearity="tanh"),
    "RNN_RELU": partial(RNNCell, nonlinearity="relu"),
}


def from_torch(module: nn.RNNBase, backend: str = "auto") -> Encoder:
    """Makes the :class:`Encoder` that computes what a module of PyTorch's does.

    The encoder is batch first whatever ``module.batch_first`` says. It takes ``lengths`` where ``module`` takes a
    packed sequence, and a state that :func:`state_from_torch` converts. No random number is drawn.

    Args:
        module: an ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``.
        backend: the engine of the encoder's layers.

    Returns:
        The encoder, with copies of the module's weights, in its dtype, on its device and in its mode of training.

    Raises:
        TypeError: ``module`` is none of the three.
        ValueError: ``module`` is an LSTM with ``proj_size``.

    Example:
        >>> lstm = nn.LSTM(3, 4, num_layers=2, batch_first=True)
        >>> x = torch.randn(2, 5, 3)
        >>> torch.allclose(from_torch(lstm)(x)[0], lstm(x)[0], atol=1e-6)
        True
    """
    if not isinstance(module, nn.RNNBase) or module.mode not in _CELLS:
        raise TypeError(f"module: expected an nn.RNN, nn.GRU or nn.LSTM, got {type(module).__name__}")
    if module.proj_size:
        raise ValueError(
            f"module: expected an LSTM without projection, got proj_size={module.proj_size}; no cell has one"
        )
    dropout = module.dropout
    if module.num_layers == 1 and dropout:
        logger.warning("from_torch: a %s of one layer never applies its dropout of %s: 0 kept", module.mode, dropout)
        dropout = 0.0
    factory = partial(_CELLS[module.mode], bias=module.bias)
    with torch.random.fork_rng(devices=[]):
        encoder = Encoder(
            factory,
            module.input_size,
            module.hidden_size,
            module.num_layers,
            module.bidirectional,
            dropout=dropout,
            backend=backend,
        )
    _copy_weights(module, encoder.to(next(module.parameters())), towards_torch=False)
    return encoder.train(module.training)


def to_torch(encoder: Encoder) -> nn.RNNBase:
    """Makes the module of PyTorch's that computes what an encoder does; the inverse of :func:`from_torch`.

    Args:
        encoder: an encoder of LSTM, GRU or RNN cells (tanh or relu), the same in all layers, with ``connect`` and
            ``norm`` "none".

    Returns:
        An ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``, batch first, with copies of the encoder's weights.

    Raises:
        ValueError: PyTorch has no such module: the cells are others, or differ between layers, or ``connect`` or
            ``norm`` is not "none".

    Example:
        >>> encoder = Encoder(LSTMCell, 3, 4, bidirectional=True)
        >>> to_torch(encoder)
        LSTM(3, 4, batch_first=True, bidirectional=True)
    """
    for option, value in (("connect", encoder.connect), ("norm", encoder.norm)):
        if value != "none":
            raise ValueError(f'encoder: expected {option}="none", all that torch.nn can stack, got {value!r}')
    cells = list(_cells(encoder))
    kinds = {(_mode(cell), cell.hidden_size, cell.bias) for cell in cells}
    if len(kinds) > 1:
        raise ValueError(f"encoder: expected cells of one kind, size and bias, got {sorted(kinds)}")
    mode, hidden_size, bias = kinds.pop()
    family: dict[str, Callable[..., nn.RNNBase]] = {
        "LSTM": nn.LSTM,
        "GRU": nn.GRU,
        "RNN_TANH": partial(nn.RNN, nonlinearity="tanh"),
        "RNN_RELU": partial(nn.RNN, nonlinearity="relu"),
    }
    with torch.random.fork_rng(devices=[]):
        module = family[mode](
            encoder.input_size,
            hidden_size,
            num_layers=encoder.num_layers,
            bias=bias,
            batch_first=True,
            dropout=encoder.dropout,
            bidirectional=encoder.bidirectional,
        )
    _copy_weights(module.to(cells[0].weight_ih), encoder, towards_torch=True)
    return module.train(encoder.training)


def _mode(cell: GatedCell) -> str:
    """The cell's name among torch's modes."""
    kind: type = type_before_parametrizations(cell)
    modes: dict[type, str] = {LSTMCell: "LSTM", GRUCell: "GRU"}
    mode = f"RNN_{cell.nonlinearity.upper()}" if isinstance(cell, RNNCell) and kind is RNNCell else modes.get(kind, "")
    if mode not in _CELLS:
        raise ValueError(f"encoder: expected LSTM, GRU, or tanh or relu RNN cells, got {cell!r}")
    return mode


def _cells(encoder: Encoder) -> Iterator[GatedCell]:
    """The cells in torch's order: by layer, forward before backward."""
    for layer in encoder.layers:
        directions = [layer.forward_layer, layer.backward_layer] if isinstance(layer, Bidirectional) else [layer]
        for direction in directions:
            yield typed(GatedCell, typed(Recurrent, direction).cell)


@torch.no_grad()
def _copy_weights(module: nn.RNNBase, encoder: Encoder, *, towards_torch: bool) -> None:
    for index, cell in enumerate(_cells(encoder)):
        layer, backward = divmod(index, 2) if encoder.bidirectional else (index, 0)
        for name in ("weight_ih", "weight_hh") + (("bias_ih", "bias_hh") if cell.bias else ()):
            theirs: Tensor = getattr(module, f"{name}_l{layer}{'_reverse' if backward else ''}")
            ours: Tensor = getattr(cell, name)
            source, target = (ours, theirs) if towards_torch else (theirs, ours)
            target.copy_(source)
            target.requires_grad_(source.requires_grad)
