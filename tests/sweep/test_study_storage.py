"""The file of a study: folders with odd names, files of an older Optuna, and files that are none."""

import sqlite3
from pathlib import Path

import pytest

from seqlab.errors import InputError
from seqlab.sweep import study_storage
from seqlab.sweep.study_storage import open_storage

optuna = pytest.importorskip("optuna", minversion="5", reason="pip install 'seqlab[optuna]'")

OF_OPTUNA_2 = """
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);
INSERT INTO alembic_version VALUES('v2.6.0.a');
CREATE TABLE studies (study_id INTEGER NOT NULL PRIMARY KEY, study_name VARCHAR(512) NOT NULL);
INSERT INTO studies VALUES(1,'s');
CREATE TABLE study_directions (study_direction_id INTEGER NOT NULL PRIMARY KEY, direction VARCHAR(8) NOT NULL,
  study_id INTEGER NOT NULL, objective INTEGER NOT NULL);
INSERT INTO study_directions VALUES(1,'MINIMIZE',1,0);
CREATE TABLE version_info (version_info_id INTEGER NOT NULL PRIMARY KEY, schema_version INTEGER,
  library_version VARCHAR(256));
INSERT INTO version_info VALUES(1,12,'2.10.1');
"""
"""What tells a file of Optuna 2.10 from one of today."""


def close(storage) -> None:
    storage._backend.remove_session()
    storage._backend.engine.dispose()


@pytest.mark.parametrize("name", ["plain", "a b", "what?", "100%20", "#1", "{x}", "it's", "ünï", "x?timeout=1"])
def test_a_study_lies_in_the_sweeps_own_folder_whatever_its_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder = Path("runs") / name
    folder.mkdir(parents=True)
    for _ in range(2):  # made, and opened again
        storage = open_storage(f"sqlite:///{folder}/study.db", folder)
        optuna.create_study(study_name="s", storage=storage, load_if_exists=True).enqueue_trial({"x": 1})
        close(storage)
    assert [path.name for path in folder.iterdir()] == ["study.db"]
    assert [path.name for path in Path("runs").iterdir()] == [name]
    with sqlite3.connect(folder / "study.db") as file:
        assert file.execute("SELECT count(*) FROM trials").fetchone() == (2,)
    file.close()


def test_a_file_of_optuna_2_is_left_as_it_is_and_a_line_says_what_to_do(tmp_path):
    path = tmp_path / "study.db"
    with sqlite3.connect(path) as file:
        file.executescript(OF_OPTUNA_2)
    file.close()
    with pytest.raises(InputError) as error:
        open_storage(f"sqlite:///{path}", tmp_path)
    text = str(error.value)
    assert str(path) in text and "older Optuna" in text and "name=ANOTHER" in text
    assert f"optuna storage upgrade --storage 'sqlite:///{path}'" in text and "\n" not in text
    with sqlite3.connect(path) as file:
        assert file.execute("SELECT study_name FROM studies").fetchall() == [("s",)]
        assert file.execute("SELECT version_num FROM alembic_version").fetchall() == [("v2.6.0.a",)]
    file.close()


def test_files_that_are_no_study_and_databases_without_a_driver_are_refused(tmp_path):
    (tmp_path / "study.db").write_text("no database at all, but a text that is long enough to be read as one\n" * 20)
    with pytest.raises(InputError, match=r"study\.db can't be used: .*not a database"):
        open_storage(f"sqlite:///{tmp_path}/study.db", tmp_path)
    with pytest.raises(InputError, match="driver"):
        open_storage("oracle://host/x", tmp_path)
    with pytest.raises(InputError, match="address of a database"):
        open_storage("redis://host", tmp_path)


def test_an_absent_or_old_optuna_is_named_with_the_way_to_install_it(monkeypatch):
    monkeypatch.setattr(study_storage, "version", lambda _: "2.10.1")
    with pytest.raises(InputError, match=r"Optuna 5 or later, and 2\.10\.1 is installed: pip install"):
        study_storage.import_optuna()
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(InputError, match=r"not installed: pip install 'seqlab\[optuna\]'"):
        study_storage.import_optuna()
