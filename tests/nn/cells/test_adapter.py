"""Modules from elsewhere as cells."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from seqlab.nn import Encoder, ModuleCell, Recurrent, match_parameters
from seqlab.nn.engine import available
from seqlab.testing import check_cell


class Twin(nn.Module):
    """torch.nn's own cell with the adapter's names."""

    def __init__(self, factory, input_size, hidden_size):
        super().__init__()
        self.module = factory(input_size, hidden_size)

    def forward(self, x, state):
        return self.module(x, state)


class Projected(nn.Module):
    """A third party's cell: asks for its state, has an output of its own, three states, two widths, and options."""

    def __init__(self, input_size, hidden_size, with_output=True):
        super().__init__()
        self.cell = nn.LSTMCell(input_size, hidden_size)
        self.count = nn.Linear(input_size, 2)
        self.out = nn.Linear(hidden_size + 2, 6)
        self.with_output = with_output

    def forward(self, x, state):
        h, c, count = state
        h, c = self.cell(x, (h, c))
        count = 0.9 * count + self.count(x)
        new = (h, c, count)
        return (self.out(torch.cat((h, count), -1)), new) if self.with_output else new


class Returns(nn.Module):
    """A module that returns whatever it is told to."""

    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, x, state=None):
        return self.result(x)


def returning(result):
    return lambda *sizes: Returns(result)


def projected(with_output, **arguments):
    def make(input_size, hidden_size):
        factory = partial(Projected, with_output=with_output)
        sizes = (hidden_size, hidden_size, 2)
        return ModuleCell(input_size, hidden_size, factory, state_sizes=sizes, returns_output=with_output, **arguments)

    return make


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_torchs_cells_keep_the_contract_and_stay_what_they_are(kind, bias):
    factory = partial(kind, bias=bias)
    check_cell(partial(ModuleCell, module=factory), torch_twin=partial(Twin, factory))


@pytest.mark.parametrize("with_output", [True, False])
def test_a_third_partys_cell_keeps_the_contract(with_output):
    check_cell(projected(with_output))


def test_names_and_sizes_are_those_of_the_module():
    gru, lstm = ModuleCell(3, 4, nn.GRUCell), ModuleCell(3, 4, nn.LSTMCell)
    assert (gru.state_names, gru.state_sizes, gru.output_size) == (("h",), (4,), 4)
    assert (lstm.state_names, lstm.state_sizes, lstm.output_size) == (("h", "c"), (4, 4), 4)
    plain, named = projected(False)(3, 4), projected(True, state_names=["h", "c", "count"])(3, 4)
    assert (plain.state_names, plain.state_sizes, plain.output_size) == (("h", "s1", "s2"), (4, 4, 2), 4)
    assert named.state_names == ("output", "h", "c", "count")
    assert (named.state_sizes, named.output_size) == ((6, 4, 4, 2), 6)
    assert ModuleCell.state_names == ("h",)
    assert available(gru) == ("loop",)


def test_the_output_is_what_the_module_returns_and_the_state_is_fed_back():
    cell = projected(True)(3, 4)
    x, state, expected = torch.randn(2, 5, 3), (torch.zeros(2, 4), torch.zeros(2, 4), torch.zeros(2, 2)), []
    for t in range(5):
        output, state = cell.module(x[:, t], state)
        expected.append(output)
    output, final = Recurrent(cell)(x)
    assert torch.equal(output, torch.stack(expected, 1))
    assert all(map(torch.equal, final, (expected[-1], *state)))


def test_a_tuple_of_one_stays_a_tuple():
    class Boxed(nn.Module):
        def forward(self, x, state):
            (h,) = state
            return (0.5 * h + x,)

    cell = ModuleCell(3, 3, lambda *sizes: Boxed(), state_sizes=[3])
    torch.testing.assert_close(Recurrent(cell)(torch.ones(1, 3, 3))[0][0, :, 0], torch.tensor([1.0, 1.5, 1.75]))
    bare = ModuleCell(3, 3, nn.GRUCell, state_sizes=3)
    assert bare.state_sizes == (3,)
    Recurrent(bare)(torch.ones(1, 3, 3))


def test_a_layer_makes_its_own_module_from_the_factory():
    encoder = Encoder(partial(ModuleCell, module=nn.GRUCell), 3, 4, num_layers=2, bidirectional=True)
    assert len({id(part) for part in encoder.modules() if isinstance(part, nn.GRUCell)}) == 4
    output, _ = encoder(torch.randn(2, 5, 3), lengths=torch.tensor([5, 2]))
    output.sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters() if parameter.dim() > 1)


def test_a_module_that_is_there_is_taken_as_it_is():
    there = nn.LSTMCell(3, 4)
    assert ModuleCell(3, 4, lambda *sizes: there).module is there


def test_the_trial_leaves_no_trace():
    class Noisy(nn.Module):
        def __init__(self, *sizes):
            super().__init__()
            self.norm, self.dropout = nn.BatchNorm1d(3), nn.Dropout(0.5)
            self.frozen = nn.Dropout(0.5).eval()

        def forward(self, x, state=None):
            return self.frozen(self.dropout(self.norm(x)))

    before = torch.get_rng_state()
    cell = ModuleCell(3, 3, Noisy)
    assert torch.equal(torch.get_rng_state(), before)
    assert int(cell.module.norm.num_batches_tracked) == 0
    assert [cell.module.norm.training, cell.module.dropout.training, cell.module.frozen.training] == [True, True, False]


def test_it_is_copied_matched_and_of_any_dtype():
    size = match_parameters(lambda hidden_size: ModuleCell(10, hidden_size, nn.GRUCell), 10_000)
    cell = ModuleCell(10, size, nn.GRUCell)
    assert sum(map(torch.numel, cell.parameters())) == pytest.approx(10_000, rel=0.01)
    twin, x = copy.deepcopy(cell).double(), torch.randn(2, 5, 10)
    torch.testing.assert_close(Recurrent(twin)(x.double())[0].float(), Recurrent(cell)(x)[0])
    with torch.autocast("cpu", torch.bfloat16):
        output, (h,) = Recurrent(cell)(x)
    assert h.dtype == torch.float32
    torch.testing.assert_close(output.float(), Recurrent(cell)(x)[0], rtol=0.05, atol=0.05)


ERRORS = {
    "an instance": (
        TypeError,
        lambda: ModuleCell(3, 4, nn.GRUCell(3, 4)),
        r"module: expected a factory, .* got GRUCell\(3, 4\); for a module that is there, lambda \*sizes: there",
    ),
    "no module": (TypeError, lambda: ModuleCell(3, 4, lambda *sizes: 5), "expected a factory of modules, .* made 5"),
    "a state that is wanted": (
        ValueError,
        lambda: ModuleCell(3, 4, Projected),
        r"expected Projected to make a step without a state, but it raised TypeError: .*'state'; see state_sizes",
    ),
    "a state of another size": (
        ValueError,
        lambda: ModuleCell(3, 4, nn.GRUCell, state_sizes=5),
        r"expected GRUCell to make a step with the state Tensor\(2, 5\), but it raised RuntimeError: ",
    ),
    "a whole layer": (
        ValueError,
        lambda: ModuleCell(3, 4, nn.GRU),
        r"module: expected GRU to make a step with the state \(Tensor\(2, 4\), Tensor\(1, 4\)\)",
    ),
    "an output that is not announced": (
        ValueError,
        lambda: ModuleCell(3, 4, partial(Projected, with_output=True), state_sizes=(4, 4, 2)),
        r"return its state, .* got \(Tensor\(2, 6\), \(.*\)\); .* it wants returns_output=True",
    ),
    "an output that does not come": (
        ValueError,
        lambda: ModuleCell(3, 4, nn.GRUCell, returns_output=True),
        r"expected GRUCell to return \(output, state\), got Tensor\(2, 4\); .* it wants returns_output=False",
    ),
    "nothing": (ValueError, lambda: ModuleCell(3, 4, returning(lambda x: None)), "a tuple of tensors, got NoneType"),
    "no parts": (ValueError, lambda: ModuleCell(3, 4, returning(lambda x: ())), r"a tuple of tensors, got \(\)"),
    "a list": (ValueError, lambda: ModuleCell(3, 4, returning(lambda x: [x])), "a tuple of tensors, got list"),
    "a number": (
        ValueError,
        lambda: ModuleCell(3, 4, returning(lambda x: x.sum())),
        r"a state of tensors \(B, size\) and to return one like it, got \(Tensor\(\),\) for \(Tensor\(\),\) at B = 2",
    ),
    "a layer's axis": (
        ValueError,
        lambda: ModuleCell(3, 4, returning(lambda x: x.unsqueeze(0))),
        r"got \(Tensor\(1, 2, 3\),\) for \(Tensor\(1, 2, 3\),\) at B = 2",
    ),
    "another state than it took": (
        ValueError,
        lambda: ModuleCell(3, 4, returning(lambda x: x), state_sizes=4),
        r"got \(Tensor\(2, 3\),\) for \(Tensor\(2, 4\),\) at B = 2",
    ),
    "an output without rows": (
        ValueError,
        lambda: ModuleCell(3, 4, returning(lambda x: (x.sum(), x)), returns_output=True),
        r"expected Returns to return an output \(2, size\), got Tensor\(\)",
    ),
    "too few names": (
        ValueError,
        lambda: ModuleCell(3, 4, nn.LSTMCell, state_names=["h"]),
        r"state_names: expected 2 names, one for each part, got \('h',\)",
    ),
    "a size of nothing": (
        ValueError,
        lambda: ModuleCell(3, 4, nn.GRUCell, state_sizes=0),
        "state_sizes: expected at least 1, got 0",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_module_that_does_not_fit_gives_one_clear_line(name):
    kind, make, message = ERRORS[name]
    with pytest.raises(kind, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_module_that_changes_its_mind_is_caught_at_the_step():
    cell = ModuleCell(3, 3, returning(lambda x: x))
    cell.module.result = lambda x: None
    with pytest.raises(ValueError, match=r"expected Returns to return its state, .* got NoneType"):
        Recurrent(cell)(torch.ones(1, 2, 3))
    cell.module.result = lambda x: x[:, :2]
    with pytest.raises(ValueError, match=r"ModuleCell: the new state: expected .*, got \(Tensor\(1, 2\),\)"):
        Recurrent(cell)(torch.ones(1, 2, 3))
