"""A fixed window over truncated BPTT's streams: every target has its full context, wherever the streams are cut."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seqlab.data import LanguageModelSpec
from seqlab.data.core.stream import Stream, StreamLoader
from seqlab.nn import WindowModel, initialize
from seqlab.tasks import LanguageModelTask

V = 7
SPEC = LanguageModelSpec(V, "character", {"train": 1.0, "validation": 1.0, "test": 1.0}, {})


def make_task(window_size: int) -> LanguageModelTask:
    torch.manual_seed(0)
    model = WindowModel(V, window_size=window_size, hidden_size=5)
    initialize(model, uniform=0.5)
    model = model.double()
    return LanguageModelTask(model, SPEC, lambda parameters: torch.optim.SGD(parameters, lr=0.5))


def trained_on(window_size: int, stream: Stream) -> tuple[float, torch.Tensor]:
    """The negative log-likelihood of all windows, and its gradient."""
    task = make_task(window_size)
    total = torch.zeros((), dtype=torch.float64)
    for batch in StreamLoader(stream):
        step = task.training_step(batch, 0)
        (step["loss"] * step["tokens"]).backward()
        total += step["nll"]
    return float(total), torch.cat([parameter.grad.flatten() for parameter in task.model.parameters()])


def by_definition(window_size: int, texts: list[np.ndarray]) -> tuple[float, torch.Tensor]:
    """The same, one target after the other, each with its own window."""
    model = make_task(window_size).model
    losses = []
    for text in texts:
        padded = [V] * window_size + text.tolist()
        for end in range(window_size + 1, len(padded)):
            window = torch.tensor(padded[end - window_size : end])
            h = torch.tanh(model.hidden(model.embedding(window).flatten()))
            losses.append(F.cross_entropy(model.output(h), torch.tensor(padded[end])))
    loss = torch.stack(losses).sum()
    loss.backward()
    return float(loss.detach()), torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def tokens_of(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, V, count).astype(np.uint8)


@pytest.mark.parametrize("window_size", [1, 2, 4, 9])
@pytest.mark.parametrize("steps", [1, 3, 8, 50])
def test_cut_anywhere_the_loss_and_its_gradient_are_those_of_the_rows_read_whole(window_size, steps):
    tokens = tokens_of(2 * 20 + 1)
    loss, gradient = trained_on(window_size, Stream(tokens, 2, steps))
    expected_loss, expected = by_definition(window_size, [tokens[:21], tokens[20:]])
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("steps", [2, 5])
def test_where_rows_restart_no_window_reaches_back_into_another_document(steps):
    tokens = tokens_of(31)
    loss, gradient = trained_on(3, Stream(tokens, 2, steps, boundaries=np.array([0, 7, 9, 22])))
    parts = [tokens[0:8], tokens[7:10], tokens[9:16], tokens[15:23], tokens[22:31]]  # each with its last target
    expected_loss, expected = by_definition(3, parts)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)
