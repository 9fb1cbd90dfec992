"""Labelled sequences in batches, and what a labeller needs to know of its data."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from seqlab.data.core.batch import Spec


@dataclass
class LabellingBatch:
    """B sequences of up to T tokens.

    Attributes:
        inputs: ``(B, T)`` int64, the tokens; beyond a row's length there are zeros, which mean nothing.
        lengths: ``(B,)`` int64, the number of tokens of each row.
        targets: ``(B, T)`` int64, the label of each step; ``IGNORE_INDEX`` where nothing is asked, and in the padding.
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor


@dataclass(frozen=True)
class LabellingSpec(Spec):
    """What a labeller needs to know of its data.

    Attributes:
        vocab_size: the number of tokens.
        labels: the names of the labels.
        test_lengths: the lengths of the test's sequences; where there are several, each has metrics of its own.
    """

    kind: ClassVar[str] = "labelling"
    vocab_size: int
    labels: tuple[str, ...]
    test_lengths: tuple[int, ...]

    def model_arguments(self) -> dict[str, Any]:
        return {"vocab_size": self.vocab_size, "num_classes": len(self.labels)}

    def read_by(self) -> dict[str, Any]:
        return {"labels": list(self.labels)}

    def output_names(self) -> dict[str, Any]:
        return {"labels": list(self.labels)}
