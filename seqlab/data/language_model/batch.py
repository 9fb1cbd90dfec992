"""What a language model needs to know of its data. Its batches are those of ``seqlab.data.core.batch.Batch``."""

from dataclasses import dataclass
from typing import Any, ClassVar

from seqlab.data.core.batch import IGNORE_INDEX, Spec


@dataclass(frozen=True)
class LanguageModelSpec(Spec):
    """What a language model and its task need to know of their data.

    Attributes:
        vocab_size: the number of tokens in the vocabulary.
        unit: "character", "word" or "subword".
        characters_per_token: for each split, the number of its characters over that of its tokens. A loss of x nats a
            token is ``x / ln 2 / characters_per_token[split]`` bits per character.
        num_tokens: the number of tokens in each split; N tokens make N - 1 targets.
        ignore_index: the target of a position that predicts nothing.

    Example:
        >>> spec = LanguageModelSpec(4, "word", {"test": 5.0}, {"test": 100})
        >>> spec.ignore_index
        -100
    """

    kind: ClassVar[str] = "language_model"
    vocab_size: int
    unit: str
    characters_per_token: dict[str, float]
    num_tokens: dict[str, int]
    ignore_index: int = IGNORE_INDEX

    def model_arguments(self) -> dict[str, Any]:
        return {"vocab_size": self.vocab_size}
