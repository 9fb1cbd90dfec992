"""Who lives through a history: the steps written out by hand, and the layer on each engine."""

import contextlib
import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from seqlab.nn import Bidirectional, Encoder, Recurrent
from tests.nn.engine.campaign.family import Family

_LOCK = threading.RLock()  # `parametrize.cached` is one for the whole process


class ByHand(nn.Module):
    """``project``, ``step`` and ``output`` in a plain ``for``: what every engine is held against.

    The cell's pre-hooks run once before the first step, and a parametrized weight is computed once a call.
    """

    def __init__(self, cell: nn.Module, reverse: bool = False) -> None:
        super().__init__()
        self.cell, self.reverse = cell, reverse

    @property
    def output_size(self) -> int:
        return self.cell.output_size

    def initial_state(self, batch_size: int, *, like: Tensor) -> tuple[Tensor, ...]:
        return self.cell.initial_state(batch_size, like=like)

    def forward(self, x: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        cell, steps = self.cell, x.size(1)
        if state is None:
            state = cell.initial_state(x.size(0), like=x)
        state = tuple(part.to(x.dtype) for part in state)
        valid = None
        if lengths is not None:
            valid = torch.arange(steps) < lengths.unsqueeze(1)  # (B, T)
            x = x.masked_fill(~valid.unsqueeze(2), 0.0)
        if self.reverse:
            x = _turned(x, lengths)
        cached = parametrize.cached() if parametrized(cell) else contextlib.nullcontext()
        with _LOCK, cached:
            for hook in list(cell._forward_pre_hooks.values()):
                hook(cell, (x,))
            gi, outputs = cell.project(x), []
            for t in range(steps):
                new = tuple(cell.step(gi.unbind(1)[t], state))
                if valid is not None:
                    new = tuple(torch.where(valid[:, t : t + 1], a, b) for a, b in zip(new, state, strict=True))
                state = new
                outputs.append(cell.output(state))
                if outputs[-1].shape != (x.size(0), cell.output_size):
                    raise ValueError("the cell's output is not what it declares")
        output = torch.stack(outputs, 1)
        if valid is not None:
            output = output.masked_fill(~valid.unsqueeze(2), 0.0)
        if self.reverse:
            output = _turned(output, lengths)
        return output, tuple(part.to(x.dtype) for part in state)


def parametrized(cell: nn.Module) -> bool:
    return any(parametrize.is_parametrized(each) for each in cell.modules())


def _turned(x: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        return x.flip(1)
    t = torch.arange(x.size(1)).expand(x.size(0), -1)
    last = lengths.unsqueeze(1) - 1
    return x.gather(1, torch.where(t <= last, last - t, t).unsqueeze(2).expand_as(x))


_modules: dict[tuple[str, str], ModuleType] = {}


def load(cell: Family, subject: str, folder: Path, fresh: bool) -> ModuleType:
    """The module of a cell's source, one a subject, so that what one does to it no other sees.

    It is written to a file, for tools that read a function's source. ``fresh`` gives a module that nobody has changed.
    """
    name = f"campaign_cell_{cell.number}_{subject}"
    key = (name, str(folder))
    if fresh or key not in _modules:
        path = folder / f"cell_{cell.number}.py"
        if not path.exists():
            path.write_text(cell.source)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        _modules[key] = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(_modules[key])
    return _modules[key]


def forget(cell: Family) -> None:
    """Drop a cell's modules, when its histories are through."""
    for key in [key for key in _modules if key[0].startswith(f"campaign_cell_{cell.number}_")]:
        sys.modules.pop(_modules.pop(key).__name__, None)


def layer_of(cell: Family, built: dict[str, Any], module: ModuleType, subject: str) -> nn.Module:
    """The layer that ``built`` tells of, on an engine or by hand."""
    by_hand = subject.startswith("hand")
    backend, recompute = "loop" if by_hand else subject, built["recompute"] and not by_hand
    sizes = cell.input_size, cell.hidden_size
    if built["structure"] == "bidirectional":
        layer: nn.Module = Bidirectional(module.make(*sizes), module.make(*sizes), backend, recompute)
    elif built["structure"] == "encoder":
        layer = Encoder(module.make, *sizes, num_layers=2, backend=backend, recompute=recompute)
    else:
        layer = Recurrent(module.make(*sizes), backend, built["reverse"], recompute)
    if not by_hand:
        return layer
    if isinstance(layer, Recurrent):
        return ByHand(layer.cell, layer.reverse)
    for parent in list(layer.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Recurrent):
                setattr(parent, name, ByHand(child.cell, child.reverse))
    return layer


def recurrent_layers(layer: nn.Module) -> list[Any]:
    return [each for each in layer.modules() if isinstance(each, Recurrent | ByHand)]
