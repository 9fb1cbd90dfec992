"""What a module of this package says of its kind of model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from seqlab.export.programs import Export

Files: TypeAlias = Mapping[str, Callable[..., tuple[Tensor, ...]]]
"""The exported files at work, by the names of their programs."""


@dataclass(frozen=True)
class Kind:
    """How one kind of model is exported.

    Attributes:
        model: its class; subclasses are exported alike.
        plan: says what of a model in evaluation mode becomes a file. It is called with the model and the sizes that its
            data gave it, such as ``vocab_size``, and raises ``InputError`` for a model that can't be exported.
        use_files: puts the files' answers in the place of a model's own, so that its task measures the files. It
            changes the model.
    """

    model: type
    plan: Callable[[Any, Mapping[str, Any]], Export]
    use_files: Callable[[Any, Files], None]
