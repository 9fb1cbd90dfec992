"""What can be seen of a subject: tensors and numbers by name, and the random states."""

import hashlib
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from tests.nn.engine.campaign.subjects import ByHand

Seen = dict[str, Any]


class RefusedError(Exception):
    """An engine that was named says that it can't serve the cell."""


def attributes(layer: Any, written: Any) -> Seen:
    """What a step may have left in Python: attributes, buffers, tables of the module, the order of parameters."""
    seen: Seen = {}
    for path, module in layer.named_modules():
        if type(module).__module__ in ("seqlab.nn.layers.recurrent", "seqlab.nn.layers.encoder", ByHand.__module__):
            continue
        for name, value in vars(module).items():
            if isinstance(value, int | float | str | bool | list | dict | tuple | Tensor) and not name.startswith("_"):
                note_values(f"attribute {path}.{name}", value, seen)
            elif not name.startswith("_") or name.startswith("_seqlab"):
                seen[f"attribute {path}.{name}"] = "there"
    for name, value in vars(written).items():
        if name.isupper() or name[:4] in ("COUN", "TABL", "GAIN"):
            note_values(f"global {name}", value, seen)
    for name, value in layer.named_buffers():
        seen[f"buffer {name}"] = value.detach().clone()
    seen["names of parameters"] = [name for name, _ in layer.named_parameters()]
    seen["requires_grad"] = [p.requires_grad for p in layer.parameters()]
    return seen


def flat(state: Any) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else [part for each in state for part in flat(each)]


def mapped(function: Any, state: Any) -> Any:
    return function(state) if isinstance(state, Tensor) else tuple(mapped(function, each) for each in state)


def note_values(name: str, value: Any, seen: Seen) -> None:
    if isinstance(value, FakeTensor):
        seen[name] = "a tensor without values"
    elif isinstance(value, Tensor):
        try:
            seen[name] = value.detach().clone()
        except RuntimeError:  # kept from within a transform of torch.func, which has ended
            seen[name] = "a tensor that has escaped"
    elif isinstance(value, list | tuple):
        seen[f"{name} length"] = len(value)
        for k, each in enumerate(value):
            note_values(f"{name}[{k}]", each, seen)
    elif isinstance(value, dict):
        for key, each in value.items():
            note_values(f"{name}[{key!r}]", each, seen)
    elif isinstance(value, int | float | str | bool):
        seen[name] = value


def random_state() -> str:
    numbers = np.random.get_state()
    text = repr((torch.get_rng_state().tolist(), random.getstate(), numbers[1].tolist(), numbers[2]))
    return hashlib.sha1(text.encode()).hexdigest()[:12]
