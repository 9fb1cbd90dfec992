"""What the data hands to a task: batches, and the facts that a model needs to know of a data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
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
class Spec:
    """What a model and a task need to know of a data set; each kind of task has a subclass.

    It is kept as plain values beside a run and read back by its ``kind``, so its fields hold numbers, strings, tuples
    and dicts of them.

    Attributes:
        kind: names the subclass in the file.
        vocabularies: the names of the data's vocabularies, the main one first.
    """

    kind: ClassVar[str]
    vocabularies: ClassVar[tuple[str, ...]] = ("tokens",)

    def model_arguments(self) -> dict[str, Any]:
        """The arguments of a model that the data decides: its sizes."""
        raise NotImplementedError

    def word_vectors(self) -> Tensor | None:
        """Pretrained vectors that the model's input begins with, ``(vocab_size, size)``; None: none."""
        return None

    def data_arguments(self) -> dict[str, Any]:
        """The options, beside ``vocabulary``, that keep the meaning of ids on other data."""
        return {}


def read_spec(fields: Mapping[str, Any]) -> Spec:
    """The spec with these ``fields``, of the subclass that ``kind`` among them names.

    Raises:
        ValueError: there is no ``kind``, or no subclass of it has been imported.
        TypeError: the fields are not those of the subclass.

    Example:
        >>> read_spec({"kind": "classification", "vocab_size": 9, "unit": "word", "labels": ["no", "yes"]}).labels
        ('no', 'yes')
    """
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    kind = values.pop("kind", None)
    for subclass in Spec.__subclasses__():
        if subclass.kind == kind:
            return subclass(**values)
    raise ValueError(f"there is no kind of data {kind!r}")


def pad(rows: Sequence[NDArray[Any]]) -> tuple[Tensor, Tensor]:
    """Rows of ids as one tensor ``(B, T)`` int64, zeros after the shorter ones, and their lengths ``(B,)``.

    Example:
        >>> pad([np.array([3, 1]), np.array([2])])
        (tensor([[3, 1],
                [2, 0]]), tensor([2, 1]))
    """
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    padded = np.zeros((len(rows), lengths.max(initial=0)), dtype=np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate(rows)
    return torch.from_numpy(padded), torch.from_numpy(lengths)
