"""Lightning callbacks: checkpoints that resume exactly, training metrics, samples, figures and progress.

Every run has those of ``checkpoint`` (with ``checkpoint_io`` and ``loops``) and ``metrics``. The others only look at a
run: they are ``Observer``s, and draw random numbers from generators of their own.
"""

from seqlab.callbacks.at_test import AtTest, Observer
from seqlab.callbacks.attention import AnswerAttention, AttentionMaps
from seqlab.callbacks.checkpoint import RunCheckpoint
from seqlab.callbacks.checkpoint_io import AtomicCheckpointIO
from seqlab.callbacks.confusion import ConfusionMatrix
from seqlab.callbacks.descriptions import DescriptionFigures
from seqlab.callbacks.examples import ShowExamples
from seqlab.callbacks.figures import StateFigure
from seqlab.callbacks.forecasts import ForecastFigures
from seqlab.callbacks.gradients import GradientsByLag
from seqlab.callbacks.metrics import TrainingMetrics
from seqlab.callbacks.over_time import AnswersOverTime
from seqlab.callbacks.piano_rolls import PianoRollFigures
from seqlab.callbacks.progress import EpochLines, ProgressLines, RichProgress

__all__ = [
    "AnswerAttention",
    "AnswersOverTime",
    "AtTest",
    "AtomicCheckpointIO",
    "AttentionMaps",
    "ConfusionMatrix",
    "DescriptionFigures",
    "EpochLines",
    "ForecastFigures",
    "GradientsByLag",
    "Observer",
    "PianoRollFigures",
    "ProgressLines",
    "RichProgress",
    "RunCheckpoint",
    "ShowExamples",
    "StateFigure",
    "TrainingMetrics",
]
