"""What a configuration may name, and that nothing it may not name is ever run."""

import json
import sys
from collections import OrderedDict

import pytest
import torch

from seqlab import cli
from seqlab.config import trust
from seqlab.config.build import build
from seqlab.config.trust import ALLOW_VARIABLE, allow, check_definitions, check_targets, modules_below
from seqlab.errors import InputError
from seqlab.imports import add_user_folders
from seqlab.run.layout import EVENTS_NAME, RECORD_NAME
from seqlab.run.load import load_run
from tests.conftest import run_here


@pytest.fixture(autouse=True)
def empty_allow_list(monkeypatch):
    monkeypatch.setenv(ALLOW_VARIABLE, "")


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A module ``trap`` that leaves a file when it is imported; returns that file's path."""
    sprung = tmp_path / "sprung"
    (tmp_path / "trap.py").write_text(
        f"open({str(sprung)!r}, 'w').close()\n"
        "from seqlab.nn import LSTMCell\n"
        "class Cell(LSTMCell): pass\n"
        "def make(*args): return Cell(*args)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield sprung
    sys.modules.pop("trap", None)


FOREIGN = [
    "os.system",
    "builtins.eval",
    "torch.hub.load",
    "torch.load",
    "torchaudio.Model",
    "seqlab_evil.Cell",
    "subprocess.Popen",
]


@pytest.mark.parametrize("target", FOREIGN)
def test_a_target_outside_the_list_is_refused_with_its_key_and_the_mend(target):
    with pytest.raises(InputError) as refused:
        check_targets({"model": {"cell": {"_target_": target}}})
    top = target.partition(".")[0]
    assert f"model.cell._target_ is {target}," in str(refused.value)
    assert f"add --allow {top} (or set SEQLAB_ALLOW={top})" in str(refused.value)


@pytest.mark.parametrize(
    ("nested", "key"),
    [
        ({"callbacks": [{"_target_": "seqlab.callbacks.ShowExamples"}, {"_target_": "os.system"}]}, "callbacks.1"),
        ({"a": {"_target_": "seqlab.nn.LSTMCell", "b": {"c": [[{"_target_": "os.system"}]]}}}, "a.b.c.0.0"),
        (OrderedDict(a=OrderedDict(_target_="os.system")), "a"),
        ({"_target_": "os.system"}, ""),
    ],
)
def test_a_target_is_found_however_deep_it_lies(nested, key):
    with pytest.raises(InputError, match=rf"^{key}\._target_ is os\.system"):
        check_targets(nested)
    with pytest.raises(InputError, match=r"os\.system"):
        check_definitions(nested)


@pytest.mark.parametrize(
    "target",
    [
        "torch.nn.functional.torch.hub.load",
        "torch.nn.modules.module.torch.load",
        "torch.nn.functional.Callable",
        "torch.optim.lr_scheduler.partial",
        "seqlab.nn.cells.base.torch.hub.load",
        "seqlab.data.formats.text.gzip.open",
        "lightning.pytorch.callbacks.Callback.__init__.__globals__.get",
    ],
)
def test_a_path_through_an_allowed_module_to_a_foreign_object_is_refused(target):
    check_targets({"x": {"_target_": target}})  # the name alone looks well
    with pytest.raises(InputError, match=r"x\._target_ is "):
        check_definitions({"x": {"_target_": target}})


def test_classes_of_libraries_pass_and_their_functions_do_not():
    check_definitions({"optimizer": {"_target_": "torch.optim.SGD"}, "cell": {"_target_": "torch.nn.LSTM"}})
    for target in ("torch.nn.utils.parameters_to_vector", "torch.nn.init.zeros_", "torch.nn.Module.load_state_dict"):
        with pytest.raises(InputError, match="is no class of an allowed module"):
            check_definitions({"x": {"_target_": target}})
    check_definitions({"data": {"_target_": "seqlab.data.hello_data"}})  # a function of this project


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("seqlab.nn.LSTMCel", "seqlab.nn has no 'LSTMCel'"),
        ("seqlab.nn.cellz.LSTMCell", "seqlab.nn has no 'cellz'"),
        ("torch.optim", "no class of an allowed module"),
    ],
)
def test_a_target_that_is_not_there_is_named(target, message):
    with pytest.raises(InputError, match=rf"x\._target_ is {target}.*{message}"):
        check_definitions({"x": {"_target_": target}})


def test_the_list_grows_by_the_environment_and_by_allow(monkeypatch, trap):
    config = {"cell": {"_target_": "trap.Cell"}, "factory": {"_target_": "trap.make"}}
    with pytest.raises(InputError, match=r"cell\._target_ is trap\.Cell, which is not on the allow-list"):
        build(config, "cell", input_size=2, hidden_size=3)
    assert not trap.exists()

    monkeypatch.setenv(ALLOW_VARIABLE, " elsewhere , trap,")
    assert build({**config, "cell": {**config["cell"], "input_size": 2, "hidden_size": 3}}, "cell").hidden_size == 3
    assert build({"f": {**config["factory"], "_args_": [2, 3]}}, "f").hidden_size == 3  # functions of trusted code too
    assert trap.exists()

    monkeypatch.setenv(ALLOW_VARIABLE, "")
    with pytest.raises(InputError):
        check_targets(config)
    allow(["trap"])
    allow(["other", "trap"])
    check_targets(config)
    assert trust.allowed_modules()[-2:] == ("trap", "other")


def test_allowing_a_module_allows_nothing_that_only_begins_like_it(monkeypatch):
    allow(["my"])
    check_targets({"x": {"_target_": "my.cells.Cell"}})
    with pytest.raises(InputError):
        check_targets({"x": {"_target_": "mycells.Cell"}})


def test_the_modules_that_lie_in_a_folder_are_told_without_running_them(tmp_path, trap):
    config = {"a": {"_target_": "trap.Cell"}, "b": {"_target_": "torch.optim.SGD"}, "c": [{"_target_": "nowhere.X"}]}
    assert modules_below(config, tmp_path) == ["trap"]
    assert modules_below(config, tmp_path / "elsewhere") == []
    assert not trap.exists()


@pytest.fixture
def foreign_run(tmp_path, trap, capsys):
    """A run that was edited to name the class of a module that is on the path, but not on the list; it can go on."""
    run_dir = tmp_path / "run"
    run_here(run_dir, "experiment=hello", "model/cell=lstm", "trainer.max_epochs=1", "logger=none")
    record = json.loads((run_dir / RECORD_NAME).read_text())
    events = [json.loads(line) for line in (run_dir / EVENTS_NAME).read_text().splitlines()]
    for holder in (record, *events):
        if "config" in holder:
            holder["config"]["model"]["cell"]["_target_"] = "trap.Cell"
    (run_dir / RECORD_NAME).write_text(json.dumps(record))
    (run_dir / EVENTS_NAME).write_text("".join(f"{json.dumps(event)}\n" for event in events[:-1]))
    capsys.readouterr()
    return run_dir


@pytest.mark.parametrize(
    "command",
    [["generate", "--prompt", "h"], ["complete", "h"], ["evaluate"], ["resume"]],
    ids=lambda command: command[0],
)
def test_a_stored_configuration_that_names_foreign_code_runs_nothing(foreign_run, trap, capsys, command):
    assert cli.main([command[0], str(foreign_run), *command[1:]]) == 2
    shown = capsys.readouterr()
    assert (
        shown.err.count("\n") == 1 and "model.cell._target_ is trap.Cell" in shown.err and "--allow trap" in shown.err
    )
    assert not shown.out and not trap.exists()


def test_the_same_run_works_once_its_module_is_allowed(foreign_run, trap, capsys):
    assert cli.main(["generate", str(foreign_run), "--prompt", "h", "--max-new-tokens", "2", "--allow", "trap"]) == 0
    assert capsys.readouterr().out.startswith("h") and trap.exists()
    assert type(load_run(foreign_run).model().encoder.layers[0].cell).__module__ == "trap"


def test_a_checkpoint_that_holds_code_is_refused_and_not_run(foreign_run, tmp_path, capsys):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "opened"), "w"))

    torch.save({"state_dict": {}, "trap": Trap()}, foreign_run / "checkpoints" / "best.ckpt")
    assert cli.main(["generate", str(foreign_run), "--prompt", "h", "--allow", "trap"]) == 2
    assert "best.ckpt is not a readable checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "opened").exists()


def test_a_module_of_ones_own_that_an_installed_one_hides_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "tokenize.py").write_text("class Cell: ...")
    add_user_folders([str(tmp_path)])
    for allowed in ((), ("tokenize",)):
        allow(allowed)
        with pytest.raises(InputError, match=r"tokenize is .*, which comes before .*tokenize\.py; give that another"):
            check_definitions({"cell": {"_target_": "tokenize.Cell"}})
