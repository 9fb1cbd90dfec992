"""What a task answers when it is asked about new input."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prediction:
    """One answer.

    A task that can be asked has a static method ``predict(model, spec, vocabularies, inputs, **options) ->
    list[Prediction]``, one for each input. ``vocabularies`` holds those that ``spec.vocabularies`` names; ``options``
    are those of the task's own that ``predict`` names too. ``seqlab predict`` calls it. A task that does not read an
    input as the vocabulary splits a text has a static method ``pieces(text, vocabulary) -> list[str]`` too.

    Attributes:
        values: the answer as plain values, such as JSON holds.
        line: the answer for a reader, in a line.

    Example:
        >>> Prediction({"label": "positive", "probability": 0.75}, "positive 0.75").line
        'positive 0.75'
    """

    values: dict[str, Any]
    line: str
