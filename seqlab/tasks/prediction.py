"""A task's answer to new input."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prediction:
    """The answer to one input.

    ``seqlab predict`` calls the task's static method ``predict(model, spec, vocabularies, inputs, **options) ->
    list[Prediction]``, which returns one answer for each input. ``vocabularies`` are those that ``spec.vocabularies``
    names. ``options`` are the keys of the task's configuration that are arguments of ``predict``. A task that does not
    split an input like the vocabulary also has a static method ``pieces(text, vocabulary) -> list[str]``.

    Attributes:
        values: the answer as values that JSON can hold.
        line: the answer as a line of text.

    Example:
        >>> Prediction({"label": "positive", "probability": 0.75}, "positive 0.75").line
        'positive 0.75'
    """

    values: dict[str, Any]
    line: str
