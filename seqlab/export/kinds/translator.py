"""Translators: ``encode`` reads sources, ``step`` writes a token of each row."""

from collections.abc import Mapping
from typing import Any

import torch

from seqlab.export.kinds.kind import Files, Kind
from seqlab.export.kinds.ports import lengths_port, random_lengths, random_tokens, token_port
from seqlab.export.kinds.writing import Source, plan_writer, write_by_files
from seqlab.export.programs import Arguments, Export, Sizes
from seqlab.nn import Translator


def plan(model: Translator, sizes: Mapping[str, Any]) -> Export:
    """The programs ``encode`` and ``step`` of a translator."""
    source_size = int(sizes["source_vocab_size"])

    def sample(lengths: Sizes, generator: torch.Generator) -> Arguments:
        return random_tokens(source_size, lengths, generator), random_lengths(lengths, generator)

    source = Source("whole sources", (token_port("source"), lengths_port("lengths", "time")), sample, "time")
    why = "a translation is written token by token, by encode and step; the whole forward pass is training's"
    return plan_writer(model, "translation", source, int(sizes["target_vocab_size"]), why)


def use_files(model: Translator, files: Files) -> None:
    """Puts ``encode`` and ``step`` in the place of the model's, and of its pass over a whole target."""
    write_by_files(model, files, padded=True)


KIND = Kind(Translator, plan, use_files)
