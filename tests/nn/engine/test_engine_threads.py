"""Layers in several threads: first calls, modes and weights of their own."""

import sys
import threading
import warnings

import pytest
import torch
from torch.nn.utils import parametrizations

from seqlab.nn import GRUCell, LayerNormLSTMCell, LSTMCell, MinGRUCell, PeepholeLSTMCell, Recurrent
from tests.nn.agreement import batch

pytestmark = pytest.mark.usefixtures("compiled_quickly")


@pytest.mark.usefixtures("traced_anew")
def test_first_calls_from_many_threads_leave_no_mode_on(compiled_quickly):
    """PyTorch's tracers turn anomaly detection on meanwhile, for the whole process."""
    interval, filters = sys.getswitchinterval(), list(warnings.filters)
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(3):
            layers = [Recurrent(MinGRUCell(3, 4), "parallel") for _ in range(4)]
            threads = [threading.Thread(target=layer, args=(torch.ones(2, 5, 3),)) for layer in layers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not torch.is_anomaly_enabled()
            assert all(layer.last_run.engine == "parallel" for layer in layers)
    finally:
        sys.setswitchinterval(interval)
    assert warnings.filters == filters


def together(*calls):
    """Runs the calls in threads that begin at once; their results, or the first error."""
    barrier, results, errors = threading.Barrier(len(calls)), [None] * len(calls), []

    def run(place, call):
        try:
            barrier.wait()
            results[place] = call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


@pytest.mark.usefixtures("traced_anew")
@pytest.mark.parametrize("make", [PeepholeLSTMCell, LSTMCell])
def test_many_threads_make_the_first_call(make):
    torch.manual_seed(0)
    cell = make(3, 5).double()
    layer, (x, _) = Recurrent(cell), batch(cell, 5, 6)
    before = [name for name, _ in layer.named_parameters()]

    def call():
        output, _ = layer(x)
        return torch.autograd.grad(output.sin().sum(), list(cell.parameters()))

    results = together(*[call] * 4)
    assert [name for name, _ in layer.named_parameters()] == before
    output, _ = Recurrent(cell, "loop")(x)
    expected = torch.autograd.grad(output.sin().sum(), list(cell.parameters()))
    for result in results:
        for one, other in zip(result, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    assert layer.last_run.engine == "scan"


@pytest.mark.usefixtures("traced_anew")
def test_threads_with_cells_and_modes_of_their_own():
    cells = [make(3, 5).double() for make in (PeepholeLSTMCell, LayerNormLSTMCell, GRUCell, LSTMCell)]
    x, _ = batch(cells[0], 5, 6)

    def trained(cell):
        return lambda: Recurrent(cell)(x)[0].detach()

    def inferred(cell):
        def call():
            with torch.no_grad():
                return Recurrent(cell)(x)[0]

        return call

    results = together(*map(trained, cells), *map(inferred, cells))
    for result, cell in zip(results, [*cells, *cells], strict=True):
        torch.testing.assert_close(result, Recurrent(cell, "loop")(x)[0].detach(), rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("traced_anew")
@pytest.mark.parametrize("backend", ["auto", "loop", "native"])
def test_parametrized_models_in_two_threads_keep_their_own_weights(backend):
    """An optimizer's step in each: the weights of the step before would be another model's."""

    def train(seed):
        torch.manual_seed(seed)
        cell = LSTMCell(3, 5).double()
        parametrizations.weight_norm(cell, "weight_hh")
        return cell, Recurrent(cell, backend), torch.optim.SGD(cell.parameters(), 0.2)

    def steps(model):
        cell, layer, optimizer = model
        x, _ = batch(cell, 5, 6)

        def call():
            for _ in range(15):
                optimizer.zero_grad()
                layer(x)[0].square().sum().backward()
                optimizer.step()
            return [each.detach().clone() for each in cell.parameters()]

        return call

    found = together(*map(steps, (train(0), train(1))))
    alone = [steps(train(seed))() for seed in (0, 1)]
    for one, other in zip(found, alone, strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
