"""The state that truncated backpropagation carries from one window to the next."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from seqlab.nn import state as states

State = Any  # nested tuples of (B, size) tensors, one entry a layer


class StateCarry:
    r"""Carries a detached state between windows and restarts the rows that begin anew.

    .. math::  s_b \leftarrow s^{(0)}_b \text{ if row } b \text{ is first, else } \operatorname{stopgrad}(s_b)

    Truncated BPTT (Williams & Peng 1990) with as many steps as a window has: values flow from window to window,
    gradients do not. A restarted row takes the initial state with its gradient, so a learned initial state is trained.
    One carry belongs to one stream of windows: training and each evaluation loader have their own.

    Example:
        >>> import torch
        >>> carry = StateCarry()
        >>> zeros = lambda: ((torch.zeros(2, 1),),)
        >>> carry.keep(((torch.tensor([[1.0], [2.0]]),),))
        >>> carry.take(torch.tensor([True, False]), zeros)
        ((tensor([[0.],
                [2.]]),),)
    """

    def __init__(self) -> None:
        self.state: State | None = None

    def take(self, is_first: Tensor, initial: Callable[[], State]) -> State:
        """The state to start a window from: carried, but for the rows of ``is_first (B,)``, which take
        ``initial()``."""
        start = initial()
        if self.state is None:
            return start
        return states.reset_rows(self.state, is_first, start)

    def keep(self, state: State) -> None:
        """Keeps ``state``, detached."""
        self.state = states.detach(state)

    def clear(self) -> None:
        self.state = None
