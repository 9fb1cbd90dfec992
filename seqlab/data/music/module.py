"""Pieces of music as a LightningDataModule: streams of piano rolls, cut into windows."""

import hashlib
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.fingerprint import Digest
from seqlab.data.core.inputs import files_of
from seqlab.data.core.options import check_whole_number
from seqlab.data.core.reading import left_out_of
from seqlab.data.core.stream_data import StreamData, Windows
from seqlab.data.core.summary import SplitSummary, counted, equal_rows
from seqlab.data.music.batch import MusicSpec, RollStream
from seqlab.data.music.sources import PIANO, Piece, PieceSource
from seqlab.errors import InputError


class MusicData(StreamData):
    """Pieces of music, read frame by frame; each begins with the initial state.

    Args:
        source: gives the pieces (:class:`Chorales`, :class:`MidiFiles`, ...).
        windows: how streams are cut; ``restart_documents`` has no effect, for rows always restart at pieces.
        transpose: training pieces are also heard this many semitones higher and lower, where the keys suffice.

    Raises:
        InputError: an option is wrong; on first use: a split has no piece of two frames.
    """

    stream = RollStream

    def __init__(self, source: PieceSource, windows: Windows = Windows(), transpose: int = 0) -> None:
        super().__init__(windows)
        self.restart_documents = True
        self.source = source
        self.transpose = check_whole_number("data.transpose", transpose, 0)

    @cached_property
    def pieces(self) -> dict[str, list[Piece]]:
        """The pieces of each split, without those of a single frame, from which nothing follows."""
        pieces = {split: list(self.source.read(split)) for split in SPLITS}
        self._short = {split: sum(len(piece.roll) < 2 for piece in rows) for split, rows in pieces.items()}
        long = {split: [piece for piece in rows if len(piece.roll) > 1] for split, rows in pieces.items()}
        for split, rows in long.items():
            if not rows:
                raise InputError(f"the {split} split of {self.source} has no piece of two frames or more")
        return long

    @cached_property
    def _rolls(self) -> dict[str, list[NDArray[np.uint8]]]:
        rolls = {split: [piece.roll for piece in rows] for split, rows in self.pieces.items()}
        higher = [shift for step in range(1, self.transpose + 1) for shift in (step, -step)]
        rolls["train"] = rolls["train"] + [
            np.roll(roll, shift, axis=1) for roll in rolls["train"] for shift in higher if _fits(roll, shift)
        ]
        return rolls

    @cached_property
    def _steps(self) -> dict[str, NDArray[np.uint8]]:
        return {split: np.concatenate(rolls) for split, rolls in self._rolls.items()}

    def steps(self, split: str) -> NDArray[Any]:
        """The frames of a split, ``(N, K)``."""
        return self._steps[split]

    def documents(self, split: str) -> NDArray[Any]:
        """The positions at which its pieces begin."""
        return np.cumsum([0, *map(len, self._rolls[split])])[:-1]

    @property
    def vocabularies(self) -> dict[str, Any]:
        """None: frames are numbers."""
        return {}

    @property
    def spec(self) -> MusicSpec:
        """What a model and a task need to know."""
        self.pieces  # noqa: B018
        return MusicSpec(PIANO.start, len(PIANO), self.source.steps_per_quarter)

    def summaries(self) -> list[SplitSummary]:
        """How many pieces and frames each split holds, and how many of its frames are silent."""
        shared = equal_rows({split: map(_digest, self.pieces[split]) for split in SPLITS}, "pieces")
        summaries = []
        for split in SPLITS:
            rolls, steps = self._rolls[split], self.steps(split)
            notes = [shared[split]] if split in shared else []
            if len(rolls) > len(self.pieces[split]):
                notes.append(f"{counted(len(rolls) - len(self.pieces[split]), 'pieces')} of them transposed")
            if silent := int((steps.sum(1) == 0).sum()):
                notes.append(f"{counted(silent, 'frames')} silent")
            left_out = {**left_out_of(self.source, split), "pieces of a single frame": self._short[split]}
            counts = {"pieces": len(rolls), "frames": len(steps)}
            summaries.append(SplitSummary(split, counts, left_out, notes=tuple(notes)))
        return summaries

    def fingerprint(self) -> str:
        """A digest of all frames and beginnings of pieces."""
        digest = Digest()
        for split in SPLITS:
            digest.add(split, self.steps(split), self.documents(split))
        return digest.hexdigest()

    def input_files(self) -> list[str] | None:
        """The files that are read; None for a user's own source without ``files``."""
        return files_of(self.source)

    def prepare_data(self) -> None:
        """Reads the pieces."""
        self.pieces  # noqa: B018

    def setup(self, stage: str | None = None) -> None:
        """Reads the pieces."""
        self.pieces  # noqa: B018


def _fits(roll: NDArray[np.uint8], shift: int) -> bool:
    """Whether a roll can be moved by so many keys without one leaving the keyboard."""
    sounding = np.flatnonzero(roll.any(0))
    return not sounding.size or (sounding[0] + shift >= 0 and sounding[-1] + shift < roll.shape[1])


def _digest(piece: Piece) -> bytes:
    """A value that is equal for equal rolls."""
    return hashlib.sha256(piece.roll.tobytes()).digest()
