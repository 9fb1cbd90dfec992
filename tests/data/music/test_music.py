"""Pieces of music: what is read of files, how streams are cut, and what is never predicted."""

import struct

import numpy as np
import pytest
from scipy.io import savemat

from seqlab.config import build
from seqlab.data import Canon, Chorales, MidiFiles, MusicData, PianoRolls, Piece, Windows
from seqlab.data.formats.midi import read_midi, write_midi
from seqlab.data.music.sources import tune_of
from seqlab.errors import InputError
from tests.conftest import config_of

PIANO = range(21, 109)
music21 = pytest.importorskip("music21", reason="the extra `music` is not installed")


class Pieces:
    """Pieces of given lengths whose n-th frame, through all of them, has the key n."""

    steps_per_quarter = 1

    def __init__(self, *lengths):
        self.lengths = lengths

    def __str__(self):
        return "the pieces"

    def read(self, split):
        frames = np.eye(88, dtype=np.uint8)
        starts = np.cumsum([0, *self.lengths])
        return [
            Piece(f"piece {n}", frames[first : first + size])
            for n, (first, size) in enumerate(zip(starts, self.lengths, strict=False))
        ]


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("steps", [1, 3, 100])
def test_each_frame_but_a_pieces_first_is_predicted_once_from_the_one_before_it(batch_size, steps):
    lengths = (5, 2, 9, 3)
    data = MusicData(Pieces(*lengths), Windows(batch_size=batch_size, tbptt_steps=steps))
    seen = []
    for batch in data.train_dataloader():
        assert bool((batch.mask.sum(1) <= batch.lengths).all())
        for row, step in batch.mask.nonzero().tolist():
            before, after = batch.inputs[row, step], batch.targets[row, step]
            assert int(after.argmax()) == int(before.argmax()) + 1
            seen.append(int(after.argmax()))
    starts = np.cumsum((0, *lengths))[:-1].tolist()
    assert sorted(seen) == [frame for frame in range(sum(lengths)) if frame not in starts]


def test_a_row_begins_anew_at_each_piece():
    data = MusicData(Pieces(5, 2, 9), Windows(batch_size=1, tbptt_steps=3))
    windows = [(b.is_first.tolist(), int(b.inputs[0, 0].argmax()), int(b.lengths)) for b in data.train_dataloader()]
    assert windows == [
        ([True], 0, 3),
        ([False], 3, 2),
        ([True], 5, 2),
        ([True], 7, 3),
        ([False], 10, 3),
        ([False], 13, 2),
    ]


def test_transposed_pieces_are_for_training_alone_and_stay_on_the_keyboard():
    data = MusicData(Pieces(5, 4), Windows(batch_size=1), transpose=1)
    assert len(data.documents("train")) == 5 and len(data.documents("test")) == 2  # not below the lowest key
    rolls = np.split(data.steps("train"), data.documents("train")[1:])
    assert [int(roll[0].argmax()) for roll in rolls] == [0, 5, 1, 6, 4]
    assert "3 pieces of them transposed" in data.summaries()[0].line()


def test_pieces_of_one_frame_are_left_out_and_counted():
    data = MusicData(Pieces(5, 1, 3), Windows(batch_size=1))
    assert len(data.documents("train")) == 2 and "left out: 1 piece of a single frame" in data.summaries()[0].line()
    with pytest.raises(InputError, match="the train split of the pieces has no piece of two frames"):
        MusicData(Pieces(1, 1)).spec  # noqa: B018


def test_what_is_written_as_midi_reads_back_the_same(tmp_path, caplog):
    roll = np.zeros((12, 88), dtype=np.uint8)
    roll[0:4, 39] = roll[2:3, 43] = roll[6:12, 30] = roll[5:6, 87] = roll[11:12, 0] = 1
    for steps in (1, 4):
        write_midi(roll, tmp_path / f"{steps}.mid", steps, PIANO)
        np.testing.assert_array_equal(read_midi(tmp_path / f"{steps}.mid", steps, PIANO), roll)
    coarse = read_midi(tmp_path / "4.mid", 2, PIANO)
    assert "notes too short to sound at any step: 2" in caplog.text
    assert coarse.shape == (6, 88) and coarse[0:2, 39].all() and coarse[1, 43] and not coarse[2:, 43].any()
    with pytest.raises(InputError, match="nothing sounds"):
        write_midi(roll * 0, tmp_path / "silent.mid", 1, PIANO)


ON, OFF = 64, 0  # velocities


def midi_of(file, *tracks, form=1, division=480):
    """A MIDI file of tracks, each the events (tick, channel from 1, key, velocity) in order, in running status."""
    chunks = []
    for events in tracks:
        now, content, status = 0, b"", None
        for tick, channel, key, velocity in events:
            wait = tick - now
            content += bytes([wait >> 7 | 128, wait & 127])
            content += b"" if status == channel else bytes([0x90 | channel - 1])
            content += bytes([key, velocity])
            now, status = tick, channel
        content += b"\x00\xff\x2f\x00"
        chunks.append(b"MTrk" + struct.pack(">I", len(content)) + content)
    file.write_bytes(b"MThd" + struct.pack(">IHHH", 6, form, len(tracks), division) + b"".join(chunks))
    return file


def sounding(file):
    """The steps of a sixteenth at which each key sounds."""
    roll = read_midi(file, 4, PIANO)
    return {key + 21: np.flatnonzero(roll[:, key]).tolist() for key in np.flatnonzero(roll.any(0)).tolist()}


@pytest.mark.parametrize(
    ("tracks", "form"),
    [
        (
            [
                [
                    (0, 1, 60, ON),
                    (0, 10, 36, ON),
                    (0, 2, 64, ON),
                    (480, 10, 36, OFF),
                    (480, 1, 60, OFF),
                    (960, 2, 64, OFF),
                ]
            ],
            0,
        ),
        ([[(0, 10, 36, ON), (0, 1, 60, ON), (480, 1, 60, OFF)], [(0, 2, 64, ON), (960, 2, 64, OFF)]], 1),
    ],
)
def test_notes_that_are_struck_together_with_a_drum_are_kept_and_drums_are_not(tmp_path, tracks, form):
    file = midi_of(tmp_path / "a.mid", *tracks, form=form)
    assert sounding(file) == {60: [0, 1, 2, 3], 64: [*range(8)]}


@pytest.mark.parametrize(
    ("events", "steps"),
    [
        ([(0, ON), (480, ON), (500, OFF), (960, OFF)], range(8)),  # legato
        ([(0, ON), (480, ON), (480, OFF), (960, OFF)], range(8)),
        ([(0, ON), (480, OFF), (480, ON), (960, OFF)], range(8)),
        ([(0, ON), (240, ON), (480, OFF), (960, ON), (1440, OFF)], [*range(4), *range(8, 12)]),  # two notes end at once
        ([(0, OFF), (0, ON), (480, OFF), (480, OFF), (960, ON), (1440, OFF)], [*range(4), *range(8, 12)]),
    ],
)
def test_a_key_sounds_from_the_first_of_overlapping_notes_to_the_end_of_the_last(tmp_path, events, steps, caplog):
    file = midi_of(tmp_path / "a.mid", [(tick, 1, 60, velocity) for tick, velocity in events])
    assert sounding(file) == {60: list(steps)} and not caplog.text
    halves = [(0, 1, 60, ON), (500, 1, 60, OFF)], [(480, 1, 60, ON), (960, 1, 60, OFF)]
    assert sounding(midi_of(tmp_path / "b.mid", *halves)) == {60: [*range(8)]}


def test_a_note_that_is_never_ended_sounds_to_the_end_of_its_track_and_is_counted(tmp_path, caplog):
    file = midi_of(tmp_path / "a.mid", [(0, 1, 60, ON), (480, 1, 62, ON), (960, 1, 62, OFF)])
    assert sounding(file) == {60: [*range(8)], 62: [4, 5, 6, 7]}
    assert "notes that are never ended, and sound to the end of their track: 1" in caplog.text


def test_files_without_a_melody_or_quarter_notes_are_refused(tmp_path):
    drum, note = ([(0, channel, 36, ON), (480, channel, 36, OFF)] for channel in (10, 1))
    with pytest.raises(InputError, match=r"no note but those of drums \(channel 10\).*leave out the file"):
        read_midi(midi_of(tmp_path / "drums.mid", drum), 4, PIANO)
    for division in (0, 0xE719):  # 25 frames a second of 25 ticks
        with pytest.raises(InputError, match="save it with these, as 480 a quarter"):
            read_midi(midi_of(tmp_path / "film.mid", note, division=division), 4, PIANO)


def test_files_that_are_no_music_are_refused_in_one_line(tmp_path, caplog):
    (tmp_path / "text.mid").write_text("do re mi")
    (tmp_path / "header.mid").write_bytes(b"MThd\x00\x00\x00\x06\x00\x01\x00")
    whole = midi_of(tmp_path / "whole.mid", *[[(0, 1, 60, ON), (480, 1, 60, OFF)]] * 2).read_bytes()
    (tmp_path / "broken.mid").write_bytes(b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk\0\0\0\3\0\x90\x3c")
    (tmp_path / "cut.mid").write_bytes(whole[:-9])
    (tmp_path / "fewer.mid").write_bytes(whole[:11] + b"\3" + whole[12:])
    (tmp_path / "format2.mid").write_bytes(whole[:9] + b"\2" + whole[10:])
    write_midi(np.eye(88, dtype=np.uint8), tmp_path / "all.mid", 1, PIANO)
    for name, error in (
        ("text.mid", "is no MIDI file"),
        ("broken.mid", "has no note"),
        ("header.mid", "ends before the music that it promises"),
        ("cut.mid", "ends before the music that it promises"),
        ("fewer.mid", "ends before the music that it promises"),
        ("format2.mid", "is of format 2, whose tracks are pieces of their own"),
        ("none.mid", "is not there; give a MIDI file"),
    ):
        with pytest.raises(InputError, match=error) as refused:
            read_midi(tmp_path / name, 1, PIANO)
        assert "\n" not in str(refused.value)
    assert "broken.mid: tracks that are damaged, whose end is not read: 1" in caplog.text
    with pytest.raises(InputError, match="the pitch 108 is outside of 21 to 107; transpose"):
        read_midi(tmp_path / "all.mid", 1, range(21, 108))


def test_all_tracks_are_read_and_chunks_of_other_kinds_left_out(tmp_path):
    """A header may be longer than today's, and announce fewer tracks than there are."""
    tracks = [[(0, 1, key, ON), (480, 1, key, OFF)] for key in (60, 64)]
    whole = midi_of(tmp_path / "a.mid", *tracks).read_bytes()
    other = b"XFIH" + struct.pack(">I", 5) + b"hello"
    file = tmp_path / "b.mid"
    file.write_bytes(whole[:7] + b"\x08" + whole[8:11] + b"\1" + whole[12:14] + b"\0\0" + other + whole[14:])
    assert sounding(file) == sounding(tmp_path / "a.mid") == {60: [*range(4)], 64: [*range(4)]}
    file.write_bytes(whole + b"TAG of another program, and no chunk")
    assert sounding(file) == sounding(tmp_path / "a.mid")


def test_midi_files_are_cut_or_come_in_splits(tmp_path):
    for number in range(10):
        write_midi(np.roll(np.eye(4, 88, 40, dtype=np.uint8), number, 1), tmp_path / f"{number}.mid", 1, PIANO)
    data = build.build_data(config_of("data=midi", f"data.path={tmp_path}/*.mid", "data.steps_per_quarter=1"))
    assert isinstance(data.source, MidiFiles) and len(data.input_files()) == 10
    assert [len(data.pieces[split]) for split in ("train", "validation", "test")] == [8, 1, 1]
    splits = [f"data.{name}={tmp_path}/{n}.mid" for name, n in (("train", 1), ("validation", 2), ("test", 3))]
    data = build.build_data(config_of("data=midi", *splits))
    assert data.spec.steps_per_quarter == 4 and len(data.steps("train")) == 16
    assert data.spec.output_names() == {"pitches": list(PIANO), "steps_per_quarter": 4}


def test_published_rolls_keep_their_splits(tmp_path):
    def cells(*lengths):
        made = np.empty((1, len(lengths)), dtype=object)
        for place, length in enumerate(lengths):
            made[0, place] = np.eye(length, 88)
        return made

    (tmp_path / "music").mkdir()
    file = tmp_path / "music" / "JSB_Chorales.mat"
    savemat(file, {"traindata": cells(5, 3), "validdata": cells(4), "testdata": cells(2)})
    data = build.build_data(config_of("data=piano_rolls", f"data.root={tmp_path}"))
    assert [len(data.steps(split)) for split in ("train", "validation", "test")] == [8, 4, 2]
    savemat(file, {"traindata": cells(5)})
    with pytest.raises(InputError, match="has no validdata"):
        PianoRolls(file).read("validation")
    file.write_text("no matrix")
    with pytest.raises(InputError, match="is not a MATLAB file of piano rolls"):
        PianoRolls(file).read("train")


def test_the_lower_voice_of_a_canon_is_the_upper_one_later_and_its_least_loss_is_that_of_the_known_chances():
    canon = Canon(sizes=(3, 1, 1), frames=20, delay=4)
    for piece in canon.read("train"):
        voices = [np.flatnonzero(frame).tolist() for frame in piece.roll]
        assert all(len(voice) == 1 for voice in voices[:4])
        for frame in range(4, 20):
            upper = voices[frame - 4][-1]
            assert voices[frame][0] == upper - 12 or len(voices[frame]) == 1
            assert piece.roll[frame, upper - 12] == 1
    assert [p.roll.tolist() for p in canon.read("test")] != [p.roll.tolist() for p in canon.read("validation")]
    other = Canon(sizes=(3, 1, 1), frames=20, delay=9)
    assert canon.least_loss("train") == other.least_loss("train") < 4 * 0.5624
    assert isinstance(build.build_data(config_of("data=canon")).source, Canon)


@pytest.mark.slow
def test_chorales_of_one_tune_stay_in_one_split(tmp_path, monkeypatch):
    found = music21.corpus.getComposer("bach")
    few = [
        path
        for path in found
        if str(path).endswith(("bwv253.mxl", "bwv254.mxl", "bwv255.mxl", "bwv256.mxl", "bwv257.mxl", "bwv258.mxl"))
    ]
    monkeypatch.setattr(music21.corpus, "getComposer", lambda name: [*few, few[0]])
    source = Chorales(cache_dir=tmp_path)
    pieces = {split: source.read(split) for split in ("train", "validation", "test")}
    assert sum(map(len, pieces.values())) == 7
    homes = [split for split, rows in pieces.items() for piece in rows if piece.name == few[0].stem]
    assert len(homes) == 2 and len(set(homes)) == 1
    assert all(3 <= piece.roll.sum(1).max() <= 5 for rows in pieces.values() for piece in rows)
    monkeypatch.setattr(music21.corpus, "getComposer", None)  # from now on they are kept
    assert len(Chorales(cache_dir=tmp_path).read("train")) == len(pieces["train"])
    assert build.build_data(config_of("data=chorales", f"data.cache_dir={tmp_path}")).steps("train").shape[1] == 88


def test_a_tune_is_known_in_any_key():
    assert tune_of([60, 62, 64, 64, 65]) == tune_of([62, 64, 66, 67]) != tune_of([60, 61, 64, 65])


def test_pieces_that_stand_in_two_splits_are_told_of():
    train, validation, _ = (summary.line() for summary in MusicData(Pieces(5, 2)).summaries())
    assert "stand" not in train and "2 of 2 pieces stand in train too" in validation
