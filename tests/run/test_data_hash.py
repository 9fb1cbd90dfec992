"""The hash of a run's data: of what training reads, its order and labels, and not of its place."""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from seqlab.config import build
from seqlab.data import labelled_data
from seqlab.data.core.fingerprint import Digest
from seqlab.errors import ChangedError
from seqlab.run import content, load, training
from tests.conftest import config_of, interrupted_here, resumed_here

LINES = [f"line {i} of a text with words" for i in range(200)]
SMALL = ("data.batch_size=4", "data.tbptt_steps=8", "model.hidden_size=4", "trainer.max_steps=3", "logger=none")
EACH_WORD = ("data.min_frequency=1",)  # else all rare words are one to what training reads
QUIET = ("trainer=cpu", "runtime.num_threads=1", "runtime.keep_freed_memory=false")


def hash_of(*overrides: str) -> str | None:
    data = build.build_data(config_of(*overrides))
    data.prepare_data()
    data.setup("fit")
    return content.data_hash(data.vocabularies, data.spec, content.fingerprint_of(data))


def text_hash(path: Path, text: str) -> str | None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return hash_of("data=text", f"data.path={path}", *SMALL)


def test_a_text_of_other_order_has_another_hash_and_a_moved_one_the_same(tmp_path):
    text = "".join(f"{line}\n" for line in LINES)
    one = text_hash(tmp_path / "a.txt", text)
    assert text_hash(tmp_path / "elsewhere" / "b.txt", text) == one
    swapped = [LINES[1], LINES[0], *LINES[2:]]
    assert text_hash(tmp_path / "a.txt", "".join(f"{line}\n" for line in swapped)) != one


def test_a_text_whose_characters_are_shuffled_in_place_has_another_hash(tmp_path):
    text = "".join(f"{line}\n" for line in LINES)
    one = text_hash(tmp_path / "a.txt", text)
    shuffled = list(text)
    random.Random(0).shuffle(shuffled)
    assert text_hash(tmp_path / "a.txt", "".join(shuffled)) != one


def tables(folder: Path, edit) -> list[str]:
    rows = edit([[f"the text of row {i}", "ab"[i % 2]] for i in range(60)])
    (folder / "a.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return ["data=classification", f"data.path={folder / 'a.csv'}", *EACH_WORD]


def columns(folder: Path, edit) -> list[str]:
    rows = edit([[f"word{i}", "AB"[i % 2]] for i in range(60)])
    (folder / "a.conll").write_text("".join(f"{word}\t{tag}\n\n" for word, tag in rows))
    return ["data=tagging", f"data.path={folder / 'a.conll'}"]


def pairs(folder: Path, edit) -> list[str]:
    rows = edit([[f"source {i}", f"target {i % 7}"] for i in range(60)])
    for column, side in enumerate(("source", "target")):
        (folder / side).write_text("".join(f"{row[column]}\n" for row in rows))
    files = [f"data.path.{side}={folder / side}" for side in ("source", "target")]
    return ["data=parallel", *files, "data.unit=word", *EACH_WORD]


def stories(folder: Path, edit) -> list[str]:
    rows = edit([[f"Mary went to room{i}.", f"room{i % 7}"] for i in range(60)])
    text = "".join(f"1 {story}\n2 Where is Mary?\t{answer}\t1\n" for story, answer in rows)
    for name in ("train", "test"):
        (folder / name).write_text(text if name == "train" else text.replace("Mary", "Mary "))
    return ["data=answers", f"data.train={folder / 'train'}", f"data.test={folder / 'test'}"]


@pytest.mark.parametrize("write", [tables, columns, pairs, stories])
def test_each_task_hashes_content_order_and_labels(write, tmp_path):
    def other_labels(rows):
        labels = [row[1] for row in rows]
        return [[row[0], label] for row, label in zip(rows, [labels[1], labels[0], *labels[2:]], strict=True)]

    def other_content(rows):
        return [[rows[2][0], rows[0][1]], rows[1], [rows[0][0], rows[2][1]], *rows[3:]]

    def other_order(rows):
        return [rows[1], rows[0], *rows[2:]]

    found = [hash_of(*write(tmp_path, edit)) for edit in (list, list, other_labels, other_content, other_order)]
    assert found[0] == found[1]
    assert len(set(found)) == 4 and None not in found


def test_other_pretrained_vectors_are_other_data(tmp_path):
    def with_vectors(number: float) -> str | None:
        (tmp_path / "glove.txt").write_text(f"word1 {number} 1.0\n")
        return hash_of(*columns(tmp_path, list), f"data.vectors={tmp_path / 'glove.txt'}", "data.vectors_size=2")

    assert with_vectors(0.5) == with_vectors(0.5) != with_vectors(0.75)


def test_examples_of_any_kind_have_a_fingerprint_of_content_labels_and_order(tmp_path):
    def fingerprint(rows: list[tuple[str, str]]) -> str:
        (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
        return labelled_data(tmp_path / "a.csv").fingerprint()

    rows = [(line, "ab"[i % 2]) for i, line in enumerate(LINES)]
    one = fingerprint(rows)
    turned = [(text, "ab"[label == "a"]) for text, label in rows]
    assert fingerprint(rows) == one
    assert len({one, fingerprint(turned), fingerprint(rows[::-1]), fingerprint([*rows[1:], rows[0]])}) == 4


class Opaque:
    def __init__(self, content: int) -> None:
        self.content = content


class Slotted:
    __slots__ = ("content",)


@dataclass
class Pictures:
    pixels: object


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Opaque(1), Opaque(2)),
        ({"a", "b", "c"}, {"a", "b", "d"}),
        (np.array(["a", "b"], dtype=object), np.array(["a", "c"], dtype=object)),
        (np.array(["a", "b"]), np.array(["a", "c"])),
        (torch.ones(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.bfloat16)),
        (torch.ones(2, requires_grad=True), torch.zeros(2, requires_grad=True)),
        (Pictures(np.float32(1.0)), Pictures(np.float32(2.0))),
    ],
    ids=["object", "set", "texts", "strings", "bfloat16", "with gradient", "dataclass"],
)
def test_a_digest_is_of_content_and_of_no_address(one, other):
    import copy

    def digest(value) -> str:
        found = Digest()
        found.add(value)
        return found.hexdigest()

    assert digest(one) == digest(copy.deepcopy(one)) != digest(other)
    with pytest.raises(TypeError, match="Slotted"):
        digest(Slotted())


class Unhashed:
    """A user's own data module, which knows nothing of fingerprints."""

    def __init__(self, data) -> None:
        self.vocabularies, self.spec = data.vocabularies, data.spec


def test_data_without_a_fingerprint_is_unknown_and_equals_nothing(tmp_path, caplog):
    (tmp_path / "a.txt").write_text("".join(f"{line}\n" for line in LINES))
    data = build.build_data(config_of("data=text", f"data.path={tmp_path / 'a.txt'}", *SMALL))
    unknown = Unhashed(data)
    assert content.data_hash(data.vocabularies, data.spec, content.fingerprint_of(unknown)) is None
    assert "Unhashed" in caplog.text
    load.save_data(tmp_path, data.vocabularies, data.spec)
    content.check_same_data(tmp_path, None, unknown, None)  # the same letters: it may go on
    (tmp_path / "a.txt").write_text("".join(f"{line}\n" for line in LINES).replace("o", "ö"))
    other = Unhashed(build.build_data(config_of("data=text", f"data.path={tmp_path / 'a.txt'}", *SMALL)))
    with pytest.raises(ChangedError, match="vocabulary"):
        content.check_same_data(tmp_path, None, other, None)


def test_a_run_goes_on_with_its_own_data_alone_and_nothing_is_written(tmp_path):
    """Letters that mean other letters, in a vocabulary of the same size: the loss would jump, unnoticed."""
    file, run_dir = tmp_path / "a.txt", tmp_path / "run"
    text = "".join(f"{line}\n" for line in LINES)
    file.write_text(text)
    interrupted_here(run_dir, config_of("data=text", f"data.path={file}", *SMALL, *QUIET))

    def contents() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(run_dir.rglob("*")) if path.is_file()}

    file.write_text(text.translate(str.maketrans("lwx", "bcd")))
    with resumed_here(run_dir) as claim:
        before = contents()
        with pytest.raises(ChangedError, match="seqlab train"):
            training.execute(claim)
        assert contents() == before
        file.write_text(text)
        training.execute(claim)
        assert claim.status == "completed"
