"""What tests share: a small text, and runs composed and carried out in this process."""

import gc
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from seqlab.imports import quick_imports

with quick_imports():
    import torch
    from tensorboard.summary.writer import event_file_writer

    from seqlab.config.compose import compose_config
    from seqlab.nn.engine.scan import build
    from seqlab.run import installed, loaded, torch_settings, training
    from seqlab.run.claim import Claim
    from seqlab.run.folder import RunFolder, start_run
    from tests.quick import be_quick

torch.set_num_threads(1)
be_quick()

# The tests' own modules are no user's: each run would copy all three hundred of them into its folder.
_folders = installed._installed_folders()
installed._installed_folders = lambda: (*_folders, f"{Path(__file__).parent}{os.sep}")

LONG_FILES = frozenset((Path(__file__).parent / "long_files.txt").read_text().split())
"""Files of tests that take over one and a half seconds: `make test-fast` leaves them out, as it does slow tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in LONG_FILES:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is imported by now stays: no collection of garbage has to look at it, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_configure() -> None:
    """Signals do what they do at a terminal: under ``nohup`` and in the background, what tests start ignores some."""
    for signum, handler in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, handler)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keeps the user's token cache out of the tests, and the tests out of it."""
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def event_files_in_order(monkeypatch):
    """TensorBoard reads files of one second and process in the order of a number's text: 10 would come before 9."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(1000))


@pytest.fixture(autouse=True)
def own_path(monkeypatch):
    """What a command that is carried out here says of the user's modules ends with the test."""
    for name in ("SEQLAB_MODULE_FOLDERS", "PYTHONSAFEPATH"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(loaded._recorder, "by_path", {})  # files that a test loads by their paths are its own alone


@pytest.fixture(scope="module", autouse=True)
def own_modules(tmp_path_factory):
    """Forgets modules that the tests of a file wrote and imported: another file's module may have the same name."""
    yield
    folder = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        if str(vars(module).get("__file__")).startswith(folder):
            del sys.modules[name]


@pytest.fixture(scope="session")
def kernels(tmp_path_factory) -> Path:
    """Where compiled steps are kept: what one worker has compiled, the others load."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "kernels"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


@pytest.fixture(scope="session", autouse=True)
def uncompiled(kernels):
    """Spares each cell of each test its second with the compiler, also in the processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQLAB_COMPILE", "0")
        patch.setenv("SEQLAB_KERNEL_CACHE", str(kernels))
        yield


@pytest.fixture
def compiled(uncompiled, request, monkeypatch):
    """Lets the scan engine compile, into a folder that all tests share and no user sees."""
    monkeypatch.delenv("SEQLAB_COMPILE")
    monkeypatch.setattr(build, "_FLAGS", request.getfixturevalue("full_flags"))


def system_compiler() -> str:
    found = build._find(os.environ.get("CXX"))
    if found is None:
        pytest.skip("needs a C++ compiler")
    return found[0]


@pytest.fixture(scope="session")
def full_flags(kernels) -> tuple[str, ...]:
    """The flags that users' steps are compiled with."""
    return _with_parsed_headers(kernels / "full.h", build._FLAGS)


@pytest.fixture(scope="session")
def quick_flags(kernels) -> tuple[str, ...]:
    """Flags that leave the optimizer out."""
    return _with_parsed_headers(kernels / "quick.h", tuple("-O0" if flag == "-O3" else flag for flag in build._FLAGS))


def _with_parsed_headers(header: Path, flags: tuple[str, ...]) -> tuple[str, ...]:
    """The system's headers, which take up to half of the compiler's time, are parsed once for all tests."""
    system = files("seqlab.nn.engine.scan").joinpath("kernel/vector.h").read_text().partition("#if REAL_IS_DOUBLE")[0]
    with FileLock(header.with_suffix(".lock")):
        if not header.exists():
            with tempfile.TemporaryDirectory(dir=header.parent) as folder:
                source = Path(folder) / header.name
                source.write_text(system)
                parsed = header.with_suffix(".h.gch")
                command = [system_compiler(), *flags, "-fopenmp", "-x", "c++-header", "-o", str(parsed), str(source)]
                subprocess.run(command, check=True, capture_output=True)
                source.replace(header)
    return (*flags, "-include", str(header))


@pytest.fixture(scope="session")
def quick_compiler(kernels, quick_flags) -> str:
    """A compiler with these flags, for CXX in the processes that tests start."""
    script = kernels.parent / f"c++-{os.environ.get('PYTEST_XDIST_WORKER', '')}"
    words = shlex.join(each for each in quick_flags if each not in build._FLAGS)
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(system_compiler())} "$@" {words}\n')
    script.chmod(0o700)
    return str(script)


@pytest.fixture
def compiled_quickly(uncompiled, quick_flags, monkeypatch):
    """The same without the optimizer, in a third of the time, for what does not depend on it."""
    monkeypatch.delenv("SEQLAB_COMPILE")
    monkeypatch.setattr(build, "_FLAGS", quick_flags)


@pytest.fixture(autouse=True)
def quiet_lightning():
    """Lightning's hint on the logging interval, and its own deprecated call, are not ours to mend."""
    import warnings

    with warnings.catch_warnings():
        torch_settings.ignore_foreign_warnings()
        yield


def made_up_lines(count: int) -> list[str]:
    """Lines of eight made-up words, the same on every machine."""
    draw = random.Random(0)
    words = ["".join(draw.choice("abcdefg") for _ in range(draw.randint(1, 6))) for _ in range(50)]
    return [" ".join(draw.choice(words) for _ in range(8)) for _ in range(count)]


@pytest.fixture(scope="session")
def text_file(tmp_path_factory) -> Path:
    """Two hundred lines. More would be for evaluations, which take most of a small run's time as it is."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(made_up_lines(200)))
    return path


def config_of(*overrides: str) -> dict[str, Any]:
    """The composed configuration of ``seqlab train OVERRIDES``, plain and resolved."""
    return compose_config(overrides)


def run_here(run_dir: Path, *overrides: str) -> Claim:
    """Carries out a run in this process; the CPU, one thread and no more output than needed."""
    config = config_of(*overrides, "trainer=cpu", "runtime.num_threads=1", "runtime.keep_freed_memory=false")
    with start_run(run_dir, config, overrides) as claim:
        training.execute(claim)
    return claim


def interrupted_here(run_dir: Path, config: dict[str, Any], overrides: Sequence[str] = ()) -> None:
    """Carries out a run in this process and has it end as interrupted, where it would have completed."""
    with start_run(run_dir, config, list(overrides)) as claim, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Claim, "complete", lambda claim, *_, **__: claim.interrupt())
        training.execute(claim)


@contextmanager
def resumed_here(run_dir: Path) -> Iterator[Claim]:
    """The claim of a run that goes on in this process."""
    with RunFolder(run_dir).claim() as claim:
        claim.resume()
        yield claim


def small(text_file: Path, *overrides: str) -> list[str]:
    """Overrides for a run of a second: a small character model of the small text."""
    return [
        "data=text",
        f"data.path={text_file}",
        "data.batch_size=4",
        "data.tbptt_steps=16",
        "model.hidden_size=16",
        "callbacks.examples.num_tokens=10",
        "trainer.log_every_n_steps=5",
        *overrides,
    ]
