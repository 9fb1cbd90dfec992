"""A layer that has run follows its cell's submodules, hooks, buffers and parameters."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from seqlab.nn import LayerNormLSTMCell, LSTMCell, PeepholeLSTMCell, Recurrent, RNNCell
from tests.nn.agreement import small_cell
from tests.nn.engine.following import Kinds, either

pytestmark = pytest.mark.usefixtures("compiled_quickly")  # each step is compiled, the same ones once a session

KINDS = Kinds()
kind = KINDS.kind


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


@kind()
def the_nonlinearities_table():
    from seqlab.nn.cells import stock as cells

    cell = RNNCell(3, 5).double()
    return cell, lambda patch: patch.setitem(cells._NONLINEARITIES, "tanh", torch.sigmoid)


@pytest.mark.parametrize("name", KINDS)
def test_a_layer_follows(monkeypatch, name):
    KINDS.assert_followed(name, monkeypatch)
