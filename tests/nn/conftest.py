"""What tests of engines share."""

import gc

import pytest


@pytest.fixture(scope="session", autouse=True)
def frozen():
    """What was imported is not looked through at each collection."""
    gc.freeze()
