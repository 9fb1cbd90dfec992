"""Where pieces come from: Bach's chorales, published piano rolls, or a user's MIDI files."""

import hashlib
import itertools
import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cache import build_once, cache_folder
from seqlab.data.core.cut import Cut, cut_rows
from seqlab.data.core.reading import EmbeddedSource, Reading, RowSource
from seqlab.data.formats.kinds import seems_to_be
from seqlab.data.formats.midi import music21, read_midi, roll_of
from seqlab.data.formats.paths import Files, Paths
from seqlab.data.formats.sources import FileRows, FileSource
from seqlab.errors import InputError

PIANO = range(21, 109)
"""The MIDI pitches of a piano's 88 keys."""


class Piece(NamedTuple):
    """A piece: its name, and its piano roll ``(T, K)`` of 0 and 1."""

    name: str
    roll: NDArray[np.uint8]


class PieceSource(Protocol):
    """The contract of a source of pieces. A source may also have ``files()``, the files that it reads."""

    steps_per_quarter: int

    def __str__(self) -> str:
        """The source's name in messages."""

    def read(self, split: str) -> Sequence[Piece]:
        """The pieces of "train", "validation" or "test"."""


class PianoRolls(FileSource):
    """Published piano rolls in MATLAB files (Boulanger-Lewandowski et al. 2012), with their own splits.

    Args:
        files: one file, with ``traindata``, ``validdata`` and ``testdata``.
        steps_per_quarter: the steps of a quarter note.

    Raises:
        InputError: on first use: the file is not there, broken, or holds something else.
    """

    def __init__(self, files: Files | Paths, steps_per_quarter: int = 1) -> None:
        self._files = Files.of(files).expanded("piano rolls")
        self.steps_per_quarter = steps_per_quarter

    def read(self, split: str) -> list[Piece]:
        """The pieces of a split."""
        from scipy.io import loadmat

        (file,) = self.files()
        name = {"train": "traindata", "validation": "validdata", "test": "testdata"}[split]
        try:
            content = loadmat(str(file), variable_names=[name])
        except Exception as error:  # SciPy raises errors of many kinds for a broken file
            reason = seems_to_be(file) or " ".join(str(error).split())[:200]
            raise InputError(f"{file} is not a MATLAB file of piano rolls: {reason}") from error
        if name not in content:
            raise InputError(f"{file} has no {name}; expected traindata, validdata and testdata")
        pieces = []
        for number, roll in enumerate(content[name].ravel(), start=1):
            place = f"{file}, {name} {number}"
            if getattr(roll, "ndim", 0) != 2 or roll.shape[1] != len(PIANO) or not np.isin(roll, (0, 1)).all():
                raise InputError(f"{place}: expected a piano roll (T, {len(PIANO)}) of 0 and 1")
            pieces.append(Piece(place, roll.astype(np.uint8)))
        return pieces


class MidiFiles(FileRows[Piece]):
    """A user's MIDI files, a piece each.

    Args:
        files: those of one set, which is cut into splits, or those of each split.
        cut: how one set is cut; equal rows are pieces of equal rolls.
        steps_per_quarter: the steps of a quarter note.

    Raises:
        InputError: as other sources of files; on first use: a file is no MIDI file, or has no note.
    """

    unit = "pieces"

    def __init__(self, files: Files | Paths = Files(), cut: Cut = Cut(), steps_per_quarter: int = 4) -> None:
        self._files = Files.of(files).expanded("MIDI files")
        self._cut, self.steps_per_quarter = cut, steps_per_quarter
        cut.check_use("path" in self._files)

    def _key(self, row: Piece) -> Hashable:
        return row.roll.tobytes()

    def _read_files(self) -> dict[str, Reading[Piece]]:
        return {
            name: Reading([Piece(str(file), read_midi(file, self.steps_per_quarter, PIANO)) for file in files])
            for name, files in self._files.items()
        }


class Chorales(EmbeddedSource, RowSource[Piece]):
    """Bach's chorales as music21 carries them: those in MusicXML, which state no restriction of their use.

    The same tune occurs in several harmonisations. Pieces whose melodies begin with the same eight intervals stay in
    one split, so a test piece is of no tune that training has.

    Args:
        steps_per_quarter: the steps of a quarter note; 1: a frame for each beat.
        cache_dir: where the rolls are kept, for music21 takes minutes to read them.

    Raises:
        InputError: on first use: music21 is not installed.
    """

    shares = (0.76, 0.12, 0.12)

    def __init__(self, steps_per_quarter: int = 1, cache_dir: str | Path | None = None) -> None:
        self.steps_per_quarter = steps_per_quarter
        self._cache = cache_folder(cache_dir)

    def __str__(self) -> str:
        return "Bach's chorales"

    def _read_splits(self) -> dict[str, Reading[Piece]]:
        version = str(music21().__version__)
        key = hashlib.blake2b(f"chorales 1 {version} {self.steps_per_quarter}".encode(), digest_size=16).hexdigest()
        folder = build_once(self._cache, key, self._write)
        with np.load(folder / "chorales.npz", allow_pickle=False) as kept:
            names, tunes, starts, values = (kept[name] for name in ("names", "tunes", "starts", "values"))
        rolls = [values[first:end] for first, end in itertools.pairwise(starts)]
        pieces = [Piece(str(name), roll) for name, roll in zip(names, rolls, strict=True)]
        tune = {piece.name: str(each) for piece, each in zip(pieces, tunes, strict=True)}
        cut = cut_rows(pieces, self.shares, 0, str(self), "pieces", same=lambda piece: tune[piece.name])
        return {split: Reading(list(cut[split])) for split in SPLITS}

    def _write(self, folder: Path) -> None:
        names, tunes, rolls = [], [], []
        library = music21()
        for file in sorted(library.corpus.getComposer("bach"), key=lambda path: _number(Path(path).stem)):
            if Path(file).suffix != ".mxl":
                continue
            score = library.converter.parse(str(file), forceSource=True)
            if len(score.parts) < 4 or not len(score.parts[0].flatten().notes):
                continue  # of instruments alone, or of fewer voices
            names.append(Path(file).stem)
            tunes.append(tune_of([note.pitches[-1].midi for note in score.parts[0].flatten().notes]))
            rolls.append(roll_of(score, names[-1], self.steps_per_quarter, PIANO)[0])
        starts = np.concatenate([[0], np.cumsum([len(roll) for roll in rolls])])
        np.savez(folder / "chorales.npz", names=names, tunes=tunes, starts=starts, values=np.concatenate(rolls))


def tune_of(melody: Sequence[int]) -> str:
    """What tells one tune from another: the first eight intervals of its melody that are none of unison.

    Example:
        >>> tune_of([67, 67, 69, 71, 67]) == tune_of([60, 62, 62, 64, 60])
        True
    """
    steps = [after - before for before, after in itertools.pairwise(melody) if after != before]
    return " ".join(map(str, steps[:8]))


def _number(name: str) -> list[Any]:
    """A key by which bwv9 stands before bwv10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
