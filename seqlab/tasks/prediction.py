"""A task's answer to new input."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prediction:
    """The answer to one input.

    ``seqlab predict`` calls the task's static method ``predict(model, spec, vocabularies, inputs, **options) ->
    list[Prediction]``, which returns one answer for each input. ``vocabularies`` are those that ``spec.vocabularies``
    names. ``options`` are the keys of the task's configuration that ``predict`` has as arguments. A task that splits an
    input in another way than the vocabulary also has a static method ``pieces(text, vocabulary) -> list[str]``.

    Attributes:
        values: the answer as values that JSON can hold.
        line: the answer as a line of text.

    Example:
        >>> Prediction({"label": "positive", "probability": 0.75}, "positive 0.75").line
        'positive 0.75'
    """

    values: dict[str, Any]
    line: str
