"""Cells with unusual ``pointwise`` code."""

import torch
from torch import nn
from torch.nn import functional

from seqlab.nn import GatedCell


class Views(GatedCell):
    """Gates by view, reshape, unbind, stack, softmax, unflatten, flatten and split."""

    num_gates = 3
    state_names = ("h", "c")

    def pointwise(self, gi, gh, state):
        a, b, c = (gi + gh).view(-1, 3, self.hidden_size).unbind(1)
        z = torch.softmax(torch.stack((a, b, c), 1), 1)
        x, y = z.reshape(-1, 3 * self.hidden_size).split([self.hidden_size, 2 * self.hidden_size], -1)
        first, second = (
            y.unflatten(-1, (2, -1))[:, 0],
            y.unflatten(1, (2, self.hidden_size)).flatten(1)[:, self.hidden_size :],
        )
        return (x * state[0] + first * a).tanh(), second * state[1] - z[:, 1] * c.unsqueeze(1).squeeze(1)


class Slices(GatedCell):
    """Gates by index ranges, joined again; log-softmax and in-place operations."""

    num_gates = 4

    def pointwise(self, gi, gh, state):
        h = self.hidden_size
        z = gi + gh
        z[:, :h] += state[0]
        gates = torch.cat((z[:, 2 * h :], z[:, :h]), -1).sigmoid()
        both = torch.stack((z[..., h : 2 * h], gates[:, h : 2 * h]), 1).log_softmax(1)
        return (gates[:, -h:] * both[:, 0].tanh() + gates[:, :h] * both[:, 1].tanh(),)


class Activations(GatedCell):
    num_gates = 2
    state_names = ("h", "c")

    def pointwise(self, gi, gh, state):
        a, b = (gi + gh).chunk(2, -1)
        m = torch.maximum(functional.logsigmoid(a), b)
        h = functional.silu(m) + functional.gelu(a) * state[0] + functional.gelu(b, approximate="tanh")
        h = h + functional.softplus(b) - functional.elu(a) * functional.leaky_relu(b) + functional.hardtanh(a)
        h = h + functional.softsign(b) + functional.mish(a) * functional.hardswish(b) + functional.selu(a) / 2
        c = a.abs().log1p() + b.expm1() / 9 + (b.abs() + 0.1).sqrt() + (a.square() + 1).rsqrt() + torch.erf(b)
        return h.tanh(), c + torch.lerp(a, b, 0.3) * state[1].sin() + b.pow(2) + (a.abs() + 1).pow(1.5) + 2.0**b


class Choices(GatedCell):
    num_gates = 2
    state_names = ("h", "c")

    def pointwise(self, gi, gh, state):
        a, b = (gi + gh).chunk(2, -1)
        mask = (a > 0) & ~(b >= 0.2) | (state[1] != state[1])
        h = torch.where(mask, a.clamp(-0.3, 0.7), b.clamp(min=0.1)) + torch.where(a < b, 0.0, state[0])
        h = h + torch.minimum(a, b) * mask + a.clamp(max=0.2).relu() + b.sign() * a + torch.max(a, state[1])
        return h.tanh(), (a * b).masked_fill(mask, 0.5) + torch.where(b == b, b, 1 / b).clamp(state[1], h.exp())


class Sums(GatedCell):
    """Sums over units in every order: one inside another, of costly values, used before and after."""

    num_gates = 2
    state_names = ("h", "c")

    def pointwise(self, gi, gh, state):
        a, b = (gi + gh).chunk(2, -1)
        t = a.tanh()
        spread = t.std(-1, keepdim=True)  # its mean lies within its sum, and both need tanh
        h = functional.normalize(state[1], dim=-1) + t * spread + b.amax(-1, keepdim=True) - a.amin(1, keepdim=True)
        c = functional.rms_norm(b.sigmoid() * state[1], (self.hidden_size,)) + t.mean(-1, keepdim=True) * t.var(
            -1, keepdim=True
        )
        return functional.softmax(h, -1) * h.norm(dim=-1, keepdim=True), c * b.logsumexp(-1, keepdim=True)


class Norms(GatedCell):
    """Norms over all gates and over each."""

    num_gates = 2
    state_names = ("h", "c")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.norm = nn.LayerNorm(2 * hidden_size)
        self.gain, self.shift = nn.Parameter(torch.rand(2, hidden_size)), nn.Parameter(torch.randn(2, hidden_size))

    def pointwise(self, gi, gh, state):
        h = self.hidden_size
        a, b = (self.norm(gi) + gh).view(-1, 2, h).unbind(1)
        each = functional.layer_norm((gi + gh).view(-1, 2, h), (h,)) * self.gain + self.shift
        root = functional.rms_norm(a.exp(), (h,), self.gain[0])
        return (each[:, 0] * root).tanh(), functional.layer_norm(b.sigmoid() * state[1], (h,), self.gain[1]) + each[
            :, 1
        ]


class Learned(GatedCell):
    """Parameters of every shape, functions of them, buffers, a learned initial state, an output of all states."""

    num_gates = 2
    state_names = ("h", "c", "n")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.one = nn.Parameter(torch.tensor([1.3]))
        self.row = nn.Parameter(torch.randn(1, hidden_size))
        self.both = nn.Parameter(torch.randn(2, hidden_size))
        self.plain = nn.Parameter(torch.randn(hidden_size))
        self.long = nn.Parameter(torch.randn(2 * hidden_size))
        self.start = nn.Parameter(torch.randn(3, hidden_size))
        self.unused = nn.Parameter(torch.randn(hidden_size))
        self.register_buffer("decay", torch.linspace(0, 1, hidden_size))
        self.register_buffer("steps", torch.tensor(3))

    def initial_state(self, batch_size, *, like):
        return tuple(part.expand(batch_size, -1).to(like) for part in self.start.sigmoid())

    @property
    def output_size(self):
        return 2 * self.hidden_size + 1

    def output(self, state):
        return torch.cat((state[0] * state[2], state[1].exp(), state[0].sum(-1, keepdim=True)), -1)

    def pointwise(self, gi, gh, state):
        z = (gi + gh * self.scale.exp() + self.long).view(-1, 2, self.hidden_size) * self.both
        a, b = z[:, 0], z[:, 1]
        c = state[1] * self.decay + a.sigmoid() * functional.softplus(self.plain) * self.row
        return (b * c).tanh() * self.one * self.scale, c.tanh() / self.both[1].exp(), state[2] * self.row.sigmoid()


class Passing(GatedCell):
    """A state passed through unchanged, one swapped, one that is another's, and gates used in part."""

    num_gates = 4
    state_names = ("h", "c", "kept", "copy")

    def pointwise(self, gi, gh, state):
        a, _, c, _ = gi.chunk(4, -1)
        _, b, d, _ = gh.chunk(4, -1)
        h = (a + b).tanh() + d * c + state[3]
        return h, state[0], state[2], h


class WithoutInput(GatedCell):
    num_gates = 1

    def pointwise(self, gi, gh, state):
        return ((gh + state[0]).tanh(),)


class WithoutProduct(GatedCell):
    num_gates = 1

    def pointwise(self, gi, gh, state):
        return ((gi + state[0]).tanh(),)


class Wide(GatedCell):
    """A second state of twice the hidden size."""

    num_gates = 2
    state_names = ("h", "c")

    @property
    def state_sizes(self):
        return self.hidden_size, 2 * self.hidden_size

    def pointwise(self, gi, gh, state):
        c = (gi + gh).sigmoid() * state[1] + gi.tanh()
        first, second = c.chunk(2, -1)
        return first.tanh() * second, c
