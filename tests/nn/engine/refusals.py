"""Steps that only a loop runs right, by name, and what shows that they are run so."""

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from seqlab.nn import Recurrent
from tests.nn.agreement import small_cell


def x_of(steps=3):
    return torch.linspace(-1, 1, 2 * steps * 3, dtype=torch.float64).view(2, steps, 3)


def seeded(layer, x, lengths=None):
    """The output, final state and gradients from the same seeds, and what is left of the random states."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    output, final = layer(x, lengths=lengths)
    gradients = torch.autograd.grad(
        output.sin().sum() + final[0].sum(), list(layer.cell.parameters()), allow_unused=True, materialize_grads=True
    )
    return [output, *final, *gradients], (random.random(), np.random.rand(), float(torch.rand(())))


class Refused(dict[str, tuple[Callable[..., Any], dict[str, Callable[[], Any]]]]):
    """By name: a step as a function, and what makes the attributes that it needs."""

    def step(self, **attributes: Callable[[], Any]) -> Callable[[Any], Any]:
        """Registers a step that only a loop runs right; ``attributes`` are made anew for each cell."""

        def register(function: Any) -> Any:
            self[function.__name__] = (function, attributes)
            return function

        return register

    def made(self, name: str) -> Any:
        """A cell with this step."""
        function, attributes = self[name]
        cell = small_cell(function)
        for attribute, make in attributes.items():
            setattr(cell, attribute, make())
        return cell.double()

    def assert_as_on_loop(self, name: str, capsys: pytest.CaptureFixture[str], may_be_served: bool = False) -> None:
        """Twice, on the same layer: with the same draws, the same side effects and as many."""
        cell = self.made(name)
        twin = self.made(name)
        twin.load_state_dict(cell.state_dict())
        layer, loop = Recurrent(cell), Recurrent(twin, "loop")
        for steps, lengths in ((4, None), (3, None), (5, torch.tensor([5, 2]))):
            (found, after), printed = seeded(layer, x_of(steps), lengths), capsys.readouterr().out
            (expected, wanted), expected_print = seeded(loop, x_of(steps), lengths), capsys.readouterr().out
            for one, other in zip(found, expected, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
            assert after == wanted and printed == expected_print
        assert may_be_served or layer.last_run.engine == "loop", layer.last_run
        if layer.last_run.engine == "loop":
            assert layer.last_run.reason and "\n" not in layer.last_run.reason

    def assert_refused_by_name(self, name: str) -> None:
        """In one line, before anything is computed or drawn."""
        cell = self.made(name)
        before = copy.deepcopy({key: value for key, value in vars(cell).items() if key in ("count", "seen", "last")})
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
        told = r"^backend: scan can't run this Small: .*; use backend=\"auto\"$"
        with pytest.raises(ValueError, match=told) as caught:
            Recurrent(cell, "scan")(x_of())
        assert "\n" not in str(caught.value)
        assert (random.getstate(), np.random.get_state()[1].tolist()) == states[:2]
        assert torch.equal(torch.get_rng_state(), states[2])
        assert all(vars(cell)[key] == value for key, value in before.items())
