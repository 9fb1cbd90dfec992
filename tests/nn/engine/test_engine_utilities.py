"""What torch's utilities make of weights, and their hooks: pruning, norms, parametrizations."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils import spectral_norm as old_spectral_norm
from torch.nn.utils import weight_norm as old_weight_norm

from seqlab.nn import Bidirectional, GRUCell, LSTMCell, MinGRUCell, Recurrent
from tests.nn.agreement import batch

pytestmark = pytest.mark.usefixtures("compiled_quickly")


ENGINES = [(LSTMCell, "native"), (LSTMCell, "scan"), (MinGRUCell, "parallel"), (LSTMCell, "loop"), (LSTMCell, "auto")]


def trained(cell, backend, reverse=False):
    """Three steps of an optimizer, then the output; and how often the cell's first pre-hook ran."""
    layer = Recurrent(cell, backend, reverse)
    x, _ = batch(cell, 5, 6)
    optimizer = torch.optim.SGD(cell.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        layer(x)[0].square().sum().backward()
        optimizer.step()
    cell.eval()
    return [layer(x)[0].detach(), *(each.detach() for each in (*cell.parameters(), *cell.buffers()))]


TOOLS = {
    "l1 pruning": lambda cell: prune.l1_unstructured(cell, "weight_hh", 0.5),
    "structured pruning": lambda cell: prune.ln_structured(cell, "weight_ih", 0.5, n=2, dim=0),
    "pruning twice": lambda cell: [prune.l1_unstructured(cell, "weight_hh", 0.3) for _ in range(2)],
    "old weight norm": lambda cell: old_weight_norm(cell, "weight_hh"),
    "old spectral norm": lambda cell: old_spectral_norm(cell, "weight_hh"),
    "weight norm": lambda cell: parametrizations.weight_norm(cell, "weight_hh"),
    "spectral norm": lambda cell: parametrizations.spectral_norm(cell, "weight_hh"),
    "orthogonal": lambda cell: parametrizations.orthogonal(cell, "weight_ih"),
    "a parametrization": lambda cell: parametrize.register_parametrization(cell, "bias_ih", nn.Tanh()),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning", "ignore:.*spectral_norm.*:FutureWarning")
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(("make", "backend"), [each for each in ENGINES if each[1] != "loop"])
def test_weights_that_are_made_of_others_train_the_same_on_all_engines(make, backend, tool):
    torch.manual_seed(0)
    cell = make(3, 5).double()
    if not cell.recurrent and tool not in ("structured pruning", "orthogonal", "a parametrization"):
        pytest.skip("it has no recurrent weight")
    TOOLS[tool](cell)
    twin = small_copy(make, TOOLS[tool], cell)
    for one, other in zip(trained(cell, backend), trained(twin, "loop"), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def small_copy(make, tool, cell):
    """A twin made the same way: old-style weights are no leaves, and can't be copied."""
    torch.manual_seed(0)
    twin = make(3, 5).double()
    tool(twin)
    twin.load_state_dict(cell.state_dict())
    return twin


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("make", "backend"), ENGINES)
def test_a_pre_hook_runs_once_a_sequence_on_every_engine(make, backend, recompute):
    cell = make(3, 5).double()
    calls = []
    cell.register_forward_pre_hook(lambda module, given: calls.append(len(given)))
    layer, (x, _) = Recurrent(cell, backend, recompute=recompute), batch(cell, 5, 6)
    for count in (1, 2):
        layer(x)[0].sum().backward()
        assert len(calls) == count
    layer(x, lengths=torch.tensor([6, 0, 3, 2, 1]))
    with torch.no_grad():
        layer(x[:, :1])
    assert len(calls) == 4


def test_a_pre_hook_that_changes_its_input_is_named():
    cell = LSTMCell(3, 5)
    cell.register_forward_pre_hook(lambda module, given: (given[0] * 2, *given[1:]))
    for backend in ("auto", "loop", "native"):
        with pytest.raises(TypeError, match="pre-hook"):
            Recurrent(cell, backend)(torch.zeros(2, 3, 3))


def test_pruned_weights_go_on_training():
    layer = Recurrent(GRUCell(3, 5))
    prune.l1_unstructured(layer.cell, "weight_hh", 0.5)
    for _ in range(3):
        layer.cell.weight_hh_orig.grad = None
        layer(torch.randn(2, 4, 3))[0].square().sum().backward()
    gradient, mask = layer.cell.weight_hh_orig.grad, layer.cell.weight_hh_mask
    assert gradient.abs().sum() > 0 and not gradient[mask == 0].any()


def test_hooks_on_the_layer_run_as_on_any_module():
    layer = Bidirectional(GRUCell(3, 5), GRUCell(3, 5))
    seen = []
    layer.forward_layer.register_forward_hook(lambda module, given, result: seen.append(result[0].shape))
    layer.register_full_backward_hook(lambda module, given, result: seen.append("backward"))
    layer(torch.randn(2, 4, 3).requires_grad_())[0].sum().backward()
    assert seen == [(2, 4, 5), "backward"]
