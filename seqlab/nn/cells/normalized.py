"""Cells with layer normalisation (Ba et al. 2016)."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.cells.base import GatedCell
from seqlab.nn.state import State


class LayerNormLSTMCell(GatedCell):
    """The LSTM with layer normalisation of Ba et al. (2016).

        i, f, g, o = N_ih(W_ih x_t) + N_hh(W_hh h_{t-1});   c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(N_c(c_t));   N(v) = weight * (v - mean(v)) / sqrt(var(v) + eps) + bias

    Mean and variance are a row's own: over all 4 H values of a product, the four gates together, and over the H values
    of c; c itself is carried on as it is. Gates i, f, g, o; state ``(h, c)``, each ``(B, H)``.

    ``norm_weight_ih``, ``norm_weight_hh (4 H)`` and ``norm_weight_c (H)`` start at 1, ``norm_bias_ih``,
    ``norm_bias_hh`` and ``norm_bias_c`` at 0; these biases stand in for ``bias_ih`` and ``bias_hh``.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the norms have biases.
        eps: What is added to a variance.

    Raises:
        TypeError: a size is no integer.
        ValueError: a size is below 1, or ``eps`` is not positive.

    Example:
        >>> cell = LayerNormLSTMCell(3, 4)
        >>> one, ten = cell(torch.ones(1, 3))[0], cell(10 * torch.ones(1, 3))[0]
        >>> torch.allclose(one, ten, atol=1e-2)  # the scale of the input hardly matters
        True
    """

    num_gates = 4
    state_names = ("h", "c")
    gate_names = ("i", "f", "g", "o")
    forget_gate: ClassVar[int | None] = 1
    norm_weight_ih: Tensor
    norm_weight_hh: Tensor
    norm_weight_c: Tensor
    norm_bias_ih: Tensor | None
    norm_bias_hh: Tensor | None
    norm_bias_c: Tensor | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, eps: float = 1e-5) -> None:
        super().__init__(input_size, hidden_size, bias=False)
        self.bias, self.eps = bias, _check_eps(eps)
        _add_norms(self, {"ih": 4 * hidden_size, "hh": 4 * hidden_size, "c": hidden_size}, bias)

    def reset_parameters(self) -> None:
        """Draw the weights anew from U(-1/sqrt(H), 1/sqrt(H)); the norms' weights are 1 again, their biases 0."""
        super().reset_parameters()
        _reset_norms(self)

    def initialize(self) -> None:
        _reset_norms(self, biases=False)  # which stand in for the gates' own

    def pointwise(self, gi: Tensor, gh: Tensor, state: State) -> State:
        gi = _normalize(gi, self.norm_weight_ih, self.norm_bias_ih, self.eps)
        gh = _normalize(gh, self.norm_weight_hh, self.norm_bias_hh, self.eps)
        i, f, g, o = (gi + gh).chunk(4, -1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * _normalize(c, self.norm_weight_c, self.norm_bias_c, self.eps).tanh(), c

    def gate_values(self, gi: Tensor, gh: Tensor, state: State) -> tuple[Tensor, ...]:
        gi = _normalize(gi, self.norm_weight_ih, self.norm_bias_ih, self.eps)
        gh = _normalize(gh, self.norm_weight_hh, self.norm_bias_hh, self.eps)
        i, f, g, o = (gi + gh).chunk(4, -1)
        return i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, eps={self.eps}"


class LayerNormGRUCell(GatedCell):
    """The gated recurrent unit with layer normalisation of Ba et al. (2016), in the form of ``nn.GRUCell``.

        r, z = sigmoid(N(gi_rz) + N(gh_rz));   n = tanh(N(gi_n) + r * N(gh_n));   h_t = (1 - z) * n + z * h_{t-1}

    with gi = W_ih x_t, gh = W_hh h_{t-1} and N as in :class:`LayerNormLSTMCell`. As in the paper, the 2 H values of the
    two gates are normalised together and the H values of the candidate n by themselves. Gates r, z, n; state ``(h,)``,
    ``(B, H)``.

    ``norm_weight_ih`` and ``norm_weight_hh (3 H)`` start at 1, ``norm_bias_ih`` and ``norm_bias_hh`` at 0; these two
    stand in for ``bias_ih`` and ``bias_hh``.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the norms have biases.
        eps: What is added to a variance.

    Raises:
        TypeError: a size is no integer.
        ValueError: a size is below 1, or ``eps`` is not positive.

    Example:
        >>> (h,) = LayerNormGRUCell(3, 4)(torch.zeros(2, 3))
        >>> h.shape
        torch.Size([2, 4])
    """

    num_gates = 3
    gate_names = ("r", "z", "n")
    norm_weight_ih: Tensor
    norm_weight_hh: Tensor
    norm_bias_ih: Tensor | None
    norm_bias_hh: Tensor | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, eps: float = 1e-5) -> None:
        super().__init__(input_size, hidden_size, bias=False)
        self.bias, self.eps = bias, _check_eps(eps)
        _add_norms(self, {"ih": 3 * hidden_size, "hh": 3 * hidden_size}, bias)

    def reset_parameters(self) -> None:
        """Draw the weights anew from U(-1/sqrt(H), 1/sqrt(H)); the norms' weights are 1 again, their biases 0."""
        super().reset_parameters()
        _reset_norms(self)

    def initialize(self) -> None:
        _reset_norms(self, biases=False)  # which stand in for the gates' own

    def pointwise(self, gi: Tensor, gh: Tensor, state: State) -> State:
        gates_i, ni = self._normalized(gi, self.norm_weight_ih, self.norm_bias_ih)
        gates_h, nh = self._normalized(gh, self.norm_weight_hh, self.norm_bias_hh)
        r, z = (gates_i + gates_h).sigmoid().chunk(2, -1)
        n = (ni + r * nh).tanh()
        return (n + z * (state[0] - n),)

    def gate_values(self, gi: Tensor, gh: Tensor, state: State) -> tuple[Tensor, ...]:
        gates_i, ni = self._normalized(gi, self.norm_weight_ih, self.norm_bias_ih)
        gates_h, nh = self._normalized(gh, self.norm_weight_hh, self.norm_bias_hh)
        r, z = (gates_i + gates_h).sigmoid().chunk(2, -1)
        return r, z, (ni + r * nh).tanh()

    def _normalized(self, values: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """``(B, 3 H)`` to the gates' ``(B, 2 H)`` and the candidate's ``(B, H)``, each normalised by itself."""
        sizes = [2 * self.hidden_size, self.hidden_size]
        biases = (None, None) if bias is None else torch.split(bias, sizes)
        gates, candidate = torch.split(values, sizes, -1)
        gates_weight, candidate_weight = torch.split(weight, sizes)
        return (
            _normalize(gates, gates_weight, biases[0], self.eps),
            _normalize(candidate, candidate_weight, biases[1], self.eps),
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, eps={self.eps}"


def _normalize(values: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> Tensor:
    return functional.layer_norm(values, values.shape[-1:], weight, bias, eps)


def _add_norms(cell: nn.Module, sizes: dict[str, int], bias: bool) -> None:
    """A weight and, with ``bias``, a bias for each norm, as they start."""
    for name, size in sizes.items():
        cell.register_parameter(f"norm_weight_{name}", nn.Parameter(torch.ones(size)))
        cell.register_parameter(f"norm_bias_{name}", nn.Parameter(torch.zeros(size)) if bias else None)


def _reset_norms(cell: nn.Module, biases: bool = True) -> None:
    for name, parameter in cell.named_parameters():
        if name.startswith("norm_weight"):
            nn.init.ones_(parameter)
        elif name.startswith("norm_bias") and biases:
            nn.init.zeros_(parameter)


def _check_eps(eps: float) -> float:
    if not eps > 0:
        raise ValueError(f"eps: expected a positive number, got {eps!r}")
    return eps
