"""The language-model task: losses, metrics over whole splits, refusals."""

import math
import re
from itertools import pairwise

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seqlab.commands.evaluate import evaluate
from seqlab.data import LanguageModelSpec
from seqlab.data.core.batch import Batch
from seqlab.data.core.stream import Stream, StreamLoader
from seqlab.errors import InputError
from seqlab.nn import LanguageModel, LSTMCell
from seqlab.tasks import LanguageModelTask
from seqlab.tasks.metrics import TokenMetrics
from tests.conftest import run_here
from tests.models import of_cell

VOCAB = 6
SPEC = LanguageModelSpec(VOCAB, "word", {"train": 4.0, "validation": 4.0, "test": 5.0}, {})


def make_task(**arguments) -> LanguageModelTask:
    torch.manual_seed(0)
    model = of_cell(
        LanguageModel, VOCAB, cell=LSTMCell, hidden_size=4, bidirectional=arguments.pop("bidirectional", False)
    )
    return LanguageModelTask(model.double(), SPEC, lambda p: torch.optim.SGD(p, lr=0.1), **arguments)


def tokens_of(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, VOCAB, count).astype(np.uint8)


def loader(count: int, batch_size: int, steps: int) -> StreamLoader:
    return StreamLoader(Stream(tokens_of(count), batch_size, steps))


def test_documents_that_begin_inside_a_window_are_rows_of_their_own():
    """As data of one's own may have them: two rows, read in two windows, with five documents."""
    documents = ((0, 0, 4), (0, 4, 9), (0, 9, 12), (1, 0, 7), (1, 7, 12))
    windows = (slice(0, 6), slice(6, 12))
    tokens = torch.from_numpy(tokens_of(24).astype(np.int64)).view(2, 12)
    targets, is_first = tokens.roll(-1, 1), torch.zeros(2, 12, dtype=torch.bool)
    for row, start, _ in documents:
        is_first[row, start] = True
    task, alone = make_task(), make_task()
    losses, expected = [], []
    for number, window in enumerate(windows):
        batch = Batch(tokens[:, window], targets[:, window], is_first[:, window], None, number)
        losses.append(task.training_step(batch, number)["loss"])
        task.evaluate(batch, "val")
        nll = torch.zeros(())
        for row, start, end in documents:
            first, last = max(start, window.start), min(end, window.stop)
            if first < last:
                with torch.no_grad():  # no gradient leaves a window
                    state = alone.model(tokens[[row], start:first])[1] if start < first else None
                logits, _ = alone.model(tokens[[row], first:last], state)
                nll = nll + F.cross_entropy(logits[0], targets[row, first:last], reduction="sum")
        expected.append(nll / 12)
    torch.testing.assert_close(torch.stack(losses), torch.stack(expected))
    terms, _ = task.loss_terms(Batch(tokens[:, :6], targets[:, :6], is_first[:, :6], None, 0))
    torch.testing.assert_close(terms.mean(), losses[0])
    sum(losses).backward()
    sum(expected).backward()
    for one, other in zip(task.model.parameters(), alone.model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    mean = sum(expected).detach() / 2
    torch.testing.assert_close(task.metrics_of("val").compute()["loss"], mean, check_dtype=False)


@pytest.mark.parametrize(("batch_size", "steps"), [(1, 100), (1, 7), (3, 8), (5, 1)])
def test_metrics_cover_the_whole_split_whatever_its_windows(tmp_path, batch_size, steps):
    task, data = make_task(), loader(41, batch_size, steps)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    (found,) = trainer.test(task, data, verbose=False)

    tokens = torch.tensor(tokens_of(41).astype(np.int64))
    bounds = [row * 40 // batch_size for row in range(batch_size + 1)]
    nll, correct = 0.0, 0
    for start, end in pairwise(bounds):  # each stream in one pass
        with torch.no_grad():
            logits, _ = task.model(tokens[None, start:end])
        nll += float(F.cross_entropy(logits[0], tokens[start + 1 : end + 1], reduction="sum"))
        correct += int((logits[0].argmax(-1) == tokens[start + 1 : end + 1]).sum())
    assert found["test/loss"] == pytest.approx(nll / 40, abs=1e-6)
    assert found["test/perplexity"] == pytest.approx(math.exp(nll / 40), rel=1e-6)
    assert found["test/bits_per_character"] == pytest.approx(nll / 40 / 5 / math.log(2), rel=1e-6)
    assert found["test/accuracy"] == pytest.approx(correct / 40)


def test_the_sums_are_double_precision():
    metrics = TokenMetrics()
    for _ in range(10):
        metrics.update(torch.tensor(1e8 + 1.0, dtype=torch.float64), torch.tensor(1), torch.tensor(0))
    assert metrics.compute()["loss"].item() == 1e8 + 1.0  # float32 knows no 100,000,001


def test_time_sum_is_the_mean_times_the_steps():
    batch = next(iter(loader(25, 2, 6)))
    mean = make_task().training_step(batch, 0)["loss"]
    summed = make_task(reduction="time_sum").training_step(batch, 0)["loss"]
    torch.testing.assert_close(summed, mean * 6)


def test_a_window_without_a_target_has_loss_zero():
    batch = next(iter(loader(25, 2, 6)))
    batch.targets.fill_(-100)
    task = make_task()
    task.training_step(batch, 0)["loss"].backward()
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in task.parameters())


def test_a_bidirectional_encoder_is_refused_and_the_reason_given():
    with pytest.raises(InputError, match="only left context exists"):
        make_task(bidirectional=True)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(InputError, match=r"task\.reduction is 'sum'; expected mean or time_sum"):
        make_task(reduction="sum")


def test_evaluating_in_bfloat16_multiplies_by_the_output_layer_once_a_window():
    task = make_task()
    task.float()
    trainer = pl.Trainer(
        accelerator="cpu",
        precision="bf16-mixed",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    with torch.profiler.profile() as profile:
        trainer.test(task, loader(41, 4, 5), verbose=False)
    calls = {event.key for event in profile.key_averages()}
    assert "aten::linear" in calls and "aten::bmm" not in calls, "a batched product copies the weights for each row"


def test_words_of_another_text_that_a_model_without_unk_lacks_are_named_with_a_mend_that_works(tmp_path):
    (tmp_path / "text.txt").write_text("the cat sat on the mat\nthe cat sat\n" * 40)
    (tmp_path / "other.txt").write_text("the dog sat on the mat\n" * 40)
    tiny = (f"data.path={tmp_path / 'text.txt'}", "data.unit=word", "data.batch_size=2", "data.tbptt_steps=4")
    quick = (
        "data=text",
        *tiny,
        "model.hidden_size=4",
        "trainer.max_epochs=1",
        "logger=none",
        "callbacks.examples=null",
    )
    other = [f"data.path={tmp_path / 'other.txt'}"]
    run_here(tmp_path / "closed", *quick)
    with pytest.raises(InputError, match="words the vocabulary lacks: 'dog'") as caught:
        evaluate(tmp_path / "closed", other)
    (mend,) = re.findall(r"train with (data\.max_vocab_size=\d+) or data\.min_frequency=2", str(caught.value))
    run_here(tmp_path / "open", *quick, mend)
    assert evaluate(tmp_path / "open", other)["test/loss"] > 0
