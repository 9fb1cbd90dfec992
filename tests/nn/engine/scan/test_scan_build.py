"""Compiled steps: how often a compiler runs, what is kept on disk, and what happens without one."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seqlab.nn import GRUCell, LSTMCell, PeepholeLSTMCell, Recurrent
from seqlab.nn.engine.scan import build, execution, readiness
from tests.nn.agreement import assert_agrees, programs_of

SHIPPED_FLAGS = build._FLAGS
TOGETHER = """
import os, sys
import torch
from seqlab.nn import LSTMCell, Recurrent
from seqlab.nn.engine.scan import build

def call(threads):
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    cell = LSTMCell(3, 9).double()
    x = torch.linspace(-1, 1, 7 * 5 * 3, dtype=torch.float64).view(7, 5, 3)
    values = []
    for backend in ("scan", "loop"):
        output, _ = Recurrent(cell, backend)(x, lengths=torch.tensor([5, 3, 0, 1, 5, 4, 2]))
        values.append([output, *torch.autograd.grad(output.square().sum(), list(cell.parameters()))])
    for one, other in zip(*values):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    return build.compilations

def child(threads, start):
    try:
        os.read(start, 1)  # both begin at once
        print(call(threads), flush=True)
        os._exit(0)
    except BaseException as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)

import torch._dynamo, torch._functorch.aot_autograd  # what takes a first call's time, once for both
start, begin = os.pipe()
children = []
for threads in (1, 4):
    if (pid := os.fork()) == 0:
        child(threads, start)
    children.append(pid)
os.write(begin, b"12")
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))
"""


@pytest.fixture(autouse=True)
def own_kernels(compiled_quickly, tmp_path, monkeypatch):
    """A cold cache for each test, and nothing remembered."""
    monkeypatch.setenv("SEQLAB_KERNEL_CACHE", str(tmp_path / "kernels"))
    monkeypatch.setattr(build, "_loaded", {})
    monkeypatch.setattr(build, "compilations", 0)
    monkeypatch.setattr(execution, "_warned", set())
    return tmp_path / "kernels"


def run(text, **variables):
    path = os.pathsep.join([str(Path(build.__file__).parents[4]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, **variables}
    return subprocess.run(
        [sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def messages(caplog):
    return [record.message for record in caplog.records if record.name == "seqlab"]


def test_a_cell_is_compiled_once_whatever_the_batch_the_length_and_the_mode(own_kernels):
    cell = LSTMCell(3, 9)
    layer = Recurrent(cell, "scan")
    for rows, steps in ((4, 7), (4, 3), (1, 1), (30, 7), (2, 300)):
        layer(torch.randn(rows, steps, 3))[0].sum().backward()
        layer(torch.randn(rows, steps, 3), lengths=torch.randint(0, steps + 1, (rows,)))
    layer.eval()
    with torch.no_grad():
        layer(torch.randn(2, 5, 3))
    Recurrent(LSTMCell(100, 9), "scan", reverse=True)(torch.randn(2, 5, 100))
    assert build.compilations == 1
    assert [path.suffix for path in own_kernels.iterdir()] == [".so"]
    layer.double()(torch.randn(2, 5, 3).double())
    Recurrent(LSTMCell(3, 10), "scan")(torch.randn(2, 5, 3))
    Recurrent(GRUCell(3, 9), "scan")(torch.randn(2, 5, 3))
    assert build.compilations == 4


def test_later_and_simultaneous_processes_share_what_is_on_disk(quick_compiler, monkeypatch):
    # One of the two asks for four threads, and gets fewer.
    done = run(TOGETHER, CXX=quick_compiler, OMP_THREAD_LIMIT="1", OMP_NUM_THREADS="4")
    assert done.returncode == 0, done.stderr
    assert sum(map(int, done.stdout.split())) in (1, 2)
    monkeypatch.setenv("CXX", quick_compiler)
    monkeypatch.setattr(build, "_FLAGS", SHIPPED_FLAGS)  # as those had them
    cell = LSTMCell(3, 9)
    assert_agrees(cell)
    assert programs_of(cell) and build.compilations == 0


def test_nothing_is_compiled_where_the_file_is_there(own_kernels):
    assert_agrees(LSTMCell(3, 9))
    (library,) = own_kernels.iterdir()
    made = library.stat().st_mtime_ns
    build._loaded.clear()
    assert_agrees(LSTMCell(3, 9))
    assert build.compilations == 1 and library.stat().st_mtime_ns == made


def broken_compiler(folder, script):
    path = folder / "compiler"
    path.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo broken 1.0; exit 0; fi\n{script}\n')
    path.chmod(0o755)
    return str(path)


def test_a_broken_compiler_is_named_in_one_warning_and_the_result_is_the_same(
    own_kernels, tmp_path, monkeypatch, caplog
):
    compiler = broken_compiler(tmp_path, "echo 'step.cpp:1: error: no such luck' >&2; exit 1")
    monkeypatch.setenv("CXX", compiler)
    with caplog.at_level(logging.WARNING, logger="seqlab"):
        for cell in (LSTMCell(3, 9), LSTMCell(3, 9)):
            assert_agrees(cell)
    (message,) = messages(caplog)
    assert message == (
        f"LSTMCell: scan runs its step uncompiled, slower than a loop: {compiler} could not compile the step: "
        "step.cpp:1: error: no such luck"
    )
    assert not list(own_kernels.iterdir())


def test_a_compiler_that_dies_halfway_leaves_no_library(own_kernels, tmp_path, monkeypatch):
    """What stands before -o's argument goes on; half a library is written, then it fails."""
    script = 'while [ "$1" != -o ]; do shift; done; echo half > "$2"; exit 1'
    with monkeypatch.context() as patch:
        patch.setenv("CXX", broken_compiler(tmp_path, script))
        assert_agrees(LSTMCell(3, 9))
    assert not list(own_kernels.iterdir())
    assert_agrees(LSTMCell(3, 9))
    assert len(list(own_kernels.iterdir())) == 1


def test_a_compiler_without_openmp_makes_a_step_of_one_thread(own_kernels, tmp_path, monkeypatch):
    found = build.compiler()[0]
    script = f'for each in "$@"; do if [ "$each" = -fopenmp ]; then exit 1; fi; done; exec {found} "$@"'
    monkeypatch.setenv("CXX", broken_compiler(tmp_path, script))
    monkeypatch.setattr(readiness, "grid", lambda *_: (2, 2))
    cell = LSTMCell(3, 9)
    assert_agrees(cell)
    assert programs_of(cell)


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_damaged_file_in_the_cache_is_compiled_anew_with_a_warning(own_kernels, tmp_path, monkeypatch, caplog, kept):
    """A library that is cut short is loaded as if it were whole, and ends the process when it is run."""
    assert_agrees(LSTMCell(3, 9))
    (library,) = own_kernels.iterdir()
    content = library.read_bytes()
    broken = tmp_path / "others" / library.name  # a path that this process has not loaded yet
    broken.parent.mkdir(mode=0o700)
    broken.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    monkeypatch.setenv("SEQLAB_KERNEL_CACHE", str(broken.parent))
    build._loaded.clear()
    cell = LSTMCell(3, 9)
    with caplog.at_level(logging.WARNING, logger="seqlab"):
        assert_agrees(cell)
    (message,) = messages(caplog)
    assert str(broken) in message and "compiled again" in message
    assert programs_of(cell) and build.compilations == 2
    assert [path.stat().st_size for path in broken.parent.iterdir()] == [len(content)]


@pytest.mark.parametrize("trouble", ["a file in its way", "writable by all"])
def test_a_cache_that_can_not_be_used_is_a_warning(own_kernels, monkeypatch, caplog, trouble):
    if trouble == "writable by all":
        own_kernels.mkdir()
        own_kernels.chmod(0o777)
    else:
        own_kernels.write_text("")
    with caplog.at_level(logging.WARNING, logger="seqlab"):
        for cell in (LSTMCell(3, 9), LSTMCell(3, 9)):
            assert_agrees(cell)
            assert not programs_of(cell)
    (message,) = messages(caplog)
    assert str(own_kernels) in message and "SEQLAB_KERNEL_CACHE" in message
    caplog.clear()
    layer = Recurrent(PeepholeLSTMCell(3, 9))
    with caplog.at_level(logging.WARNING, logger="seqlab"):
        for steps in (3, 4):
            layer(torch.randn(2, steps, 3))
    assert layer.last_run.engine == "loop" and str(own_kernels) in layer.last_run.reason
    (message,) = messages(caplog)
    assert str(own_kernels) in message


@pytest.mark.parametrize("trouble", ["no home", "unwritable"])
def test_without_a_default_cache_steps_are_kept_for_this_process_with_one_warning(
    tmp_path, monkeypatch, caplog, trouble
):
    for name in ("SEQLAB_KERNEL_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if trouble == "no home":
        monkeypatch.setattr("pwd.getpwuid", lambda uid: (_ for _ in ()).throw(KeyError(uid)))
    else:
        (tmp_path / ".cache").write_text("")  # a file where the folder would be
        monkeypatch.setenv("HOME", str(tmp_path))
    build._default_folder.cache_clear()
    made = []
    try:
        with caplog.at_level(logging.WARNING, logger="seqlab"):
            for cell in (LSTMCell(3, 9), GRUCell(3, 9)):
                assert_agrees(cell)
                made.append(bool(programs_of(cell)))
            folder = build.cache_folder()
    finally:
        build._default_folder.cache_clear()
    assert made == [True, True] and len(list(folder.glob("*.so"))) == 2
    assert folder.stat().st_mode & 0o777 == 0o700 and tmp_path / ".cache" not in folder.parents
    (message,) = messages(caplog)
    assert "SEQLAB_KERNEL_CACHE" in message


def test_kernels_are_kept_where_the_variables_say(monkeypatch):
    monkeypatch.setenv("SEQLAB_KERNEL_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    monkeypatch.setenv("HOME", "/c")
    assert build.cache_folder() == Path("/a")
    monkeypatch.delenv("SEQLAB_KERNEL_CACHE")
    assert build.cache_folder() == Path("/b/seqlab/kernels")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert build.cache_folder() == Path("/c/.cache/seqlab/kernels")


def test_the_folder_is_the_users_alone(own_kernels):
    assert_agrees(LSTMCell(3, 9))
    assert own_kernels.stat().st_mode & 0o777 == 0o700


def test_cxx_that_does_not_work_gives_way_to_the_systems_compiler(monkeypatch):
    monkeypatch.setenv("CXX", shutil.which("false"))
    found = build.compiler()
    assert found is not None and "false" not in found[0]


@pytest.mark.parametrize("part", ["text", "flags", "compiler", "processor"])
def test_another_text_flag_compiler_or_processor_has_a_library_of_its_own(monkeypatch, part):
    before = build._key("text")
    if part == "flags":
        monkeypatch.setattr(build, "_FLAGS", (*build._FLAGS, "-g"))
    if part == "compiler":
        monkeypatch.setattr(build, "compiler", lambda: ("/usr/bin/g++", "g++ 99"))
    if part == "processor":
        monkeypatch.setattr(build, "_processor", lambda: "another")
    assert build._key("other" if part == "text" else "text") != before
    monkeypatch.undo()


FORKS = """\
import os
import torch
from seqlab.nn.engine.scan import build

def has_all():
    if (pid := os.fork()) == 0:
        os._exit(0 if build.threads() == torch.get_num_threads() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

one = has_all()
torch.set_num_threads(2)
torch.ones(2**20).tanh()  # OpenMP's threads are there from now on, and a fork has none of them
print(one, has_all())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_a_fork_has_as_many_threads_as_its_parent_left_it():
    """All, of a parent with one thread; not of one with several."""
    done = run(FORKS, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="2")
    assert done.stdout.split() == ["True", "False"], done.stderr
