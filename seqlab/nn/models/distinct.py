"""Rows that occur several times in a batch, such as words as letters, are read once."""

import torch
from torch import Tensor


def distinct_rows(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct rows of a batch, whatever their padding; all rows in a program that is exported.

    Args:
        tokens: ``(N, W)``.
        lengths: ``(N,)``, the number of valid tokens of each row.

    Returns:
        The distinct rows ``(D, W)``, their lengths ``(D,)``, and for each row the index of its like ``(N,)``.

    Example:
        >>> tokens = torch.tensor([[3, 9], [1, 2], [3, 7], [3, 0]])
        >>> rows, lengths, which = distinct_rows(tokens, torch.tensor([1, 2, 1, 2]))
        >>> rows.tolist(), lengths.tolist(), which.tolist()
        ([[3, 0], [1, 2], [3, 0]], [1, 2, 2], [0, 1, 0, 2])
    """
    if torch.compiler.is_exporting():  # how many are distinct is a length that no exported program knows
        return tokens, lengths, torch.arange(tokens.size(0), device=tokens.device)
    padding = torch.arange(tokens.size(1), device=tokens.device) >= lengths.unsqueeze(1)
    # With its length before it, a row is told from one that goes on with token 0.
    keyed = torch.cat((lengths.unsqueeze(1), tokens.masked_fill(padding, 0)), 1)
    distinct, which = torch.unique(keyed, dim=0, return_inverse=True)  # (D, 1 + W), (N,)
    return distinct[:, 1:], distinct[:, 0], which
