"""A run that is paused at a rung: where, what it keeps, and that it ends as if it had not been paused."""

import contextlib
import signal

import lightning.pytorch as pl
import pytest
import torch
from torch.optim import lr_scheduler as schedulers

from seqlab.callbacks.pause import PauseAtRung
from seqlab.errors import InputError
from seqlab.run import training
from seqlab.run.claim import Claim
from seqlab.run.folder import RunFolder, start_run
from seqlab.run.rungs import Paused, find_paused
from seqlab.run.signals import Stopped, StopRequest
from seqlab.run.training import execute
from seqlab.tasks.schedules import Constant, Plan, WarmupStableDecay
from tests.conftest import config_of

HELLO = ("experiment=hello", "trainer=cpu", "runtime.num_threads=1", "logger=none", "trainer.max_epochs=8")
EVERY_TWO = "trainer.check_val_every_n_epoch=2"


def train(folder, config, pause_at: float | None = None, last_share: float | None = None) -> dict:
    """Begins or continues a run in this process; returns its record."""
    with contextlib.ExitStack() as stack:
        if RunFolder(folder).has_checkpoint():
            claim: Claim = stack.enter_context(RunFolder(folder).claim())
            claim.resume(config=config)
        else:
            claim = stack.enter_context(start_run(folder, config))
        try:
            execute(claim, pause=None if pause_at is None else PauseAtRung(pause_at, last_share))
        except Paused as paused:
            claim.pause(paused.rung)
    return RunFolder(folder).state().record


def weights(folder):
    return torch.load(RunFolder(folder).checkpoints / "last.ckpt", weights_only=True)["state_dict"]


def test_a_paused_run_ends_as_one_that_was_not_paused(tmp_path):
    config = config_of(*HELLO, EVERY_TWO)
    whole = train(tmp_path / "whole", config)
    # The first validation at or after the share: three eighths are reached inside an interval of validations.
    assert train(tmp_path / "run", config, 0.25)["rungs"][-1]["step"] == 2
    record = train(tmp_path / "run", config, 3 / 8)
    assert [(rung["share"], rung["step"], rung["steps"]) for rung in record["rungs"]] == [(0.25, 2, 8), (0.375, 4, 8)]
    assert record["status"] == "interrupted" and record["metrics"] == {} and "step 4 of 8" in record["error"]
    assert train(tmp_path / "run", config, 0.25)["rungs"][-1] == record["rungs"][0]  # told again, without training
    record = train(tmp_path / "run", config)
    assert record["status"] == "completed" and record["metrics"] == whole["metrics"]
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(tensor, weights(tmp_path / "run")[name])


def test_its_value_is_that_of_the_validation_there(tmp_path):
    config = config_of(*HELLO, EVERY_TWO)
    rung = train(tmp_path / "run", config, 0.25)["rungs"][-1]
    shorter = train(tmp_path / "short", {**config, "trainer": {**config["trainer"], "max_epochs": 2}})
    assert rung["value"] == pytest.approx(shorter["metrics"]["val/loss"], rel=1e-6)


class StopAtValidation(pl.Callback):
    """A signal that arrives at the end of the validation at a step, as from a user who stops the sweep."""

    def __init__(self, stop: StopRequest, step: int) -> None:
        self.stop, self.step = stop, step

    def on_validation_end(self, trainer, pl_module) -> None:
        if trainer.global_step == self.step:
            self.stop.signum = signal.SIGTERM


@pytest.mark.parametrize("step", [2, 4])
def test_a_run_that_is_interrupted_at_the_very_validation_of_the_rung_has_come_to_it(tmp_path, monkeypatch, step):
    config = config_of(*HELLO, EVERY_TWO)
    expected = train(tmp_path / "whole", config, 0.5)["rungs"][-1]
    stop = StopRequest()
    build = training.build_trainer

    def build_trainer(*arguments):
        trainer = build(*arguments)
        trainer.callbacks.insert(0, StopAtValidation(stop, step))
        return trainer

    monkeypatch.setattr(training, "build_trainer", build_trainer)
    with start_run(tmp_path / "run", config) as claim:
        with pytest.raises(Stopped):
            execute(claim, stop, pause=PauseAtRung(0.5))
        claim.interrupt("stopped")
    monkeypatch.undo()
    assert train(tmp_path / "run", config, 0.5)["rungs"] == [expected]


def test_a_training_that_ends_before_the_rung_is_paused_at_its_end_and_nothing_is_tested(tmp_path):
    config = config_of(*HELLO, "trainer.check_val_every_n_epoch=1", "callbacks/early_stopping=plateau")
    config["callbacks"]["early_stopping"] |= {"patience": 0, "min_delta": 100.0}
    record = train(tmp_path / "run", config, 0.9)
    assert (record["rungs"][-1]["step"], record["metrics"]) == (2, {})
    record = train(tmp_path / "run", config, 0.95)  # at a further rung, too
    assert record["rungs"][1] == {**record["rungs"][0], "share": 0.95} and record["metrics"] == {}
    record = train(tmp_path / "run", config)
    assert record["status"] == "completed" and "test/loss" in record["metrics"]


@pytest.mark.parametrize(
    "schedule",
    [["scheduler=cosine"], ["scheduler=plateau"], ["scheduler=wsd", "scheduler.decay_from=0.25"]],
    ids=lambda schedule: schedule[0],
)
def test_a_rate_that_changes_before_the_rung_is_refused_before_any_step(tmp_path, schedule):
    with pytest.raises(InputError, match=r"hydra.sweeper.rungs: at step 4.* take scheduler=wsd"):
        train(tmp_path / "run", config_of(*HELLO, EVERY_TWO, *schedule), 0.5)
    assert not RunFolder(tmp_path / "run").has_checkpoint()


def test_a_rate_that_changes_between_the_share_and_the_validation_is_refused_too(tmp_path):
    config = config_of(*HELLO, "trainer.check_val_every_n_epoch=4", "scheduler=wsd", "scheduler.decay_from=0.26")
    with pytest.raises(InputError, match=r"first validation after 25 % of the steps is at step 4.*val_check_interval"):
        train(tmp_path / "run", config, 0.25)


def test_a_warm_up_that_is_not_over_at_the_rung_is_named(tmp_path):
    with pytest.raises(InputError, match=r"at step 2.* the warm-up of the rate is not over.*scheduler.warmup_steps"):
        train(tmp_path / "run", config_of(*HELLO, EVERY_TWO, "scheduler=wsd", "scheduler.warmup_steps=6"), 0.25)


class Watching(schedulers.MultiplicativeLR):
    """A schedule that the training itself decides: it does nothing without parameters."""

    def step(self, *_):
        super().step()
        for group in self.optimizer.param_groups:
            group["lr"] *= 0.5 if group["params"] else 1.0


OTHER_KINDS = {
    "steps": (lambda each: schedulers.MultiStepLR(each, [2]), "at step 4.* from step 3 on"),
    "steps, later": (lambda each: schedulers.MultiStepLR(each, [4]), None),
    # Full again at the last step before the rung.
    "restarts": (lambda each: schedulers.CosineAnnealingWarmRestarts(each, 4), "at step 4.* from step 2 on"),
    "cyclic": (lambda each: schedulers.LambdaLR(each, lambda step: 1 - step % 3 / 3), "at step 4.* from step 2 on"),
    "up again": (lambda each: schedulers.LambdaLR(each, lambda step: [0.5, 0.2, 1, 1][step % 4]), "from step 2 on"),
    "warm-up": (lambda each: schedulers.LinearLR(each, 0.3, total_iters=3), None),
    "warm-up, not over": (lambda each: schedulers.LinearLR(each, 0.3, total_iters=4), "at step 4.* is not over"),
    "watching": (lambda each: Watching(each, lambda step: 1.0), "at step 4"),
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_a_schedule_of_another_kind_is_judged_by_all_rates_up_to_the_rung(tmp_path, monkeypatch, kind):
    schedule, words = OTHER_KINDS[kind]
    monkeypatch.setattr(Constant, "__call__", lambda _, optimizer, plan: schedule(optimizer))
    with pytest.raises(InputError, match=words) if words else contextlib.nullcontext():
        assert train(tmp_path / "run", config_of(*HELLO, EVERY_TWO), 0.5)["rungs"][-1]["step"] == 4


def test_a_rate_that_changes_before_the_last_rung_is_refused_at_the_first(tmp_path):
    config = config_of(*HELLO, EVERY_TWO, "scheduler=wsd", "scheduler.decay_from=0.5")
    with pytest.raises(InputError, match=r"at step 6.* from step 6 on.*decay_from of 0.75 or more"):
        train(tmp_path / "run", config, 0.25, 0.75)
    assert train(tmp_path / "other", config, 0.25, 0.5)["rungs"][-1]["step"] == 2


def test_a_rate_that_is_constant_until_the_rung_is_taken(tmp_path):
    config = config_of(*HELLO, EVERY_TWO, "scheduler=wsd", "scheduler.decay_from=0.5", "scheduler.warmup_steps=2")
    assert train(tmp_path / "run", config, 0.5)["rungs"][-1]["step"] == 4


def test_a_pause_is_found_under_an_error_that_was_raised_over_it():
    paused = Paused({"step": 1, "steps": 2})
    try:
        try:
            raise paused
        finally:
            raise RuntimeError("teardown")
    except RuntimeError as error:
        assert find_paused(error) is paused
    assert find_paused(RuntimeError()) is None


@pytest.mark.parametrize("decay_from", [0.0, 0.5, 1.0])
def test_the_rate_of_warmup_stable_decay(decay_from):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = WarmupStableDecay(decay_from, final_ratio=0.2, warmup_steps=2)(optimizer, Plan(10, 10))
    rates = []
    for _ in range(10):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    start = 10 * decay_from
    expected = [2 * (1 - 0.8 * max(0.0, step - start) / (10 - start)) if step > start else 2.0 for step in range(10)]
    assert rates == pytest.approx([1.0, 2.0, *expected[2:]])
    with pytest.raises(ValueError, match=r"decay_from is 1\.5"):
        WarmupStableDecay(1.5)(optimizer, Plan(10, 10))
