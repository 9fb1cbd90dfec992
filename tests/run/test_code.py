"""The user's own code that a run loads: listed, hashed as it was executed, copied, compared without an import."""

import colorsys
import importlib
import os
import py_compile
import sys
import zipfile
from pathlib import Path

import pytest

from seqlab.errors import ChangedError, InputError
from seqlab.run import code, loaded, training
from seqlab.run.code import changed_modules, code_differences, code_record, copy_code
from seqlab.run.folder import RunFolder
from seqlab.run.loaded import LoadedFile, loaded_files
from seqlab.run.modules import find_module
from seqlab.run.provenance import seqlab_git, user_git
from seqlab.run.supervisor import open_attempt
from tests.commands.test_own_cell import CELL
from tests.conftest import config_of, interrupted_here, resumed_here


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A user's folder on Python's path, with what is imported from it forgotten afterwards."""
    folder = tmp_path / "project"
    folder.mkdir()
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.chdir(folder)
    loaded.record_imports()
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


def load(name: str) -> dict[str, LoadedFile]:
    importlib.invalidate_caches()
    before = {file.module for file in loaded_files()}
    importlib.import_module(name)
    return {file.module: file for file in loaded_files() if file.module not in before}


def recorded(files: dict[str, LoadedFile]) -> dict:
    return code_record(files.values())


def test_own_modules_of_any_kind_are_listed_and_nothing_that_is_installed(project):
    (project / "package" / "inner").mkdir(parents=True)
    (project / "package" / "__init__.py").write_text("import json, numpy, seqlab\nfrom package.inner import cells\n")
    (project / "package" / "inner" / "cells.py").write_text("import bare, zipped\n")  # `inner` is a namespace package
    (project / "source.py").write_text("number = 1\n")
    py_compile.compile("source.py", cfile="bare.pyc")
    (project / "source.py").unlink()
    with zipfile.ZipFile(project / "library.zip", "w") as library:
        library.writestr("zipped.py", "number = 2\n")
    sys.path.append(str(project / "library.zip"))
    files = load("package")
    assert list(files) == ["bare", "package", "package.inner.cells", "zipped"]
    assert all(file.sha256 and file.content is not None for file in files.values())
    assert code_differences(recorded(files)) == []
    copy_code(project / "run", files.values())
    copies = {str(path.relative_to(project / "run" / "code")) for path in (project / "run" / "code").rglob("*.*")}
    assert copies == {"bare.pyc", "package/__init__.py", "package/inner/cells.py", "zipped.py"}


def test_a_module_of_ones_own_that_takes_the_place_of_a_library_is_listed(project, monkeypatch):
    assert "colorsys" not in {file.module for file in loaded_files()}  # a look at Python's own, which is remembered
    (project / "colors.py").write_text("number = 1\n")
    importlib.import_module("colors")
    monkeypatch.setitem(sys.modules, "colorsys", colorsys)
    assert "colors" in {file.module for file in loaded_files()}
    monkeypatch.setitem(sys.modules, "colorsys", sys.modules.pop("colors"))
    assert "colors" in {file.module for file in loaded_files()}


def test_packages_that_pip_put_into_a_folder_are_installed(project):
    (project / "a_package-1.0.dist-info").mkdir()
    (project / "a_package-1.0.dist-info" / "RECORD").write_text("a_package.py,sha256=abc,10\n")
    (project / "a_package.py").write_text("")
    (project / "my_own.py").write_text("import a_package\n")
    assert list(load("my_own")) == ["my_own"]


def test_the_hash_is_of_what_was_executed_though_the_file_is_edited_right_after(project):
    """Python takes bytecode for current by the second and the size of its source: the old code would run."""
    file = project / "cells.py"
    file.write_text("number = 1\n")
    py_compile.compile(str(file))
    status = file.stat()
    file.write_text("number = 2\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    files = load("cells")
    assert sys.modules["cells"].number == 2
    assert files["cells"].content == b"number = 2\n"
    file.write_text("number = 3\n")
    again = next(found for found in loaded_files() if found.module == "cells")
    assert again == files["cells"]
    assert code_differences(recorded(files)) == ["cells.py has changed"]


def test_what_was_imported_before_anybody_watched_is_unknown_where_its_file_is_younger(project, monkeypatch):
    (project / "early.py").write_text("number = 1\n")
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if finder is not loaded._recorder])
    monkeypatch.setattr(loaded, "_STARTED", (project / "early.py").stat().st_mtime)
    assert load("early")["early"].sha256 is not None
    (project / "early.py").write_text("number = 22\n")
    os.utime(project / "early.py", (2e9, 2e9))
    files = {file.module: file for file in loaded_files() if file.module == "early"}
    assert files["early"].sha256 is None and recorded(files)["hash"] is None
    assert "unknown" in code_differences(recorded(files))[0]


def test_a_comment_counts_and_line_ends_do_not(project):
    (project / "cells.py").write_bytes(b"number = 1\n")
    entry = recorded(load("cells"))
    (project / "cells.py").write_bytes(b"number = 1\r\n")
    assert code_differences(entry) == []
    (project / "cells.py").write_bytes(b"number = 1  # one\n")
    assert code_differences(entry) == ["cells.py has changed"]


def test_a_moved_folder_is_the_same_code_and_another_found_first_is_not(project, tmp_path, monkeypatch):
    (project / "own").mkdir()
    (project / "own" / "__init__.py").write_text("from own import cells\n")
    (project / "own" / "cells.py").write_text("number = 1\n")
    entry = recorded(load("own"))
    moved = tmp_path / "moved"
    project.rename(moved)
    monkeypatch.setattr(sys, "path", [*sys.path, str(moved)])
    monkeypatch.chdir(moved)
    assert code_differences(entry) == []
    other = tmp_path / "other" / "own"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("from own import cells\n")
    (other / "cells.py").write_text("number = 2\n")
    monkeypatch.setattr(sys, "path", [str(other.parent), *sys.path])
    assert len(found := code_differences(entry)) == 1
    assert "own.cells is" in found[0] and str(other / "cells.py") in found[0] and "differs" in found[0]
    (other / "cells.py").unlink()
    assert code_differences(entry) == [f"{project / 'own' / 'cells.py'} is gone"]


def test_a_package_that_is_made_of_a_folder_is_other_code(project):
    (project / "parts" / "inner").mkdir(parents=True)
    (project / "parts" / "inner" / "cells.py").write_text("value = 1\n")
    record = recorded(load("parts.inner.cells"))
    assert code_differences(record) == []
    (project / "parts" / "__init__.py").write_text("import parts.inner.cells\nparts.inner.cells.value = 2\n")
    assert code_differences(record) == ["parts/__init__.py is new"]


def test_a_file_that_is_loaded_by_its_path_is_recorded_though_it_stands_under_no_name(project, monkeypatch):
    monkeypatch.setenv("SEQLAB_MODULE_FOLDERS", str(project))
    monkeypatch.setattr(loaded._recorder, "by_path", {})
    (project / "plugins").mkdir()
    (project / "plugins" / "cell.py").write_text("value = 1\n")
    (project / "user.py").write_text(
        "import importlib.util\n"
        "spec = importlib.util.spec_from_file_location('cell', 'plugins/cell.py')\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
    )
    files = load("user")
    (by_path,) = (file for name, file in files.items() if name != "user")
    assert by_path.path == str(project / "plugins" / "cell.py") and "cell" not in sys.modules
    assert copy_code(project / "run", files.values()) == []
    assert (project / "run" / "code" / f"{by_path.module.replace('.', '/')}.py").read_text() == "value = 1\n"
    assert code_differences(recorded(files)) == []
    (project / "plugins" / "cell.py").write_text("value = 2\n")
    assert code_differences(recorded(files)) == ["plugins/cell.py has changed"]


def test_comparing_executes_nothing(project):
    (project / "own").mkdir()
    for name in ("__init__", "cells"):
        (project / "own" / f"{name}.py").write_text("raise SystemExit('executed')\n")
    assert find_module("own.cells").path == str(project / "own" / "cells.py")
    assert "own" not in sys.modules


def test_copies_are_bounded_and_what_is_left_out_is_told(project, monkeypatch):
    for module in (code, loaded):
        monkeypatch.setattr(module, "LARGEST_CONTENT", 100)
    monkeypatch.setattr(code, "LARGEST_COPIES", 150)
    (project / "large.py").write_text("#" * 101)
    for name in ("first", "second"):
        (project / f"{name}.py").write_text("#" * 100)
    (project / "own.py").write_text("import first, large, second\n")
    files = load("own")
    left_out = copy_code(project / "run", files.values())
    assert len(left_out) == 2 and "large.py: 101 bytes" in left_out[0] and "second.py: 100 bytes" in left_out[1]
    assert sorted(path.name for path in (project / "run" / "code").iterdir()) == ["first.py", "own.py"]
    assert None not in [file.sha256 for file in files.values()]


def test_modules_of_before_stay_in_the_record_and_their_order_does_not_count(project):
    for name in ("early", "late"):
        (project / f"{name}.py").write_text(f"name = '{name}'\n")
    early, late = load("early"), load("late")
    once = code_record([*late.values(), *early.values()])
    assert code_record(late.values(), recorded(early)) == once
    assert [entry["module"] for entry in once["files"]] == ["early", "late"]
    assert changed_modules(once, early.values()) == []


def own_config(project: Path) -> dict:
    """A short run of a cell of the user's own."""
    (project / "my_cells.py").write_text(CELL)
    config = config_of(
        *("experiment=hello", "trainer.max_steps=2", "logger=none", "trainer=cpu"),
        *("runtime.num_threads=1", "runtime.keep_freed_memory=false"),
    )
    config["model"]["cell"] = {"_target_": "my_cells.MinimalGatedUnit", "_partial_": True, "bias": True}
    return config


def test_a_run_keeps_its_own_code_and_goes_on_with_that_alone(project, monkeypatch):
    monkeypatch.setenv("SEQLAB_ALLOW", "my_cells")
    run_dir = project / "run"
    interrupted_here(run_dir, own_config(project))
    record = RunFolder(run_dir).state().record
    own = [entry for entry in record["code"]["files"] if entry["module"] == "my_cells"]
    assert [entry["path"] for entry in own] == [str(project / "my_cells.py")]
    assert (run_dir / "code" / "my_cells.py").read_text() == CELL
    assert record["seqlab_git"] == seqlab_git() and record["git"] == user_git()

    del sys.modules["my_cells"]
    (project / "my_cells.py").write_text(CELL.replace(".tanh()", ".sigmoid()"))

    def contents() -> dict[Path, bytes]:
        own = [path for path in run_dir.rglob("*") if path.is_file() and path.name not in ("events.jsonl", "run.json")]
        return {path: path.read_bytes() for path in own}

    with resumed_here(run_dir) as claim:
        before = contents()
        with pytest.raises(ChangedError, match=r"my_cells\.py has changed"):
            training.execute(claim)
        assert contents() == before


def test_a_module_that_is_imported_in_the_middle_of_training_is_recorded_at_once(project, monkeypatch):
    """Not at the end alone: a run that is killed before that goes on with whatever the file is then."""
    monkeypatch.setenv("SEQLAB_ALLOW", "my_cells,my_callbacks")
    (project / "late.py").write_text("number = 1\n")
    (project / "my_callbacks.py").write_text(
        "from pathlib import Path\n\nfrom lightning.pytorch import Callback\n\n\nclass Late(Callback):\n"
        "    def on_train_batch_end(self, trainer, *_):\n        import late  # noqa: F401\n\n"
        "        assert (Path(trainer.default_root_dir) / 'code' / 'late.py').exists()\n"
    )
    config = own_config(project)
    config["callbacks"]["late"] = {"_target_": "my_callbacks.Late"}
    interrupted_here(project / "run", config)
    recorded = {entry["module"] for entry in RunFolder(project / "run").state().record["code"]["files"]}
    assert {"late", "my_callbacks", "my_cells"} <= recorded
    assert (project / "run" / "code" / "late.py").read_text() == "number = 1\n"
    (project / "late.py").write_text("number = 2\n")
    with pytest.raises(InputError, match=r"late\.py has changed"):
        open_attempt(project / "run", config, [])
