"""Changes of what a cell's step depends on, each by a name, and how a layer is shown to follow one."""

import collections
import enum
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from seqlab.nn import Recurrent
from tests.nn.agreement import RAGGED, assert_layer_agrees, small_cell


class Options:
    """A plain object with an attribute."""

    def __init__(self, alpha):
        self.alpha = alpha

    def scale(self, z):
        return z * self.alpha

    def __call__(self, z):
        return z * self.alpha


class Slotted:
    __slots__ = ("alpha",)

    def __init__(self, alpha):
        self.alpha = alpha


@dataclass
class Settings:
    alpha: float
    inner: Options


class Mode(enum.Enum):
    TANH = "tanh"
    SIGMOID = "sigmoid"


class Flag(enum.IntEnum):
    OFF = 0
    ON = 1


Pair = collections.namedtuple("Pair", ("alpha", "beta"))


def scaled(scale, **attributes):
    """A cell whose step is multiplied by ``scale(cell)``."""
    return small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * scale(self),), **attributes)


def either(flag, z):
    return z.sigmoid() if flag else z.tanh()


def apply(change, cell, patch):
    if isinstance(change, dict):
        for name, value in change.items():
            setattr(cell, name, value)
    elif list(inspect.signature(change).parameters) == ["patch"]:
        change(patch)
    else:
        change()


WITHOUT_GRADIENTS = ("a_float", "a_string", "a_closure", "the_code_of_a_global_function")  # followed there too


class Kinds(dict[str, tuple[Callable[[], Any], str | None]]):
    """By name: a function that makes a cell and the change of it, and the engine that runs the cell before."""

    def kind(self, engine: str | None = "scan") -> Callable[[Any], Any]:
        """Registers a function that makes a cell and the change of it; the engine is the one that runs it before."""

        def register(function: Any) -> Any:
            self[function.__name__] = (function, engine)
            return function

        return register

    def assert_followed(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A layer that has run follows the change of this name."""
        make, engine = self[name]
        torch.manual_seed(0)
        cell, change = make()
        layer = Recurrent(cell)
        before = assert_layer_agrees(layer, without_gradients=name in WITHOUT_GRADIENTS)
        assert engine is None or layer.last_run.engine == engine, layer.last_run
        apply(change, cell, monkeypatch)
        after = assert_layer_agrees(layer, without_gradients=name in WITHOUT_GRADIENTS)
        assert not torch.allclose(before, after, rtol=1e-3, atol=1e-3)  # or nothing is shown
        assert_layer_agrees(layer, RAGGED)
