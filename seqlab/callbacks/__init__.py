"""Lightning callbacks: checkpoints that resume exactly, training metrics, samples, figures and progress."""

from seqlab.callbacks.at_test import AtTest
from seqlab.callbacks.checkpoint import AtomicCheckpointIO, RunCheckpoint
from seqlab.callbacks.classification import ConfusionMatrix, SamplePredictions
from seqlab.callbacks.figures import StateFigure
from seqlab.callbacks.metrics import TrainingMetrics
from seqlab.callbacks.progress import EpochLines, RichProgress
from seqlab.callbacks.sample import SampleText

__all__ = [
    "AtTest",
    "AtomicCheckpointIO",
    "ConfusionMatrix",
    "EpochLines",
    "RichProgress",
    "RunCheckpoint",
    "SamplePredictions",
    "SampleText",
    "StateFigure",
    "TrainingMetrics",
]
