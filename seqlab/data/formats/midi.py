"""Piano rolls from MIDI files, and MIDI files from piano rolls; both by music21."""

import logging
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqlab.data.formats.kinds import other_kind
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_LATE = Fraction(1, 8)  # of a step
_MOST_STEPS = 1 << 20  # of a piece: a wrong time signature can make a file of any length


def music21() -> Any:
    """The library, on its first use, for it takes a second to import.

    Raises:
        InputError: it is not installed.
    """
    try:
        import music21
    except ImportError as error:
        raise InputError("MIDI and chorales are read by music21: pip install 'seqlab[music]'") from error
    return music21


def read_midi(file: Path, steps_per_quarter: int, keys: range) -> NDArray[np.uint8]:
    """The piano roll of a MIDI file, ``(T, K)`` of 0 and 1: which keys sound at each step.

    A step is looked at an eighth of its length after its beginning, so that a note counts that is played a little late.
    Tempo, loudness, instruments and voices are left out, and so are drums. A log line says how many notes are too short
    to sound at any step.

    Args:
        file: a MIDI file.
        steps_per_quarter: steps of a quarter note.
        keys: the MIDI pitches of a roll, such as ``range(21, 109)`` of a piano.

    Raises:
        InputError: the file is not there or no MIDI file, has no note, or a note is outside of ``keys``.
    """
    if not file.is_file():
        raise InputError(f"{file} is {'a folder' if file.is_dir() else 'not there'}; give a MIDI file")
    content = file.read_bytes()
    if content[:4] != b"MThd":
        kind = other_kind(file, "a MIDI")
        raise InputError(f"{file} is no MIDI file, which begins with MThd{f': {kind}' if kind else ''}")
    library = music21()
    try:
        midi = library.midi.MidiFile()
        midi.readstr(content)
        score = library.midi.translate.midiFileToStream(midi, quantizePost=False)
    except Exception as error:  # music21 raises errors of many kinds for a broken file
        raise InputError(f"{file} is a broken MIDI file: {' '.join(str(error).split())[:200]}") from error
    roll, unheard = roll_of(score, str(file), steps_per_quarter, keys)
    if unheard:
        log.warning(
            "%s: notes too short to sound at any step: %d; a larger data.steps_per_quarter has more of them",
            *(file, unheard),
        )
    return roll


def roll_of(score: Any, name: str, steps_per_quarter: int, keys: range) -> tuple[NDArray[np.uint8], int]:
    """The piano roll of a score of music21, and how many of its notes sound at no step; see :func:`read_midi`.

    Raises:
        InputError: there is no note, or a note is outside of ``keys``.
    """
    notes = []
    end = Fraction(0)
    for element in score.flatten().notes:
        if "Unpitched" in element.classes or "PercussionChord" in element.classes:
            continue
        start = _fraction(element.offset) * steps_per_quarter
        stop = start + _fraction(element.quarterLength) * steps_per_quarter
        end = max(end, stop)
        notes += [(int(pitch.midi), math.ceil(start - _LATE), math.ceil(stop - _LATE)) for pitch in element.pitches]
    if not notes:
        raise InputError(f"{name} has no note")
    outside = next((pitch for pitch, _, _ in notes if pitch not in keys), None)
    if outside is not None:
        wanted = f"{keys.start} to {keys.stop - 1}"
        raise InputError(f"{name}: the pitch {outside} is outside of {wanted}; transpose the piece")
    steps = max(math.ceil(end - _LATE), 1)
    if steps > _MOST_STEPS:
        more = f"more than {_MOST_STEPS:,}"
        raise InputError(f"{name} has {steps:,} steps, {more}; give a smaller data.steps_per_quarter")
    roll = np.zeros((steps, len(keys)), dtype=np.uint8)
    for pitch, first, last in notes:
        roll[first:last, pitch - keys.start] = 1
    return roll, sum(first >= last for _, first, last in notes)


def _fraction(quarters: Any) -> Fraction:
    """A time of music21 in quarter notes, exactly: triplets are fractions there, and other times floats."""
    return Fraction(quarters).limit_denominator(960)


def write_midi(roll: NDArray[Any], file: Path, steps_per_quarter: int, keys: range) -> None:
    """Writes a piano roll as a MIDI file. A key that sounds in neighbouring steps is one held note.

    Args:
        roll: ``(T, K)``, not 0 where a key sounds.
        file: the file to write.
        steps_per_quarter: steps of a quarter note.
        keys: the MIDI pitches of the roll.

    Raises:
        InputError: nothing sounds.
    """
    library = music21()
    sounding = np.asarray(roll) != 0
    edges = np.diff(np.pad(sounding.astype(np.int8), ((1, 1), (0, 0))), axis=0)
    if not edges.any():
        raise InputError(f"{file}: nothing sounds, so there is no piece to write")
    part = library.stream.Part()
    for key in np.flatnonzero(sounding.any(0)).tolist():
        starts, ends = (np.flatnonzero(edges[:, key] == sign).tolist() for sign in (1, -1))
        for start, end in zip(starts, ends, strict=True):
            note = library.note.Note(keys.start + key)
            note.duration.quarterLength = Fraction(end - start, steps_per_quarter)
            part.insert(Fraction(start, steps_per_quarter), note)
    part.write("midi", fp=str(file))
