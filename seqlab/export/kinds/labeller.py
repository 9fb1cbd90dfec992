"""Labellers: ``forward`` reads whole sequences, ``step`` a step of each row."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from seqlab.export.kinds.kind import Files, Kind
from seqlab.export.kinds.ports import real_dtype, refuse_segments
from seqlab.export.kinds.rows import Rows, plan_rows
from seqlab.export.programs import Export, Port
from seqlab.nn import Labeller


def plan(model: Labeller, sizes: Mapping[str, Any]) -> Export:
    """The program ``forward`` of a labeller, and ``step`` if its encoder reads in one direction."""
    shape = ("batch", model.head.output.out_features)
    answer = Port("logits", real_dtype(model), shape, "scores of the labels; softmax makes them P")
    return plan_rows(model, Rows("labelling", "the logits of the labels of each step", answer))


def use_files(model: Labeller, files: Files) -> None:
    """Puts the logits of ``forward`` in the place of the model's, and of what its head makes of some steps."""

    def features(inputs: Tensor, lengths: Tensor | None = None, *, is_first: Tensor | None = None) -> Tensor:
        refuse_segments(is_first)
        lengths = torch.full(inputs.shape[:1], inputs.size(1)) if lengths is None else lengths
        return files["forward"](inputs, lengths)[0].to(inputs.device)

    vars(model).update(features=features, head=lambda logits: logits)


KIND = Kind(Labeller, plan, use_files)
