"""The wheel holds all that the command needs, the configuration included."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from seqlab.run.record import read_record
from tests.command import ONE_THREAD, environment

ROOT = Path(__file__).parents[1]


def copy_of_the_sources(folder: Path) -> Path:
    """What belongs to the project by git's account, so that no stray file makes the wheel work."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("the sources are not in a git repository")
    for name in filter(None, listed.stdout.decode().split("\0")):
        source = ROOT / name
        if (source.is_file() and name.partition("/")[0] in ("seqlab", "conf")) or "/" not in name:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    return folder


def test_each_folder_of_the_package_is_named():
    """One that is not named is packed all the same, with a warning that nobody sees."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent for path in (*ROOT.glob("seqlab/**/*.py"), *ROOT.glob("seqlab/**/*.h"))}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    yamls = {path.parent for path in ROOT.glob("conf/**/*.yaml")}
    names |= {".".join(("seqlab.conf", *folder.relative_to(ROOT / "conf").parts)) for folder in yamls}
    assert len(named) == len(set(named))
    missing, gone = sorted(names - set(named)), sorted(set(named) - names)
    assert not (missing or gone), f"pyproject.toml, tool.setuptools.packages: add {missing}, take out {gone}"


@pytest.mark.slow
def test_an_installed_wheel_trains_from_an_empty_folder(tmp_path):
    pytest.importorskip("setuptools", reason="building a wheel needs setuptools")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    sources, wheels, target, empty = (tmp_path / name for name in ("sources", "wheels", "target", "empty"))
    empty.mkdir()
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(wheels)]
    subprocess.run([*pip, *build, str(copy_of_the_sources(sources))], check=True, capture_output=True, timeout=120)
    (wheel,) = wheels.glob("seqlab-*.whl")
    install = ["install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run([*pip, *install], check=True, capture_output=True, timeout=120)

    def python(*arguments: str) -> "subprocess.CompletedProcess[str]":
        # Not through `seqlab`, which could be that of this checkout.
        variables = environment(PYTHONPATH=str(target), SEQLAB_CACHE=str(tmp_path / "cache"))
        return subprocess.run(
            [sys.executable, *arguments], cwd=empty, env=variables, capture_output=True, text=True, timeout=120
        )

    where = python("-c", "import seqlab, seqlab.conf; print(seqlab.__file__, seqlab.conf.__file__)")
    assert all(path.startswith(str(target)) for path in where.stdout.split()), where
    installed = {path.relative_to(target / "seqlab" / "conf") for path in target.glob("seqlab/conf/**/*.yaml")}
    assert installed == {path.relative_to(ROOT / "conf") for path in ROOT.glob("conf/**/*.yaml")}

    templates = {path.name for path in target.glob("seqlab/templates/*.txt")}
    assert templates == {path.name for path in ROOT.glob("seqlab/templates/*.txt")} != set()

    done = python("-m", "seqlab.cli", "train", "experiment=hello", "trainer.max_epochs=50", *ONE_THREAD)
    assert done.returncode == 0, done.stderr
    assert read_record(empty / done.stdout.splitlines()[-1])["status"] == "completed"
