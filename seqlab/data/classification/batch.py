"""What a text's classes are handed over as: batches, and what a classifier needs to know of its data."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from seqlab.data.core.batch import Spec


@dataclass
class ClassificationBatch:
    """B texts of different lengths, each with its class.

    Attributes:
        inputs: ``(B, T)`` int64 token ids; beyond a row's length they are 0 and mean nothing.
        lengths: ``(B,)`` int64, the tokens of each text, 1 or more.
        targets: ``(B,)`` int64, the classes; ``IGNORE_INDEX`` for one that training never saw.
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor


@dataclass(frozen=True)
class ClassificationSpec(Spec):
    """What a classifier needs to know of its data.

    Attributes:
        vocab_size: number of different tokens.
        unit: "character", "word" or "subword".
        labels: the names of the classes, in the order of their numbers.
        num_examples: texts in each split.
        majority: for each split, the share of the class that is the commonest in training: the accuracy of always
            giving that answer.
        max_length: longer texts are cut to their first tokens; None: none is.
    """

    kind: ClassVar[str] = "classification"
    vocab_size: int
    unit: str
    labels: tuple[str, ...]
    num_examples: dict[str, int] | None = None
    majority: dict[str, float] | None = None
    max_length: int | None = None

    def model_arguments(self) -> dict[str, Any]:
        return {"vocab_size": self.vocab_size, "num_classes": len(self.labels)}

    def data_arguments(self) -> dict[str, Any]:
        return {"labels": list(self.labels)}
