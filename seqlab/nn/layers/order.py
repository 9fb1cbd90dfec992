"""The order in which a layer runs the steps of a sequence."""

import torch
from torch import Tensor
from torch.nn import functional


def flip_valid(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Reverse time in each row's valid part and leave its padding in place: its own inverse; ``x (B, T, F)``.

    Example:
        >>> flip_valid(torch.tensor([[[1], [2], [3], [0]]]), torch.tensor([3])).flatten().tolist()
        [3, 2, 1, 0]
    """
    if lengths is None:
        return x.flip(1)
    rows, steps = x.shape[:2]
    t = torch.arange(steps, device=x.device)
    mirrored = lengths.unsqueeze(1) - 1 - t  # (B, T)
    index = torch.where(mirrored >= 0, mirrored, t) + steps * torch.arange(rows, device=x.device).unsqueeze(1)
    return x.flatten(0, 1).index_select(0, index.flatten()).view_as(x)


def resets_in_order(is_first: Tensor, lengths: Tensor | None, reverse: bool) -> Tensor:
    """The steps before which the state is reset, in the order in which a layer runs them.

    A layer that runs from the end begins anew where a segment ends: at the step before the next ``is_first``.

    Args:
        is_first: ``(B, T)`` bool, the steps at which segments begin; or ``(B,)``, whether one begins at the first.
        lengths: the valid steps of each row, ``(B,)``; None if all are.
        reverse: whether the layer runs from the end.

    Returns:
        ``(B, T)`` bool, false past each row's length; of ``(B,)``, the first column alone.

    Example:
        >>> is_first = torch.tensor([[True, False, True, False]])
        >>> resets_in_order(is_first, None, reverse=True).tolist()  # of the steps 4, 3, 2, 1
        [[False, False, True, False]]
    """
    # A copy: it is read once more in the backward pass, and the caller may write the next batch into his own by then.
    mask = (is_first.unsqueeze(1) if is_first.dim() == 1 else is_first).clone()
    if lengths is not None:
        mask = mask & (torch.arange(mask.size(1), device=mask.device) < lengths.unsqueeze(1))
    if not reverse:
        return mask
    ends = functional.pad(mask[:, 1:], (0, 1))
    return ends if is_first.dim() == 1 else flip_valid(ends.unsqueeze(2), lengths).squeeze(2)


def resets_between(resets: Tensor | None, start: int, end: int) -> Tensor | None:
    """What :func:`resets_in_order` gives, of the steps from ``start`` up to ``end``, as a layer's ``is_first``."""
    part = None if resets is None else resets[:, start:end]
    if part is None or not part.size(1):
        return None
    return part.squeeze(1)  # of the first step alone: (B,)
