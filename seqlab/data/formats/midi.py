"""Piano rolls from MIDI files, and MIDI files from piano rolls; both by music21."""

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqlab.data.formats.kinds import other_kind
from seqlab.errors import InputError

log = logging.getLogger("seqlab")

_LATE = Fraction(1, 8)  # of a step
_MOST_STEPS = 1 << 20  # of a piece: a wrong time signature can make a file of any length
_DRUMS: Final = 10  # the channel of drums, counted from 1


class _Note(NamedTuple):
    """A note: its MIDI pitch, and when it begins and ends, in quarter notes."""

    pitch: int
    start: Fraction
    end: Fraction


class _Key(NamedTuple):
    """What one key of a channel does in a track: the tick of each event, and whether it strikes the key."""

    ticks: list[int]
    strikes: list[bool]


_Keys = dict[tuple[int, int], _Key]  # by channel and pitch


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
    A key sounds from the first of overlapping notes to the end of the last. Tempo, loudness, instruments and voices are
    left out, and so are drums (channel 10). Log lines say how many notes are too short to sound at any step, and how
    many are never ended, which sound to the end of their track.

    Args:
        file: a MIDI file.
        steps_per_quarter: steps of a quarter note.
        keys: the MIDI pitches of a roll, such as ``range(21, 109)`` of a piano.

    Raises:
        InputError: the file is not there, no MIDI file, cut off, or of pieces beside each other (format 2), counts time
            in other units than quarter notes, has no note but drums, or a note is outside of ``keys``.
    """
    if not file.is_file():
        raise InputError(f"{file} is {'a folder' if file.is_dir() else 'not there'}; give a MIDI file")
    content = file.read_bytes()
    if content[:4] != b"MThd":
        kind = other_kind(file, "a MIDI")
        raise InputError(f"{file} is no MIDI file, which begins with MThd{f': {kind}' if kind else ''}")
    whole = _whole(content, file)
    library = music21()
    try:
        midi = library.midi.MidiFile()
        midi.readstr(whole)
        tracks = [_keys_of(track.events) for track in midi.tracks]
    except Exception as error:  # music21 raises errors of many kinds for a broken file
        raise InputError(f"{file} is a broken MIDI file: {' '.join(str(error).split())[:200]}") from error
    ends = [track.events[-1].type for track in midi.tracks if track.events]
    if open_tracks := len(midi.tracks) - ends.count(library.midi.MetaEvents.END_OF_TRACK):
        log.warning("%s: tracks that are damaged, whose end is not read: %d; save the file anew", file, open_tracks)
    notes, num_unended = _notes_of(tracks, midi.ticksPerQuarterNote)
    if not notes and any(channel == _DRUMS for keys_of_track, _ in tracks for channel, _ in keys_of_track):
        raise InputError(f"{file} has no note but those of drums (channel 10), which are left out; leave out the file")
    if num_unended:
        log.warning("%s: notes that are never ended, and sound to the end of their track: %d", file, num_unended)
    roll, unheard = _roll(notes, str(file), steps_per_quarter, keys)
    if unheard:
        log.warning(
            "%s: notes too short to sound at any step: %d; a larger data.steps_per_quarter has more of them",
            *(file, unheard),
        )
    return roll


def _whole(content: bytes, file: Path) -> bytes:
    """The header and the tracks of a MIDI file, without chunks of other kinds; music21 reads what there is of a track.

    Raises:
        InputError: the file is cut off, or its header is of a kind that is not read.
    """
    chunks, place = [], 0
    while place + 8 <= len(content):
        name, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "big")
        chunk = content[place + 8 : place + 8 + size]
        if len(chunk) < size and name == b"MTrk":
            raise InputError(f"{file} ends before the music that it promises; get the whole file, or save it anew")
        chunks.append((name, chunk))
        place += 8 + size
    header, tracks = chunks[0][1] if chunks else b"", [chunk for name, chunk in chunks if name == b"MTrk"]
    form, announced, division = (int.from_bytes(header[at : at + 2], "big") for at in (0, 2, 4))
    if len(header) < 6 or len(tracks) < announced:
        raise InputError(f"{file} ends before the music that it promises; get the whole file, or save it anew")
    if form > 1:
        raise InputError(f"{file} is of format {form}, whose tracks are pieces of their own; save each as a file")
    if division == 0 or division >= 0x8000:
        raise InputError(f"{file} does not count time in ticks of a quarter note; save it with these, as 480 a quarter")
    numbers = b"".join(number.to_bytes(2, "big") for number in (form, len(tracks), division))
    parts = [b"MThd", len(numbers).to_bytes(4, "big"), numbers]
    return b"".join([*parts, *(b"MTrk" + len(track).to_bytes(4, "big") + track for track in tracks)])


def _notes_of(tracks: Iterable[tuple[_Keys, int]], quarter: int) -> tuple[list[_Note], int]:
    """The notes of all tracks without drums, and how many of them are never ended."""
    notes = []
    num_unended = 0
    for keys, last_tick in tracks:
        for (channel, pitch), key in keys.items():
            if channel == _DRUMS:
                continue
            spans, unended = _spans(key)
            num_unended += len(unended)
            spans += [(start, last_tick) for start in unended]
            notes += [_Note(pitch, Fraction(start, quarter), Fraction(end, quarter)) for start, end in spans]
    return notes, num_unended


def _keys_of(events: Iterable[Any]) -> tuple[_Keys, int]:
    """What each key of a track does, and the tick at which the track ends."""
    keys: defaultdict[tuple[int, int], _Key] = defaultdict(lambda: _Key([], []))
    tick = 0
    for event in events:
        if event.isDeltaTime():
            tick += event.time
        elif event.isNoteOn() or event.isNoteOff():
            key = keys[event.channel, event.pitch]
            key.ticks.append(tick)
            key.strikes.append(event.isNoteOn())
    return dict(keys), tick


def _spans(key: _Key) -> tuple[list[tuple[int, int]], Sequence[int]]:
    """The first and last tick of each note of a key, and the first ticks of notes that are never ended.

    Notes end in the order in which they began. Where that leaves a note without its end, as in files that strike a
    sounding key again and end it once, an end is that of all notes that began before it.
    """
    for ends_all in (False, True):
        spans: list[tuple[int, int]] = []
        sounding: list[int] = []
        for tick, strikes in zip(key.ticks, key.strikes, strict=True):
            if strikes:
                sounding.append(tick)
                continue
            earlier = sum(start < tick for start in sounding) if ends_all else 1
            spans += [(start, tick) for start in sounding[: max(earlier, 1)]]
            del sounding[: max(earlier, 1)]
        if not sounding:
            break
    return spans, sounding


def roll_of(score: Any, name: str, steps_per_quarter: int, keys: range) -> tuple[NDArray[np.uint8], int]:
    """The piano roll of a score of music21, and how many of its notes sound at no step; see :func:`read_midi`.

    Raises:
        InputError: there is no note, or a note is outside of ``keys``.
    """
    notes = []
    for element in score.flatten().notes:
        if "Unpitched" in element.classes or "PercussionChord" in element.classes:
            continue
        start = _fraction(element.offset)
        end = start + _fraction(element.quarterLength)
        notes += [_Note(int(pitch.midi), start, end) for pitch in element.pitches]
    return _roll(notes, name, steps_per_quarter, keys)


def _roll(notes: Sequence[_Note], name: str, steps_per_quarter: int, keys: range) -> tuple[NDArray[np.uint8], int]:
    """The piano roll of notes, and how many of them sound at no step."""
    if not notes:
        raise InputError(f"{name} has no note")
    outside = next((note.pitch for note in notes if note.pitch not in keys), None)
    if outside is not None:
        wanted = f"{keys.start} to {keys.stop - 1}"
        raise InputError(f"{name}: the pitch {outside} is outside of {wanted}; transpose the piece")
    steps = max(_step(max(note.end for note in notes), steps_per_quarter), 1)
    if steps > _MOST_STEPS:
        more = f"more than {_MOST_STEPS:,}"
        raise InputError(f"{name} has {steps:,} steps, {more}; give a smaller data.steps_per_quarter")
    roll = np.zeros((steps, len(keys)), dtype=np.uint8)
    unheard = 0
    for note in notes:
        first, last = _step(note.start, steps_per_quarter), _step(note.end, steps_per_quarter)
        roll[first:last, note.pitch - keys.start] = 1
        unheard += first >= last
    return roll, unheard


def _step(quarters: Fraction, steps_per_quarter: int) -> int:
    """The first step that is looked at no earlier than a time."""
    return math.ceil(quarters * steps_per_quarter - _LATE)


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
