"""The `seqlab` command as studies call it: found from any folder, given their overrides, waited for through Ctrl-C."""

import argparse
import importlib.util
import inspect
import sys
from pathlib import Path

import pytest

import seqlab

STUDIES = Path(seqlab.__file__).parents[1] / "experiments"
COMMAND = STUDIES / "command.py"
CALLERS = [path.parent.name for path in sorted(STUDIES.glob("*/run.py")) if "from command import" in path.read_text()]


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


@pytest.mark.parametrize("study", CALLERS)
def test_studies_find_the_command_from_any_folder(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(STUDIES / study)  # as Python does for a script
    try:
        module = load(STUDIES / study / "run.py")
    except ModuleNotFoundError as error:
        pytest.skip(f"it needs {error.name}, which is not installed")
    assert Path(inspect.getfile(module.seqlab)) == COMMAND


@pytest.mark.parametrize(
    ("study", "options", "word"),
    [
        ("adding", "--lengths 600", "data.length=600"),
        ("chat", "--cells gru", "model/cell=gru"),
        ("dna", "--part grammar", "experiment=dna"),
        ("forecasting", "--series sine", "experiment=sine_forecast"),
        ("letters_to_sounds", "--seeds 1", "experiment=cmudict"),
        ("motions", "--presets waveforms,gunpoint", "experiment=waveforms"),
    ],
)
def test_overrides_behind_an_option_of_several_values_are_overrides(study, options, word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(STUDIES / study)
    try:
        module = load(STUDIES / study / "run.py")
    except ModuleNotFoundError as error:
        pytest.skip(f"it needs {error.name}, which is not installed")
    commands = []
    monkeypatch.setattr(module, "seqlab", lambda *words: commands.append(words) or 7)
    monkeypatch.setattr(sys, "argv", ["run.py", *options.split(), "trainer.max_epochs=1", "data.batch_size=8"])
    assert module.main() != 0
    assert {word, "trainer.max_epochs=1", "data.batch_size=8"} <= set(commands[0])


def test_an_option_of_several_values_says_which_there_are():
    some_of = load(COMMAND).some_of
    assert some_of({"sine": 1, "co2": 2})("co2, sine,co2") == ["co2", "sine"]
    assert some_of((600, 2000))("2000,600") == [2000, 600]
    for text in ("600,700", "600,"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"600, 2000, with commas between them, got '(700|)'"):
            some_of((600, 2000))(text)


def test_a_mean_stands_with_its_deviation_where_there_is_one():
    tables = load(STUDIES / "tables.py")
    assert tables.spread([2.0, 4.0], ".1f") == "3.0 ± 1.4"
    assert (tables.spread([2.0]), tables.spread([])) == ("2.000", "not run")


def test_a_table_is_written_where_its_marks_are_and_beside_the_readme_if_asked(tmp_path, capsys):
    tables = load(STUDIES / "tables.py")
    template, output = tmp_path / "README.md", tmp_path / "tables" / "out.md"
    template.write_text("above\n<!-- table: begin -->\nold\n<!-- table: end -->\nbelow\n")
    for content in ("one", "two"):
        tables.write_table([content, "line"], output, template)
    assert output.read_text() == "above\n<!-- table: begin -->\n\ntwo\nline\n\n<!-- table: end -->\nbelow\n"
    assert "old" in template.read_text()
    assert capsys.readouterr().out == "one\nline\ntwo\nline\n"


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
