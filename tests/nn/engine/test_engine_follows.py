"""A layer that has run follows every change of what its cell's step depends on, on a compiled step or beside it."""

import collections
import enum
import functools
import inspect
import types
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize

from seqlab.nn import (
    GatedCell,
    GRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    MinGRUCell,
    PeepholeLSTMCell,
    Recurrent,
    RNNCell,
)
from seqlab.nn.engine.scan import build
from tests.nn.agreement import RAGGED, assert_layer_agrees, batch, small_cell


@pytest.fixture(autouse=True)
def fresh(compiled_quickly):
    """Each step is compiled, the same ones once a session."""


KINDS = {}


def kind(engine="scan"):
    """Registers a function that makes a cell and the change of it; the engine is the one that runs it before."""

    def register(function):
        KINDS[function.__name__] = (function, engine)
        return function

    return register


class Options:
    """A plain object with an attribute."""

    def __init__(self, alpha):
        self.alpha = alpha

    def scale(self, z):
        return z * self.alpha

    def __call__(self, z):
        return z * self.alpha


class Slotted:
    __slots__ = ("alpha",)

    def __init__(self, alpha):
        self.alpha = alpha


@dataclass
class Settings:
    alpha: float
    inner: Options


class Mode(enum.Enum):
    TANH = "tanh"
    SIGMOID = "sigmoid"


class Flag(enum.IntEnum):
    OFF = 0
    ON = 1


Pair = collections.namedtuple("Pair", ("alpha", "beta"))


def either(flag, z):
    return z.sigmoid() if flag else z.tanh()


# Attributes


@kind()
def a_float():
    return small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.alpha,), alpha=1.0), {"alpha": 0.1}


@kind()
def a_float_that_branches():
    def step(self, gi, gh, state):
        return (either(self.alpha > 0.5, gi + gh),)

    return small_cell(step, alpha=1.0), {"alpha": 0.1}


@kind()
def an_int():
    return small_cell(lambda self, gi, gh, state: (either(self.level > 1, gi + gh),), level=1), {"level": 2}


@kind()
def an_int_in_arithmetic():
    return small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.level,), level=1), {"level": 2}


@kind()
def an_int_as_an_index():
    def step(self, gi, gh, state):
        return (((gi + gh).unflatten(-1, (2, -1))[:, self.place]).tanh(),)

    return small_cell(step, gates=2, place=0), {"place": 1}


@kind()
def a_string():
    return small_cell(lambda self, gi, gh, state: (getattr(torch, self.how)(gi + gh),), how="tanh"), {"how": "sigmoid"}


@kind()
def a_bool():
    return small_cell(lambda self, gi, gh, state: (either(self.flag, gi + gh),), flag=False), {"flag": True}


@kind()
def none_or_a_number():
    def step(self, gi, gh, state):
        return (either(self.bound is not None, gi + gh),)

    return small_cell(step, bound=None), {"bound": 0.3}


@kind()
def a_nested_dict():
    def step(self, gi, gh, state):
        return ((gi + gh).tanh() * self.options["inner"]["alpha"],)

    cell = small_cell(step, options={"inner": {"alpha": 1.0}})
    return cell, lambda: cell.options["inner"].update(alpha=0.1)


@kind()
def a_key_of_a_dict():
    cell = small_cell(lambda self, gi, gh, state: (either("on" in self.options, gi + gh),), options={})
    return cell, lambda: cell.options.update(on=1)


@kind()
def a_list_of_numbers():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.scales[0],), scales=[1.0, 2.0])
    return cell, lambda: cell.scales.__setitem__(0, 0.1)


@kind()
def the_length_of_a_list():
    def step(self, gi, gh, state):
        z = gi + gh
        for scale in self.scales:
            z = z * scale
        return (z.tanh(),)

    cell = small_cell(step, scales=[0.5])
    return cell, lambda: cell.scales.append(0.2)


@kind()
def a_tuple():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.scales[0],), scales=(1.0, 2.0))
    return cell, {"scales": (0.1, 2.0)}


@kind()
def a_set():
    cell = small_cell(lambda self, gi, gh, state: (either("on" in self.marks, gi + gh),), marks={"off"})
    return cell, lambda: cell.marks.add("on")


@kind(engine=None)
def an_ordered_dict():
    def step(self, gi, gh, state):
        z = gi + gh
        for name in self.order:
            z = getattr(torch, name)(z)
        return (z,)

    cell = small_cell(step, order=collections.OrderedDict(tanh=1, sigmoid=1))
    return cell, lambda: cell.order.move_to_end("tanh")


@kind(engine=None)
def a_default_dict():
    cell = small_cell(
        lambda self, gi, gh, state: ((gi + gh).tanh() * self.table["alpha"],),
        table=collections.defaultdict(lambda: 1.0, alpha=1.0),
    )
    return cell, lambda: cell.table.update(alpha=0.1)


@kind()
def a_named_tuple():
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.pair.alpha,), pair=Pair(1.0, 2.0))
    return cell, {"pair": Pair(0.1, 2.0)}


@kind()
def an_enum():
    cell = small_cell(lambda self, gi, gh, state: (either(self.mode is Mode.SIGMOID, gi + gh),), mode=Mode.TANH)
    return cell, {"mode": Mode.SIGMOID}


@kind()
def the_value_of_an_enum():
    cell = small_cell(lambda self, gi, gh, state: (getattr(torch, self.mode.value)(gi + gh),), mode=Mode.TANH)
    return cell, {"mode": Mode.SIGMOID}


@kind(engine=None)
def an_int_enum():
    cell = small_cell(lambda self, gi, gh, state: (either(self.mode, gi + gh),), mode=Flag.OFF)
    return cell, {"mode": Flag.ON}


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


# What the class holds


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


# Modules within, their modes and hooks


@kind()
def a_submodule_that_is_replaced():
    return small_cell(lambda self, gi, gh, state: (self.last(gi + gh),), last=nn.Tanh()), {"last": nn.Sigmoid()}


@kind()
def a_module_of_a_list_that_is_replaced():
    cell = small_cell(lambda self, gi, gh, state: (self.all[0](gi + gh),), all=nn.ModuleList([nn.Tanh()]))
    return cell, lambda: cell.all.__setitem__(0, nn.Sigmoid())


@kind()
def a_module_that_a_sequence_gains():
    cell = small_cell(lambda self, gi, gh, state: (self.all(gi + gh),), all=nn.Sequential(nn.Tanh()))
    return cell, lambda: cell.all.append(nn.Sigmoid())


@kind()
def a_number_of_a_submodule():
    cell = small_cell(lambda self, gi, gh, state: (self.last(gi + gh).tanh(),), last=nn.LeakyReLU(0.5))
    return cell, lambda: setattr(cell.last, "negative_slope", 0.01)


@kind()
def the_epsilon_of_a_norm():
    cell = small_cell(lambda self, gi, gh, state: (self.norm(gi + gh).tanh(),), norm=nn.LayerNorm(5))
    return cell, lambda: setattr(cell.norm, "eps", 1.0)


@kind(engine="loop")  # a dropout in training draws
def a_submodule_alone_in_evaluation():
    cell = small_cell(lambda self, gi, gh, state: (self.drop((gi + gh).tanh()) + gh * 0.1,), drop=nn.Dropout(1.0))
    return cell, lambda: cell.drop.eval()


@kind()
def the_training_flag():
    cell = small_cell(lambda self, gi, gh, state: (either(self.training, gi + gh),))
    return cell, lambda: cell.eval()


@kind()
def a_forward_hook_on_a_submodule():
    cell = small_cell(lambda self, gi, gh, state: (self.last(gi + gh),), last=nn.Tanh())
    return cell, lambda: cell.last.register_forward_hook(lambda module, given, found: found * 0.1)


@kind()
def a_forward_pre_hook_on_a_submodule():
    cell = small_cell(lambda self, gi, gh, state: (self.last(gi + gh),), last=nn.Tanh())
    return cell, lambda: cell.last.register_forward_pre_hook(lambda module, given: (given[0] * 0.1,))


@kind()
def a_hook_on_a_submodule_that_is_removed():
    cell = small_cell(lambda self, gi, gh, state: (self.last(gi + gh),), last=nn.Tanh())
    handle = cell.last.register_forward_hook(lambda module, given, found: found * 0.1)
    return cell, handle.remove


@kind()
def a_forward_on_a_submodules_instance():
    cell = small_cell(lambda self, gi, gh, state: (self.last(gi + gh),), last=nn.Tanh())
    return cell, lambda: setattr(cell.last, "forward", torch.sigmoid)


# Tensors


def with_buffer(value):
    cell = small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * self.scale,))
    cell.register_buffer("scale", value)
    return cell


@kind()
def a_buffer_of_another_shape():
    return with_buffer(torch.ones(5).double()), {"scale": torch.tensor(0.1).double()}


@kind()
def a_buffer_changed_in_place():
    cell = with_buffer(torch.ones(5).double())
    return cell, lambda: cell.scale.mul_(0.1)


@kind()
def a_buffer_of_integers():
    return with_buffer(torch.ones(5).double()), {"scale": torch.arange(5)}


@kind()
def a_buffer_that_becomes_a_parameter():
    cell = with_buffer(torch.ones(5).double())

    def change():
        del cell.scale
        cell.scale = nn.Parameter(torch.rand(5).double())

    return cell, change


@kind()
def a_tensor_in_a_plain_attribute():
    def step(self, gi, gh, state):
        return ((gi + gh).tanh() * self.holder[0],)

    cell = small_cell(step, holder=[torch.ones(5).double()])
    return cell, lambda: cell.holder.__setitem__(0, torch.full((5,), 0.1).double())


@kind(engine=None)
def a_tensor_in_a_closure():
    scale = torch.ones(5).double()
    return small_cell(lambda self, gi, gh, state: ((gi + gh).tanh() * scale,)), lambda: scale.mul_(0.1)


@kind()
def none_that_becomes_a_parameter():
    def step(self, gi, gh, state):
        z = (gi + gh).tanh()
        return (z if self.scale is None else z * self.scale,)

    cell = small_cell(step)
    cell.register_parameter("scale", None)
    return cell, lambda: setattr(cell, "scale", nn.Parameter(torch.rand(5).double()))


@kind()
def a_parameter_that_is_replaced():
    cell = PeepholeLSTMCell(3, 5).double()
    return cell, lambda: setattr(cell, "peephole_i", nn.Parameter(torch.randn(5).double()))


@kind()
def the_data_of_a_parameter():
    cell = PeepholeLSTMCell(3, 5).double()
    return cell, lambda: setattr(cell.peephole_i, "data", torch.randn(5).double())


@kind()
def weights_that_are_loaded():
    cell, other = LayerNormLSTMCell(3, 5).double(), LayerNormLSTMCell(3, 5).double()
    return cell, lambda: cell.load_state_dict({name: each + 0.1 for name, each in other.state_dict().items()})


@kind()
def weights_that_are_assigned():
    cell, other = LayerNormLSTMCell(3, 5).double(), LayerNormLSTMCell(3, 5).double()
    state = {name: each + 0.1 for name, each in other.state_dict().items()}
    return cell, lambda: cell.load_state_dict(state, assign=True)


@kind()
def a_step_of_an_optimizer():
    cell = LayerNormLSTMCell(3, 5).double()

    def change():
        optimizer = torch.optim.SGD(cell.parameters(), 0.5)
        Recurrent(cell)(torch.ones(2, 4, 3).double())[0].square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return cell, change


@kind()
def biases_that_go():
    cell = LSTMCell(3, 5).double()

    def change():
        cell.bias_ih = cell.bias_hh = None

    return cell, change


@kind()
def weights_that_are_tied():
    cell = PeepholeLSTMCell(3, 5).double()
    return cell, lambda: setattr(cell, "peephole_i", cell.peephole_f)


@kind()
def a_parametrization_that_comes():
    cell = PeepholeLSTMCell(3, 5).double()
    return cell, lambda: parametrize.register_parametrization(cell, "peephole_i", nn.Sigmoid())


@kind()
def a_parametrization_that_goes():
    cell = PeepholeLSTMCell(3, 5).double()
    parametrize.register_parametrization(cell, "peephole_i", nn.Sigmoid())
    return cell, lambda: parametrize.remove_parametrizations(cell, "peephole_i", leave_parametrized=False)


@kind()
def an_option_of_a_parametrization():
    cell = PeepholeLSTMCell(3, 5).double()
    parametrize.register_parametrization(cell, "peephole_i", nn.LeakyReLU(0.9))
    return cell, lambda: setattr(cell.parametrizations.peephole_i[0], "negative_slope", 0.01)


@kind()
def an_option_of_the_weights_parametrization():
    cell = LSTMCell(3, 5).double()
    parametrize.register_parametrization(cell, "weight_hh", nn.LeakyReLU(0.9))
    return cell, lambda: setattr(cell.parametrizations.weight_hh[0], "negative_slope", 0.01)


@kind()
def the_magnitude_of_a_weight_norm():
    cell = LSTMCell(3, 5).double()
    parametrizations.weight_norm(cell, "weight_hh")
    return cell, lambda: cell.parametrizations.weight_hh.original0.data.mul_(3)


@kind()
def the_nonlinearity_of_a_shipped_cell():
    return RNNCell(3, 5).double(), {"nonlinearity": "relu"}


# Where the kernels of torch, and scans over all of time, stand for a cell


@kind()
def the_nonlinearities_table():
    from seqlab.nn.cells import stock as cells

    cell = RNNCell(3, 5).double()
    return cell, lambda patch: patch.setitem(cells._NONLINEARITIES, "tanh", torch.sigmoid)


def replaced_on(make, name, function):
    """A method of a shipped class that is replaced, for a while."""
    return lambda: (make(3, 5).double(), lambda patch: patch.setattr(make, name, function))


SHIPPED = {
    "native": (RNNCell, "pointwise", lambda self, gi, gh, state: ((gi + gh).sigmoid(),)),
    "native, project": (GRUCell, "project", lambda self, x: GatedCell.project(self, x) * 2),
    "native, output": (LSTMCell, "output", lambda self, state: state[1]),
    "native, step": (RNNCell, "step", lambda self, gi, state: (gi * 0.5 + state[0],)),
    "native, product": (RNNCell, "product", lambda self, h: h * 0.5),
    "parallel": (MinGRUCell, "coefficients", lambda self, gi: (gi.chunk(2, -1)[0].sigmoid(), gi.chunk(2, -1)[1])),
    "parallel, pointwise": (MinGRUCell, "pointwise", lambda self, gi, gh, state: (gi.chunk(2, -1)[0] + state[0],)),
    "parallel, project": (MinGRUCell, "project", lambda self, x: GatedCell.project(self, x) * 2),
    "parallel, output": (MinGRUCell, "output", lambda self, state: state[0] * 2),
}


def apply(change, cell, patch):
    if isinstance(change, dict):
        for name, value in change.items():
            setattr(cell, name, value)
    elif list(inspect.signature(change).parameters) == ["patch"]:
        change(patch)
    else:
        change()


WITHOUT_GRADIENTS = ("a_float", "a_string", "a_closure", "the_code_of_a_global_function")  # followed there too


@pytest.mark.parametrize("name", KINDS)
def test_a_layer_follows(monkeypatch, name):
    make, engine = KINDS[name]
    torch.manual_seed(0)
    cell, change = make()
    layer = Recurrent(cell)
    before = assert_layer_agrees(layer, without_gradients=name in WITHOUT_GRADIENTS)
    assert engine is None or layer.last_run.engine == engine, layer.last_run
    apply(change, cell, monkeypatch)
    after = assert_layer_agrees(layer, without_gradients=name in WITHOUT_GRADIENTS)
    assert not torch.allclose(before, after, rtol=1e-3, atol=1e-3)  # or nothing is shown
    assert_layer_agrees(layer, RAGGED)


@pytest.mark.parametrize("name", SHIPPED)
def test_native_and_parallel_follow_a_method_that_is_replaced(monkeypatch, name):
    """Or step aside: by name they refuse in one line what they would compute otherwise. And back again."""
    make, method, function = SHIPPED[name]
    torch.manual_seed(0)
    cell = make(3, 5).double()
    backend = name.split(",")[0]
    layer, automatic = Recurrent(cell, backend), Recurrent(cell)
    ways = {
        "class": lambda patch: patch.setattr(make, method, function),
        "instance": lambda patch: patch.setitem(vars(cell), method, types.MethodType(function, cell)),
        "code": lambda patch: patch.setattr(getattr(make, method), "__code__", function.__code__),
    }
    if method not in vars(make):
        del ways["code"]  # its code is a base class's
    for way in ways.values():
        before = assert_layer_agrees(layer)
        assert_layer_agrees(automatic)
        with monkeypatch.context() as patch:
            way(patch)
            after = assert_layer_agrees(automatic)
            assert not torch.allclose(before, after, rtol=1e-3, atol=1e-3)
            try:
                assert_layer_agrees(layer)
            except ValueError as error:
                assert str(error).startswith(f"backend: {backend} can't run this") and "\n" not in str(error)


def test_native_follows_the_nonlinearity():
    cell = RNNCell(3, 5).double()
    layer = Recurrent(cell, "native")
    assert_layer_agrees(layer)
    cell.nonlinearity = "relu"
    assert_layer_agrees(layer)
    cell.nonlinearity = "sigmoid"
    with pytest.raises(ValueError, match=r"native can't run this RNNCell: .*not sigmoid"):
        layer(torch.randn(2, 3, 3).double())


@pytest.mark.parametrize(
    ("backend", "dtype"),  # "auto" runs on scan here, which so begins in either precision
    [("auto", torch.float64), ("scan", torch.float32), ("native", torch.float64), ("native", torch.float32)],
)
def test_a_layer_follows_its_dtype(backend, dtype):
    layer = Recurrent(LSTMCell(3, 5), backend)
    for each in (dtype, torch.float32, torch.float64):
        layer.to(each)
        assert_layer_agrees(layer, tolerance=1e-10 if each == torch.float64 else 1e-5)
    assert layer.last_run.engine == ("native" if backend == "native" else "scan")


def test_a_layer_follows_what_is_to_be_learned():
    cell = PeepholeLSTMCell(3, 5).double()
    layer = Recurrent(cell)
    assert_layer_agrees(layer)
    for name in ("weight_ih", "weight_hh", "bias_hh", "peephole_f"):
        for learned in (False, True):
            getattr(cell, name).requires_grad_(learned)
            assert_layer_agrees(layer)
    cell.requires_grad_(False)
    assert_layer_agrees(layer)


def test_a_cell_that_is_replaced_in_its_layer_is_the_one_that_runs():
    layer, x = Recurrent(LSTMCell(3, 256)), torch.randn(2, 4, 3)
    layer(x)
    assert layer.last_run.engine == "native"
    layer.cell = PeepholeLSTMCell(3, 256)
    assert layer.engine == "scan"
    torch.testing.assert_close(layer(x), Recurrent(layer.cell, "loop")(x), rtol=1e-4, atol=1e-5)
    assert layer.last_run.engine == "scan"


@pytest.mark.parametrize("alpha", [0.9, 1.0])
def test_a_number_that_is_annealed_is_no_reason_to_compile_again(alpha):
    """But once, at its first change: until then it is a constant."""

    def step(self, gi, gh, state):
        return ((gi + gh).tanh() * self.alpha * (1 + self.beta),)

    cell = small_cell(step, alpha=alpha, beta=0.25)
    layer = Recurrent(cell)
    assert_layer_agrees(layer)
    before = build.compilations
    for step in range(1, 60):
        cell.alpha, cell.beta = 1 / (1 + step), step / 7
        layer(torch.zeros(2, 3, 3).double())
        assert layer.last_run.engine == "scan"
    assert_layer_agrees(layer)
    assert build.compilations <= before + 1


@pytest.mark.parametrize(("backend", "kind"), [("scan", GRUCell), ("native", GRUCell), ("parallel", MinGRUCell)])
def test_a_method_replaced_on_the_class_that_a_parametrization_makes(monkeypatch, backend, kind):
    cell = parametrizations.weight_norm(kind(3, 5).double(), "weight_ih")
    layer = Recurrent(cell, "auto" if backend == "native" else backend)
    for name in ("project", "output"):
        assert_layer_agrees(layer)
        own = getattr(type(cell), name)
        with monkeypatch.context() as patch:
            patch.setattr(type(cell), name, lambda self, given, own=own: own(self, given) * 0.5)
            if backend == "scan" or (backend, name) == ("parallel", "project"):
                assert_layer_agrees(layer)
            else:
                with pytest.raises(ValueError, match="use backend"):
                    Recurrent(cell, backend)(batch(cell, 2, 3)[0])
                assert_layer_agrees(Recurrent(cell))


@pytest.mark.parametrize(
    "used",
    [
        # As a divisor, a bound, an exponent, and in whole divisions; and in a branch.
        lambda z, h, k: z / k + h + z.clamp(-k, k) * h + (z.abs() + 0.1) ** k * 0.1 + z * (k // 2) + h * (k % 3),
        lambda z, h, k: z if k > 4 else h * 0.5 + z,
    ],
    ids=["in arithmetic", "in a branch"],
)
def test_so_is_no_whole_number_that_changes(used):
    cell = small_cell(lambda self, gi, gh, state: (used(gi + gh, state[0], self.count).tanh(),), count=2)
    layer, before = Recurrent(cell), build.compilations
    for count in (2, 3, 5, 7, 4, 12, 2):
        cell.count = count
        assert_layer_agrees(layer)
        assert layer.last_run.engine == "scan"
    assert build.compilations <= before + 2


@pytest.mark.parametrize("attribute", [tuple(range(6)), ("tanh", "sigmoid", "relu", "sin", "cos", "abs")])
def test_other_attributes_ask_for_three_programs_and_then_the_layer_runs_on_loop(caplog, attribute):
    def step(self, gi, gh, state):
        names = ("tanh", "sigmoid", "relu", "sin", "cos", "abs")
        return (getattr(torch, self.how if isinstance(self.how, str) else names[self.how])(gi + gh),)

    cell = small_cell(step, how=attribute[0])
    layer, engines, x = Recurrent(cell), [], torch.randn(2, 3, 3).double()
    expected = Recurrent(cell, "loop")
    before = build.compilations
    with caplog.at_level("WARNING", logger="seqlab"):
        for value in (*attribute, *attribute):
            cell.how = value
            torch.testing.assert_close(layer(x), expected(x), rtol=1e-10, atol=1e-10)
            engines.append(layer.last_run.engine)
    assert engines == ["scan"] * 3 + ["loop"] * 9
    assert build.compilations <= before + 3
    (message,) = [record.message for record in caplog.records if record.name == "seqlab"]
    assert message.startswith("Small can't run on scan") and layer.last_run.reason in message
