"""Utterances in batches, and what a transcriber needs to know of its data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqlab.data.core.batch import Spec
from seqlab.data.formats.audio import read_wav
from seqlab.data.transcription.features import LogMel


@dataclass
class TranscriptionBatch:
    """B utterances of different lengths, each with what is said.

    Attributes:
        inputs: ``(B, T, F)`` float32, the frames; beyond a row's length they are 0 and mean nothing.
        lengths: ``(B,)`` int64, the frames of each row.
        targets: ``(B, L)`` int64, the token ids of what is said; beyond a row's length they are 0 and mean nothing.
        target_lengths: ``(B,)`` int64, the tokens of each row.
        texts: what is said in each row, as the vocabulary spells it, with words and letters that training lacks; in
            training there are none.
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor
    texts: tuple[str, ...] = ()


class Recording(NamedTuple):
    """A new recording: its name, and its frames ``(T, F)``."""

    name: str
    frames: NDArray[np.float32]


@dataclass(frozen=True)
class TranscriptionSpec(Spec):
    """What a transcriber needs to know of its data, and what it takes to read further recordings.

    Attributes:
        vocab_size: V, the number of tokens; the blank of CTC is number V.
        unit: "character", "word" or "subword".
        features: how sound becomes frames, by the fields of ``LogMel``.
        means: the mean of each feature in training.
        stds: its standard deviation.
    """

    kind: ClassVar[str] = "transcription"
    reads_files: ClassVar[bool] = True
    vocab_size: int
    unit: str
    features: dict[str, Any]
    means: tuple[float, ...]
    stds: tuple[float, ...]

    def model_arguments(self) -> dict[str, Any]:
        return {"num_features": len(self.means), "num_symbols": self.vocab_size + 1}

    def statistics(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.means), torch.tensor(self.stds)

    def read_by(self) -> dict[str, Any]:
        return dict(self.features)

    def output_names(self) -> dict[str, Any]:
        return {"frames": dict(self.features)}

    def read_inputs(self, file: Path) -> list[Recording]:
        """The recording of a wav file; one of another rate or with several channels is changed as in training."""
        form = LogMel(**self.features)
        return [Recording(file.name, form.frames(read_wav(file, form.rate).samples))]
