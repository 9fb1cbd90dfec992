"""Clips: arrays and folders of pictures, in the right order and shape, or refused with the file."""

import struct

import numpy as np
import pytest
from PIL import Image

from seqlab.data.captions.pictures import read_picture
from seqlab.data.formats.clips import Clip, ClipFormat, frame_files, read_clip, warn_of_scale, warn_of_two_scales
from seqlab.errors import InputError


def save(folder, name, pixels, mode=None):
    folder.mkdir(exist_ok=True)
    picture = Image.fromarray(np.asarray(pixels, dtype=np.uint8))
    (picture if mode is None else picture.convert(mode)).save(folder / name)


def test_the_frames_of_a_folder_are_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 1):
        save(tmp_path / "clip", f"frame{number}.png", np.full((4, 6), number))
    (tmp_path / "clip" / ".hidden").write_text("left by a viewer")
    frames = read_clip(tmp_path / "clip")
    assert frames.shape == (3, 1, 4, 6) and frames.dtype == np.uint8
    assert frames[:, 0, 0, 0].tolist() == [1, 9, 10]


@pytest.mark.parametrize(
    "names", [("t0.5", "t1.25", "t10.0"), ("v1.2-3", "v1.2-10"), ("2024.1.2", "2024.1.10"), ("01", "2", "10")]
)
def test_numbers_with_points_are_in_order_where_both_readings_have_it(tmp_path, names):
    for name in reversed(names):
        (tmp_path / f"{name}.png").touch()
    assert [file.stem for file in frame_files(tmp_path)] == list(names)


def test_decimals_that_would_stand_in_another_order_are_refused(tmp_path):
    for name in ("t0.9", "t0.10"):
        (tmp_path / f"{name}.png").touch()
    with pytest.raises(
        InputError, match=r"t0\.9\.png comes before t0\.10\.png if .* whole, and after it if they are dec"
    ):
        frame_files(tmp_path)


def test_colours_are_channels_and_whole_alpha_is_dropped(tmp_path):
    pixels = np.arange(2 * 3 * 3).reshape(2, 3, 3)
    save(tmp_path / "clip", "1.png", pixels)
    save(tmp_path / "clip", "2.png", pixels, "RGBA")
    frames = read_clip(tmp_path / "clip")
    np.testing.assert_array_equal(frames, np.stack([pixels.transpose(2, 0, 1)] * 2))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_frames_are_turned_upright_as_a_viewer_shows_them(tmp_path, kind):
    pixels = np.array([[0, 100, 200], [50, 150, 250]], dtype=kind)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    (tmp_path / "clip").mkdir()
    Image.fromarray(pixels).save(tmp_path / "clip" / "1.png", exif=exif)
    Image.fromarray(np.rot90(pixels, -1).copy()).save(tmp_path / "clip" / "2.png")
    turned, upright = read_clip(tmp_path / "clip")
    assert turned.shape == (1, 3, 2)
    np.testing.assert_array_equal(turned, upright)


def test_arrays_with_and_without_channels_keep_their_numbers(tmp_path):
    clip = np.random.default_rng(0).random((5, 4, 6))
    np.save(tmp_path / "grey.npy", clip)
    np.save(tmp_path / "colour.npy", (255 * np.stack([clip] * 3, 1)).astype(np.uint8))
    np.testing.assert_array_equal(read_clip(tmp_path / "grey.npy")[:, 0], clip.astype(np.float32))
    colour = read_clip(tmp_path / "colour.npy")
    assert colour.shape == (5, 3, 4, 6) and colour.dtype == np.uint8


def test_frames_are_scaled_to_one_size_and_a_flat_picture_stays_as_it_is(tmp_path):
    np.save(tmp_path / "flat.npy", np.full((2, 9, 7), 100, dtype=np.uint8))
    scaled = read_clip(tmp_path / "flat.npy", ClipFormat((4, 3)))
    assert scaled.shape == (2, 1, 4, 3) and scaled.dtype == np.uint8 and (scaled == 100).all()
    halves = np.zeros((1, 8, 8), dtype=np.float32)
    halves[:, :, 4:] = 1.0
    np.save(tmp_path / "halves.npy", halves)
    small = read_clip(tmp_path / "halves.npy", ClipFormat([2, 2]))
    assert small[0, 0, 0, 0] < 0.2 and small[0, 0, 0, 1] > 0.8
    with pytest.raises(InputError, match=r"data.frame_size=\[4\] must be two whole numbers"):
        ClipFormat([4])


def test_what_is_no_clip_is_refused_by_name(tmp_path):
    arrays = {
        "flat.npy": (
            np.zeros((3, 4)),
            r"expected numbers \(T, H, W\) or \(T, C, H, W\).*got float64 of shape \(3, 4\)",
        ),
        "none.npy": (np.zeros((0, 4, 4)), r"none of them 0"),
        "last.npy": (np.zeros((2, 8, 9, 3)), r"looks like \(T, H, W, C\).*array.transpose\(0, 3, 1, 2\)"),
        "nan.npy": (np.stack([np.zeros((2, 2)), np.full((2, 2), np.nan)]), r"frame 2 has a value that is not finite"),
        "huge.npy": (np.full((1, 2, 2), 1e39), r"frame 1 has a value that is not finite"),
        "complex.npy": (np.zeros((2, 2, 2), dtype=complex), r"got complex128"),
    }
    for name, (array, error) in arrays.items():
        np.save(tmp_path / name, array)
        with pytest.raises(InputError, match=error):
            read_clip(tmp_path / name)
    (tmp_path / "film.mp4").write_bytes(b"film")
    (tmp_path / "text.npy").write_text("text")
    (tmp_path / "empty").mkdir()
    for name, error in (
        ("film.mp4", "ffmpeg -i film.mp4"),
        ("text.npy", "is not a npy file"),
        ("empty", "empty folder"),
    ):
        with pytest.raises(InputError, match=error):
            read_clip(tmp_path / name)


def test_pictures_that_differ_or_are_none_are_refused_by_name(tmp_path):
    def folder(name, *more):
        save(tmp_path / name, "1.png", np.zeros((4, 4)))
        for each in more:
            save(tmp_path / name, *each)
        return tmp_path / name

    clear = np.zeros((4, 4, 4))
    (folder("text") / "notes.txt").write_text("walk")
    Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(folder("bits") / "2.png")
    (folder("broken") / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    for path, error in (
        (folder("size", ("2.png", np.zeros((5, 4)))), r"2.png: a frame of 5 x 4 pixels in grey, and 4 x 4 .* 1.png"),
        (folder("colour", ("2.png", np.zeros((4, 4, 3)))), r"4 x 4 pixels in colour, and 4 x 4 pixels in grey"),
        (folder("alpha", ("2.png", clear)), r"2.png is partly transparent"),
        (tmp_path / "bits", r"2.png: its pixels have other bits than those of 1.png"),
        (tmp_path / "text", r"1 of 2 files are no pictures, such as notes.txt"),
        (tmp_path / "broken", r"2.png is not a picture that can be read"),
    ):
        with pytest.raises(InputError, match=error):
            read_clip(path)


@pytest.mark.parametrize("read", [lambda file: read_clip(file.parent), lambda file: read_picture(file, (3, 8, 8))])
def test_a_picture_whose_header_is_damaged_is_refused_by_name(tmp_path, read):
    for name, at, damage in (("1.bmp", 18, struct.pack("<ii", 60000, 60000)), ("1.tif", None, b"\2")):
        file = tmp_path / name.partition(".")[2] / name
        save(file.parent, name, np.zeros((4, 4, 3)))
        content = bytearray(file.read_bytes())
        at = at or struct.unpack("<I", content[4:8])[0] + 4  # the type of the first entry, the width
        content[at : at + len(damage)] = damage
        file.write_bytes(content)
        with pytest.raises(InputError, match=rf"{name} is n.* picture that can be read"):
            read(file)


def _clip(name, values):
    return Clip(name, np.asarray(values).reshape(-1, 1, 1, 2), "", f"{name}.npy")


def test_clips_of_two_scales_are_told_and_those_of_one_are_not(caplog):
    byte, real = _clip("byte", np.array([0, 200], np.uint8)), _clip("real", np.array([0.0, 0.9], np.float32))
    black, other = _clip("black", np.zeros(2, np.uint8)), _clip("other", np.array([-3.0, 300.0], np.float32))
    warn_of_two_scales([byte, black, _clip("wide", np.array([0.0, 255.0], np.float32))])
    warn_of_two_scales([real, black, other])
    assert not caplog.messages
    warn_of_two_scales([black, byte, real])
    (line,) = caplog.messages
    assert line.startswith("real.npy: its values are from 0 to 1, and from 0 to 255 at byte.npy")


@pytest.mark.parametrize(
    ("means", "stds", "values", "warned"),
    [
        ((0.1,), (0.3,), [0, 200], "0 to 255, and those of training seem to be from 0 to 1"),
        ((30.0,), (60.0,), [0.0, 1.0], "0 to 1, and those of training seem to be from 0 to 255"),
        ((0.1,), (0.3,), [0.0, 1.0], None),
        ((30.0,), (60.0,), [0, 200], None),
        ((0.0,), (1.0,), [0.0, 1.0], None),
    ],
)
def test_a_new_clip_of_another_scale_than_trainings_is_told(caplog, means, stds, values, warned):
    warn_of_scale(_clip("new", np.array(values, np.float32)), means, stds)
    assert (warned in caplog.text) if warned else not caplog.text
