"""Captioners: ``encode`` sees pictures, ``step`` writes a token of each row."""

from collections.abc import Mapping
from typing import Any

import torch

from seqlab.export.kinds.kind import Files, Kind
from seqlab.export.kinds.ports import real_dtype
from seqlab.export.kinds.writing import Source, plan_writer, write_by_files
from seqlab.export.programs import Arguments, Export, Port, Sizes
from seqlab.nn import Captioner


def plan(model: Captioner, sizes: Mapping[str, Any]) -> Export:
    """The programs ``encode`` and ``step`` of a captioner."""
    shape, real = tuple(sizes["picture_size"]), real_dtype(model)
    text = "a picture a row, its colours from 0 to 1" if len(shape) == 3 else "the features of each picture's places"

    def sample(lengths: Sizes, generator: torch.Generator) -> Arguments:
        return (torch.rand(lengths["batch"], *shape, generator=generator).to(real),)

    with torch.no_grad():
        places = model.input(torch.zeros(1, *shape, dtype=real)).size(1)
    source = Source("pictures", (Port("pictures", real, ("batch", *shape), text),), sample, places)
    why = "a description is written token by token, by encode and step; the whole forward pass is training's"
    return plan_writer(model, "captions", source, int(sizes["target_vocab_size"]), why)


def use_files(model: Captioner, files: Files) -> None:
    """Puts ``encode`` and ``step`` in the place of the model's, and of its pass over a whole target."""
    write_by_files(model, files, padded=False)


KIND = Kind(Captioner, plan, use_files)
