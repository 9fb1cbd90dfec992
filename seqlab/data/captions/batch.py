"""Pictures with their descriptions in batches, and what a captioner needs to know of its data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from seqlab.data.captions.pictures import NamedPicture, read_picture
from seqlab.data.core.batch import Spec


@dataclass
class CaptionBatch:
    """B pictures, each with a description.

    Attributes:
        source: ``(B, C, H, W)`` float32 from 0 to 1, the pictures; or ``(B, L, F)``, their features.
        source_lengths: ``(B,)`` int64, the most tokens that a description is given, as translation has it of a source.
        inputs: ``(B, S)`` int64, what the decoder reads: ``<bos>`` and the description.
        targets: ``(B, S)`` int64, what the decoder should write: the description and ``<eos>``, then ``IGNORE_INDEX``.
        references: all descriptions of each picture, as they stand in the data; empty in training.
    """

    source: Tensor
    source_lengths: Tensor
    inputs: Tensor
    targets: Tensor
    references: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class CaptionSpec(Spec):
    """What a captioner needs to know of its data.

    ``<bos>`` and ``<eos>`` are the two ids after the vocabulary's own: no text can spell them.

    Attributes:
        target_size: the number of tokens in the vocabulary, without ``<bos>`` and ``<eos>``.
        unit: "character", "word" or "subword".
        picture_size: (C, H, W) of pictures, or (L, F) of features.
        longest: the tokens of the longest description of training.
    """

    kind: ClassVar[str] = "captions"
    vocabularies: ClassVar[tuple[str, ...]] = ("target",)
    reads_files: ClassVar[bool] = True
    target_size: int
    unit: str
    picture_size: tuple[int, ...]
    longest: int

    @property
    def bos(self) -> int:
        """The id of ``<bos>``, which begins a description."""
        return self.target_size

    @property
    def eos(self) -> int:
        """The id of ``<eos>``, which ends a description."""
        return self.target_size + 1

    def model_arguments(self) -> dict[str, Any]:
        return {"picture_size": self.picture_size, "target_vocab_size": self.target_size + 2}

    def output_names(self) -> dict[str, Any]:
        return {"bos_id": self.bos, "eos_id": self.eos}

    def read_inputs(self, file: Path) -> list[NamedPicture]:
        """The picture of a file, brought to the size of training's; or the features of a npy file."""
        return [NamedPicture(file.name, read_picture(file, self.picture_size))]
