"""Lightning callbacks: checkpoints that resume exactly, training metrics, samples, figures and progress."""

from seqlab.callbacks.at_test import AtTest, Observer
from seqlab.callbacks.attention import AnswerAttention, AttentionMaps
from seqlab.callbacks.checkpoint import RunCheckpoint
from seqlab.callbacks.checkpoint_io import AtomicCheckpointIO
from seqlab.callbacks.confusion import ConfusionMatrix
from seqlab.callbacks.examples import ShowExamples
from seqlab.callbacks.figures import StateFigure
from seqlab.callbacks.metrics import TrainingMetrics
from seqlab.callbacks.progress import EpochLines, ProgressLines, RichProgress

__all__ = [
    "AnswerAttention",
    "AtTest",
    "AtomicCheckpointIO",
    "AttentionMaps",
    "ConfusionMatrix",
    "EpochLines",
    "Observer",
    "ProgressLines",
    "RichProgress",
    "RunCheckpoint",
    "ShowExamples",
    "StateFigure",
    "TrainingMetrics",
]
