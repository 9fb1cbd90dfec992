"""A layer that has run follows what its cell's class holds: attributes, properties, methods and their code."""

import pytest
from torch import nn
from torch.nn import functional

from seqlab.nn import GatedCell
from tests.nn.agreement import small_cell
from tests.nn.engine.following import Kinds

pytestmark = pytest.mark.usefixtures("compiled_quickly")  # each step is compiled, the same ones once a session

KINDS = Kinds()
kind = KINDS.kind


@kind()
def an_attribute_of_the_class():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.alpha,))
    type(cell).alpha = 1.0
    return cell, lambda: setattr(type(cell), "alpha", 0.1)


@kind()
def an_attribute_of_a_base_class():
    class Base(GatedCell):
        alpha = 1.0
        num_gates = 1

        def pointwise(self, gi, gh, state):
            return ((gi + gh).tanh() * self.alpha,)

    class Derived(Base):
        pass

    return Derived(3, 5).double(), lambda: setattr(Base, "alpha", 0.1)


@kind()
def what_a_property_reads():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.alpha,), _alpha=1.0)
    type(cell).alpha = property(lambda self: self._alpha * 2)
    return cell, {"_alpha": 0.1}


@kind()
def a_property_that_is_replaced():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.alpha,))
    type(cell).alpha = property(lambda self: 1.0)
    return cell, lambda: setattr(type(cell), "alpha", property(lambda self: 0.1))


@kind(engine=None)
def what_getattr_answers():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.wanted,), _table={"wanted": 1.0})

    def answer(self, name):
        table = self.__dict__.get("_table", {})
        return table[name] if name in table else nn.Module.__getattr__(self, name)

    type(cell).__getattr__ = answer
    return cell, lambda: cell._table.update(wanted=0.1)


@kind()
def a_method_of_the_class():
    cell = small_cell(lambda self, gi, gh, state: (self.last(gi + gh),))
    type(cell).last = lambda self, z: z.tanh()
    return cell, lambda: setattr(type(cell), "last", lambda self, z: z.sigmoid())


@kind()
def a_method_of_the_class_hidden_by_the_instances():
    cell = small_cell(lambda self, gi, gh, state: (self.last(gi + gh),))
    type(cell).last = lambda self, z: z.tanh()
    return cell, {"last": lambda z: z.sigmoid()}


@kind()
def a_static_method():
    cell = small_cell(lambda self, gi, gh, state: (self.last(gi + gh),))
    type(cell).last = staticmethod(lambda z: z.tanh())
    return cell, lambda: setattr(type(cell), "last", staticmethod(lambda z: z.sigmoid()))


@kind()
def a_class_method():
    cell = small_cell(lambda self, gi, gh, state: (self.last(gi + gh),))
    type(cell).alpha = 1.0
    type(cell).last = classmethod(lambda cls, z: z.tanh() * cls.alpha)
    return cell, lambda: setattr(type(cell), "alpha", 0.1)


@kind()
def the_class_itself():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh(),))
    other = small_cell(lambda self, gi, gh, state: ((gi + gh).sigmoid(),))
    return cell, lambda: setattr(cell, "__class__", type(other))


@kind()
def pointwise_on_the_instance():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh(),))
    return cell, {"pointwise": lambda gi, gh, state: ((gi + gh).sigmoid(),)}


@kind()
def pointwise_on_the_class():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh(),))
    return cell, lambda: setattr(type(cell), "pointwise", lambda self, gi, gh, state: ((gi + gh).sigmoid(),))


@kind()
def the_code_of_pointwise():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh(),))

    def other(self, gi, gh, state):
        return ((gi + gh).sigmoid(),)

    return cell, lambda: setattr(type(cell).pointwise, "__code__", other.__code__)


@kind()
def a_default_of_pointwise():
    def step(self, gi, gh, state, alpha=1.0):
        return ((gi + gh).tanh() * alpha,)

    return small_cell(step), lambda: setattr(step, "__defaults__", (0.1,))


@kind()
def a_keyword_default_of_pointwise():
    def step(self, gi, gh, state, *, alpha=1.0):
        return ((gi + gh).tanh() * alpha,)

    return small_cell(step), lambda: step.__kwdefaults__.update(alpha=0.1)


@kind()
def output_on_the_instance():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh(),))
    return cell, {"output": lambda state: state[0] * 2}


@kind()
def output_on_the_class():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh(),))
    return cell, lambda: setattr(type(cell), "output", lambda self, state: state[0] * 2)


@kind()
def an_output_that_reads_an_attribute():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh(),), alpha=1.0)
    type(cell).output = lambda self, state: state[0] * self.alpha
    return cell, {"alpha": 0.1}


@kind()
def an_output_that_begins_to_mix_rows():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh(),), mixing=False)
    type(cell).output = lambda self, state: state[0] - state[0].mean(0) if self.mixing else state[0]
    return cell, {"mixing": True}


@kind()
def project_on_the_instance():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh(),))
    return cell, {"project": lambda x: functional.linear(x.flip(-1), cell.weight_ih, cell.bias_ih)}


@kind()
def project_on_the_class():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh(),))
    return cell, lambda: setattr(type(cell), "project", lambda self, x: GatedCell.project(self, x) * 2)


@kind()
def step_on_the_instance():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh(),))
    return cell, {"step": lambda gi, state: (gi * 0.5 + state[0],)}


@kind()
def step_on_the_class():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh(),))
    return cell, lambda: setattr(type(cell), "step", lambda self, gi, state: (gi * 0.5 + state[0],))


@kind()
def product_on_the_instance():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh(),))
    return cell, {"product": lambda h: h * 0.5}


@kind()
def product_on_the_class():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh(),))
    return cell, lambda: setattr(type(cell), "product", lambda self, h: h * 0.5)


@pytest.mark.parametrize("name", KINDS)
def test_a_layer_follows(monkeypatch, name):
    KINDS.assert_followed(name, monkeypatch)
