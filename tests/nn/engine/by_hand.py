"""Layers held against a loop over the cell that is written by hand."""

import torch
from torch import Tensor

from seqlab.nn import GatedCell, Recurrent
from seqlab.nn.engine.weights import cached_weights


def by_hand(cell, x):
    state = cell.initial_state(x.size(0), like=x)
    outputs = []
    with cached_weights(cell):
        for gi in cell.project(x).unbind(1):
            state = cell.step(gi, state)
            outputs.append(cell.output(state))
    return torch.stack(outputs, 1), state


def assert_calls_agree(make, engine, backend="auto", calls=3, change=None, gradients=True):
    """Several calls on end, each with its gradients, against the loop by hand over an equal cell."""
    fast, slow = make().double(), make().double()
    slow.load_state_dict(fast.state_dict())
    layer = Recurrent(fast, backend)
    for seed in range(calls):
        if change is not None and seed:
            change(fast)
            change(slow)
        found = []
        for cell, run in ((fast, layer), (slow, lambda x: by_hand(slow, x))):
            torch.manual_seed(seed)
            x = torch.randn(4, 5, 3, dtype=torch.float64).requires_grad_(gradients)
            with torch.set_grad_enabled(gradients):
                output, final = run(x)
            leaves = [x, *cell.parameters()]
            loss = output.sin().sum() + final[0].pow(3).sum()
            rest = torch.autograd.grad(loss, leaves, allow_unused=True) if gradients else ()
            found.append([output, *final, *(each for each in rest if each is not None), *cell.buffers()])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    assert layer.last_run.engine == engine


class Cell(GatedCell):
    num_gates = 1
    scale: Tensor | float = 1.0

    def __init__(self):
        super().__init__(3, 5)
        self.register_buffer("mean", torch.ones(5))

    def pointwise(self, gi, gh, state):
        return ((gi + gh).tanh() * self.scale + gi,)
