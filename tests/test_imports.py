import gc
import os
import subprocess
import sys

import pytest

from seqlab.imports import _import_late, add_user_folders, keep_user_folders_last, quick_imports
from tests.command import environment

PROGRAM = """
import gc
from seqlab.imports import add_user_folders, keep_user_folders_last, quick_imports
before = gc.get_freeze_count()
try:
    with quick_imports():
        inside = gc.isenabled()
        import argparse, fractions, uuid
        {then}
except ValueError:
    pass
print(inside, gc.isenabled(), gc.get_freeze_count() > before)
"""


def printed(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_collector_rests_during_imports_and_leaves_what_they_made_alone():
    assert printed(PROGRAM.format(then="pass")) == "False True True"


def test_it_works_again_after_an_import_that_failed():
    assert printed(PROGRAM.format(then="raise ValueError")) == "False True True"


def test_what_a_caller_has_switched_off_stays_off():
    assert printed("import gc; gc.disable()" + PROGRAM.format(then="pass")) == "False False False"


def test_nothing_of_a_process_that_has_pytorch_is_kept_from_the_collector():
    before = gc.get_freeze_count()
    with quick_imports():
        assert gc.isenabled()
    assert gc.isenabled() and gc.get_freeze_count() == before


SIGNAL = """
import os, sys
from seqlab.imports import quick_imports
with quick_imports():
    import torchmetrics
loaded = lambda: "scipy.signal._signaltools" in sys.modules
for use in (
    "from scipy.signal import firwin; firwin(3, 0.5)",
    "import scipy.signal; scipy.signal.firwin(3, 0.5)",
    "from scipy.signal.windows import hamming; hamming(3)",
    "torchmetrics.scipy.signal.windows.hamming(3)",
):
    if os.fork() == 0:
        before = loaded()
        exec(use)
        print(before, loaded())
        import scipy.signal, scipy.signal.windows
        assert scipy.signal is sys.modules["scipy.signal"]
        assert scipy.signal.hamming is scipy.signal.windows.hamming and scipy.signal.hamming(3)[1] == 1
        sys.stdout.flush()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0, use
"""


def test_scipys_signal_processing_is_imported_at_its_first_use():
    pytest.importorskip("scipy")
    assert printed(SIGNAL) == "\n".join(["False True"] * 4)


def test_where_scipy_is_not_installed_nothing_stands_in_for_it(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "scipy.signal", raising=False)
    _import_late("scipy", "signal")
    assert "scipy.signal" not in sys.modules


def test_the_users_folders_come_last_and_stay_there(tmp_path, monkeypatch):
    mine, other = str(tmp_path / "mine"), str(tmp_path / "other")
    monkeypatch.setattr(sys, "path", [mine, "", "/installed", other])
    monkeypatch.chdir(tmp_path)
    add_user_folders([os.getcwd(), mine])
    assert sys.path == ["/installed", other, str(tmp_path), mine]
    assert os.environ["PYTHONSAFEPATH"] == "1"
    add_user_folders([other])
    assert sys.path == ["/installed", other, str(tmp_path), mine]
    keep_user_folders_last()
    sys.path.insert(0, mine)
    sys.path.insert(0, "/another")
    assert sys.path == ["/another", "/installed", other, str(tmp_path), mine]


def test_the_folders_of_another_working_folder_go_and_that_of_the_script_stays_behind(tmp_path, monkeypatch):
    script, first, second = (str(tmp_path / name) for name in ("script", "first", "second"))
    os.mkdir(first), os.mkdir(second)
    monkeypatch.setattr(sys, "path", [script, "/installed"])
    monkeypatch.chdir(first)
    add_user_folders([first, script])
    assert sys.path == ["/installed", first, script]
    monkeypatch.chdir(second)
    add_user_folders([second])
    assert sys.path == ["/installed", second, script]
    assert os.environ["SEQLAB_MODULE_FOLDERS"] == second
    sys.path.insert(0, first)  # by the user
    add_user_folders([second])
    assert sys.path == [first, "/installed", second, script]
