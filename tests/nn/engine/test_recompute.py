"""``recompute=True``: the same results on every engine, for less memory."""

from functools import lru_cache

import pytest
import torch
from torch import nn

from seqlab.nn import (
    Bidirectional,
    Encoder,
    GRUCell,
    LanguageModel,
    LayerNormLSTMCell,
    LSTMCell,
    MGUCell,
    MinGRUCell,
    Recurrent,
)
from seqlab.nn.engine import loop
from tests.models import of_cell
from tests.nn.agreement import RAGGED, assert_same, batch, results
from tests.nn.covering import covering
from tests.nn.memory import kept_bytes


class LearnedStart(LSTMCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.start = nn.Parameter(torch.randn(2, hidden_size))

    def initial_state(self, batch_size, *, like):
        return tuple(part.expand(batch_size, -1).to(like) for part in self.start)


CASES = [
    (LSTMCell, "native"),
    (LSTMCell, "scan"),
    (LSTMCell, "loop"),
    (GRUCell, "native"),
    (LayerNormLSTMCell, "scan"),
    (MinGRUCell, "parallel"),
    (MGUCell, "loop"),
]


@lru_cache
def cell_of(make):
    """One cell for many tests, which change nothing in it."""
    return make(3, 5).double()


@pytest.mark.parametrize(
    ("case", "batches", "reverse"),
    covering(
        CASES,
        [(1, None), (2, None), (6, None), (6, RAGGED), (11, (0, 11, 4, 5, 9)), (6, (0,) * 5)],
        [False, True],
    ),
)
def test_it_changes_no_result(case, batches, reverse):
    (make, backend), (steps, lengths) = case, batches
    cell = cell_of(make)
    x, state = batch(cell, 5, steps)
    plain, again = (results(cell, backend, x, state, lengths, reverse, recompute) for recompute in (False, True))
    assert_same(again, plain)


@pytest.mark.parametrize("lengths", [None, RAGGED])
def test_it_changes_no_result_of_a_compiled_step(compiled_quickly, lengths):
    cell = LSTMCell(3, 17).double()
    x, state = batch(cell, 5, 6)
    assert_same(results(cell, "scan", x, state, lengths, recompute=True), results(cell, "loop", x, state, lengths))


@pytest.mark.parametrize("backend", ["native", "scan", "loop"])
def test_a_learned_initial_state_and_both_directions_train_the_same(backend):
    make = LearnedStart if backend != "native" else LSTMCell
    layers = [
        Bidirectional(make(3, 5), make(3, 5), backend, recompute=recompute).double() for recompute in (False, True)
    ]
    layers[1].load_state_dict(layers[0].state_dict())
    x, found = torch.randn(5, 7, 3, dtype=torch.float64), []
    for layer in layers:
        output, (forward, backward) = layer(x, lengths=torch.tensor([7, 0, 3, 5, 7]))
        loss = output.sin().sum() + forward[1].sum() + backward[0].square().sum()
        found.append([output, *torch.autograd.grad(loss, list(layer.parameters()))])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("backend", ["scan", "loop", "native"])
def test_it_keeps_a_quarter_or_less(compiled_quickly, backend):
    cell, x = LSTMCell(8, 17), torch.randn(4, 256, 8)
    plain, again = (kept_bytes(Recurrent(cell, backend, recompute=recompute), x) for recompute in (False, True))
    assert again * 4 <= plain, (again, plain)


def test_without_gradients_nothing_is_run_in_stretches(monkeypatch):
    cell, x = LSTMCell(3, 5), torch.randn(2, 9, 3)
    layer = Recurrent(cell, "loop", recompute=True)
    seen, run = [], loop.run
    monkeypatch.setattr(loop, "run", lambda cell, part, *rest: seen.append(part.size(1)) or run(cell, part, *rest))
    with torch.no_grad():
        layer(x)
    assert seen == [9]
    layer(x)[0].sum().backward()
    assert seen == [9, *[3] * 6]  # three stretches of three steps, each a second time for its gradients


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_stands_in_models_under_autocast(dtype):
    torch.manual_seed(0)
    model = of_cell(LanguageModel, 20, cell=LSTMCell, hidden_size=8, num_layers=2, recompute=True)
    plain = of_cell(LanguageModel, 20, cell=LSTMCell, hidden_size=8, num_layers=2)
    plain.load_state_dict(model.state_dict())
    assert all(layer.recompute for layer in model.encoder.layers)
    x, gradients = torch.randint(0, 20, (3, 10)), []
    for each in (model, plain):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits, _ = each(x)
        logits.float().square().sum().backward()
        gradients.append([parameter.grad for parameter in each.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert float((one - other).norm() / other.norm()) < (1e-5 if dtype == torch.float32 else 1e-2)


def test_an_encoder_hands_it_to_both_directions():
    encoder = Encoder(GRUCell, 3, 4, num_layers=2, bidirectional=True, recompute=True)
    assert all(each.recompute for each in encoder.modules() if isinstance(each, Recurrent))


PROJECTS = {
    "sums up the steps": lambda x: x.cumsum(1),
    "sums up the steps of sequences alone": lambda x: x.cumsum(1) if x.dim() == 3 else x,
    "counts the steps": lambda x: x + torch.arange(x.size(1)).to(x).unsqueeze(1),
    "looks at the step before": lambda x: x - x.roll(1, 1),
    "centres the steps": lambda x: x - x.mean(1, keepdim=True),
    "does more with long sequences": lambda x: x * (2.0 if x.size(1) > 4 else 1.0),
    "one number for a sequence": lambda x: x * x[:, :1].sigmoid(),
}


def projecting(change):
    class Projecting(GRUCell):
        def project(self, x):
            return super().project(change(x))

    torch.manual_seed(0)
    return Projecting(3, 5).double()


@pytest.mark.parametrize("change", PROJECTS.values(), ids=PROJECTS)
def test_a_project_that_looks_at_other_steps_sees_them_all(compiled_quickly, caplog, change):
    cell = projecting(change)
    x, state = batch(cell, 5, 9)
    for backend in ("scan", "loop"):
        plain, again = (results(cell, backend, x, state, None, False, recompute) for recompute in (False, True))
        assert_same(again, plain)
        assert "recompute has no effect" in caplog.text
        caplog.clear()


@pytest.mark.parametrize(
    "change",
    [lambda x: x.tanh(), lambda x: x.softmax(-1), lambda x: nn.functional.layer_norm(x, (3,)), lambda x: x[..., :3]],
)
def test_a_project_of_each_step_alone_is_run_again(compiled_quickly, caplog, change):
    cell = projecting(change)
    x, state = batch(cell, 5, 9)
    plain, again = (results(cell, "loop", x, state, None, False, recompute) for recompute in (False, True))
    assert_same(again, plain)
    assert "recompute" not in caplog.text


@pytest.mark.parametrize(("make", "backend"), [(GRUCell, "native"), (MinGRUCell, "parallel"), (GRUCell, "loop")])
def test_what_the_caller_overwrites_before_the_backward_pass_is_never_read_anew(make, backend):
    cell, is_first = cell_of(make), torch.arange(35).view(5, 7) % 3 == 0
    layer, (x, state) = Recurrent(cell, backend, recompute=True), batch(cell, 5, 7)

    def gradient(write):
        given, mask = tuple(part.clone() for part in state), is_first.clone()
        output, _ = layer(x, given, None, mask)
        write(*given, mask)
        return torch.autograd.grad(output.pow(2).sum(), cell.weight_ih)[0]

    expected = gradient(lambda h, mask: None)
    torch.testing.assert_close(gradient(lambda h, mask: mask.logical_not_()), expected, rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="its first state, or a parameter or buffer of it is not what it was"):
        gradient(lambda h, mask: h.zero_())
