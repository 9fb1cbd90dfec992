"""Models of frames: ``forward`` reads pieces or parts of them, ``step`` a frame of each row; both take a state."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from seqlab.export.kinds.kind import Files, Kind
from seqlab.export.kinds.ports import real_dtype, refuse_segments
from seqlab.export.kinds.rows import Rows, carry_by_file, plan_rows
from seqlab.export.programs import Export, Port
from seqlab.nn import FrameModel


def plan(model: FrameModel, sizes: Mapping[str, Any]) -> Export:
    """The programs ``forward`` and ``step`` of a model of frames."""
    shape = ("batch", model.head.output.out_features)
    answer = Port("logits", real_dtype(model), shape, "scores of the features of the next frame; sigmoid makes them P")

    def carry(model: FrameModel, inputs: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        answers, new = model(inputs, state, lengths)
        return answers, new

    return plan_rows(model, Rows("music", "the logits of the frame after each one", answer, carry=carry))


def use_files(model: FrameModel, files: Files) -> None:
    """Puts the logits and the states of ``forward`` in the place of the model's."""
    carry = carry_by_file(model, files["forward"])

    def forward(
        frames: Tensor, state: Any = None, lengths: Tensor | None = None, *, is_first: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        refuse_segments(is_first)
        return carry(frames, lengths, state)

    vars(model).update(forward=forward)


KIND = Kind(FrameModel, plan, use_files)
