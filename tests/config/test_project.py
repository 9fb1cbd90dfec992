"""The user's project file: what it may hold, where it is read from, what wins over it, and that each use is said."""

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import seqlab
from seqlab import cli
from seqlab.commands.train import CARRIED
from seqlab.config import project
from seqlab.config.project import (
    DATA_VARIABLE,
    RUNS_VARIABLE,
    VARIABLES,
    read_project,
    use_project,
    use_project_modules,
)
from seqlab.config.trust import ALLOWED, allow, allowed_modules
from seqlab.errors import InputError
from seqlab.imports import user_folders
from seqlab.run.folder import RunFolder
from seqlab.run.start import Start
from seqlab.sweep import launchers
from tests.command import prepare_here, replace_training

CELL = "from seqlab.nn import RNNCell\n\n\nclass MyCell(RNNCell):\n    pass\n"
SETTINGS = 'config_dir = "conf"\nallow = ["my_cells"]\nruns_dir = "out"\n'


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working folder, and an environment that is restored."""
    prepare_here(tmp_path, monkeypatch)
    monkeypatch.setattr(project, "_set_here", {})
    for name in (DATA_VARIABLE, RUNS_VARIABLE):
        monkeypatch.setenv(name, "")
    return tmp_path


def own_cell(folder: Path) -> None:
    """A cell, its YAML and a project file that says where they are."""
    (folder / "my_cells.py").write_text(CELL)
    choice = folder / "conf" / "model" / "cell" / "mine.yaml"
    choice.parent.mkdir(parents=True)
    choice.write_text("_target_: my_cells.MyCell\n_partial_: true\n")
    (folder / "seqlab.toml").write_text(SETTINGS)


@pytest.mark.parametrize("name", ["seqlab.toml", "pyproject.toml"])
def test_paths_are_relative_to_the_file_and_home_is_known(here, name, monkeypatch):
    monkeypatch.setenv("HOME", str(here / "me"))
    header = "" if name == "seqlab.toml" else "[tool.other]\nx = 1\n[tool.seqlab]\n"
    (here / name).write_text(
        f'{header}config_dir = "a/../conf"\nruns_dir = "/r"\ndata_dir = "~/d"\nallow = ["a.b", "c"]\n'
    )
    found = read_project(here)
    assert (found.config_dir, found.runs_dir, found.data_dir) == (f"{here}/conf", "/r", f"{here}/me/d")
    assert found.allow == ("a.b", "c") and name in found.name


def test_no_file_and_other_tools_tables_are_no_settings(here, capsys):
    for text in ("", "[tool.seqlab]\n", "not TOML\n", '[project]\nname = "my-seqlab-work"\n'):
        (here / "pyproject.toml").write_text(text)
        assert use_project() is None
    assert capsys.readouterr().err == "" and allowed_modules() == ALLOWED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('config-dir = "conf"', ["config-dir", "did you mean config_dir?", "runs_dir or data_dir"]),
        ("seed = 1", ["seed", "expected allow, config_dir"]),
        ('allow = "my_cells"', ["allow is 'my_cells'", '["my_cells"]']),
        ('allow = ["my cells"]', ["allow is ['my cells']"]),
        ('allow = [""]', ["allow is ['']"]),
        ("allow = [1]", ["allow is [1]"]),
        ("config_dir = true", ["config_dir is True", '"conf"']),
        ('runs_dir = " "', ["runs_dir is ' '"]),
        ('runs_dir = "${x}"', ["runs_dir is '${x}'", '"runs"']),
        ('data_dir = "~nobody-here/x"', ["data_dir is '~nobody-here/x'"]),
        ('config_dir = "conf"', ["config_dir", "/conf: there is no such folder"]),
        ("allow = [", ["is not TOML", "end of document"]),
        (b"allow = ['\xff']", ["is not UTF-8"]),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_mistake_is_one_line_with_the_key_and_the_choices(here, capsys, text, words):
    (here / "seqlab.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert cli.main(["train", "experiment=hello"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(word in said for word in ["seqlab.toml", *words]), said
    assert not (here / "runs").exists()


def test_a_mark_of_utf_8_before_the_text_is_none_of_it(here):
    (here / "seqlab.toml").write_text('allow = ["my_cells"]\r\n', encoding="utf-8-sig")
    assert read_project(here).allow == ("my_cells",)


def test_a_folder_in_the_environment_that_hydra_would_resolve_is_refused(here, monkeypatch):
    monkeypatch.setenv(RUNS_VARIABLE, "a${b}")
    with pytest.raises(InputError, match=r"SEQLAB_RUNS is 'a\$\{b\}': .*another folder"):
        use_project()


def test_a_folder_of_the_files_name_and_a_table_that_is_none_are_refused(here):
    (here / "pyproject.toml").write_text("[tool]\nseqlab = 1\n")
    with pytest.raises(InputError, match=r"tool\.seqlab is 1; expected a table"):
        read_project(here)
    (here / "pyproject.toml").unlink()
    (here / "seqlab.toml").mkdir()
    with pytest.raises(InputError, match=r"seqlab\.toml can't be read: Is a directory"):
        read_project(here)


def test_two_files_with_settings_are_one_too_many(here):
    (here / "seqlab.toml").write_text('runs_dir = "a"\n')
    (here / "pyproject.toml").write_text('[tool.seqlab]\nruns_dir = "b"\n')
    with pytest.raises(InputError, match=r"seqlab\.toml and \[tool\.seqlab\] of pyproject\.toml both hold settings"):
        read_project(here)
    (here / "seqlab.toml").write_text("# none\n")
    assert read_project(here).runs_dir == f"{here}/b"


def test_each_use_says_what_it_allows(here, capsys):
    own_cell(here)
    use_project(trusts_beside=True)
    assert capsys.readouterr().err == (
        f"seqlab: seqlab.toml allows the modules my_cells and those in {here}; "
        f"config_dir={here}/conf, runs_dir={here}/out\n"
    )
    use_project("other")
    said = capsys.readouterr().err
    assert "allows the modules my_cells; config_dir=other (by --config-dir)" in said and said.count("\n") == 1


def test_what_the_user_says_wins_and_allow_adds(here, monkeypatch, capsys):
    own_cell(here)
    monkeypatch.setenv(RUNS_VARIABLE, "elsewhere")
    allow(["typed"])
    assert use_project("other") == "other"
    assert os.environ[RUNS_VARIABLE] == "elsewhere" and "runs_dir=elsewhere (by SEQLAB_RUNS)" in capsys.readouterr().err
    assert allowed_modules()[len(ALLOWED) :] == ("typed", "my_cells")


def test_another_working_folder_has_nothing_of_the_last_one(here, monkeypatch):
    """Else a notebook that goes on elsewhere would run what the first folder allowed."""
    (here / "seqlab.toml").write_text('allow = ["my_cells"]\nruns_dir = "out"\ndata_dir = "d"\n')
    use_project()
    assert "my_cells" in allowed_modules()
    assert (os.environ[RUNS_VARIABLE], os.environ[DATA_VARIABLE]) == (f"{here}/out", f"{here}/d")
    (here / "below").mkdir()
    monkeypatch.chdir(here / "below")
    assert use_project() is None
    assert allowed_modules() == ALLOWED and not {RUNS_VARIABLE, DATA_VARIABLE} & set(os.environ)


def test_the_folder_of_a_run_is_not_asked(here, monkeypatch, capsys):
    """It can come from anybody, and so can what lies in it."""
    inside = here / "run" / "code"
    inside.mkdir(parents=True)
    for name in ("seqlab.toml", "code/seqlab.toml"):
        (here / "run" / name).write_text('allow = ["evil"]\n')
    (here / "run" / "events.jsonl").touch()
    for folder in (here / "run", inside):
        monkeypatch.chdir(folder)
        use_project()
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "seqlab.toml is not read: it is in the folder of a run" in said
    assert allowed_modules() == ALLOWED
    monkeypatch.chdir(here)
    (here / "run.json").write_text("{}")  # of another program: this folder has no checkpoints
    (here / "seqlab.toml").write_text('allow = ["mine"]\n')
    use_project()
    assert "mine" in allowed_modules()


@pytest.mark.parametrize("kind", ["another user's", "writable by all", "a link of another user's"])
def test_a_file_that_others_may_have_written_is_refused(here, monkeypatch, kind):
    file = here / "seqlab.toml"
    file.write_text('allow = ["evil"]\n')
    if kind == "writable by all":
        file.chmod(0o666)
    else:
        real, link = Path.stat, Path.lstat

        def of_a_stranger(status):
            return lambda path, **options: os.stat_result(
                (*status(path, **options)[:4], 12345 if path == file else 0, *status(path, **options)[5:])
            )

        monkeypatch.setattr(Path, "lstat", of_a_stranger(link))
        if kind == "another user's":
            monkeypatch.setattr(Path, "stat", of_a_stranger(real))
    with pytest.raises(InputError, match=r"seqlab\.toml is not read: .*chown"):
        read_project(here)


def test_a_stored_runs_modules_are_found_beside_config_dir_but_only_allowed_by_name(here):
    (here / "code" / "conf").mkdir(parents=True)
    (here / "seqlab.toml").write_text('config_dir = "code/conf"\n')
    use_project_modules()
    assert user_folders() == [str(here), f"{here}/code"] and allowed_modules() == ALLOWED


def test_training_and_the_front_door_use_it_and_the_hash_does_not(here, monkeypatch, capsys):
    own_cell(here)
    replace_training(monkeypatch, lambda claim: claim.complete({"test/loss": 1.0}))
    hello = ("experiment=hello", "model/cell=mine", "logger=none", "name=x")
    assert cli.main(["train", *hello]) == 0
    first = Path(capsys.readouterr().out.splitlines()[-1])
    assert first.parent == here / "out" / "x"
    second = seqlab.train(*hello).run_dir
    assert second.parent == here / "out" / "x"
    (here / "seqlab.toml").unlink()
    third = seqlab.train(*hello, config_dir="conf", allow=["my_cells"]).run_dir
    assert third.parent == here / "runs" / "x"
    records = [RunFolder(run).state().record for run in (first, second, third)]
    assert len({record["config_hash"] for record in records}) == 1
    assert not any(str(here / "out") in str(record["config"]) for record in records)


def test_a_report_without_a_folder_is_of_the_projects_runs(here, monkeypatch, capsys):
    monkeypatch.setattr(Start, "_run", None)
    (here / "seqlab.toml").write_text('runs_dir = "out"\n')
    assert cli.main(["report"]) == 2
    assert f"{here}/out" in capsys.readouterr().err
    with pytest.raises(InputError, match=f"{here}/out"):
        seqlab.runs()


def test_the_data_folder_is_recorded_as_it_was(here, monkeypatch):
    (here / "seqlab.toml").write_text('data_dir = "published"\n')
    replace_training(monkeypatch, lambda claim: claim.complete({"test/loss": 1.0}))
    run = seqlab.train("experiment=ptb_lstm_small", "logger=none", "hydra.run.dir=r")
    assert run.config["data"]["root"] == f"{here}/published"


def test_workers_of_a_cluster_that_was_running_before_are_given_the_same(here):
    (here / "seqlab.toml").write_text('allow = ["my_cells"]\nruns_dir = "out"\ndata_dir = "d"\n')
    use_project()
    config = OmegaConf.create(
        {"hydra": {"launcher": {"_target_": "x.RayLauncher", "ray": {"init": {"address": "auto"}}}}}
    )
    launchers.carry_environment(config, CARRIED)
    carried = config.hydra.launcher.ray.init.runtime_env.env_vars
    assert [carried[name] for name in VARIABLES] == ["my_cells", f"{here}/out", f"{here}/d"]
