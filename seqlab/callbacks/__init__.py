"""Lightning callbacks: checkpoints that resume exactly, training metrics, samples, figures and progress."""

from seqlab.callbacks.checkpoint import AtomicCheckpointIO, RunCheckpoint
from seqlab.callbacks.figures import StateFigure
from seqlab.callbacks.metrics import TrainingMetrics
from seqlab.callbacks.progress import EpochLines, RichProgress
from seqlab.callbacks.sample import SampleText

__all__ = [
    "AtomicCheckpointIO",
    "EpochLines",
    "RichProgress",
    "RunCheckpoint",
    "SampleText",
    "StateFigure",
    "TrainingMetrics",
]
