"""Pictures with descriptions: scenes that mean one sentence, a user's own files, and what cannot be read."""

import json

import numpy as np
import pytest
from PIL import Image

from seqlab.config import build
from seqlab.data import CaptionData, Pictures, Scenes
from seqlab.data.captions.pictures import read_picture
from seqlab.data.captions.scenes import COLOURS, SHAPES, Scene, draw, pairs_of_test
from seqlab.errors import InputError
from tests.conftest import config_of

SPLITS = ("train", "validation", "test")


@pytest.mark.parametrize("held_out", [0, 5])
def test_scenes_of_the_test_have_combinations_that_the_others_never_have(held_out):
    pairs = pairs_of_test(held_out)  # each colour lacks a shape, and each shape a colour
    assert len(pairs) == len(dict(pairs)) == 8 and {shape for _, shape in pairs} == set(SHAPES)
    scenes = {split: Scenes(sizes=(300, 60, 60), held_out=held_out).scenes(split) for split in SPLITS}
    for split, made in scenes.items():
        unseen = [bool({scene.first, scene.second} & pairs) for scene in made]
        assert all(unseen) if split == "test" else not any(unseen)
    assert not pairs_of_test(0) & pairs_of_test(5)
    words = {split: {word for scene in made for word in scene.text.split()} for split, made in scenes.items()}
    assert words["test"] <= words["train"]


@pytest.mark.parametrize("held_out", [6, -1, 0.5])
def test_pairs_that_there_are_none_of_are_refused(held_out):
    with pytest.raises(InputError, match=r"data\.held_out="):
        Scenes(held_out=held_out)


def test_a_scene_is_drawn_as_its_sentence_says():
    for scene in Scenes(sizes=(60, 1, 1)).scenes("train"):
        (x1, y1), (x2, y2) = scene.places
        along, across = (x2 - x1, y2 - y1) if scene.relation == "left of" else (y2 - y1, x2 - x1)
        assert along >= 12 and abs(across) <= 2
        picture = draw(scene)
        for (colour, shape), (x, y) in zip((scene.first, scene.second), scene.places, strict=True):
            if shape != "ring":
                np.testing.assert_allclose(picture[:, y, x], COLOURS[colour])
    pictures = [draw(Scene(("red", shape), ("red", shape), "above", ((9, 9), (9, 22)))) for shape in SHAPES]
    assert len({picture.tobytes() for picture in pictures}) == len(SHAPES)


@pytest.fixture
def folder(tmp_path):
    for number in range(12):
        Image.new("RGB", (20, 10), (20 * number, 0, 255)).save(tmp_path / f"{number}.png")
    rows = [f"{number}.png,picture {'small' if number < 6 else 'large'}" for number in range(12)]
    rows += ["0.png,a second description"]
    (tmp_path / "table.csv").write_text("picture,text\n" + "\n".join(rows) + "\n")
    return tmp_path


def data_of(file, *overrides):
    return build.build_data(config_of("data=pictures", f"data.path={file}", "data.picture_size=[3,8,16]", *overrides))


def test_each_description_is_an_example_of_training_and_each_picture_one_of_the_test(folder):
    data = data_of(folder / "table.csv", "data.split=[0.5,0.25,0.25]")
    texts = {split: [row.texts for row in data.rows(split)] for split in SPLITS}
    assert [len(texts[split]) for split in SPLITS] == [6, 3, 3]
    examples = sum(len(each) for each in texts["train"])
    assert len(data.lengths("train")) == examples and len(data.lengths("test")) == 3
    batch = data.collate("train", list(range(examples)))
    assert batch.source.shape == (examples, 3, 8, 16) and float(batch.source[:, 2].min()) == 1.0
    written = [data.vocabulary.decode(row[row >= 0][:-1].tolist()) for row in batch.targets]
    assert written == [text for each in texts["train"] for text in each]
    assert data.collate("test", [0, 1]).references == tuple(texts["test"][:2])
    assert len(data.input_files()) == 13
    size = len(data.vocabulary)
    assert data.spec.output_names() == {"bos_id": size, "eos_id": size + 1}


def test_a_file_in_the_form_of_coco_is_the_same_as_a_table(folder, tmp_path, caplog):
    images = [{"id": 7 + number, "file_name": f"{number}.png"} for number in range(12)]
    captions = [{"image_id": 7 + number, "caption": f"picture\n{number}"} for number in range(12)]
    file = tmp_path / "captions.json"
    file.write_text(json.dumps({"images": images, "annotations": [*captions, {"image_id": 7, "caption": "zero"}]}))
    data = data_of(file, f"data.folder={folder}")
    texts = [row.texts for split in SPLITS for row in data.rows(split)]
    assert ("picture 0", "zero") in texts and len(texts) == 12
    file.write_text(json.dumps({"images": [*images, {"id": 1, "file_name": "bare.png"}], "annotations": captions}))
    data_of(file, f"data.folder={folder}").spec  # noqa: B018
    assert "images without a caption are left out: 1, such as bare.png" in caplog.text
    for change, error in (
        ({"images": images}, "annotations.*is not there"),
        (
            {"images": [*images, {"id": 7, "file_name": "b.png"}], "annotations": captions},
            "image 7 is 0.png, and b.png",
        ),
        ({"images": images, "annotations": [{"image_id": 7, "caption": None}]}, "caption 1: the description is empty"),
        ({"images": images, "annotations": [{"image_id": 1, "caption": "x"}]}, "of the image 1, which is not among"),
    ):
        file.write_text(json.dumps(change))
        with pytest.raises(InputError, match=error):
            data_of(file, f"data.folder={folder}").spec  # noqa: B018
    file.write_text('{"images": [{"id": 7, "id": 8, "file_name": "0.png"}], "annotations": []}')
    with pytest.raises(InputError, match="two values of 'id' in one object"):
        data_of(file, f"data.folder={folder}").spec  # noqa: B018
    file.write_text("{")
    with pytest.raises(InputError, match="cannot be read as json"):
        data_of(file).spec  # noqa: B018


def test_features_and_grey_pictures_are_read_in_the_size_that_is_asked_for(folder):
    grey = read_picture(folder / "3.png", (1, 5, 5))
    assert grey.shape == (1, 5, 5) and grey.dtype == np.float32 and 0 < float(grey[0, 0, 0]) < 1
    np.save(folder / "a.npy", np.ones((4, 6), dtype=np.float32))
    assert read_picture(folder / "a.npy", (4, 6)).shape == (4, 6)
    np.save(folder / "huge.npy", np.full((4, 6), 1e39))
    for name, size, error in (
        ("a.npy", (4, 7), r"expected floats of shape \(4, 7\)"),
        ("huge.npy", (4, 6), "huge.npy has a value that is not finite, or too large for float32"),
        ("table.csv", (3, 8, 8), "it seems to be text; give one, such as png"),
        ("none.png", (3, 8, 8), "is not there; give a picture"),
    ):
        with pytest.raises(InputError, match=error):
            read_picture(folder / name, size)


def test_pictures_of_any_kind_look_as_they_do_in_a_viewer(tmp_path):
    deep = np.array([[0, 1 << 15], [0x4000, 0xFFFF]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    for channels in (1, 3):
        np.testing.assert_allclose(read_picture(tmp_path / "deep.png", (channels, 2, 2))[0], deep / 65535, atol=0.005)
    pixels = np.full((2, 2, 4), (200, 100, 50, 255), dtype=np.uint8)
    pixels[0, 0, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    clear = read_picture(tmp_path / "clear.png", (3, 2, 2))
    assert clear[:, 0, 0].tolist() == [0, 0, 0] and clear[0, 1, 1] == np.float32(200 / 255)
    upright = Image.fromarray(np.repeat(np.array([[0, 255]], dtype=np.uint8), 8, 1).repeat(8, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    upright.save(tmp_path / "turned.jpg", exif=exif)
    turned = read_picture(tmp_path / "turned.jpg", (1, 2, 2))[0].round()
    assert turned.tolist() == [[0, 0], [1, 1]]
    frames = [Image.new("L", (2, 2), grey) for grey in (0, 255)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(np.ones((2, 2), dtype=np.float32)).save(tmp_path / "float.tiff")
    for name, error in (("film.gif", "has 2 pictures; save the one"), ("float.tiff", "has the mode F")):
        with pytest.raises(InputError, match=error):
            read_picture(tmp_path / name, (1, 2, 2))


def test_what_cannot_be_meant_is_refused_with_its_place(folder):
    text = (folder / "table.csv").read_text()
    for before, after, error in (
        ("3.png,picture small", "3.png,", r"table.csv:5: the description is empty"),
        ("3.png,", "33.png,", r"table.csv:5: .*33.png is not there"),
        ("picture,text", "image,text", "there is no column 'picture', which data.picture names"),
    ):
        (folder / "table.csv").write_text(text.replace(before, after, 1))
        with pytest.raises(InputError, match=error):
            data_of(folder / "table.csv").spec  # noqa: B018
    for size, error in (([2, 8, 8], "3 channels, or 1 in grey"), ([8], r"must be \[3,H,W\]")):
        with pytest.raises(InputError, match=error):
            Pictures(folder / "table.csv", picture_size=size)
    assert isinstance(build.build_data(config_of("data=scenes")), CaptionData)


def test_quoted_lines_that_are_rows_are_refused_and_a_broken_picture_is_called_so(folder):
    table = folder / "table.csv"
    lines = table.read_text().splitlines()
    lines[2], lines[5] = lines[2].replace(",", ',"'), lines[5] + '"'
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"table.csv:3: a quote opens here whose value spans 4 lines, 3 of which"):
        data_of(table).spec  # noqa: B018
    assert sum(len(data_of(table, "data.quoting=none").rows(split)) for split in SPLITS) == 12
    assert sum(len(data_of(table, "data.quoting=standard").rows(split)) for split in SPLITS) == 9
    (folder / "0.png").write_bytes((folder / "0.png").read_bytes()[:45])
    with pytest.raises(InputError, match=r"0.png is no picture that can be read: it is broken, or cut off"):
        read_picture(folder / "0.png", (3, 8, 8))
    (folder / "1.png").write_bytes(b"%PDF-1.7 and more")
    with pytest.raises(InputError, match=r"no picture that can be read: it is a PDF file; give one, such as png"):
        read_picture(folder / "1.png", (3, 8, 8))


def test_a_picture_that_is_named_in_two_ways_is_one(folder, tmp_path):
    (folder / "second.csv").write_text("picture,text\n./0.png,again\n")
    (folder / "first.csv").write_text("picture,text\n0.png,once\n1.png,other\n../" + folder.name + "/0.png,more\n")
    source = Pictures([folder / "first.csv", folder / "second.csv"])
    (reading,) = source._read_files().values()
    assert [(row.name, row.texts) for row in reading.rows] == [
        ("0.png", ("once", "more", "again")),
        ("1.png", ("other",)),
    ]
