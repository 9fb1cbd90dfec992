"""Which globals a cell's functions see: their own, whatever other module has their module's name."""

import importlib.util
import sys

import torch

from seqlab.nn import Recurrent

TEXT = """
from seqlab.nn import GatedCell
SCALE = {scale}
def scaled(a):
    return a * SCALE
class Cell(GatedCell):
    num_gates = 1
    def pointwise(self, gi, gh, state):
        return (scaled(gi + gh).tanh(),)
"""


def assert_as_on_loop(layer, x):
    output, _ = layer(x)
    assert layer.last_run.engine == "scan", layer.last_run
    torch.testing.assert_close(output, Recurrent(layer.cell, "loop")(x)[0])
    return output


def test_two_modules_of_one_name(compiled_quickly, tmp_path, monkeypatch):
    """As when a file is loaded again, in a notebook say."""
    modules = []
    for scale in (0.5, 2.0):
        path = tmp_path / f"cell_{len(modules)}.py"
        path.write_text(TEXT.format(scale=scale))
        spec = importlib.util.spec_from_file_location("one_name", path)
        modules.append(importlib.util.module_from_spec(spec))
        monkeypatch.setitem(sys.modules, "one_name", modules[-1])
        spec.loader.exec_module(modules[-1])
    x, outputs = torch.randn(2, 4, 3), []
    for module in (modules[1], modules[0], modules[1]):
        torch.manual_seed(0)
        layer = Recurrent(module.Cell(3, 5))
        outputs.append(assert_as_on_loop(layer, x))
    assert not torch.allclose(outputs[0], outputs[1])
    modules[1].scaled.__code__ = (lambda a: a.sin()).__code__
    assert not torch.allclose(assert_as_on_loop(layer, x), outputs[2])


def test_cells_made_of_text_are_followed_too(compiled_quickly):
    for space in ({}, {"__name__": "no_such_module"}):
        exec(
            "from seqlab.nn import GatedCell\nGAIN = 0.5\nclass Cell(GatedCell):\n    num_gates = 1\n"
            "    def pointwise(self, gi, gh, state):\n        return ((gi + GAIN * gh).tanh(),)\n",
            space,
        )
        layer = Recurrent(space["Cell"](3, 5))
        x = torch.randn(2, 4, 3)
        for gain in (0.5, 3.0):
            space["GAIN"] = gain
            assert_as_on_loop(layer, x)
