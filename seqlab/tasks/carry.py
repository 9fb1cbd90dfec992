"""The state that truncated backpropagation carries from one window to the next."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from seqlab.nn import state as states

State = Any  # nested tuples of (B, size) tensors, one entry a layer


class StateCarry:
    r"""Carries a detached state from window to window, and resets the rows where a new text begins.

    .. math::  s_b \leftarrow s^{(0)}_b \text{ if row } b \text{ is first, else } \operatorname{stopgrad}(s_b)

    This is truncated BPTT (Williams & Peng 1990) over the steps of a window: values flow from window to window,
    gradients do not. A reset row takes the initial state with its gradient, so a learned initial state is trained.
    Each stream of windows has a carry of its own: one for training, one for each evaluation loader.

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
        """Returns the state that a window starts from.

        Args:
            is_first: ``(B,)``, true for the rows that start from the initial state; or ``(B, T)``, true where a segment
                of a row begins.
            initial: makes the initial state of all rows.
        """
        start = initial()
        if self.state is None:
            return start
        return states.reset_rows(self.state, is_first if is_first.dim() == 1 else is_first[:, 0], start)

    def keep(self, state: State) -> None:
        """Keeps ``state``, detached, for the next window."""
        self.state = states.detach(state)

    def clear(self) -> None:
        """Forgets the state: the next window starts from the initial one."""
        self.state = None


def segments_of(is_first: Tensor) -> dict[str, Tensor]:
    """What a model is told of the segments of a window: nothing where ``is_first`` says only which rows begin anew.

    Example:
        >>> import torch
        >>> segments_of(torch.tensor([True])), segments_of(torch.tensor([[True, False, True]]))
        ({}, {'is_first': tensor([[ True, False,  True]])})
    """
    return {} if is_first.dim() == 1 else {"is_first": is_first}
