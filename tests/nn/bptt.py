"""What tests of gradients over time share."""

import torch
from torch import nn

from seqlab.nn import GRUCell, RecurrentCell

EXACT = {"rtol": 1e-10, "atol": 1e-10}
LENGTHS = torch.tensor([6, 0, 3])


class Projected(RecurrentCell):
    """A cell of two parts of different sizes, with a parameter in each of project, step and output."""

    state_names = ("h", "m")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.lift = nn.Linear(input_size, hidden_size)
        self.decay = nn.Parameter(torch.randn(hidden_size))
        self.mix = nn.Parameter(torch.randn(hidden_size, 2))
        self.read = nn.Linear(hidden_size, 5)

    @property
    def state_sizes(self):
        return (self.hidden_size, 2)

    @property
    def output_size(self):
        return 5

    def project(self, x):
        return self.lift(x)

    def step(self, gi, state):
        h, m = state
        h = (gi + self.decay * h + m @ self.mix.T).tanh()
        return h, m + (h @ self.mix).sin()

    def output(self, state):
        return self.read(state[0])


def weighted(output, state=()):
    """A scalar to which every number of the output and the state contributes differently."""
    parts = (output, *state)
    return sum((part * torch.linspace(-1, 2, part.numel(), dtype=part.dtype).view_as(part)).sum() for part in parts)


def by_autograd(model, loss, name):
    return torch.autograd.grad(loss(), dict(model.named_parameters())[name])[0]


class LearnedStart(GRUCell):
    """A cell whose initial state is trained."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.start = nn.Parameter(torch.randn(hidden_size))

    def initial_state(self, batch_size, *, like):
        return (self.start.to(like).expand(batch_size, -1),)


def layer_loss(layer, x):
    return layer(x)[0].square().sum()
