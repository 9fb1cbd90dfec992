"""A checkpoint that is not what was written is told, and the one before it is taken."""

import shutil

import pytest
import torch

from seqlab.errors import InputError
from seqlab.files import DamagedFileError, check_seal, copy_file, replacing, replacing_sealed
from seqlab.run.checkpoints import find_resumption, last_step, load_checkpoint
from seqlab.run.load import load_run
from tests.run import test_exact_resume as exact_resume
from tests.run.test_exact_resume import StoppedError, assert_the_same_end, carry_out, overrides_of, stop_at

text_file = exact_resume.text_file  # a fixture
STEPS = ("trainer.max_steps=60", "trainer.val_check_interval=20", "callbacks.checkpoint.every_n_steps=8", "logger=none")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, text_file):
    """A run that is left alone, and one killed at step 45: with last.ckpt of 40, previous.ckpt of 32 or so, and the
    best of 40."""
    folder = tmp_path_factory.mktemp("runs")
    carry_out(folder / "alone", overrides_of(text_file, *STEPS))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StoppedError):
        stop_at(patch, 55)
        carry_out(folder / "killed", overrides_of(text_file, *STEPS))
    return folder


@pytest.fixture
def killed(tmp_path, runs):
    shutil.copytree(runs / "killed", tmp_path / "run")
    return tmp_path / "run"


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path, at=0.5):
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def test_what_a_killed_run_leaves(killed):
    steps = {
        name: load_checkpoint(killed / "checkpoints" / f"{name}.ckpt")["global_step"]
        for name in ("last", "previous", "best")
    }
    assert steps == {"last": 48, "previous": 40, "best": 40}
    assert all(check_seal(path) for path in (killed / "checkpoints").iterdir())


@pytest.mark.parametrize("damage", [truncate, flip, empty])
def test_the_one_before_a_damaged_last_is_taken_and_ends_alike(runs, killed, damage, caplog):
    damage(killed / "checkpoints" / "last.ckpt")
    with caplog.at_level("WARNING", logger="seqlab"):
        carry_out(killed, [], resume=True)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "seqlab"]
    assert "last.ckpt is damaged" in line and "previous.ckpt of step 40" in line and "\n" not in line
    assert_the_same_end(runs / "alone", killed)
    assert not (killed / "checkpoints" / "previous.ckpt").exists()  # nothing is left to resume


def test_a_damaged_best_is_made_anew(runs, killed):
    flip(killed / "checkpoints" / "best.ckpt")
    assert find_resumption(killed).step == 40  # chosen before the last one, with the one before it
    carry_out(killed, [], resume=True)
    assert_the_same_end(runs / "alone", killed)


def test_without_any_that_is_whole_the_run_begins_anew_and_says_so(runs, killed):
    for path in (killed / "checkpoints").iterdir():
        truncate(path)
    found = find_resumption(killed)
    assert found.path is None and "begins anew" in found.warning and last_step(killed) == 0
    carry_out(killed, [], resume=True)
    assert_the_same_end(runs / "alone", killed)


def test_a_best_that_nothing_can_make_anew_is_refused(killed):
    (killed / "checkpoints" / "previous.ckpt").unlink()
    flip(killed / "checkpoints" / "best.ckpt")
    with pytest.raises(InputError, match=r"best\.ckpt is damaged.*begin the run again"):
        find_resumption(killed)


def test_looking_changes_nothing(killed):
    truncate(killed / "checkpoints" / "last.ckpt")
    before = {path: path.read_bytes() for path in (killed / "checkpoints").iterdir()}
    assert find_resumption(killed).path.name == "previous.ckpt"
    assert {path: path.read_bytes() for path in (killed / "checkpoints").iterdir()} == before


@pytest.mark.parametrize("place", [i / 41 for i in range(41)])
def test_each_flipped_byte_is_seen(tmp_path, place):
    with replacing_sealed(tmp_path / "x.ckpt") as file:
        torch.save({"a": torch.arange(7.0), "b": [1, "two"]}, file)
    assert load_checkpoint(tmp_path / "x.ckpt")["b"] == [1, "two"]
    flip(tmp_path / "x.ckpt", place)
    with pytest.raises(InputError, match=r"x\.ckpt is damaged"):
        load_checkpoint(tmp_path / "x.ckpt")


def test_a_checkpoint_without_a_seal_is_looked_at_by_its_archive(tmp_path):
    torch.save({"a": torch.arange(10_000.0)}, tmp_path / "x.ckpt")
    assert not check_seal(tmp_path / "x.ckpt")
    flip(tmp_path / "x.ckpt")
    with pytest.raises(InputError, match="damaged"):
        load_checkpoint(tmp_path / "x.ckpt")


def test_evaluation_refuses_a_damaged_best_in_one_line(runs, tmp_path):
    shutil.copytree(runs / "alone", tmp_path / "run")
    flip(tmp_path / "run" / "checkpoints" / "best.ckpt")
    with pytest.raises(InputError, match=r"best\.ckpt is damaged") as told:
        load_run(tmp_path / "run").model()
    assert "\n" not in str(told.value)


def test_the_file_that_is_replaced_stays_under_another_name(tmp_path):
    for content in (b"one", b"two", b"three"):
        with replacing(tmp_path / "file", previous=tmp_path / "before") as file:
            file.write(content)
    assert (tmp_path / "file").read_bytes() == b"three" and (tmp_path / "before").read_bytes() == b"two"
    copy_file(tmp_path / "file", tmp_path / "before")
    copy_file(tmp_path / "file", tmp_path / "before")  # by now two names of one file
    assert sorted(path.name for path in tmp_path.iterdir()) == ["before", "file"]


def test_without_hard_links_it_is_copied(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr("seqlab.files.os.link", refused)
    test_the_file_that_is_replaced_stays_under_another_name(tmp_path)


def test_a_seal_is_of_the_whole_content(tmp_path):
    with replacing_sealed(tmp_path / "file") as file:
        file.write(b"some")
        file.write(b"thing")
    assert check_seal(tmp_path / "file")
    (tmp_path / "file").write_bytes((tmp_path / "file").read_bytes()[1:])
    with pytest.raises(DamagedFileError):
        check_seal(tmp_path / "file")
