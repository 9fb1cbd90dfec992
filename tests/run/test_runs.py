"""A run from its configuration to its record: what it leaves, and what it does not depend on."""

import json
import math
from datetime import datetime
from pathlib import Path

import pytest
import torch

from seqlab.config import build, metrics
from seqlab.config.hash import config_hash
from seqlab.data.vocabulary.base import load_vocabulary
from seqlab.run import checkpoints, load, loops, training_process, workers
from seqlab.run.folder import start_run
from seqlab.run.ownership import LostClaimError
from seqlab.run.record import RECORD_NAME, read_record
from seqlab.tasks import LanguageModelTask
from tests.command import train_in_this_process
from tests.conftest import config_of, run_here, small
from tests.run.owners import taken_by_another

KEYS = {
    *("schema", "status", "config", "config_hash", "overrides", "seed", "git", "versions", "device"),
    *("num_parameters", "tokens_per_second", "reads", "peak_memory_bytes", "started_at", "ended_at"),
    *("checkpoint", "error", "metrics"),
}
MEASURED = ("loss", "perplexity", "bits_per_character", "accuracy")
METRICS = {f"{split}/{name}" for split in ("val", "test") for name in MEASURED}


def weights(run_dir: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return checkpoints.load_checkpoint(run_dir / "checkpoints" / f"{name}.ckpt")["state_dict"]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("left", ["removed and begun again", "moved"])
def test_a_run_puts_no_checkpoint_into_a_folder_that_is_anothers_by_now(tmp_path, text_file, monkeypatch, left):
    run_dir, training_step = tmp_path / "run", LanguageModelTask.training_step

    def lose(task, batch, batch_idx):
        if task.trainer.global_step == 3 and not (tmp_path / "before").exists():
            run_dir.rename(tmp_path / "before")
            if left != "moved":
                with start_run(run_dir, {"seed": 2}):
                    (run_dir / "checkpoints").mkdir()
                    (run_dir / "checkpoints" / "last.ckpt").write_text("another's")
        return training_step(task, batch, batch_idx)

    monkeypatch.setattr(LanguageModelTask, "training_step", lose)
    with pytest.raises(LostClaimError, match=r"run/events\.jsonl was removed or replaced"):
        run_here(run_dir, *small(text_file, "logger=none", "callbacks.checkpoint.every_n_steps=2"))
    assert checkpoints.load_checkpoint(tmp_path / "before" / "checkpoints" / "last.ckpt")["global_step"] == 2
    if left == "moved":
        assert not run_dir.exists()
    else:
        assert [path.read_text() for path in (run_dir / "checkpoints").iterdir()] == ["another's"]


@pytest.mark.parametrize("what_follows", ["checkpoint", "error"])
def test_a_lost_claim_is_said_once(tmp_path, text_file, monkeypatch, capsys, what_follows):
    training_step = LanguageModelTask.training_step

    def lose(task, batch, batch_idx):
        if task.trainer.global_step == 3:
            taken_by_another(tmp_path)
            if what_follows == "error":
                raise ZeroDivisionError("a bug")
        return training_step(task, batch, batch_idx)

    monkeypatch.setattr(LanguageModelTask, "training_step", lose)
    overrides = small(text_file, "logger=none", "callbacks.checkpoint.every_n_steps=2", "trainer.max_steps=8")
    assert train_in_this_process(tmp_path, *overrides) == 1
    err = capsys.readouterr().err
    assert err.count("another process has taken this run") == 1
    assert ("ZeroDivisionError: a bug" in err) == ("Traceback" in err) == (what_follows == "error")


def test_a_worker_without_a_first_process_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(training_process, "join_run", lambda run_dir: workers.join_run(run_dir, patience=0))
    assert training_process.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"seqlab: no first process has begun {tmp_path}: ")


def test_the_record_is_complete(tmp_path, text_file):
    overrides = small(text_file, "trainer.max_steps=20", "seed=7")
    run_here(tmp_path, *overrides)
    record = json.loads((tmp_path / RECORD_NAME).read_text())
    assert record.keys() >= KEYS
    assert (record["schema"], record["status"], record["seed"], record["error"]) == (2, "completed", 7, None)
    assert record["overrides"] == overrides and record["config"]["model"]["hidden_size"] == 16
    assert record["device"] == "cpu" and record["versions"]["torch"] == torch.__version__
    assert record["num_parameters"] == sum(p.numel() for p in load.load_run(tmp_path).model().parameters())
    assert record["tokens_per_second"] > 0 and record["train_seconds"] > 0
    assert record["peak_memory_bytes"] > 50e6
    assert datetime.fromisoformat(record["started_at"]) < datetime.fromisoformat(record["ended_at"])
    assert record["checkpoint"] == "checkpoints/best.ckpt"
    assert record["metrics"].keys() == METRICS and all(map(math.isfinite, record["metrics"].values()))
    for split in ("val", "test"):
        assert record["metrics"][f"{split}/perplexity"] == pytest.approx(math.exp(record["metrics"][f"{split}/loss"]))
    assert "config_hash" in record and record["git"].keys() == {"commit", "dirty"}


def test_the_folder_holds_all_that_is_needed_and_no_code(tmp_path, text_file):
    run_here(tmp_path, *small(text_file, "trainer.max_steps=5"))
    for name in ("best", "last"):
        checkpoint = torch.load(tmp_path / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert checkpoint["global_step"] == 5
    assert load_vocabulary(tmp_path).unit == "character"
    assert not list(tmp_path.rglob(".*.ckpt.*")) and not list(tmp_path.rglob("*.tmp"))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path, text_file):
    overrides = small(text_file, "trainer.max_steps=12", "model.dropout=0.3", "logger=none")
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        run_here(tmp_path / name, *overrides, f"seed={seed}")
    assert same(weights(tmp_path / "one"), weights(tmp_path / "two"))
    assert not same(weights(tmp_path / "one"), weights(tmp_path / "three"))
    one, two = (read_record(tmp_path / name)["metrics"] for name in ("one", "two"))
    assert one == two


def test_the_metrics_are_those_of_the_best_checkpoint_and_not_of_the_last(tmp_path, text_file):
    # The rate rises without end: the first validations get better, the later ones worse.
    overrides = small(
        text_file,
        "trainer.max_epochs=1",
        "trainer.val_check_interval=20",
        "optimizer.lr=1.0",
        "scheduler.warmup_steps=300",
        "trainer.log_every_n_steps=100000",
        "logger=none",
    )
    record = run_here(tmp_path, *overrides).fields
    config = record["config"]
    data = build.build_data(config)
    data.prepare_data()
    found = {}
    for name in ("best", "last"):
        task = build.build_task(config, data.spec, build.build_model(config, data.spec))
        found[name] = loops.evaluate_splits(config, task, data, tmp_path / "checkpoints" / f"{name}.ckpt")
    assert record["metrics"] == found["best"]
    assert found["last"]["test/loss"] > found["best"]["test/loss"] + 0.1
    steps = {
        name: checkpoints.load_checkpoint(tmp_path / "checkpoints" / f"{name}.ckpt")["global_step"] for name in found
    }
    assert 0 < steps["best"] < steps["last"] and steps["best"] % 20 == 0


def test_the_best_checkpoint_can_be_the_one_with_the_highest_metric(tmp_path, text_file, monkeypatch):
    overrides = small(text_file, "trainer.max_steps=60", "trainer.val_check_interval=20", "logger=none")
    run_here(tmp_path / "min", *overrides)
    monkeypatch.setitem(metrics.DIRECTIONS, "loss", "max")
    run_here(tmp_path / "max", *overrides)
    best = {mode: checkpoints.load_checkpoint(tmp_path / mode / "checkpoints" / "best.ckpt") for mode in ("min", "max")}
    assert best["min"]["global_step"] == 60 and best["max"]["global_step"] == 20  # the loss falls all the way


def test_sampling_leaves_training_bit_for_bit_as_it_was(tmp_path, text_file):
    overrides = small(text_file, "model.dropout=0.3", "trainer.max_steps=40", "trainer.val_check_interval=10")
    run_here(tmp_path / "on", *overrides)
    run_here(tmp_path / "off", *overrides, "callbacks.examples=null")
    assert same(weights(tmp_path / "on"), weights(tmp_path / "off"))
    kept = [
        checkpoints.load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")["seqlab"] for name in ("on", "off")
    ]
    assert torch.equal(*(part["rng"][0]["torch"] for part in kept))


def test_bf16_mixed_trains_and_carries_its_state_in_float32(tmp_path, text_file):
    overrides = small(text_file, "trainer.max_steps=30", "logger=none")
    plain = run_here(tmp_path / "fp32", *overrides).fields["metrics"]
    mixed = run_here(tmp_path / "bf16", *overrides, "trainer.precision=bf16-mixed").fields["metrics"]
    assert mixed["val/loss"] != plain["val/loss"]
    assert mixed["val/loss"] == pytest.approx(plain["val/loss"], abs=0.02)
    carried = checkpoints.load_checkpoint(tmp_path / "bf16" / "checkpoints" / "last.ckpt")["seqlab"]["carried"]
    assert all(part.dtype == torch.float32 and part.abs().sum() > 0 for layer in carried for part in layer)


def test_accumulated_gradients_make_one_step_of_two_windows(tmp_path, text_file):
    overrides = small(text_file, "optimizer=sgd", "optimizer.lr=0.5", "trainer.max_steps=1", "logger=none")
    config = run_here(tmp_path, *overrides, "trainer.accumulate_grad_batches=2").fields["config"]
    assert checkpoints.load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 1

    data = build.build_data(config)
    torch.manual_seed(config["seed"])
    task = build.build_task(config, data.spec, build.build_model(config, data.spec))
    windows = iter(data.train_dataloader())
    for _ in range(2):
        (task.training_step(next(windows), 0)["loss"] / 2).backward()
    for name, parameter in task.named_parameters():
        expected = parameter.detach() - 0.5 * parameter.grad
        torch.testing.assert_close(weights(tmp_path)[name], expected, rtol=0, atol=1e-6)


def test_gradients_are_clipped_to_their_norm(tmp_path, text_file):
    overrides = small(text_file, "optimizer=sgd", "optimizer.lr=1.0", "trainer.max_steps=1", "logger=none")
    config = run_here(tmp_path, *overrides, "trainer.gradient_clip_val=0.01").fields["config"]
    data = build.build_data(config)
    torch.manual_seed(config["seed"])
    start = build.build_task(config, data.spec, build.build_model(config, data.spec)).state_dict()
    moved = torch.cat([(weights(tmp_path)[name] - start[name]).flatten() for name in start])
    assert float(moved.norm()) == pytest.approx(0.01, rel=1e-3)


def test_without_a_logger_the_numbers_are_in_the_record_alone(tmp_path, text_file, capsys):
    run_here(tmp_path, *small(text_file, "trainer.max_steps=10", "logger=none"))
    assert read_record(tmp_path)["metrics"].keys() == METRICS
    assert not list(tmp_path.rglob("*tfevents*"))
    assert "val/loss" in capsys.readouterr().out


@pytest.mark.parametrize("log_every", [5, 1000])
def test_a_run_that_diverges_fails_and_says_so_in_one_line(tmp_path, text_file, capsys, log_every):
    overrides = small(text_file, "optimizer=sgd", "optimizer.lr=1e30", "trainer.max_steps=40")
    overrides.append(f"trainer.log_every_n_steps={log_every}")
    assert train_in_this_process(tmp_path, *overrides) == 1
    record, shown = read_record(tmp_path), capsys.readouterr()
    assert record["status"] == "failed" and "diverged" in record["error"]
    assert shown.err.startswith("seqlab: training diverged: ") and shown.err.count("\n") == 1


def test_an_error_in_the_code_keeps_its_traceback(tmp_path, text_file, capsys, monkeypatch):
    def broken(*args):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("seqlab.tasks.LanguageModelTask.training_step", broken)
    assert train_in_this_process(tmp_path, *small(text_file, "trainer.max_steps=5")) == 1
    record = read_record(tmp_path)
    assert record["status"] == "failed" and "ZeroDivisionError: a bug" in record["error"]
    assert "Traceback" in capsys.readouterr().err


def test_the_record_holds_the_hidden_size_that_meets_the_budget(tmp_path, text_file):
    record = run_here(tmp_path, *small(text_file, "trainer.max_steps=2", "model.match_parameters=50000"))
    config, solved = record.fields["config"], record.fields["num_parameters"]
    assert abs(solved - 50_000) <= 500
    assert config["model"]["hidden_size"] > 16 and config["model"]["match_parameters"] == 50_000
    assert read_record(tmp_path)["config_hash"] == config_hash(
        config_of(
            *record.fields["overrides"], "trainer=cpu", "runtime.num_threads=1", "runtime.keep_freed_memory=false"
        )
    )


def test_an_error_over_a_file_half_written_at_an_interrupt_counts_as_the_interrupt():
    def write() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise RuntimeError("unexpected pos 200256 vs 200208")  # noqa: B904 - as torch.save does it

    with pytest.raises(RuntimeError) as caught:
        write()
    assert training_process._outside_cause(caught.value) == "interrupted"
    assert training_process._outside_cause(RuntimeError("out of memory")) is None
