"""Recurrent layers in the form that is exported: any cell, both directions, rows of any length."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from seqlab import nn as seqlab_nn
from seqlab.errors import InputError
from seqlab.export.formats import quiet
from seqlab.export.layers import scanned
from seqlab.nn import CRF, Encoder, GatedCell, LSTMCell, ModuleCell, Recurrent, RecurrentCell, RNNCell, TagHead
from seqlab.nn.models.crf import bio_constraints
from seqlab.nn.state import NestedState

GLOBAL = torch.tensor([0.7])


class EverythingCell(GatedCell):
    """A state of two sizes, learned where it begins, and tensors from wherever a cell may have them."""

    num_gates, state_names = 2, ("h", "memory")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.scale = nn.Parameter(torch.randn(hidden_size))
        self.first = nn.Parameter(torch.randn(hidden_size))
        self.norm = nn.LayerNorm(hidden_size)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("shift", torch.randn(hidden_size))
        self.constants = [torch.full((hidden_size,), 0.3)]

    @property
    def state_sizes(self):
        return self.hidden_size, 2 * self.hidden_size

    @property
    def output_size(self):
        return 2 * self.hidden_size

    def initial_state(self, batch_size, *, like):
        return self.first.expand(batch_size, -1), like.new_ones(batch_size, 2 * self.hidden_size)

    def output(self, state):
        return state[1].tanh()

    def pointwise(self, gi, gh, state):
        keep, write = (gi + gh).chunk(2, -1)
        h = self.norm((keep * self.scale).sigmoid() * state[0] + (write + self.shift).tanh() * self.constants[0])
        h = self.drop(h) + gi.new_full((gi.size(0), 1), 0.01) + GLOBAL * torch.tensor(0.5)
        return h, 0.5 * torch.cat((h, h.cos()), -1) + 0.5 * state[1]


def test_a_pre_hook_of_a_cell_is_refused_and_its_mend_works():
    layer = Recurrent(LSTMCell(3, 4))
    prune.random_unstructured(layer.cell, "weight_hh", amount=0.5)
    with pytest.raises(InputError, match=r"LSTMCell has a forward pre-hook.*prune\.remove"):
        scanned(nn.Sequential(layer))
    prune.remove(layer.cell, "weight_hh")
    assert scanned(nn.Sequential(layer))(torch.zeros(1, 2, 3))[0].shape == (1, 2, 4)


class SwappingCell(RecurrentCell):
    """A step that hands on what it got: its outputs are its inputs."""

    state_names = ("h", "other")

    def step(self, gi, state):
        return state[1], state[0]

    def initial_state(self, batch_size, *, like):
        return like.new_zeros(batch_size, self.hidden_size), like.new_ones(batch_size, self.hidden_size)


class LibraryCell(ModuleCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, nn.LSTMCell)


class NormedCell(LSTMCell):
    """A parametrized weight, which the copy has as it stands."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        parametrizations.weight_norm(self, "weight_hh")


def flat(state: NestedState) -> list[torch.Tensor]:
    return [state] if isinstance(state, torch.Tensor) else [part for each in state for part in flat(each)]


def copied(model):
    with quiet():
        return scanned(model)


SHIPPED = ["GRUCell", "LayerNormGRUCell", "IndRNNCell", "SLSTMCell", "MinLSTMCell"]
CELLS = [EverythingCell, SwappingCell, LibraryCell, NormedCell, *(getattr(seqlab_nn, name) for name in SHIPPED)]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
def test_a_scanned_encoder_does_what_the_encoder_does(cell):
    torch.manual_seed(0)
    encoder = Encoder(cell, 4, 4, bidirectional=True).eval().requires_grad_(False)
    copy = copied(encoder)
    for rows, steps, lengths in ((1, 1, [1]), (4, 6, [6, 0, 1, 4]), (2, 3, None)):
        x = torch.randn(rows, steps, 4)
        counts = None if lengths is None else torch.tensor(lengths)
        if counts is not None:
            x[torch.arange(steps) >= counts.unsqueeze(1)] = torch.nan  # padding, whatever it holds
        state = encoder.initial_state(rows, like=x)
        for before in (None, tuple(tuple(tuple(part + 0.1 for part in side) for side in layer) for layer in state)):
            output, after = encoder(x, before, counts)
            found, found_after = copy(x, before, counts)
            torch.testing.assert_close(found, output)
            torch.testing.assert_close(flat(found_after), flat(after))


@pytest.mark.parametrize("connect", ["none", "residual", "dense"])
def test_layers_stay_connected(connect):
    torch.manual_seed(0)
    encoder = Encoder(RNNCell, 4, 4, num_layers=2, connect=connect, dropout=0.5, backend="native").eval()
    x, lengths = torch.randn(3, 5, 4), torch.tensor([5, 2, 0])
    with torch.no_grad():
        torch.testing.assert_close(copied(encoder)(x, lengths=lengths)[0], encoder(x, lengths=lengths)[0])


def test_a_single_step_is_one_of_the_encoder():
    torch.manual_seed(0)
    encoder = Encoder(EverythingCell, 4, 4, num_layers=2).eval().requires_grad_(False)
    copy, state = copied(encoder), None
    x = torch.randn(3, 5, 4)
    outputs = []
    for x_t in x.split(1, 1):
        output, state = copy(x_t, state)
        outputs.append(output)
    expected, after = encoder(x)
    torch.testing.assert_close(torch.cat(outputs, 1), expected)
    torch.testing.assert_close(flat(state), flat(after))


def test_the_model_itself_stays_as_it_is():
    encoder = Encoder(NormedCell, 3, 4).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    copied(encoder)
    assert encoder.training and all(parameter.requires_grad for parameter in encoder.parameters())
    assert list(before) == list(encoder.state_dict())
    assert encoder(torch.ones(1, 2, 3))[0].requires_grad  # its weight is still computed from its parameters


@pytest.mark.parametrize("constrained", [True, False])
def test_a_crf_decodes_by_scans(constrained):
    torch.manual_seed(0)
    labels = ["B-x", "I-x", "O"]
    crf = CRF(3, bio_constraints(labels) if constrained else None)
    for parameter in crf.parameters():
        nn.init.normal_(parameter)
    head = TagHead(2, labels, decoder="crf", entities=True, constrained=constrained)
    head.crf = crf
    copy = copied(nn.ModuleList([head]))[0]
    for steps, lengths in ((1, [1, 0]), (7, [7, 0]), (5, [3, 5])):
        emissions, counts = 3 * torch.randn(2, steps, 3), torch.tensor(lengths)
        assert torch.equal(copy.decode(emissions, counts), head.decode(emissions, counts))
        torch.testing.assert_close(copy.crf.decode(emissions, counts)[1], crf.decode(emissions, counts)[1])


class BranchingCell(GatedCell):
    num_gates = 1

    def pointwise(self, gi, gh, state):
        return ((gi + gh).tanh(),) if gi.sum() > 0 else ((gi - gh).tanh(),)


class ArrayCell(GatedCell):
    num_gates = 1

    def pointwise(self, gi, gh, state):
        return (torch.from_numpy((gi + gh).detach().numpy()),)


@pytest.mark.parametrize("cell", [BranchingCell, ArrayCell])
def test_a_step_that_is_more_than_tensor_operations_is_refused(cell):
    with pytest.raises(InputError, match=f"the step of {cell.__name__} can't be exported: .*; a step has to be"):
        copied(Encoder(cell, 3, 4))
