"""Counting under Lightning: what is counted, however the text is cut, and evaluation as of every language model."""

import math

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from seqlab.data import LanguageModelSpec
from seqlab.data.core.stream import Stream, StreamLoader
from seqlab.errors import InputError
from seqlab.nn import KneserNey, LSTMCell
from seqlab.nn.models.language_model import LanguageModel
from seqlab.tasks import CountingTask
from seqlab.tasks.schedules import Constant, Cosine
from tests.models import of_cell

V = 5
SPEC = LanguageModelSpec(V, "character", {"train": 1.0, "validation": 1.0, "test": 1.0}, {})


def text_of(count: int, seed: int = 0) -> np.ndarray:
    """Each token mostly the one before it and one more, so that n-grams recur."""
    draw = np.random.default_rng(seed)
    return (np.cumsum(draw.choice([1, 2, 0], count, p=[0.7, 0.2, 0.1])) % V).astype(np.uint8)


class Loaders(pl.LightningDataModule):
    def __init__(self, batch_size=1, steps=7, documents=None) -> None:
        super().__init__()
        self.batch_size, self.steps, self.documents = batch_size, steps, documents
        self.text, self.other = text_of(301), text_of(90, seed=1)

    def train_dataloader(self):
        return StreamLoader(Stream(self.text, self.batch_size, self.steps, self.documents))

    def val_dataloader(self):
        return StreamLoader(Stream(self.other, 1, 8))

    test_dataloader = val_dataloader


def make_task(order=3) -> CountingTask:
    return CountingTask(KneserNey(V, order), SPEC)


def make_trainer(tmp_path, **settings) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
        **({"max_epochs": 1} | settings),
    )


def counted(tmp_path, data=None, **settings) -> KneserNey:
    task = make_task()
    make_trainer(tmp_path, **settings).fit(task, data or Loaders())
    return task.model


def expected(text, begins=()) -> KneserNey:
    model = KneserNey(V, 3)
    starts = torch.zeros(len(text), dtype=torch.bool)
    starts[list(begins)] = True
    model.count(torch.from_numpy(text.astype(np.int64)), starts)
    return model


def same(one: KneserNey, other: KneserNey) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("steps", [1, 7, 300, 1000])
def test_the_windows_make_no_difference_to_what_one_row_counts(tmp_path, steps):
    assert same(counted(tmp_path, Loaders(steps=steps)), expected(text_of(301)[:-1]))


def test_without_a_validation_it_is_counted_too(tmp_path):
    assert same(counted(tmp_path, limit_val_batches=0), expected(text_of(301)[:-1]))


def test_each_row_is_a_text_of_its_own(tmp_path):
    assert same(counted(tmp_path, Loaders(batch_size=3)), expected(text_of(301)[:-1], [0, 100, 200]))
    assert not same(counted(tmp_path, Loaders(batch_size=3)), expected(text_of(301)[:-1]))


def test_each_document_is_a_text_of_its_own_where_rows_restart(tmp_path):
    data = Loaders(batch_size=2, documents=np.array([0, 40, 45, 210]))
    assert same(counted(tmp_path, data), expected(text_of(301)[:-1], [0, 40, 45, 150, 210]))


def test_of_an_epoch_cut_short_only_what_was_read_is_counted(tmp_path):
    found = counted(tmp_path, Loaders(batch_size=2), limit_train_batches=3)
    read = np.concatenate([text_of(301)[:21], text_of(301)[150:171]])
    assert same(found, expected(read, [0, 21]))


def test_max_steps_limits_the_windows_and_the_last_counts_are_validated(tmp_path):
    losses = []

    class Watch(pl.Callback):
        def on_validation_end(self, trainer, pl_module):
            losses.append(float(trainer.callback_metrics["val/loss"]))

    assert same(counted(tmp_path, max_steps=3, callbacks=[Watch()]), expected(text_of(301)[:21]))
    assert len(losses) == 1


def test_a_validation_in_between_counts_what_was_read_so_far_and_the_end_all(tmp_path):
    losses = []

    class Watch(pl.Callback):
        def on_validation_end(self, trainer, pl_module):
            losses.append(float(trainer.callback_metrics["val/loss"]))

    model = counted(tmp_path, val_check_interval=8, callbacks=[Watch()])
    assert same(model, expected(text_of(301)[:-1]))
    assert len(losses) == 5 and losses[-1] < losses[0]


def test_a_run_resumed_in_the_middle_ends_with_the_same_counts(tmp_path):
    path = tmp_path / "middle.ckpt"

    class Save(pl.Callback):
        def on_validation_end(self, trainer, pl_module):
            if not path.exists():
                trainer.save_checkpoint(path)

    counted(tmp_path, val_check_interval=8, callbacks=[Save()])
    task = make_task()
    trainer = make_trainer(tmp_path, val_check_interval=8)
    trainer.fit(task, Loaders(), ckpt_path=path, weights_only=True)
    assert same(task.model, expected(text_of(301)[:-1]))


def test_its_metrics_are_the_models_own_over_the_whole_split(tmp_path):
    task, data = make_task(), Loaders()
    trainer = make_trainer(tmp_path)
    trainer.fit(task, data)
    (found,) = trainer.test(task, data, verbose=False)
    text = torch.from_numpy(data.other.astype(np.int64))
    logits = task.model(text[None, :-1])[0][0]
    loss = -float(logits[range(89), text[1:]].mean())
    assert found["test/loss"] == pytest.approx(loss, rel=1e-5)
    assert found["test/perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    assert found["test/accuracy"] == pytest.approx(float((logits.argmax(-1) == text[1:]).double().mean()))
    assert found["test/perplexity"] < 0.7 * V


def test_what_it_has_no_use_for_is_refused(tmp_path):
    for arguments in ({"optimizer": lambda p: None}, {"schedule": Cosine()}, {"schedule": Constant(warmup_steps=5)}):
        with pytest.raises(InputError, match=r"takes no gradient steps; set optimizer=none scheduler=constant"):
            CountingTask(KneserNey(V), SPEC, **arguments)
    with pytest.raises(InputError, match="task=counting fits a model=kneser_ney, not a LanguageModel"):
        CountingTask(of_cell(LanguageModel, V, cell=LSTMCell, hidden_size=3), SPEC)
    with pytest.raises(InputError, match=r"trainer\.max_epochs=2: counting reads the text once; give 1"):
        counted(tmp_path, max_epochs=2)
