"""Transcribers: ``forward`` hears whole recordings; where the encoder reads in one direction it takes a state, and
``step`` hears a frame of each row."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from seqlab.export.kinds.kind import Files, Kind
from seqlab.export.kinds.ports import real_dtype
from seqlab.export.kinds.rows import Rows, carry_by_file, plan_rows
from seqlab.export.programs import Export, Port
from seqlab.nn import Transcriber


def plan(model: Transcriber, sizes: Mapping[str, Any]) -> Export:
    """The program ``forward`` of a transcriber, and ``step`` if its encoder reads in one direction."""
    text = "scores of the tokens and, last, of the blank; softmax makes them P"
    answer = Port("logits", real_dtype(model), ("batch", model.head.num_symbols), text)

    def carry(model: Transcriber, inputs: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        answers, new = model(inputs, lengths, state)
        return answers, new

    gives = "the logits of the symbols of each frame"
    return plan_rows(model, Rows("transcription", gives, answer, carry=carry, names={"blank_id": model.blank}))


def use_files(model: Transcriber, files: Files) -> None:
    """Puts the logits and the states of ``forward`` in the place of the model's."""
    carry = carry_by_file(model, files["forward"])

    def forward(frames: Tensor, lengths: Tensor | None = None, state: Any = None) -> tuple[Tensor, Any]:
        return carry(frames, lengths, state)

    vars(model).update(forward=forward)


KIND = Kind(Transcriber, plan, use_files)
