"""What data gives to a task: batches, and what a model needs to know of the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
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
    """One window of B streams, T steps long. Row b continues where row b of the window before ended.

    Attributes:
        inputs: ``(B, T)`` int64, the token ids. A position without a target holds some valid id.
        targets: ``(B, T)`` int64, the token after each input, or ``IGNORE_INDEX``. A row may have no target at all.
        is_first: ``(B,)`` bool, whether the row begins anew here, with the state ``initial_state()``. Of data of one's
            own also ``(B, T)``, whether a segment of the row begins at a step, such as a document.
        lengths: ``(B,)`` int64, the number of valid steps of each row, 0 for a row that has run out; where rows restart
            at documents. None where they do not: then every position is a step.
        window: the window's position in its epoch, from 0.
    """

    inputs: Tensor
    targets: Tensor
    is_first: Tensor
    lengths: Tensor | None
    window: int


@dataclass(frozen=True)
class Spec:
    """What a model and a task need to know of their data. Each kind of task has a subclass.

    A spec is saved with each run as plain values, and its ``kind`` says which subclass reads it back. So its fields
    hold numbers, strings, and tuples and dictionaries of them.

    Attributes:
        kind: the name of the subclass in the file.
        vocabularies: the names of the data's vocabularies, the main one first.
    """

    kind: ClassVar[str]
    vocabularies: ClassVar[tuple[str, ...]] = ("tokens",)

    def model_arguments(self) -> dict[str, Any]:
        """The arguments of a model that the data decides, such as its sizes."""
        raise NotImplementedError

    def word_vectors(self) -> Tensor | None:
        """Pretrained vectors that the model's input begins with, ``(vocab_size, size)``; None: none."""
        return None

    def statistics(self) -> tuple[Tensor, Tensor] | None:
        """Mean and standard deviation of each feature in training, ``(F,)`` each, for the model's input; None: none.

        They are saved with the weights, so a model reads and answers in the user's units, whatever it is asked about.
        """
        return None

    def target_statistics(self) -> tuple[Tensor, Tensor] | None:
        """The same of each target, ``(K,)``, for a head that answers in the user's units; None: none."""
        return None

    reads_files: ClassVar[bool] = False
    """Whether new input comes in files, as for data of numbers; otherwise it is text."""

    @property
    def reads_folders(self) -> bool:
        """Whether new input may come in folders, such as a folder of pictures; only where ``reads_files``."""
        return False

    def read_inputs(self, file: Path) -> list[Any]:
        """Reads new input from a file, as training read its own; only where ``reads_files``.

        Raises:
            InputError: the file cannot be read, or is not like those of training; names the place.
        """
        raise NotImplementedError

    def data_arguments(self) -> dict[str, Any]:
        """The data options, beside ``vocabulary``, that give labels the same ids on other data: ``{"labels": [...]}``.

        ``seqlab evaluate`` adds them where it reads other data with a trained model. A run that begins with the weights
        of another (``init_from``) compares them.
        """
        return {}

    def read_by(self) -> dict[str, Any]:
        """By what options files become numbers, beside the vocabularies: those that keep the numbers' meaning.

        ``seqlab evaluate`` refuses data that are read by others than the trained model's.
        """
        return {}

    def output_names(self) -> dict[str, Any]:
        """What the numbers that a model reads and answers stand for, beside the vocabularies: ``{"labels": [...]}``.

        ``seqlab export`` writes them beside the files, and with them how much of an input the model has been trained to
        read, as ``max_length``.
        """
        return {}


def filled_before(missing: str, means: Sequence[float]) -> dict[str, Any]:
    """What whoever uses an exported model does about missing values: those that were carried forward are no input.

    Before the first value of a feature stands its mean in training.

    Example:
        >>> filled_before("forward", [0.5]), filled_before("mask", [0.5])
        ({'missing': 'forward', 'means': [0.5]}, {})
    """
    return {"missing": missing, "means": list(means)} if missing == "forward" else {}


def read_spec(fields: Mapping[str, Any]) -> Spec:
    """Makes a spec from its saved values.

    Args:
        fields: the values by name; ``kind`` among them names the subclass.

    Raises:
        ValueError: there is no ``kind``, or no subclass of that kind has been imported.
        TypeError: the fields are not those of the subclass.

    Example:
        >>> spec = read_spec({"kind": "classification", "vocab_size": 9, "unit": "word", "labels": ["no", "yes"]})
        >>> spec.output_names()
        {'labels': ['no', 'yes']}
    """
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    kind = values.pop("kind", None)
    subclass = spec_kinds().get(str(kind))
    if subclass is None:
        raise ValueError(f"there is no kind of data {kind!r}")
    return subclass(**values)


def spec_kinds() -> dict[str, type[Spec]]:
    """The kinds of specs that have been imported, by their names; of a name that two have, the first."""
    kinds: dict[str, type[Spec]] = {}
    pending: list[type[Spec]] = Spec.__subclasses__()
    while pending:
        subclass = pending.pop(0)
        kinds.setdefault(subclass.kind, subclass)
        pending += subclass.__subclasses__()
    return kinds


def pad(rows: Sequence[NDArray[Any]]) -> tuple[Tensor, Tensor]:
    """Rows of numbers as one tensor, with zeros behind shorter rows, and their lengths ``(B,)``.

    Args:
        rows: one or more, each ``(T_b,)`` or, where a step has several numbers, ``(T_b, ...)``.

    Returns:
        The rows ``(B, T, ...)``: integers as int64, other numbers as float32; and the lengths ``(B,)`` int64.

    Example:
        >>> pad([np.array([3, 1]), np.array([2])])
        (tensor([[3, 1],
                [2, 0]]), tensor([2, 1]))
        >>> pad([np.array([[0.5, 1.0]]), np.array([[2.0, 3.0], [4.0, 5.0]])])[0].shape
        torch.Size([2, 2, 2])
    """
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    padded = np.zeros((len(rows), lengths.max(initial=0), *rows[0].shape[1:]), dtype=kept_type(rows[0]))
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate(rows)
    return torch.from_numpy(padded), torch.from_numpy(lengths)


def kept_type(values: NDArray[Any]) -> type[np.int64] | type[np.float32]:
    """The type of numbers in a batch: float32 for floating-point values, int64 for integers."""
    return np.float32 if np.issubdtype(values.dtype, np.floating) else np.int64
