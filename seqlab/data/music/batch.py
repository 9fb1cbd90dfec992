"""Piano rolls in windows of streams, and what a model of music needs to know of its data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqlab.data.core.batch import Spec
from seqlab.data.core.stream import Stream
from seqlab.data.formats.midi import read_midi


@dataclass
class MusicBatch:
    """One window of B streams of pieces, T steps long. Row b continues where row b of the window before ended.

    Attributes:
        inputs: ``(B, T, K)`` float32, 1 where a key sounds.
        targets: ``(B, T, K)`` float32, the frame after each input.
        mask: ``(B, T)`` bool, whether a target is one: the first frame of a piece, and what stands in padding, is none.
        is_first: ``(B,)`` bool, whether the row begins anew here, with the state ``initial_state()``. Of data of one's
            own also ``(B, T)``, whether a segment of the row begins at a step, such as a document.
        lengths: ``(B,)`` int64, the number of valid steps of each row, 0 for a row that has run out.
        window: the window's position in its epoch, from 0.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor
    is_first: Tensor
    lengths: Tensor
    window: int


class RollStream(Stream):
    """Streams of piano rolls, as :class:`Stream` has them of tokens; rows restart at pieces.

    Example:
        >>> rolls = np.eye(5, dtype=np.uint8)  # two pieces, of three frames and of two
        >>> batch = RollStream(rolls, batch_size=1, tbptt_steps=3, boundaries=np.array([0, 3])).window(0)
        >>> batch.inputs.argmax(2).tolist(), batch.targets.argmax(2).tolist(), batch.mask.tolist()
        ([[0, 1, 2]], [[1, 2, 3]], [[True, True, False]])
    """

    def __init__(self, tokens: NDArray[Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(tokens, *args, **kwargs)
        boundaries = kwargs.get("boundaries", args[2] if len(args) > 2 else None)
        self._begins = np.zeros(len(tokens), dtype=bool)
        if boundaries is not None:
            self._begins[np.asarray(boundaries)] = True

    def window(self, index: int) -> MusicBatch:
        positions, length, is_first = self._place(index)
        block = torch.from_numpy(self._tokens[positions].astype(np.float32))
        mask = (self._steps[:-1] < length[:, None]) & ~self._begins[positions[:, 1:]]
        return MusicBatch(
            inputs=block[:, :-1].contiguous(),
            targets=block[:, 1:].contiguous(),
            mask=torch.from_numpy(mask),
            is_first=torch.from_numpy(is_first),
            lengths=torch.from_numpy(length),
            window=index,
        )


@dataclass(frozen=True)
class MusicSpec(Spec):
    """What a model of music needs to know of its data.

    Attributes:
        lowest: the MIDI pitch of the first key.
        num_keys: K.
        steps_per_quarter: the steps of a quarter note.
    """

    kind: ClassVar[str] = "music"
    vocabularies: ClassVar[tuple[str, ...]] = ()
    reads_files: ClassVar[bool] = True
    lowest: int
    num_keys: int
    steps_per_quarter: int

    @property
    def keys(self) -> range:
        """The MIDI pitches of the keys."""
        return range(self.lowest, self.lowest + self.num_keys)

    def model_arguments(self) -> dict[str, Any]:
        return {"num_features": self.num_keys}

    def read_by(self) -> dict[str, Any]:
        return {"lowest": self.lowest, "steps_per_quarter": self.steps_per_quarter}

    def output_names(self) -> dict[str, Any]:
        return {"pitches": list(self.keys), "steps_per_quarter": self.steps_per_quarter}

    def read_inputs(self, file: Path) -> list[tuple[str, NDArray[np.uint8]]]:
        """The piece of a MIDI file, with its name."""
        return [(file.name, read_midi(file, self.steps_per_quarter, self.keys))]
