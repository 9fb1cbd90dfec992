"""Names that a step does not ask for come and go, and no step is captured again for them; and names of imports."""

import abc
import types

import pytest
import torch
from torch import nn

from seqlab.nn import Recurrent
from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.lookups import lookups_of
from seqlab.nn.engine.watch import _watches
from tests.nn.engine.following import Options, scaled

pytestmark = pytest.mark.usefixtures("compiled_quickly")


def test_names_that_the_step_does_not_have_change_nothing():
    """Globals of a notebook come and go, and so do attributes of modules: no step is captured for them again."""
    settings = types.ModuleType("settings")
    settings.alpha = 0.5
    cell = scaled(lambda self: settings.alpha)
    layer = Recurrent(cell)
    layer(torch.ones(2, 3, 3, dtype=torch.float64))
    (before,) = {len(watch.captures) for watch in _watches[cell].values()}
    settings.other = 1.0
    globals()["a_name_of_a_notebook"] = 1.0
    layer(torch.ones(2, 3, 3, dtype=torch.float64))
    del globals()["a_name_of_a_notebook"]
    assert {len(watch.captures) for watch in _watches[cell].values()} == {before}


class Later(abc.ABC):  # noqa: B024
    pass


@pytest.mark.parametrize(
    "what", ["an attribute", "a parameter", "a parameter that is asked", "a hook", "an unrelated class"]
)
def test_what_the_step_does_not_ask_for_may_change_at_each_call(what):
    """An optimizer's or a probe's doings: no step is captured again, and none goes to the loop for it."""

    def asking(self):
        return 0.0 if isinstance(self.helper, Later) else 1.0

    def plain(self):
        return self.inner(self.factor) * self.helper.alpha

    def asked(self):
        return self.factor * getattr(self.factor, "alpha", 1.0)

    steps = {"an unrelated class": asking, "a parameter that is asked": asked}
    cell = scaled(steps.get(what, plain), helper=Options(1.0))
    cell.factor, cell.inner = nn.Parameter(torch.ones(5, dtype=torch.float64)), nn.Tanh()
    layer, x = Recurrent(cell), torch.ones(2, 3, 3, dtype=torch.float64)
    counts, handle = [], None
    for number in range(4):
        if what == "an attribute":
            setattr(cell.helper, f"a{number}", 1.0)
        elif what.startswith("a parameter"):
            cell.factor = nn.Parameter(torch.ones(5, dtype=torch.float64))
        elif what == "a hook":
            if handle is not None:
                handle.remove()
            handle = cell.inner.register_forward_hook(hook)
        else:
            type("Unrelated", (abc.ABC,), {}).register(type("Own", (), {}))
        layer(x)
        counts.append({len(watch.captures) for watch in _watches[cell].values()})
    assert layer.last_run.engine == "scan" and counts[1] == counts[-1]


def hook(module, inputs, output):
    return output


def test_names_of_globals_that_belong_to_no_module_change_nothing():
    """Such as those of a program that another one runs."""
    scope = {"__name__": "no_module_of_this_name", "alpha": 0.5}
    exec("def scale(self):\n    return alpha\n", scope)
    cell = scaled(scope["scale"])
    layer = Recurrent(cell)
    x = torch.ones(2, 3, 3, dtype=torch.float64)
    before = layer(x)[0]
    (count,) = {len(watch.captures) for watch in _watches[cell].values()}
    scope["other"] = 1.0
    layer(x)
    assert {len(watch.captures) for watch in _watches[cell].values()} == {count}
    scope["alpha"] = 0.1
    assert not torch.allclose(layer(x)[0], before)


def test_a_step_that_imports_by_a_relative_name_is_not_captured():
    code = compile("from .settings import alpha", "step.py", "exec")
    with pytest.raises(UnsupportedError, match=r"it imports \.settings as it runs, which can't be watched"):
        lookups_of([], {}, {}, [code])
    absolute = compile("import os.path", "step.py", "exec")
    assert [name for name, _ in lookups_of([], {}, {}, [absolute]).modules] == ["os", "os.path"]
