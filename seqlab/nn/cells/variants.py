"""Cells beyond those of ``torch.nn``, each from its paper; the layer-normalised ones are in ``normalized.py``."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_choice
from seqlab.nn.cells.base import GatedCell, RecurrentCell
from seqlab.nn.cells.stock import RNNCell
from seqlab.nn.state import State


class PeepholeLSTMCell(GatedCell):
    """The LSTM whose gates see the memory (Gers & Schmidhuber 2000).

        i, f, g, o = gi + gh;   c_t = sigmoid(f + p_f * c_{t-1}) * c_{t-1} + sigmoid(i + p_i * c_{t-1}) * tanh(g)
        h_t = sigmoid(o + p_o * c_t) * tanh(c_t)

    Gates i, f, g, o; state ``(h, c)``, each ``(B, H)``. p_i, p_f and p_o are ``peephole_i``, ``peephole_f`` and
    ``peephole_o``, each ``(H,)``, drawn as all weights are, from U(-1/sqrt(H), 1/sqrt(H)).

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the products have biases.

    Example:
        >>> h, c = PeepholeLSTMCell(3, 4)(torch.zeros(2, 3))
        >>> h.shape, c.shape
        (torch.Size([2, 4]), torch.Size([2, 4]))
    """

    num_gates = 4
    state_names = ("h", "c")
    gate_names = ("i", "f", "g", "o")
    forget_gate: ClassVar[int | None] = 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias)
        self.peephole_i = nn.Parameter(torch.empty(hidden_size))
        self.peephole_f = nn.Parameter(torch.empty(hidden_size))
        self.peephole_o = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def pointwise(self, gi: Tensor, gh: Tensor, state: State) -> State:
        i, f, g, o = (gi + gh).chunk(4, -1)
        old = state[1]
        c = (f + self.peephole_f * old).sigmoid() * old + (i + self.peephole_i * old).sigmoid() * g.tanh()
        return (o + self.peephole_o * c).sigmoid() * c.tanh(), c

    def gate_values(self, gi: Tensor, gh: Tensor, state: State) -> tuple[Tensor, ...]:
        i, f, g, o = (gi + gh).chunk(4, -1)
        old, c = state[1], self.pointwise(gi, gh, state)[1]
        i, f = (i + self.peephole_i * old).sigmoid(), (f + self.peephole_f * old).sigmoid()
        return i, f, g.tanh(), (o + self.peephole_o * c).sigmoid()


class CoupledLSTMCell(GatedCell):
    """The LSTM that writes exactly where it forgets, i = 1 - f (the variant CIFG of Greff et al. 2017).

        f, g, o = gi + gh;   c_t = sigmoid(f) * c_{t-1} + (1 - sigmoid(f)) * tanh(g);   h_t = sigmoid(o) * tanh(c_t)

    Gates f, g, o, so three quarters of an LSTM's parameters; state ``(h, c)``, each ``(B, H)``.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the products have biases.

    Example:
        >>> h, c = CoupledLSTMCell(3, 4)(torch.zeros(2, 3))
        >>> bool((c.abs() < 1).all())  # c is a mean of values of tanh
        True
    """

    num_gates = 3
    state_names = ("h", "c")
    gate_names = ("f", "g", "o")
    forget_gate: ClassVar[int | None] = 0

    def pointwise(self, gi: Tensor, gh: Tensor, state: State) -> State:
        f, g, o = (gi + gh).chunk(3, -1)
        g = g.tanh()
        c = g + f.sigmoid() * (state[1] - g)
        return o.sigmoid() * c.tanh(), c

    def gate_values(self, gi: Tensor, gh: Tensor, state: State) -> tuple[Tensor, ...]:
        f, g, o = (gi + gh).chunk(3, -1)
        return f.sigmoid(), g.tanh(), o.sigmoid()


class UGRNNCell(GatedCell):
    """The update-gate RNN of Collins et al. (2017): one gate decides between the old state and a new one.

        c, g = gi + gh;   h_t = sigmoid(g) * h_{t-1} + (1 - sigmoid(g)) * tanh(c)

    Gates c, g, of which g keeps the old state as a forget gate does; state ``(h,)``, ``(B, H)``.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the products have biases.

    Example:
        >>> (h,) = UGRNNCell(3, 4)(torch.zeros(2, 3), (torch.ones(2, 4),))
        >>> bool(((h > -1) & (h < 1)).all())  # between the old state and a value of tanh
        True
    """

    num_gates = 2
    gate_names = ("c", "g")
    forget_gate: ClassVar[int | None] = 1

    def pointwise(self, gi: Tensor, gh: Tensor, state: State) -> State:
        c, g = (gi + gh).chunk(2, -1)
        c = c.tanh()
        return (c + g.sigmoid() * (state[0] - c),)

    def gate_values(self, gi: Tensor, gh: Tensor, state: State) -> tuple[Tensor, ...]:
        c, g = (gi + gh).chunk(2, -1)
        return c.tanh(), g.sigmoid()


class MGUCell(RecurrentCell):
    """The minimal gated unit of Zhou et al. (2016), whose one gate also resets the state before the product.

        f = sigmoid(W_f x_t + b_f + U_f h_{t-1} + d_f);   n = tanh(W_n x_t + b_n + U_n (f * h_{t-1}) + d_n)
        h_t = (1 - f) * h_{t-1} + f * n

    ``weight_ih (2 H, I)`` = [W_f; W_n], ``weight_hh (2 H, H)`` = [U_f; U_n], ``bias_ih`` = [b_f; b_n] and ``bias_hh`` =
    [d_f; d_n], drawn from U(-1/sqrt(H), 1/sqrt(H)). State ``(h,)``, ``(B, H)``. The second product waits for the gate,
    so this is no :class:`GatedCell`, and it runs on "loop". Despite the paper's name for it, f open forgets: a bias
    that is to keep the state is a negative one.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the products have biases.

    Example:
        >>> (h,) = MGUCell(3, 4)(torch.zeros(2, 3))
        >>> h.shape
        torch.Size([2, 4])
    """

    gate_names = ("f", "n")
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size)
        self.bias = bias
        self.weight_ih = nn.Parameter(torch.empty(2 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(2 * hidden_size, hidden_size))
        self.register_parameter("bias_ih", nn.Parameter(torch.empty(2 * hidden_size)) if bias else None)
        self.register_parameter("bias_hh", nn.Parameter(torch.empty(2 * hidden_size)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter anew from U(-1/sqrt(H), 1/sqrt(H))."""
        bound = self.hidden_size**-0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def project(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight_ih, self.bias_ih)

    def step(self, gi: Tensor, state: State) -> State:
        h = state[0]
        f, n = self.gates(gi, state)
        return (h + f * (n - h),)

    def gates(self, gi: Tensor, state: State) -> tuple[Tensor, ...]:
        h, bias = state[0], self.bias_hh
        f_weight, n_weight = self.weight_hh.chunk(2)
        f_bias, n_bias = (None, None) if bias is None else bias.chunk(2)
        fi, ni = gi.chunk(2, -1)
        f = (fi + functional.linear(h, f_weight, f_bias)).sigmoid()
        return f, (ni + functional.linear(f * h, n_weight, n_bias)).tanh()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, bias={self.bias}"


class IndRNNCell(GatedCell):
    """The independently recurrent network of Li et al. (2018): each unit sees, of the old state, itself alone.

        h_t = f(W_ih x_t + b_ih + u * h_{t-1})

    Units meet in the next layer. State ``(h,)``, ``(B, H)``. There is no ``weight_hh``: u is ``recurrent_weight (H,)``,
    drawn from U(0, 1), short memories and long ones. That is inside the paper's bound abs(u) <= 2^(1/T), under which no
    gradient over T steps more than doubles; training is free to leave it. The rest is drawn from
    U(-1/sqrt(H), 1/sqrt(H)).

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the products have biases.
        nonlinearity: f, "relu", as in the paper, or "tanh".

    Raises:
        TypeError: a size is no integer.
        ValueError: a size is below 1, or ``nonlinearity`` is another.

    Example:
        >>> (h,) = IndRNNCell(3, 4)(torch.zeros(2, 3), (torch.full((2, 4), -5.0),))
        >>> bool((h >= 0).all())
        True
    """

    num_gates = 1
    recurrent = False

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "relu") -> None:
        self.nonlinearity = check_choice("nonlinearity", nonlinearity, ("relu", "tanh"))
        super().__init__(input_size, hidden_size, bias)
        self.recurrent_weight = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw u from U(0, 1) and the rest from U(-1/sqrt(H), 1/sqrt(H))."""
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name == "recurrent_weight":  # the base class calls this before it is there
                nn.init.uniform_(parameter)

    def pointwise(self, gi: Tensor, gh: Tensor, state: State) -> State:
        new = gi + self.recurrent_weight * state[0]  # gh is None
        return (new.relu() if self.nonlinearity == "relu" else new.tanh(),)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, nonlinearity={self.nonlinearity!r}"


class IRNNCell(RNNCell):
    """The ReLU network that starts as an identity (Le et al. 2015): an untrained one keeps its state as it is.

        h_t = relu(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)

    It starts with W_hh = ``scale`` * I, both biases 0, and W_ih from N(0, ``input_std``^2). State ``(h,)``, ``(B, H)``.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the products have biases.
        scale: Of the identity that W_hh starts as; below 1 it forgets sooner (the paper takes 0.01 for speech).
        input_std: The standard deviation that W_ih starts with; the paper's is 0.001.

    Raises:
        TypeError: a size is no integer.
        ValueError: a size is below 1, or ``scale`` or ``input_std`` is not positive.

    Example:
        >>> (h,) = IRNNCell(3, 4)(torch.zeros(2, 3), (torch.full((2, 4), 5.0),))
        >>> bool((h == 5).all())
        True
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, scale: float = 1.0, input_std: float = 0.001
    ) -> None:
        for name, value in (("scale", scale), ("input_std", input_std)):
            if not value > 0:
                raise ValueError(f"{name}: expected a positive number, got {value!r}")
        self.scale, self.input_std = scale, input_std
        super().__init__(input_size, hidden_size, bias, nonlinearity="relu")

    def reset_parameters(self) -> None:
        """Start anew from the scaled identity, zero biases and small random input weights."""
        self.initialize()

    def initialize(self) -> None:
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        nn.init.normal_(self.weight_ih, std=self.input_std)
        assert self.weight_hh is not None
        with torch.no_grad():
            self.weight_hh.fill_diagonal_(self.scale)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scale={self.scale}, input_std={self.input_std}"


class SLSTMCell(GatedCell):
    """The sLSTM of Beck et al. (2024, xLSTM): exponential gates over a memory that is divided by their sum.

        i, f, g, o = gi + gh;   c_t = F c_{t-1} + exp(i) tanh(g);   n_t = F n_{t-1} + exp(i)
        h_t = sigmoid(o) c_t / n_t

    where F is sigmoid(f) or exp(f). So that nothing overflows, the state holds c and n divided by exp(m), with m the
    stabiliser, which leaves every h as it is:

        m_t = max(log F + m_{t-1}, i);   c_t = exp(log F + m_{t-1} - m_t) c_{t-1} + exp(i - m_t) tanh(g);   n_t alike

    Gates i, f, g, o, one head with a full ``weight_hh``; state ``(h, c, n, m)``, each ``(B, H)``. The values of the
    gates i and f are those by which the step writes and keeps, exp(i - m_t) and exp(log F + m_{t-1} - m_t).

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the products have biases.
        forget: F, "sigmoid" or "exp".

    Raises:
        TypeError: a size is no integer.
        ValueError: a size is below 1, or ``forget`` is another.

    Example:
        >>> cell = SLSTMCell(3, 4, forget="exp")
        >>> h, c, n, m = cell(torch.full((2, 3), 1e4))
        >>> bool((h.abs() <= 1).all()), bool((n >= 1).all())  # h is a mean of n values of tanh
        (True, True)
    """

    num_gates = 4
    state_names = ("h", "c", "n", "m")
    gate_names = ("i", "f", "g", "o")
    forget_gate: ClassVar[int | None] = 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, forget: str = "sigmoid") -> None:
        self.forget = check_choice("forget", forget, ("sigmoid", "exp"))
        super().__init__(input_size, hidden_size, bias)

    def initial_state(self, batch_size: int, *, like: Tensor) -> State:
        """Zeros, with m so low that the first step takes m = i: from m = 0, n underflows where i is far below 0.

        Finite, for an engine may multiply a state by zero.
        """
        h, c, n, m = super().initial_state(batch_size, like=like)
        return h, c, n, m + torch.finfo(m.dtype).min / 2

    def pointwise(self, gi: Tensor, gh: Tensor, state: State) -> State:
        i, f, g, o = (gi + gh).chunk(4, -1)
        _, c, n, m = state
        log_keep = m + (functional.logsigmoid(f) if self.forget == "sigmoid" else f)
        m = torch.maximum(log_keep, i)
        keep, write = (log_keep - m).exp(), (i - m).exp()  # one of the two is 1, neither is more
        c = keep * c + write * g.tanh()
        n = keep * n + write
        return o.sigmoid() * c / n, c, n, m

    def gate_values(self, gi: Tensor, gh: Tensor, state: State) -> tuple[Tensor, ...]:
        i, f, g, o = (gi + gh).chunk(4, -1)
        log_keep = state[3] + (functional.logsigmoid(f) if self.forget == "sigmoid" else f)
        m = torch.maximum(log_keep, i)
        return (i - m).exp(), (log_keep - m).exp(), g.tanh(), o.sigmoid()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, forget={self.forget!r}"
