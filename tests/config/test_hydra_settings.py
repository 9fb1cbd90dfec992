"""Hydra's own settings that a sweep rests on, and folders that can't be: refused before any job starts."""

import errno
import os
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

from seqlab import cli
from seqlab.config.hydra_settings import FIXED, check_folder, check_typed, pin_sweep_folder
from seqlab.errors import InputError
from tests.command import prepare_here, replace_training


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """``seqlab train ARGUMENTS`` in an empty folder, where a run's process is not started but noted."""
    prepare_here(tmp_path, monkeypatch)

    def run(*arguments: str) -> tuple[int, str, int]:
        """The exit code, what it said, and how many runs it began."""
        begun = replace_training(monkeypatch, lambda claim: claim.complete({"val/loss": 1.0}))
        code = cli.main(["train", "experiment=hello", *arguments])
        return code, capfd.readouterr().err, len(begun)

    return run


@pytest.mark.parametrize(
    "override",
    [
        "hydra.sweep.subdir=fixed",
        "hydra.sweep.subdir=${hydra:job.num}",
        "hydra.sweep.subdir=a/b",
        "hydra.output_subdir=null",
        "hydra.output_subdir=.hydra",
        "++hydra.output_subdir=kept",
        "hydra.job.chdir=true",
        "~hydra.callbacks.summary",
        "~hydra.callbacks",
        "hydra.callbacks.summary._target_=mine.Summary",
    ],
)
@pytest.mark.parametrize("sweep", [True, False])
def test_a_setting_that_is_not_the_users_is_refused(command, override, sweep):
    code, said, begun = command(*(["-m", "seed=1,2"] if sweep else []), override)
    assert (code, begun, said.count("\n")) == (2, 0, 1), said
    assert override in said and any(key in said for key in FIXED)
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("hydra: {sweep: {subdir: fixed}}", "hydra.sweep.subdir=fixed"),
        ("hydra: {output_subdir: kept}", "hydra.output_subdir=kept"),
        ("hydra: {job: {chdir: true}}", "hydra.job.chdir=True"),
    ],
)
def test_one_that_is_set_by_a_file_is_refused_too(command, content, key):
    Path("conf/experiment").mkdir(parents=True)
    Path("conf/experiment/mine.yaml").write_text(f"# @package _global_\n{content}\n")
    code, said, begun = command("--config-dir", "conf", "-m", "seed=1,2", "+experiment@_global_=mine")
    assert (code, begun, said.count("\n")) == (2, 0, 1) and key in said, said


def test_other_settings_pass():
    check_typed(["hydra.run.dir=run", "hydra.verbose=false", "hydra.job.name=mine", "hydra/launcher=joblib"])


def test_the_folders_of_runs_and_sweeps_are_the_users(command):
    assert command("hydra.run.dir=one/two")[::2] == (0, 1) and Path("one/two/run.json").exists()
    assert command("-m", "hydra.sweep.dir=three", "seed=1,2")[::2] == (0, 2)
    assert len(list(Path("three").glob("seed=*/run.json"))) == 2


@pytest.mark.parametrize("key", ["hydra.run.dir", "hydra.sweep.dir"])
@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("file", ["{key}=file: file is a file"]),
        ("file/below/it", ["{key}=file/below/it: ", "file is a file"]),
        ("link", ["link is a link to nothing"]),
        ("''", ["{key} is ''; expected the path of a folder"]),
        ("null", ["{key}=null: ", "not Optional"]),
        ("n" * 300, ["can't be made", "too long"]),
    ],
)
def test_what_can_be_no_folder_is_refused(command, key, folder, words):
    Path("file").write_text("mine")
    Path("link").symlink_to("nothing")
    code, said, begun = command(*(["-m", "seed=1,2"] if "sweep" in key else []), f"{key}={folder}")
    assert (code, begun, said.count("\n")) == (2, 0, 1), said
    assert all(word.format(key=key) in said for word in words), said
    assert Path("file").read_text() == "mine" and sorted(os.listdir()) == ["file", "link"]


def test_a_folder_that_is_read_only_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(InputError, match=r"hydra\.run\.dir=.*new: .* can't be written to; give another folder"):
        check_folder("hydra.run.dir", str(tmp_path / "new"))
    monkeypatch.undo()
    for number, kind in ((errno.EROFS, InputError), (errno.EACCES, InputError), (errno.ENOSPC, OSError)):
        with monkeypatch.context() as patch:

            def refuse(*_, number=number, **__):
                raise OSError(number, os.strerror(number))

            patch.setattr(Path, "mkdir", refuse)
            with pytest.raises(kind, match=os.strerror(number)) as refused:
                check_folder("hydra.run.dir", str(tmp_path / "new"))
            assert isinstance(refused.value, InputError) == (kind is InputError)


def test_a_sweep_does_not_vary_what_its_folder_goes_by(command):
    code, said, begun = command("-m", "name=a,b")
    folder = "hydra.sweep.dir=${oc.env:SEQLAB_RUNS,runs}/${name}"
    assert (code, begun) == (2, 0) and f"name is varied, and {folder} goes by it" in said
    code, said, begun = command("-m", "seed=1,2", "name=x${seed}")
    assert (code, begun) == (2, 0) and "seed is varied" in said


@pytest.mark.parametrize("folder", ["runs/mine", "it's here", "a, b=c/[d]", "back\\slash", "quote\\'d\\"])
def test_the_jobs_of_a_sweep_lie_in_its_folder_whatever_their_files_say(folder):
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        composed = compose("train", overrides=["name=x"], return_hydra_config=True)
        composed.hydra.sweep.dir = folder
        pin_sweep_folder(composed)
        typed = [*composed.hydra.overrides.hydra, "experiment=hello", "name=y"]
        assert compose("train", overrides=typed, return_hydra_config=True).hydra.sweep.dir == folder
