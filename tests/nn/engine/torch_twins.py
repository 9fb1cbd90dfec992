"""Modules of torch's and their encoders."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial

import torch
from torch import nn

from seqlab.nn import Recurrent
from seqlab.nn.interop import from_torch

FAMILIES = {"tanh": nn.RNN, "relu": partial(nn.RNN, nonlinearity="relu"), "gru": nn.GRU, "lstm": nn.LSTM}


def twins(family, input_size=3, hidden_size=5, dtype=torch.float64, **options):
    """A module of torch's and its encoder, seeded."""
    torch.manual_seed(0)
    module = FAMILIES[family](input_size, hidden_size, batch_first=True, dtype=dtype, **options)
    return module, from_torch(module)


_lasting = lru_cache(twins)


def lasting_twins(family, *sizes, **options):
    """The same two for all tests that only run them: each step is looked at and compiled once."""
    pair = _lasting(family, *sizes, **{"num_layers": 1, "bidirectional": False} | options)
    torch.manual_seed(0)
    return pair


@contextmanager
def borrowed(*modules: nn.Module) -> Iterator[None]:
    """Gives the modules their weights back in the end: what is lasting may be changed within."""
    states = [copy.deepcopy(module.state_dict()) for module in modules]
    try:
        yield
    finally:
        for module, state in zip(modules, states, strict=True):
            module.load_state_dict(state)


def ran_compiled(encoder):
    runs = [layer.last_run.engine for layer in encoder.modules() if isinstance(layer, Recurrent)]
    return bool(runs) and set(runs) == {"scan"}


def as_parts(state):
    return list(state) if isinstance(state, tuple) else [state]


def hidden(module, rows, seed=0):
    """An initial state in torch's layout."""
    draw = torch.Generator().manual_seed(seed)
    entries = module.num_layers * (2 if module.bidirectional else 1)
    dtype = module.weight_ih_l0.dtype
    parts = [
        torch.randn(entries, rows, module.hidden_size, dtype=dtype, generator=draw)
        for _ in range(2 if isinstance(module, nn.LSTM) else 1)
    ]
    return tuple(parts) if len(parts) > 1 else parts[0]
