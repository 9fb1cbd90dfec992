"""What exports share."""

import functools
from importlib.util import find_spec

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_table_of_operations():
    """Each export to ONNX makes the table of its thousand operations anew, which takes half a second."""
    with pytest.MonkeyPatch.context() as patch:
        if find_spec("onnxscript"):
            from torch.onnx._internal.exporter._registration import ONNXRegistry

            patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield
