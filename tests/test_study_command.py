"""The `seqlab` command as studies call it: found from any folder, and waited for through Ctrl-C."""

import importlib.util
import inspect
import sys
from pathlib import Path

import pytest

import seqlab

STUDIES = Path(seqlab.__file__).parents[1] / "experiments"
COMMAND = STUDIES / "command.py"
CALLERS = ("bptt", "demo", "inside", "probe", "why_recurrent")


@pytest.fixture(autouse=True)
def checkout(monkeypatch):
    if not COMMAND.is_file():
        pytest.skip("experiments/ is not beside the package")
    monkeypatch.setattr(sys, "path", list(sys.path))  # a study adds experiments/ to it
    monkeypatch.delitem(sys.modules, "command", raising=False)


def load(script):
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_studies_find_the_command_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for study in CALLERS:
        assert Path(inspect.getfile(load(STUDIES / study / "run.py").seqlab)) == COMMAND, study


def test_ctrl_c_ends_no_study_before_its_command(monkeypatch, capsys):
    command = load(COMMAND)
    commands, events = [], [KeyboardInterrupt, KeyboardInterrupt, 1]

    class Process:
        def __init__(self, arguments):
            commands.append(arguments)

        def wait(self):
            event = events.pop(0)
            if event is KeyboardInterrupt:
                raise event
            return event

    monkeypatch.setattr(command.subprocess, "Popen", Process)
    assert command.seqlab("train", "-m", "hydra.sweeper.tune=[optimizer.lr]") == 1
    assert not events
    assert commands == [[sys.executable, "-m", "seqlab.cli", "train", "-m", "hydra.sweeper.tune=[optimizer.lr]"]]
    assert capsys.readouterr().out == "$ seqlab train -m 'hydra.sweeper.tune=[optimizer.lr]'\n"
