"""A layer that has run follows names that were not there, and their order: look-ups that fail leave no guard."""

import abc
import collections
import sys
import types
from typing import Protocol, runtime_checkable

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from seqlab.nn import GatedCell
from tests.nn.engine.following import Kinds, Options, scaled

pytestmark = pytest.mark.usefixtures("compiled_quickly")  # each step is compiled, the same ones once a session

KINDS = Kinds()
kind = KINDS.kind


class Table(dict):
    pass


def beta_or_one(self):
    try:
        return self.helper.beta
    except AttributeError:
        return 1.0


@kind()
def an_attribute_that_the_cell_lacked():
    def scale(self):
        try:
            return self.alpha
        except AttributeError:
            return 1.0

    return scaled(scale), {"alpha": 0.1}


@kind()
def an_attribute_that_a_helper_lacked():
    cell = scaled(beta_or_one, helper=Options(1.0))
    return cell, lambda: setattr(cell.helper, "beta", 0.1)


@kind(engine=None)
def a_slot_of_a_helper_that_was_empty():
    class Slotted:
        __slots__ = ("beta",)

    cell = scaled(beta_or_one, helper=Slotted())
    return cell, lambda: setattr(cell.helper, "beta", 0.1)


@kind()
def another_class_in_the_closure_of_a_helper():
    class Other:
        pass

    chosen = Options

    def scale(self):
        return 1.0 if isinstance(self.helper, chosen) else 0.1

    def change():
        nonlocal chosen
        chosen = Other

    return scaled(scale, helper=Options(1.0)), change


@kind()
def another_helper_that_has_it():
    other = Options(1.0)
    other.beta = 0.1
    return scaled(beta_or_one, helper=Options(1.0)), {"helper": other}


@kind()
def a_key_of_the_attributes():
    cell = scaled(lambda self: vars(self.helper).get("beta", 1.0), helper=Options(1.0))
    return cell, lambda: setattr(cell.helper, "beta", 0.1)


@kind()
def a_key_of_the_cells_attributes():
    return scaled(lambda self: 0.1 if "alpha" in self.__dict__ else 1.0), {"alpha": 5.0}


@kind()
def a_name_that_a_module_lacked():
    settings = types.ModuleType("settings")
    cell = scaled(lambda self: getattr(settings, "alpha", 1.0))
    return cell, lambda: setattr(settings, "alpha", 0.1)


@kind()
def an_attribute_that_a_function_lacked():
    def marked():
        pass

    cell = scaled(lambda self: 0.1 if hasattr(marked, "alpha") else 1.0)
    return cell, lambda: setattr(marked, "alpha", True)


@kind()
def a_key_that_the_first_of_several_tables_lacked():
    def scale(self):
        for table in self.tables:
            try:
                return table["alpha"]
            except KeyError:
                pass

    cell = scaled(scale, tables=[{}, {"alpha": 1.0}])
    return cell, lambda: cell.tables[0].update(alpha=0.1)


@kind()
def a_key_of_a_chain_of_tables():
    cell = scaled(lambda self: self.chain["alpha"], chain=collections.ChainMap({}, {"alpha": 1.0}))
    return cell, lambda: cell.chain.maps[0].update(alpha=0.1)


@kind()
def an_attribute_in_place_of_a_fallback():
    class Fallback:
        def __getattr__(self, name):
            if name == "alpha":
                return 1.0
            raise AttributeError(name)

    cell = scaled(lambda self: self.helper.alpha, helper=Fallback())
    return cell, lambda: setattr(cell.helper, "alpha", 0.1)


def in_order(table):
    total = 0.0
    for value in table.values():
        total = total * 0.5 + value
    return total


def a_table():
    return collections.OrderedDict(a=1.0, b=0.2)


@kind()
def the_order_of_a_table():
    cell = scaled(lambda self: in_order(self.table), table=a_table())
    return cell, lambda: cell.table.move_to_end("a")


@kind()
def the_order_of_a_table_in_a_list():
    cell = scaled(lambda self: in_order(self.tables[0]), tables=[a_table()])
    return cell, lambda: cell.tables[0].move_to_end("a")


@kind()
def the_order_of_a_table_in_a_table():
    cell = scaled(lambda self: in_order(self.tables["x"]), tables={"x": a_table()})
    return cell, lambda: cell.tables["x"].move_to_end("a")


@kind()
def the_order_of_a_table_of_a_closure():
    table = a_table()
    return scaled(lambda self: in_order(table)), lambda: table.move_to_end("a")


@kind()
def an_attribute_of_the_class_of_the_class():
    class Meta(type(GatedCell)):
        alpha = 1.0

    class Cell(GatedCell, metaclass=Meta):
        num_gates = 1

        def pointwise(self, gi, gh, state):
            return ((gi + gh).tanh() * type(self).alpha,)

    return Cell(3, 4).double(), lambda: setattr(Meta, "alpha", 0.1)


@kind()
def a_class_that_is_registered():
    class Marked(abc.ABC):  # noqa: B024
        pass

    cell = scaled(lambda self: 0.1 if isinstance(self.helper, Marked) else 1.0, helper=Options(1.0))
    return cell, lambda: Marked.register(Options)


@kind(engine=None)
def a_module_that_is_imported_as_the_step_runs():
    def put(alpha):
        sys.modules["settings_of_a_step"] = types.ModuleType("settings_of_a_step")
        sys.modules["settings_of_a_step"].alpha = alpha

    def scale(self):
        import settings_of_a_step

        return settings_of_a_step.alpha

    put(1.0)
    return scaled(scale), lambda: put(0.1)


@kind()
def a_builtin_that_a_global_takes_the_place_of():
    scope = {"__name__": "no_module_of_this_name"}
    exec("def scale(self):\n    return abs(-1.0)\n", scope)
    return scaled(scope["scale"]), lambda: scope.update(abs=lambda value: 0.1)


@kind()
def a_name_of_a_module_that_is_computed():
    settings = types.ModuleType("settings")
    cell = scaled(lambda self: getattr(settings, f"alpha{self.number}", 1.0), number="2")
    return cell, lambda: setattr(settings, "alpha2", 0.1)


@kind(engine=None)
def a_name_of_a_module_that_is_imported_as_the_step_runs():
    settings = sys.modules["settings_of_a_step"] = types.ModuleType("settings_of_a_step")

    def scale(self):
        import settings_of_a_step

        return getattr(settings_of_a_step, "alpha", 1.0)

    return scaled(scale), lambda: setattr(settings, "alpha", 0.1)


@kind()
def the_order_of_a_set():
    def scale(self):
        total = 0.0
        for value in self.parts:
            total = total * 0.5 + value
        return total

    cell = scaled(scale, parts={8.0, 0.0})

    def change():
        other = list(cell.parts)[::-1]
        cell.parts.clear()
        cell.parts.update(other)
        if list(cell.parts) != other:
            pytest.skip("Python puts this set into one order")

    return cell, change


@kind()
def an_attribute_of_a_dictionary():
    cell = scaled(lambda self: getattr(self.table, "alpha", 1.0), table=Table(x=1))
    return cell, lambda: setattr(cell.table, "alpha", 0.1)


@kind()
def an_attribute_of_an_empty_dictionary():
    cell = scaled(lambda self: getattr(self.table, "alpha", 1.0), table=Table())
    return cell, lambda: setattr(cell.table, "alpha", 0.1)


@kind()
def a_parameter_that_the_cell_lacked():
    def scale(self):
        try:
            return self.factor
        except AttributeError:
            return 1.0

    return scaled(scale), {"factor": nn.Parameter(torch.full((5,), 0.1, dtype=torch.float64))}


@kind()
def a_parameter_that_a_module_of_the_cell_lacked():
    def scale(self):
        try:
            return self.inner.factor
        except AttributeError:
            return 1.0

    cell = scaled(scale, inner=nn.Tanh())
    return cell, lambda: setattr(cell.inner, "factor", nn.Parameter(torch.full((5,), 0.1, dtype=torch.float64)))


@kind()
def one_of_several_names_of_a_program():
    program = types.ModuleType("__main__")

    def scale(self):
        total = 1.0
        for name in ("alpha", "beta"):
            total = total * getattr(program, name, 1.0)
        return total

    return scaled(scale), lambda: setattr(program, "beta", 0.1)


@kind()
def a_mark_of_a_method():
    class Cell(GatedCell):
        num_gates = 1

        def marked(self):
            pass

        def pointwise(self, gi, gh, state):
            return ((gi + gh).tanh() * getattr(self.marked, "alpha", 1.0),)

    return Cell(3, 4).double(), lambda: setattr(Cell.marked, "alpha", 0.1)


@kind()
def a_name_that_a_protocol_asks_for():
    @runtime_checkable
    class Scaling(Protocol):
        beta: float

    cell = scaled(lambda self: 0.1 if isinstance(self.helper, Scaling) else 1.0, helper=Options(1.0))
    return cell, lambda: setattr(cell.helper, "beta", 2.0)


@kind()
def a_bias_that_is_pruned():
    """It is no parameter then, and its gradient is that of the parameter that it is computed from."""
    cell = scaled(lambda self: 1.0)
    return cell, lambda: prune.random_unstructured(cell, "bias_hh", 0.5)


@pytest.mark.parametrize("name", KINDS)
def test_a_layer_follows(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "settings_of_a_step", None)  # and forgotten afterwards
    KINDS.assert_followed(name, monkeypatch)
