"""Recordings: what is heard of a wav file, frames of sound, and what cannot be transcribed."""

import io
import struct
import tarfile

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.io import wavfile

from seqlab.config import build
from seqlab.data import LogMel, SpokenDigits, SyntheticDigits, TranscriptionData
from seqlab.data.core.batch import SPLITS
from seqlab.data.formats.audio import read_wav
from seqlab.data.transcription.sources import DIGITS
from seqlab.errors import InputError
from tests.conftest import config_of


def tone(frequency, rate=8000, seconds=0.5):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def written(path, samples, rate=8000, kind=np.int16):
    scale = {np.int16: 2**15, np.int32: 2**31, np.uint8: 128, np.float32: 1}[kind]
    values = samples * scale + (128 if kind is np.uint8 else 0)
    wavfile.write(path, rate, values.astype(kind))
    return path


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.uint8, np.float32])
def test_a_sound_is_the_same_in_every_width(tmp_path, kind):
    sound = read_wav(written(tmp_path / "a.wav", tone(440), kind=kind), 8000)
    np.testing.assert_allclose(sound.samples, tone(440), atol=0.01 if kind is np.uint8 else 1e-4)
    assert sound.samples.dtype == np.float32 and sound.changed == ()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("kind", "bits"), [("u", 8), ("i", 16), ("i", 24), ("i", 32), ("i", 64), ("f", 32), ("f", 64)])
def test_a_sound_is_the_same_in_either_byte_order(tmp_path, order, kind, bits):
    size = bits // 8
    scaled = tone(440) * (1 if kind == "f" else 2.0 ** (bits - 1)) + (128 if kind == "u" else 0)
    content = scaled.astype(f"{order}{kind}{4 if bits == 24 else size}").tobytes()
    if bits == 24:
        used = slice(1, 4) if order == ">" else slice(0, 3)
        content = np.frombuffer(content, np.uint8).reshape(-1, 4)[:, used].tobytes()
    form = struct.pack(f"{order}4sIHHIIHH", b"fmt ", 16, 3 if kind == "f" else 1, 1, 8000, 8000 * size, size, bits)
    body = b"WAVE" + form + b"data" + struct.pack(f"{order}I", len(content)) + content
    name = b"RIFF" if order == "<" else b"RIFX"
    (tmp_path / "a.wav").write_bytes(name + struct.pack(f"{order}I", len(body)) + body)
    np.testing.assert_allclose(read_wav(tmp_path / "a.wav", 8000).samples, tone(440), atol=0.01 if bits == 8 else 1e-4)


def test_floats_a_little_beyond_1_are_read_and_those_of_another_scale_refused(tmp_path):
    loud = read_wav(written(tmp_path / "loud.wav", 3 * tone(440), kind=np.float32), 8000)
    assert loud.samples.max() == pytest.approx(1.5, abs=0.01)
    written(tmp_path / "raw.wav", np.array([0.0, 9.0, -2048.0]), kind=np.float32)
    with pytest.raises(InputError, match=r"raw.wav has values up to 2048, .* -1 to 1: divide them by .* 32768"):
        read_wav(tmp_path / "raw.wav", 8000)


def test_another_rate_and_several_channels_are_changed_and_that_is_said(tmp_path):
    stereo = np.stack([tone(440, 44_100), np.zeros(22_050)], 1)
    sound = read_wav(written(tmp_path / "a.wav", stereo, 44_100), 8000)
    assert sound.changed == ("mixed from several channels", "resampled")
    np.testing.assert_allclose(sound.samples[200:-200], tone(440)[200:-200] / 2, atol=0.01)
    high = read_wav(written(tmp_path / "b.wav", tone(6000, 44_100), 44_100), 8000)  # more than 8 kHz can hold
    assert np.abs(high.samples[200:-200]).max() < 0.05


def test_what_is_no_wav_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.wav").write_text("RIFF, but not really a wave")
    (tmp_path / "empty.wav").write_bytes(b"")
    written(tmp_path / "silent.wav", np.zeros(0))
    whole = written(tmp_path / "whole.wav", tone(440)).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:5001])
    endless = b"\xff" * 4  # of a length that was not known when the header was written
    (tmp_path / "pipe.wav").write_bytes(whole[:4] + endless + whole[8:40] + endless + whole[44:])
    assert len(read_wav(tmp_path / "pipe.wav", 8000).samples) == 4000
    header = {"part": whole[:30], "nothing": whole[:12], "no-data": whole[:36]}
    header["no-channel"] = whole[:22] + b"\0\0" + whole[24:]
    header["no-rate"] = whole[:24] + b"\0" * 8 + whole[32:]
    header["fast"] = whole[:24] + struct.pack("<II", 2_000_000_000, 4_000_000_000) + whole[32:]
    for name, content in header.items():
        (tmp_path / f"{name}.wav").write_bytes(content)
    written(tmp_path / "nan.wav", np.full(100, np.nan), kind=np.float32)
    (tmp_path / "a b.mp3").write_bytes(b"ID3\x04\0" + b"\0" * 300)
    for name, error in (
        ("text.wav", "is no wav file that can be read: it seems to be text; give a wav file"),
        ("empty.wav", "is no wav file that can be read"),
        ("silent.wav", "has no sound"),
        ("nan.wav", "not finite"),
        ("a b.mp3", r"it is MP3 sound; convert it, such as by ffmpeg -i 'a b\.mp3' 'a b\.wav'"),
        ("none.wav", "is not there; give a wav file"),
        ("cut.wav", "ends before the sound that its header promises"),
        *((f"{name}.wav", "that can be read|header, which is broken") for name in header),
    ):
        with pytest.raises(InputError, match=error) as refused:
            read_wav(tmp_path / name, 8000)
        assert "\n" not in str(refused.value)


def test_a_tone_has_its_energy_in_the_band_of_its_frequency_and_frames_of_silence_are_the_floor():
    form = LogMel(rate=8000, num_mels=30, stack=1)
    centres = 700 * (10 ** (np.linspace(np.log10(1 + 20 / 700), np.log10(1 + 4000 / 700), 32)) - 1)[1:-1]
    for frequency in (300, 1000, 2500):
        frames = form.frames(tone(frequency).astype(np.float32))
        assert abs(int(frames[20].argmax()) - int(np.abs(centres - frequency).argmin())) <= 1
    silence = form.frames(np.zeros(4000, dtype=np.float32))
    np.testing.assert_allclose(silence, np.log(1e-6), rtol=1e-5)
    louder = form.frames((2 * tone(1000)).astype(np.float32)) - form.frames(tone(1000).astype(np.float32))
    assert louder[20].max() == pytest.approx(np.log(4), rel=1e-3)
    centred = LogMel(rate=8000, num_mels=30, stack=1, subtract_mean=True).frames(tone(1000).astype(np.float32))
    np.testing.assert_allclose(centred.mean(0), 0, atol=1e-4)
    whole = form.frames(tone(1000).astype(np.float32))
    np.testing.assert_allclose(centred, whole - whole.mean(0), atol=1e-4)
    assert form.frames(tone(440).astype(np.float32)).shape == (51, 30)
    stacked = LogMel(rate=8000, num_mels=30, stack=3).frames(tone(440).astype(np.float32))
    np.testing.assert_array_equal(stacked[1], form.frames(tone(440).astype(np.float32))[3:6].ravel())
    for options, error in (({"hop": 0.05}, "data.hop=0.05"), ({"num_mels": 0}, "data.num_mels=0")):
        with pytest.raises(InputError, match=error):
            LogMel(**options)


@pytest.fixture
def table(tmp_path):
    """Twenty tones; low ones are "low" and high ones "high high"."""
    rows = ["audio,text,who"]
    for number in range(20):
        low = number % 2
        written(tmp_path / f"{number}.wav", tone(300 if low else 2500, seconds=0.3 + 0.02 * number))
        rows.append(f"{number}.wav,{'low' if low else 'high high'},{number // 5}")
    (tmp_path / "table.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "table.csv"


def of_table(table, *overrides):
    return build.build_data(config_of("data=recordings", f"data.path={table}", "data.rate=8000", *overrides))


def test_recordings_come_with_what_is_said_in_them(table):
    data = of_table(table, "data.unit=word", "data.split=[0.6,0.2,0.2]")
    assert [len(data.lengths(split)) for split in SPLITS] == [12, 4, 4]
    batch = data.collate("train", [0, 1, 2])
    assert batch.inputs.shape[2] == 120 and (batch.lengths > 8).all()
    for row, utterance in enumerate(data.rows("train")[:3]):
        said = data.vocabulary.decode(batch.targets[row, : batch.target_lengths[row]].tolist())
        assert said == utterance.text
    frames = torch.cat([data.collate("train", [n]).inputs[0] for n in range(12)])
    mean, std = data.spec.statistics()
    torch.testing.assert_close(mean, frames.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(std, frames.std(0, correction=0), rtol=1e-4, atol=1e-4)
    assert len(data.input_files()) == 21
    assert data.spec.output_names()["frames"]["rate"] == 8000
    unique = of_table(table, "data.speaker=who", "data.split_unique=true", "data.split=[0.5,0.25,0.25]")
    speakers = [{row.speaker for row in unique.rows(split)} for split in SPLITS]
    assert not speakers[0] & speakers[1] and not speakers[1] & speakers[2] and not speakers[0] & speakers[2]
    marks = ["\n", *[" \n", "\u00a0\n", "\u200b\n", "\n"] * 5]  # white space, and a character of no width
    table.write_text("".join(map("".join, zip(table.read_text().splitlines(), marks, strict=True))))
    padded = of_table(table, "data.speaker=who", "data.split_unique=true", "data.split=[0.5,0.25,0.25]")
    assert [{row.speaker for row in padded.rows(split)} for split in SPLITS] == speakers


def test_what_cannot_be_transcribed_is_refused_with_its_place(table):
    text = table.read_text()
    for before, after, error in (
        ("0.wav,high high", "0.wav,", r"table.csv:2: text is empty"),
        ("0.wav,", "100.wav,", r"table.csv:2: .*100.wav is not there"),
        (
            "0.wav,high high",
            f"0.wav,{'high ' * 20}",
            r"table.csv:2: 'high high .*' needs \d+ frames, and the sound has",
        ),
        ("0.wav,high high", f"0.wav,{'h' * 6}", r"'hhhhhh' needs 11 frames, and the sound has 10"),  # a blank between
    ):
        table.write_text(text.replace(before, after, 1))
        with pytest.raises(InputError, match=error):
            of_table(table).spec  # noqa: B018
    typed = pd.read_csv(io.StringIO(text), dtype=str)
    for column in ("text", "audio", "who"):
        typed.assign(**{column: [None, *typed[column][1:]]}).to_parquet(table.with_suffix(".parquet"))
        with pytest.raises(InputError, match=rf"table.parquet:1: {column} is empty"):
            of_table(table.with_suffix(".parquet"), "data.speaker=who").spec  # noqa: B018
    table.write_text(text)
    written(table.parent / "0.wav", tone(300, seconds=0.001))
    assert of_table(table, "data.unit=word", "data.stack=1").spec.vocab_size == 3  # padded to a window
    with pytest.raises(InputError, match=r"keeps each speaker in one split: name the column by data.speaker="):
        of_table(table, "data.split_unique=true")
    table.write_text(text.replace(",2\n", ",1\n").replace(",3\n", ",0\n"))
    with pytest.raises(InputError, match=r"2 speakers cannot be kept apart in 3 splits; .*data.train="):
        of_table(table, "data.speaker=who", "data.split_unique=true").spec  # noqa: B018
    table.write_text(text)
    with pytest.raises(InputError, match=r"there is no column 'said', which data.text names"):
        of_table(table, "data.text=said").spec  # noqa: B018


@pytest.fixture
def archive(tmp_path):
    (tmp_path / "fsdd").mkdir()
    path = tmp_path / "fsdd" / "fsdd_recordings.tar.gz"
    with tarfile.open(path, "w:gz") as packed:
        for speaker in ("anna", "ben"):
            for digit in range(2):
                for index in range(12):
                    content = io.BytesIO()
                    wavfile.write(content, 8000, (tone(300 + 100 * digit, seconds=0.2) * 2**15).astype(np.int16))
                    entry = tarfile.TarInfo(f"recordings/{digit}_{speaker}_{index}.wav")
                    entry.size = len(content.getvalue())
                    packed.addfile(entry, io.BytesIO(content.getvalue()))
    return path


def test_spoken_digits_have_their_official_split_or_a_speaker_left_out(archive):
    source = SpokenDigits(archive)
    assert {split: len(source.read(split)) for split in SPLITS} == {
        "train": 8,
        "validation": 20,
        "test": 20,
    }
    left_out = SpokenDigits(archive, speaker="ben")
    assert {row.speaker for row in left_out.read("test")} == {"ben"} and len(left_out.read("test")) == 24
    assert {row.speaker for split in ("train", "validation") for row in left_out.read(split)} == {"anna"}
    with pytest.raises(InputError, match=r"data.speaker=carl must be one of anna, ben"):
        SpokenDigits(archive, speaker="carl").read("test")
    strings = SpokenDigits(archive, digits=3, strings=30)
    assert [len(strings.read(split)) for split in SPLITS] == [30, 3, 3]
    assert all(len(row.text.split()) == 3 and set(row.text.split()) <= set(DIGITS) for row in strings.read("train"))
    data = build.build_data(config_of("data=spoken_digits", f"data.root={archive.parents[1]}"))
    assert isinstance(data, TranscriptionData) and data.spec.vocab_size == 3
    archive.write_text("no archive")
    with pytest.raises(InputError, match="cannot be read"):
        SpokenDigits(archive).read("train")


def test_synthetic_digits_have_voices_of_their_own_in_each_split(tmp_path):
    source = SyntheticDigits(sizes=(60, 30, 30), cache_dir=tmp_path)
    orders = {split: source.orders(split) for split in SPLITS}
    for field in ("voice", "speed", "noise"):
        used = [{str(getattr(order, field)).rpartition("+")[2] for order in each} for each in orders.values()]
        assert not used[0] & used[1] and not used[1] & used[2] and not used[0] & used[2], field
    other = SyntheticDigits(sizes=(60, 30, 30), test_voices=["victor"], cache_dir=tmp_path)
    assert [other.orders(split) == orders[split] for split in SPLITS] == [True, True, False]
    assert {order.voice.rpartition("+")[2] for order in other.orders("test")} == {"victor"}
    for wrong, error in (
        (["m1"], "train has m1"),
        (["victor", "f4"], "validation has f4"),
        ("victor", "list"),
        ([], "list"),
    ):
        with pytest.raises(InputError, match=error):
            SyntheticDigits(test_voices=wrong)


@pytest.mark.slow
def test_the_synthesiser_says_the_same_each_time(tmp_path):
    pytest.importorskip("espeakng_loader", reason="the extra `speech` is not installed")
    rows = [SyntheticDigits(sizes=(4, 1, 1), cache_dir=tmp_path / name).read("train") for name in ("one", "two")]
    for one, other in zip(*rows, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
        assert one.text == other.text and 0.2 < len(one.samples) / 8000 < 6 and np.abs(one.samples).max() > 0.05
    overrides = ("data=synthetic_digits", "data.sizes=[4,1,1]", f"data.cache_dir={tmp_path / 'one'}")
    assert build.build_data(config_of(*overrides)).spec.unit == "word"


def test_bands_that_never_change_are_told_of_and_divided_by_one(tmp_path):
    rows = ["audio,text"]
    for number in range(20):
        written(tmp_path / f"{number}.wav", np.zeros(1600 + 80 * number))
        rows.append(f"{number}.wav,a")
    (tmp_path / "table.csv").write_text("\n".join(rows) + "\n")
    data = of_table(tmp_path / "table.csv", "data.num_mels=3", "data.stack=1")
    assert data.spec.stds == (1, 1, 1)
    assert "3 of 3 numbers of a step never change" in data.summaries()[0].line()


def test_quoted_lines_that_are_rows_are_refused_and_tables_are_read_as_they_are_written(table):
    lines = table.read_text().splitlines()
    audio, text = (lines[0].split(",").index(name) for name in ("audio", "text"))
    rows = [f"{row.split(',')[audio]},{row.split(',')[text]}" for row in lines[1:]]
    opened, closed = rows[1].replace(",", ',"'), rows[4] + '"'
    table.write_text("\n".join(["audio,text", rows[0], opened, *rows[2:4], closed, *rows[5:]]) + "\n")
    with pytest.raises(
        InputError, match=r"csv:3: a quote opens here whose value spans 4 lines, 3 of which would be rows"
    ):
        of_table(table).spec  # noqa: B018
    plain = of_table(table, "data.quoting=none")
    assert sum(len(plain.rows(split)) for split in SPLITS) == len(rows)
    lone = rows[1].replace(",", ',"') + '\n, and so on"'  # prose, not a row
    table.write_text(
        "\n".join(["audio;text", *(row.replace(",", ";", 1) for row in [rows[0], lone, *rows[2:]])]) + "\n"
    )
    with pytest.raises(InputError, match=r"csv:4: .*give data\.separator=semicolon"):
        of_table(table).spec  # noqa: B018
    written = of_table(table, "data.separator=semicolon")
    texts = [row.text for split in SPLITS for row in written.rows(split)]
    assert len(texts) == len(rows) and sum("\n" in text for text in texts) == 1


def test_recordings_that_stand_in_two_splits_are_told_of(table):
    part = table.with_name("part.csv")
    part.write_text("\n".join(table.read_text().splitlines()[:3]) + "\n")
    last = table.with_name("last.csv")
    last.write_text("\n".join(table.read_text().splitlines()[i] for i in (0, 2)) + "\n")
    files = (f"data.train={table}", f"data.validation={part}", f"data.test={last}")
    data = build.build_data(config_of("data=recordings", *files, "data.rate=8000"))
    _, validation, test = (summary.line() for summary in data.summaries())
    assert "2 of 2 recordings stand in train too" in validation
    assert "1 of 1 recording stands in train too, 1 in validation" in test
