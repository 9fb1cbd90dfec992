"""Lightning's own save and restore: a run cut short and continued trains on the windows of one left alone."""

from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.pytorch.callbacks import Callback

from seqlab.data import IGNORE_INDEX, Batch, LanguageModelData, TextFiles, from_options

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*smaller than the logging interval.*", "ignore:.*LeafSpec.*:FutureWarning"
)


class Recorder(LightningModule):
    """A model of one number that writes down each window it trains on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, list[list[int]], bool]] = []

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        self.seen.append((batch.window, batch.inputs.tolist(), bool(batch.is_first.all())))
        return self.weight * batch.inputs.float().mean()

    def validation_step(self, batch: Batch, index: int) -> None:
        """Lightning validates only where there is one."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class KilledError(Exception):
    pass


class KillAt(Callback):
    """Saves at one hook after step ``step``, and ends the run there as a kill would: nothing runs after it."""

    def __init__(self, hook: str, step: int, path: Path) -> None:
        self.step, self.path = step, path
        setattr(self, hook, self._kill)

    def _kill(self, trainer: Trainer, *_: object) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            raise KilledError


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("The quick brown fox jumps over the lazy dog again.\n" * 4)
    return path


def fit(text: Path, callbacks: tuple[Callback, ...] = (), ckpt: Path | None = None, **options: object) -> Recorder:
    module = Recorder()
    data = from_options(
        LanguageModelData, TextFiles(text, split=[0.5, 0.25, 0.25]), batch_size=4, tbptt_steps=6, eval_batch_size=2
    )
    settings = {"max_epochs": 3, "num_sanity_val_steps": 0, **options}
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=list(callbacks),
        **settings,
    )
    try:
        trainer.fit(module, datamodule=data, ckpt_path=ckpt)
    except KilledError:
        assert ckpt is None
    return module


SETTINGS = [
    {},
    {"val_check_interval": 2},
    {"limit_train_batches": 3},
    {"limit_train_batches": 0.5},
    {"max_epochs": -1, "max_steps": 11},
    {"accumulate_grad_batches": 5},
]


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_validation_end", "on_train_epoch_end"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_run_killed_anywhere_goes_on_with_the_windows_of_one_left_alone(text, tmp_path, hook, settings):
    undisturbed = fit(text, **settings).seen
    per_epoch = 1 + max(window for window, _, _ in undisturbed)
    assert [window for window, _, first in undisturbed if first] == [0] * -(-len(undisturbed) // per_epoch)
    kills = 0
    for step in range(1, 15):
        checkpoint = tmp_path / f"{step}.ckpt"
        before = fit(text, (KillAt(hook, step, checkpoint),), **settings).seen
        if not checkpoint.exists():  # the hook does not run at this step
            continue
        kills += 1
        assert before + fit(text, ckpt=checkpoint, **settings).seen == undisturbed, f"killed after step {step}"
    assert kills > 0


@pytest.mark.parametrize("max_steps", [1, 4, 5, 9, 10, 12])
def test_a_finished_run_goes_on_when_it_is_given_more_steps(text, tmp_path, max_steps):
    def saved(trainer: Trainer, *_: object) -> None:
        trainer.save_checkpoint(tmp_path / "end.ckpt")

    save = Callback()
    save.on_train_end = saved  # type: ignore[method-assign]
    first = fit(text, (save,), max_epochs=-1, max_steps=max_steps).seen
    second = fit(text, ckpt=tmp_path / "end.ckpt", max_epochs=-1, max_steps=14).seen
    assert first + second == fit(text, max_epochs=-1, max_steps=14).seen


def test_sanity_validation_takes_nothing_from_training(text):
    assert fit(text, num_sanity_val_steps=2).seen == fit(text).seen


@pytest.mark.parametrize("restart_documents", [False, True])
def test_lightning_moves_a_batch_to_a_device(text, restart_documents):
    data = from_options(
        LanguageModelData, TextFiles(text), batch_size=2, tbptt_steps=5, restart_documents=restart_documents
    )
    batch = next(iter(data.train_dataloader()))
    moved = move_data_to_device(batch, torch.device("meta"))
    assert {moved.inputs.device.type, moved.targets.device.type, moved.is_first.device.type} == {"meta"}
    assert (moved.lengths.device.type == "meta") if restart_documents else (moved.lengths is None)
    assert moved.window == 0 and batch.inputs.device.type == "cpu"
    assert torch.nn.CrossEntropyLoss().ignore_index == IGNORE_INDEX
