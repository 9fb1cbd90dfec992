"""Transcription from the configuration to the record: the loss, error rates, exact resume, and new recordings."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.io import wavfile

from seqlab.cli import main
from seqlab.commands.evaluate import evaluate
from seqlab.config import build
from seqlab.errors import InputError
from seqlab.tasks import TranscriptionTask
from seqlab.tasks.transcription import TranscriptionMetrics
from tests.conftest import config_of, run_here
from tests.run.test_exact_resume import StoppedError, assert_the_same_end, carry_out
from tests.tones import of_tones, sound


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    return of_tones(tmp_path_factory.mktemp("tones"))


def test_the_loss_is_that_of_ctc_a_token(overrides):
    config = config_of(*overrides)
    data = build.build_data(config)
    torch.manual_seed(0)
    task = build.build_task(config, data.spec, build.build_model(config, data.spec).eval())
    batch = data.collate("train", [0, 1, 2, 3])
    step = task.training_step(batch, 0)
    total = 0.0
    for row in range(4):
        frames, tokens = int(batch.lengths[row]), int(batch.target_lengths[row])
        logits, _ = task.model(batch.inputs[row : row + 1, :frames])
        logs = logits.log_softmax(-1).transpose(0, 1)
        targets = batch.targets[row : row + 1, :tokens]
        lengths = torch.tensor([frames]), torch.tensor([tokens])
        total += F.ctc_loss(logs, targets, *lengths, blank=task.model.blank, reduction="sum").item()
    assert int(step["tokens"]) == int(batch.target_lengths.sum())
    assert step["loss"].item() == pytest.approx(total / int(step["tokens"]), rel=1e-4)


def test_error_rates_are_counts_over_the_whole_split_whatever_the_batches():
    written = ["one two", "", "three three four", "five", "a b"]
    said = ["one two", "one", "three four", "nine", "b"]
    metrics = TranscriptionMetrics()
    for part in (slice(0, 2), slice(2, 5)):
        metrics.update(torch.tensor(2.0), torch.tensor(4), written[part], said[part])
    found = {name: float(value) for name, value in metrics.compute().items()}
    assert found["wer"] == pytest.approx((0 + 1 + 1 + 1 + 1) / 7)
    assert found["cer"] == pytest.approx((0 + 3 + 6 + 2 + 2) / (7 + 3 + 10 + 4 + 1))
    assert found["exact_match"] == pytest.approx(1 / 5) and found["loss"] == pytest.approx(0.5)


def test_a_word_that_the_vocabulary_lacks_is_never_right(tmp_path):
    overrides = of_tones(tmp_path, 12, "data.split=[0.5,0.25,0.25]", "data.batch_size=4", "logger=none")
    lines = (tmp_path / "table.csv").read_text().splitlines()
    renamed = [line.replace("mid", f"mid{number}") for number, line in enumerate(lines)]  # once each: all are <unk>
    (tmp_path / "table.csv").write_text("\n".join(renamed) + "\n")
    data = build.build_data(config_of(*overrides))
    batch = data.collate("test", [0, 1, 2])
    said = [row.text for row in data.rows("test")]
    assert list(batch.texts) == said and any("mid" in text for text in said)
    assert "<unk>" in data.vocabulary.decode(batch.targets.flatten().tolist())
    task = build.build_task(config_of(*overrides), data.spec, build.build_model(config_of(*overrides), data.spec))
    task.model.forward = lambda frames, lengths: (spoken(batch, data.spec.vocab_size), None)
    task._trainer = type("Trainer", (), {"datamodule": data})()
    task.evaluate(batch, "test")
    figures = task.eval_metrics["test"].compute()
    words = " ".join(said).split()
    assert float(figures["wer"]) == pytest.approx(sum("mid" in word for word in words) / len(words))
    assert float(figures["exact_match"]) == pytest.approx(sum("mid" not in text for text in said) / 3)


def spoken(batch, blank: int) -> torch.Tensor:
    """Logits of a model that hears each token of a batch: its number, a blank, and so on."""
    rows = [[token for number in row for token in (number, blank)] for row in batch.targets.tolist()]
    for row, length in zip(rows, batch.target_lengths.tolist(), strict=True):
        row[2 * length :] = [blank] * (len(row) - 2 * length)
    path = torch.tensor(rows)
    steps = torch.full((len(rows), int(batch.lengths.max())), blank)
    steps[:, : path.size(1)] = path
    return 20.0 * F.one_hot(steps, blank + 1)


@pytest.fixture(scope="module")
def trained(overrides, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    record = run_here(folder, *overrides, "trainer.max_epochs=25", "task.beam_size=4")
    return folder, record.fields["metrics"]


def test_it_learns_to_write_down_tones_and_says_what_a_new_recording_holds(trained, tmp_path, capsys):
    folder, metrics = trained
    assert metrics["test/wer"] < 0.2 and metrics["test/loss"] < 0.7
    wavfile.write(tmp_path / "new.wav", 8000, sound(["low", "high"], np.random.default_rng(5)))
    twice = np.repeat(sound(["mid", "mid"], np.random.default_rng(6)), 2)  # at 16 kHz
    wavfile.write(tmp_path / "fast.wav", 16000, np.stack([twice, twice], 1))
    files = [str(tmp_path / name) for name in ("new.wav", "fast.wav")]
    assert main(["predict", str(folder), *files, "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["text"] for answer in answers] == ["low high", "mid mid"]
    assert main(["predict", str(folder), str(tmp_path / "none.wav")]) == 2
    assert "none.wav is not there" in capsys.readouterr().err


def test_a_run_is_evaluated_with_the_frames_of_its_training(trained):
    folder, metrics = trained
    assert evaluate(folder, ["data.eval_batch_size=5"]) == pytest.approx(metrics, rel=1e-5)
    trained_on = r"trained on data with hop 0\.\d+, this data has hop 0\.021: give data read alike"
    with pytest.raises(InputError, match=trained_on):
        evaluate(folder, ["data.hop=0.021"])


def test_a_run_that_is_stopped_and_resumed_ends_as_one_that_was_left_alone(overrides, tmp_path, monkeypatch):
    more = [*overrides, "trainer.max_epochs=2", "trainer.val_check_interval=2", "logger=none"]
    more += ["data.warp=0.2", "data.stretch=0.2", "data.mask_steps=2"]
    carry_out(tmp_path / "alone", more)
    original = TranscriptionTask.training_step

    def stopping(self, batch, batch_idx):
        if self.trainer.global_step == 7:
            monkeypatch.setattr(TranscriptionTask, "training_step", original)
            raise StoppedError
        return original(self, batch, batch_idx)

    monkeypatch.setattr(TranscriptionTask, "training_step", stopping)
    with pytest.raises(StoppedError):
        carry_out(tmp_path / "continued", more)
    carry_out(tmp_path / "continued", more, resume=True)
    assert_the_same_end(tmp_path / "alone", tmp_path / "continued")


def test_a_beam_of_none_is_refused(overrides):
    config = config_of(*overrides)
    data = build.build_data(config)
    model = build.build_model(config, data.spec)
    with pytest.raises(InputError, match=r"task.beam_size is 0; expected 1 or more"):
        TranscriptionTask(model, data.spec, torch.optim.SGD, beam_size=0)
