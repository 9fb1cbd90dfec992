"""Truncated BPTT: what flows from window to window, and what does not."""

import copy

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from seqlab.data import Batch, LanguageModelSpec
from seqlab.data.core.stream import Stream, StreamLoader
from seqlab.nn import GRUCell, LanguageModel, LSTMCell, RNNCell
from seqlab.tasks import LanguageModelTask
from tests.models import of_cell

VOCAB = 7
SPEC = LanguageModelSpec(VOCAB, "character", {"train": 1.0, "validation": 1.0, "test": 1.0}, {})


class LearnedStart(GRUCell):
    """A cell whose initial state is trained."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.start = nn.Parameter(torch.linspace(-0.5, 0.5, hidden_size))

    def initial_state(self, batch_size, *, like):
        return (self.start.to(like).expand(batch_size, -1),)


def make_task(cell=LSTMCell, **arguments) -> LanguageModelTask:
    torch.manual_seed(0)
    model = of_cell(LanguageModel, VOCAB, cell=cell, hidden_size=5, num_layers=2, **arguments).double()
    return LanguageModelTask(model, SPEC, lambda parameters: torch.optim.SGD(parameters, lr=0.5))


def tokens_of(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, VOCAB, count).astype(np.uint8)


def windows(tokens: np.ndarray, batch_size: int, steps: int) -> list[Batch]:
    return list(StreamLoader(Stream(tokens, batch_size, steps)))


def gradients(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("cell", [RNNCell, GRUCell, LSTMCell])
def test_one_window_as_long_as_the_stream_has_the_gradients_of_full_bptt(cell):
    task, tokens = make_task(cell), tokens_of(2 * 12 + 1)
    (batch,) = windows(tokens, 2, 12)
    task.training_step(batch, 0)["loss"].backward()
    found = gradients(task.model)

    task.zero_grad()
    rows = torch.tensor(np.stack([tokens[0:13], tokens[12:25]]).astype(np.int64))
    state, losses = None, []
    for t in range(12):  # one step at a time, nothing detached
        logits, state = task.model(rows[:, t : t + 1], state)
        losses.append(F.cross_entropy(logits[:, 0], rows[:, t + 1], reduction="sum"))
    (torch.stack(losses).sum() / 24).backward()
    torch.testing.assert_close(found, gradients(task.model), rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_many_windows_with_a_carried_state_equal_one_long_pass(steps):
    task, tokens = make_task(), tokens_of(2 * 15 + 1)
    losses = [task.training_step(batch, 0) for batch in windows(tokens, 2, steps)]
    (long,) = windows(tokens, 2, 15)
    whole = make_task().training_step(long, 0)
    total = sum(step["nll"] for step in losses)
    torch.testing.assert_close(total, whole["nll"], rtol=0, atol=1e-12)


def test_no_gradient_reaches_back_over_a_window_but_the_state_does():
    # The first window alone holds token 0, so its embedding is reached from the second through the state or not at all.
    tokens = np.array([0, 0, 0, 1, 2, 3, 4], dtype=np.uint8)
    task = make_task()
    first, second = windows(tokens, 1, 3)
    task.training_step(first, 0)
    task.training_step(second, 0)["loss"].backward()
    row_gradients = task.model.input.embedding.weight.grad
    assert torch.equal(row_gradients[0], torch.zeros(5, dtype=torch.float64))
    assert row_gradients[1].abs().sum() > 0

    other = make_task()
    with torch.no_grad():
        other.model.input.embedding.weight[0] += 1.0
    other.training_step(first, 0)
    changed = other.training_step(second, 0)["loss"]
    assert not torch.isclose(changed, task_loss(tokens), rtol=0, atol=1e-6)


def task_loss(tokens: np.ndarray) -> torch.Tensor:
    task = make_task()
    first, second = windows(tokens, 1, 3)
    task.training_step(first, 0)
    return task.training_step(second, 0)["loss"]


def test_rows_that_begin_anew_start_from_the_initial_state_and_the_others_carry_on():
    task = make_task()
    first, second = windows(tokens_of(2 * 8 + 1), 2, 4)
    task.training_step(first, 0)
    carried = copy.deepcopy(task.carried())
    second.is_first = torch.tensor([False, True])
    task.training_step(second, 0)
    restarted = task.carried()

    fresh, _ = task.model.encoder(task.model.input.embedding(second.inputs[1:]))
    kept, _ = task.model.encoder(
        task.model.input.embedding(second.inputs[:1]), tuple(tuple(part[:1] for part in layer) for layer in carried)
    )
    torch.testing.assert_close(restarted[-1][0], torch.cat([kept[:, -1], fresh[:, -1]]), rtol=0, atol=1e-12)


def test_a_learned_initial_state_is_trained_where_rows_begin_and_nowhere_else():
    task = make_task(LearnedStart)
    first, second = windows(tokens_of(2 * 8 + 1), 2, 4)
    task.training_step(first, 0)["loss"].backward()
    starts = [layer.cell.start for layer in task.model.encoder.layers]
    assert all(start.grad.abs().sum() > 0 for start in starts)
    task.zero_grad()
    task.training_step(second, 0)["loss"].backward()
    assert all(start.grad is None or start.grad.abs().sum() == 0 for start in starts)


class Loaders(pl.LightningDataModule):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = tokens_of(3 * 40 + 1)

    def train_dataloader(self):
        return StreamLoader(Stream(self.tokens, 3, 4))

    def val_dataloader(self):
        return StreamLoader(Stream(self.tokens[::-1].copy(), 2, 5))


def fitted(tmp_path, seed=0, **settings) -> LanguageModelTask:
    pl.seed_everything(seed, verbose=False)
    task = make_task(dropout=0.3, output_dropout=0.3)
    torch.manual_seed(1)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
        **settings,
    )
    trainer.fit(task, Loaders())
    return task


def test_validation_in_the_middle_of_an_epoch_leaves_training_as_it_was(tmp_path):
    watched, alone = fitted(tmp_path, val_check_interval=3), fitted(tmp_path, limit_val_batches=0)
    for name, value in alone.model.state_dict().items():
        assert torch.equal(watched.model.state_dict()[name], value), name
    for watched_layer, alone_layer in zip(watched.carried(), alone.carried(), strict=True):
        assert all(map(torch.equal, watched_layer, alone_layer))


def test_the_carried_state_matters_to_what_is_trained(tmp_path, monkeypatch):
    carried = fitted(tmp_path, limit_val_batches=0)
    monkeypatch.setattr("seqlab.tasks.carry.StateCarry.keep", lambda self, state: None)
    reset = fitted(tmp_path, limit_val_batches=0)
    assert any(
        not torch.equal(value, reset.model.state_dict()[name]) for name, value in carried.model.state_dict().items()
    )
