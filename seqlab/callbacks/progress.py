"""Progress in a terminal and in a log file."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import RichProgressBar

from seqlab.callbacks.metrics import TrainingMetrics


class RichProgress(RichProgressBar):
    """Lightning's Rich bar (epoch, steps, elapsed, time left) with the training loss and tokens per second."""

    def __init__(self, refresh_rate: int = 10) -> None:
        super().__init__(refresh_rate=refresh_rate)

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, TrainingMetrics) and callback.loss is not None:
                shown["loss"] = callback.loss
                if callback.tokens_per_second is not None:
                    shown["tokens/s"] = f"{callback.tokens_per_second:,.0f}"
        return shown


class EpochLines(pl.Callback):
    """Prints one line a validation: epoch, step, the judged metric, its best value so far and tokens per second."""

    def __init__(self, metric: str = "val/loss") -> None:
        self.metric = metric

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit" or not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        parts = [f"epoch {trainer.current_epoch + 1}", f"step {trainer.global_step}"]
        for name in dict.fromkeys([self.metric, "val/perplexity"]):
            if name in metrics:
                parts.append(f"{name} {float(metrics[name]):.4g}")
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, TrainingMetrics) and callback.tokens_per_second is not None:
                parts.append(f"{callback.tokens_per_second:,.0f} tokens/s")
        print("  ".join(parts), flush=True)
