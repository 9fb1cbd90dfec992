"""A layer that has run follows the objects, closures, globals and functions that its cell's step reads."""

import functools
import types
from functools import partial

import numpy as np
import pytest
import torch

from tests.nn.agreement import small_cell
from tests.nn.engine.following import Kinds, Options, Settings, Slotted, either

pytestmark = pytest.mark.usefixtures("compiled_quickly")  # each step is compiled, the same ones once a session

KINDS = Kinds()
kind = KINDS.kind


@kind()
def an_attribute_of_a_helper_object():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.helper.alpha,), helper=Options(1.0))
    return cell, lambda: setattr(cell.helper, "alpha", 0.1)


@kind()
def another_helper_object():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.helper.alpha,), helper=Options(1.0))
    return cell, {"helper": Options(0.1)}


@kind(engine=None)
def a_helper_object_with_slots():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.helper.alpha,), helper=Slotted(1.0))
    return cell, lambda: setattr(cell.helper, "alpha", 0.1)


@kind()
def a_dataclass_within_which_an_object_changes():
    settings = Settings(2.0, Options(1.0))
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.settings.inner.alpha,), settings=settings)
    return cell, lambda: setattr(settings.inner, "alpha", 0.1)


@kind()
def a_method_of_a_helper_object():
    cell = small_cell(lambda self, gi, gh, state: (self.helper.scale((gi + gh).tanh()),), helper=Options(1.0))
    return cell, lambda: setattr(cell.helper, "scale", lambda z: z * 0.1)


@kind()
def a_callable_object():
    cell = small_cell(lambda self, gi, gh, state: (self.helper((gi + gh).tanh()),), helper=Options(1.0))
    return cell, lambda: setattr(cell.helper, "alpha", 0.1)


@kind()
def the_class_of_a_helper_object():
    class Other(Options):
        def scale(self, z):
            return z * 0.1

    cell = small_cell(lambda self, gi, gh, state: (self.helper.scale((gi + gh).tanh()),), helper=Options(1.0))
    return cell, lambda: setattr(cell.helper, "__class__", Other)


@kind()
def a_method_replaced_on_a_helpers_class():
    class Own:
        def scale(self, z):
            return z * 1.0

    cell = small_cell(lambda self, gi, gh, state: (self.helper.scale((gi + gh).tanh()),), helper=Own())
    return cell, lambda: setattr(Own, "scale", lambda self, z: z * 0.1)


@kind()
def an_attribute_of_a_helpers_class():
    class Own:
        alpha = 1.0

    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.helper.alpha,), helper=Own())
    return cell, lambda: setattr(Own, "alpha", 0.1)


@kind()
def an_attribute_of_a_class_that_is_read_by_name():
    class Own:
        alpha = 1.0

    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * Own.alpha,))
    return cell, lambda: setattr(Own, "alpha", 0.1)


@kind(engine=None)
def a_numpy_number():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.alpha,), alpha=np.float64(1.0))
    return cell, {"alpha": np.float64(0.1)}


@kind(engine=None)
def a_numpy_array():
    def step(self, gi, gh, state):
        return ((gi + gh).tanh() * float(self.scales[0]),)

    cell = small_cell(step, scales=np.ones(3))
    return cell, lambda: cell.scales.__setitem__(0, 0.1)


@kind()
def a_partial_function():
    def scaled(z, alpha):
        return z * alpha

    cell = small_cell(lambda self, gi, gh, state: (self.last((gi + gh).tanh()),), last=partial(scaled, alpha=1.0))
    return cell, {"last": partial(scaled, alpha=0.1)}


@kind()
def a_function_in_an_attribute():
    cell = small_cell(lambda self, gi, gh, state: (self.last(gi + gh),), last=torch.tanh)
    return cell, {"last": torch.sigmoid}


@kind()
def a_function_in_a_dict():
    table = {"last": torch.tanh}
    cell = small_cell(lambda self, gi, gh, state: (table["last"](gi + gh),))
    return cell, lambda: table.update(last=torch.sigmoid)


@kind()
def an_attribute_that_comes():
    def step(self, gi, gh, state):
        return (either(hasattr(self, "extra"), gi + gh),)

    cell = small_cell(step)
    return cell, {"extra": 1}


@kind()
def an_attribute_that_goes():
    cell = small_cell(lambda self, gi, gh, state: (either(hasattr(self, "extra"), gi + gh),), extra=1)
    return cell, lambda: delattr(cell, "extra")


@kind()
def an_attribute_that_hides_the_classs():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.alpha,))
    type(cell).alpha = 1.0
    return cell, {"alpha": 0.1}


# What stands around the class


@kind()
def a_closure():
    alpha = 1.0

    def change():
        nonlocal alpha
        alpha = 0.1

    return small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * alpha,)), change


ALPHA = 1.0
TABLE = {"alpha": 1.0}
HELPER = Options(1.0)


@kind()
def a_global_number():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * ALPHA,))
    return cell, lambda patch: patch.setitem(globals(), "ALPHA", 0.1)


@kind()
def a_global_dict():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * TABLE["alpha"],))
    return cell, lambda patch: patch.setitem(TABLE, "alpha", 0.1)


@kind()
def an_attribute_of_a_global_object():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * HELPER.alpha,))
    return cell, lambda patch: patch.setattr(HELPER, "alpha", 0.1)


def squash(z):
    return z.tanh()


def scaled(z, alpha=1.0, *, beta=1.0):
    return z.tanh() * alpha * beta


@kind()
def a_global_function_that_is_replaced():
    cell = small_cell(lambda self, gi, gh, state: (squash(gi + gh),))
    return cell, lambda patch: patch.setitem(globals(), "squash", torch.sigmoid)


@kind()
def the_code_of_a_global_function():
    cell = small_cell(lambda self, gi, gh, state: (squash(gi + gh),))
    return cell, lambda patch: patch.setattr(squash, "__code__", (lambda z: z.sigmoid()).__code__)


@kind()
def a_default_of_a_global_function():
    cell = small_cell(lambda self, gi, gh, state: (scaled(gi + gh),))
    return cell, lambda patch: patch.setattr(scaled, "__defaults__", (0.1,))


@kind()
def a_keyword_default_of_a_global_function():
    cell = small_cell(lambda self, gi, gh, state: (scaled(gi + gh),))
    return cell, lambda patch: patch.setitem(scaled.__kwdefaults__, "beta", 0.1)


@kind()
def a_function_of_a_module():
    module = types.ModuleType("steps")
    module.squash = torch.tanh
    cell = small_cell(lambda self, gi, gh, state: (module.squash(gi + gh),))
    return cell, lambda: setattr(module, "squash", torch.sigmoid)


@kind()
def the_closure_of_a_helper():
    alpha = 1.0

    def helper(z):
        return z.tanh() * alpha

    def change():
        nonlocal alpha
        alpha = 0.1

    return small_cell(lambda self, gi, gh, state: (helper(gi + gh),)), change


@kind(engine=None)
def what_is_wrapped():
    def plain(z):
        return z.tanh()

    @functools.wraps(plain)
    def wrapper(z):
        return wrapper.__wrapped__(z)

    cell = small_cell(lambda self, gi, gh, state: (wrapper(gi + gh),))
    return cell, lambda: setattr(wrapper, "__wrapped__", torch.sigmoid)


@pytest.mark.parametrize("name", KINDS)
def test_a_layer_follows(monkeypatch, name):
    KINDS.assert_followed(name, monkeypatch)
