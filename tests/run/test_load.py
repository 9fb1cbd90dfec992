"""What a run's folder keeps of its data, and gives back."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from seqlab.data import Spec
from seqlab.data.vocabulary.base import TokenizerSettings
from seqlab.data.vocabulary.words import WordVocabulary
from seqlab.errors import InputError
from seqlab.run import checkpoints, content
from seqlab.run import load as saved
from tests.conftest import config_of


@dataclass(frozen=True)
class PairSpec(Spec):
    kind: ClassVar[str] = "test_pair"
    vocabularies: ClassVar[tuple[str, ...]] = ("left", "right")
    size: int

    def model_arguments(self):
        return {"size": self.size}


@pytest.fixture
def folder(tmp_path):
    """A run's folder as training leaves it, of data with two vocabularies."""
    settings = TokenizerSettings("word", None, 1, False, False)
    pair = {"right": WordVocabulary(["r"], settings), "left": WordVocabulary(["l", "m"], settings)}
    saved.save_data(tmp_path, pair, PairSpec(3))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").touch()
    return tmp_path


def load(folder, monkeypatch, status="running"):
    for module in (saved, checkpoints):
        monkeypatch.setattr(module, "read_record", lambda _: {"config": config_of(), "status": status})
    return saved.load_run(folder)


def test_each_vocabulary_comes_back_by_its_name_the_main_one_first(folder, monkeypatch):
    run = load(folder, monkeypatch)
    assert {name: list(found.tokens) for name, found in run.vocabularies.items()} == {
        "left": ["l", "m"],
        "right": ["r"],
    }
    assert run.vocabulary is run.vocabularies["left"] and run.spec == PairSpec(3)
    assert (folder / "tokenizer.json").exists() and (folder / "right" / "tokenizer.json").exists()


def test_the_hash_of_the_data_changes_with_each_vocabulary_and_the_facts(tmp_path):
    settings = TokenizerSettings("word", None, 1, False, False)

    def hash_of(left, right, size):
        pair = {"left": WordVocabulary(left, settings), "right": WordVocabulary(right, settings)}
        return content.data_hash(pair, PairSpec(size), "text")

    base = hash_of(["l"], ["r"], 3)
    assert base == hash_of(["l"], ["r"], 3)
    assert len({base, hash_of(["m"], ["r"], 3), hash_of(["l"], ["s"], 3), hash_of(["l"], ["r"], 4)}) == 4


def test_the_best_weights_are_never_silently_the_last_ones(folder, monkeypatch):
    best, last = (folder / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    torch.save({"run": {"best_position": 3}}, last)
    assert checkpoints.best_checkpoint(folder) == best
    best.unlink()
    with pytest.raises(InputError, match=r"best\.ckpt is gone, and last\.ckpt has other weights"):
        load(folder, monkeypatch)
    torch.save({"run": {"best_position": None}}, last)
    assert load(folder, monkeypatch).checkpoint == last


def test_a_run_that_has_only_begun_is_told_as_that(folder, monkeypatch):
    (folder / "checkpoints" / "best.ckpt").unlink()
    (folder / "data_spec.json").unlink()
    with pytest.raises(InputError, match="has not reached its first validation"):
        load(folder, monkeypatch)
    with pytest.raises(InputError, match="a baseline's record has none"):
        load(folder, monkeypatch, "completed")


def test_a_missing_vocabulary_is_told_by_its_file(folder, monkeypatch):
    (folder / "right" / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"no vocabulary at .*right/tokenizer\.json"):
        load(folder, monkeypatch)
