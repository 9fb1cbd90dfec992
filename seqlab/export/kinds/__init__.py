"""The kinds of models that can be exported, a module each; a new one is a module with a :class:`Kind`, and a line here.

``ports`` and ``state`` have what several share. ``rows`` is for models that answer a row or each of its steps,
``writing`` for those that write an answer token by token.
"""

from collections.abc import Mapping
from typing import Any, Final

from torch import nn

from seqlab.errors import InputError
from seqlab.export.kinds import (
    answerer,
    captioner,
    classifier,
    forecaster,
    frame_model,
    labeller,
    language_model,
    regressor,
    tagger,
    transcriber,
    translator,
)
from seqlab.export.kinds.kind import Files, Kind
from seqlab.export.programs import Export
from seqlab.nn import KneserNey

KINDS: Final[list[Kind]] = [
    language_model.KIND,
    classifier.KIND,
    tagger.KIND,
    translator.KIND,
    answerer.KIND,
    labeller.KIND,
    regressor.KIND,
    forecaster.KIND,
    frame_model.KIND,
    transcriber.KIND,
    captioner.KIND,
]

REFUSED: Final[dict[type[nn.Module], str]] = {
    KneserNey: "an n-gram model is a table of counts that is searched, not a network: it can't be exported; "
    "seqlab generate and complete run it",
}
"""Models that ship and can't be exported, with the reason."""


def plan(model: nn.Module, sizes: Mapping[str, Any]) -> Export:
    """Says what of a model is exported.

    Args:
        model: the model, in evaluation mode.
        sizes: the sizes that its data gave it, such as ``vocab_size``.

    Raises:
        InputError: it is no model that can be exported; the line says why.
    """
    return _kind_of(model).plan(model, sizes)


def use_files(model: nn.Module, files: Files) -> nn.Module:
    """The model with the files' answers in place of its own, so that its task measures the files.

    Args:
        model: the model; it is changed.
        files: the files at work, by the names of their programs.
    """
    _kind_of(model).use_files(model, files)
    return model


def _kind_of(model: nn.Module) -> Kind:
    for refused, reason in REFUSED.items():
        if isinstance(model, refused):
            raise InputError(reason)
    for kind in KINDS:
        if isinstance(model, kind.model):
            return kind
    names = ", ".join(kind.model.__name__ for kind in KINDS)
    raise InputError(f"a {type(model).__name__} can't be exported: expected one of {names}, or a class of theirs")
