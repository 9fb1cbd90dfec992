"""What the data hands to a task: one window of tokens, and the facts that a model needs to know of a data set."""

from dataclasses import dataclass

from torch import Tensor

IGNORE_INDEX = -100
"""The target of a position that predicts nothing: the default ``ignore_index`` of PyTorch's cross-entropy."""

SPLITS = ("train", "validation", "test")


@dataclass  # not frozen: Lightning rebuilds a batch field by field when it moves it to a device
class Batch:
    """One window of B streams, T steps long: row b continues where row b of the window before ended.

    Attributes:
        inputs: ``(B, T)`` int64 token ids. Positions without a target hold some valid id.
        targets: ``(B, T)`` int64, the token after each input, or ``IGNORE_INDEX``. A whole row can be without targets.
        is_first: ``(B,)`` bool, the rows that begin anew here and whose state starts from ``initial_state()``.
        lengths: ``(B,)`` int64, the valid steps of each row (0 for a row that has run out), where rows restart at
            document boundaries; None where they do not, and then every position is a step.
        window: the window's position in its epoch, from 0.
    """

    inputs: Tensor
    targets: Tensor
    is_first: Tensor
    lengths: Tensor | None
    window: int


@dataclass(frozen=True)
class DataSpec:
    """What a model and a task need to know of a data set.

    Attributes:
        vocab_size: number of different tokens.
        unit: "character", "word" or "subword".
        characters_per_token: characters of a split's text over its tokens, for each split. A loss of x nats a token is
            ``x / ln 2 / characters_per_token[split]`` bits per character.
        num_tokens: tokens in each split; N tokens make N - 1 targets.
        ignore_index: the target that counts for nothing.

    Example:
        >>> spec = DataSpec(4, "word", {"test": 5.0}, {"test": 100})
        >>> spec.ignore_index
        -100
    """

    vocab_size: int
    unit: str
    characters_per_token: dict[str, float]
    num_tokens: dict[str, int]
    ignore_index: int = IGNORE_INDEX
