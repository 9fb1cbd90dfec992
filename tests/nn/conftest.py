"""What tests of engines share."""

import gc
import shutil

import pytest


@pytest.fixture(scope="session", autouse=True)
def frozen():
    """What was imported is not looked through at each collection."""
    gc.freeze()


@pytest.fixture(scope="session")
def quick_flags(quick_flags) -> tuple[str, ...]:
    """The same, with a linker that takes a third of the time, where there is one: these tests compile 400 steps."""
    return (*quick_flags, "-fuse-ld=gold") if shutil.which("ld.gold") else quick_flags
