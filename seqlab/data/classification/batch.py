"""Labelled texts in batches, and what a classifier needs to know of its data."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from seqlab.data.core.batch import Spec


@dataclass
class ClassificationBatch:
    """B texts of different lengths, each with its class.

    Attributes:
        inputs: ``(B, T)`` int64, the token ids; beyond a row's length they are 0 and mean nothing.
        lengths: ``(B,)`` int64, the number of tokens of each text, 1 or more.
        targets: ``(B,)`` int64, the number of each text's class; ``IGNORE_INDEX`` for one that training never saw.
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor


@dataclass(frozen=True)
class ClassificationSpec(Spec):
    """What a classifier needs to know of its data.

    Attributes:
        vocab_size: the number of tokens in the vocabulary.
        unit: "character", "word" or "subword".
        labels: the names of the classes, in the order of their numbers.
        num_examples: the number of texts in each split.
        majority: for each split, the share of the class that is commonest in training: the accuracy of always giving
            that class.
        max_length: the most tokens of a text; longer ones are cut to their first tokens. None: no limit.
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

    def read_by(self) -> dict[str, Any]:
        return {"max_length": self.max_length}

    def output_names(self) -> dict[str, Any]:
        return {"labels": list(self.labels)} | ({"max_length": self.max_length} if self.max_length else {})
