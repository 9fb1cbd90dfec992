"""Recurrent states as nested tuples of tensors, and what is done to them between calls.

A cell's state is a tuple of ``(B, size)`` tensors, an encoder's a tuple with one state a layer, a bidirectional layer's
a pair (forward, backward). Every function here works on all of them.
"""

from collections.abc import Callable
from typing import TypeAlias, TypeVar, Union
from typing import cast as typed

import torch
from torch import Tensor

State: TypeAlias = tuple[Tensor, ...]  # a cell's
NestedState: TypeAlias = Union[Tensor, tuple["NestedState", ...]]  # noqa: UP007 (a string can't be joined by | before 3.14)
S = TypeVar("S", bound=NestedState)


def map_state(function: Callable[..., Tensor], state: S, *others: NestedState) -> S:
    """Applies a function to the corresponding tensors of one or more states.

    Args:
        function: Called with one tensor of each state.
        state: The first state, whose structure the result has.
        others: More states of that structure.

    Raises:
        ValueError: the structures differ.

    Example:
        >>> ones = (torch.ones(2, 3), torch.ones(2, 3))
        >>> h, c = map_state(torch.add, ones, ones)
        >>> bool((h == 2).all())
        True
    """
    if isinstance(state, Tensor):
        if all(isinstance(other, Tensor) for other in others):
            return typed(S, function(state, *others))
    elif all(isinstance(other, tuple) and len(other) == len(state) for other in others):
        return typed(S, tuple(map_state(function, *parts) for parts in zip(state, *others, strict=True)))
    raise ValueError(f"states: expected one structure, got {' and '.join(map(describe, (state, *others)))}")


def describe(state: object) -> str:
    """A state's structure in words, for error messages: ``(Tensor(2, 3), Tensor(2, 3))``."""
    if isinstance(state, Tensor):
        return f"Tensor{tuple(state.shape)}"
    if isinstance(state, tuple):
        return "(" + ", ".join(map(describe, state)) + ("," if len(state) == 1 else "") + ")"
    return type(state).__name__


def detach(state: S) -> S:
    """The same values, cut from the graph: what truncated backpropagation carries to the next window."""
    return map_state(Tensor.detach, state)


def cast(state: S, dtype: torch.dtype) -> S:
    """The state in another floating-point type; gradients flow through."""
    return map_state(lambda part: part.to(dtype), state)


def select_rows(state: S, index: Tensor) -> S:
    """Some rows of the batch.

    Args:
        state: Of tensors ``(B, size)``.
        index: ``(N,)``, the rows in the order that they are to have.

    Returns:
        The state of tensors ``(N, size)``.

    Example:
        >>> (h,) = select_rows((torch.arange(3.0).unsqueeze(1),), torch.tensor([2, 0]))
        >>> h.squeeze(1).tolist()
        [2.0, 0.0]
    """
    return map_state(lambda part: part.index_select(0, index), state)


def reset_rows(state: S, rows: Tensor, initial: S) -> S:
    """A state whose rows begin anew in some places; gradients flow into both states.

    Args:
        state: Of tensors ``(B, size)``.
        rows: ``(B,)`` bool, the rows that are taken from ``initial``.
        initial: A state of the same structure.

    Raises:
        ValueError: ``rows`` is not boolean, or the structures differ.

    Example:
        >>> (h,) = reset_rows((torch.ones(2, 1),), torch.tensor([True, False]), (torch.zeros(2, 1),))
        >>> h.squeeze(1).tolist()
        [0.0, 1.0]
    """
    if rows.dtype != torch.bool or rows.dim() != 1:
        raise ValueError(f"rows: expected a boolean tensor (B,), got {rows.dtype} of shape {tuple(rows.shape)}")
    mask = rows.unsqueeze(1)  # (B, 1)
    return map_state(lambda new, old: torch.where(mask, new, old), initial, state)


def to_torch(state: NestedState) -> Tensor | State:
    """Converts an encoder's state to the layout of ``torch.nn``.

    Args:
        state: an entry a layer: a cell's state, or the pair (forward, backward) of them, of tensors ``(B, H)``.

    Returns:
        Tensors ``(layers * directions, B, H)``: one for a state of one part, as ``nn.GRU`` takes it, or ``(h, c)``, as
        ``nn.LSTM`` takes it.

    Example:
        >>> h, c = to_torch(((torch.zeros(2, 4), torch.ones(2, 4)),))
        >>> h.shape, bool((c == 1).all())
        (torch.Size([1, 2, 4]), True)
    """
    parts = tuple(torch.stack(tensors) for tensors in zip(*_cell_states(state), strict=True))
    return parts[0] if len(parts) == 1 else parts


def from_torch(state: Tensor | State, bidirectional: bool = False) -> NestedState:
    """Converts a state of ``torch.nn`` to an encoder's; the inverse of :func:`to_torch`.

    Args:
        state: a tensor ``(layers * directions, B, H)``, or a pair ``(h, c)`` of them.
        bidirectional: whether the first axis alternates between the directions.

    Returns:
        The state, an entry a layer.

    Raises:
        ValueError: the tensors are not all 3-dimensional and of one length, or that is odd with ``bidirectional``.

    Example:
        >>> ((h, c),) = from_torch((torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)))
        >>> h.shape
        torch.Size([2, 4])
    """
    parts = (state,) if isinstance(state, Tensor) else state
    directions = 2 if bidirectional else 1
    if any(part.dim() != 3 or len(part) != len(parts[0]) or len(part) % directions for part in parts):
        raise ValueError(f"state: expected tensors (layers * {directions}, B, H), got {describe(parts)}")
    entries = tuple(zip(*(part.unbind(0) for part in parts), strict=True))
    return tuple(zip(entries[::2], entries[1::2], strict=True)) if bidirectional else entries


def _cell_states(state: NestedState) -> list[State]:
    """The cells' own states inside a nested state, in order."""
    if isinstance(state, Tensor):
        raise ValueError("state: expected an encoder's state (a tuple with one entry a layer), got a tensor")
    flat: list[State] = []
    for entry in state:
        if isinstance(entry, tuple) and all(isinstance(part, Tensor) for part in entry):
            flat.append(tuple(part for part in entry if isinstance(part, Tensor)))
        else:
            flat.extend(_cell_states(entry))
    return flat
