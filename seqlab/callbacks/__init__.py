"""Lightning callbacks: checkpoints that resume exactly, training metrics, samples, figures and progress."""

from seqlab.callbacks.answer import AnswerAttention, SampleAnswers
from seqlab.callbacks.at_test import AtTest, Observer
from seqlab.callbacks.checkpoint import AtomicCheckpointIO, RunCheckpoint
from seqlab.callbacks.classification import SamplePredictions
from seqlab.callbacks.confusion import ConfusionMatrix
from seqlab.callbacks.figures import StateFigure
from seqlab.callbacks.metrics import TrainingMetrics
from seqlab.callbacks.progress import EpochLines, ProgressLines, RichProgress
from seqlab.callbacks.sample import SampleText
from seqlab.callbacks.tagging import SampleTags
from seqlab.callbacks.translation import AttentionMaps, SampleTranslations

TagConfusion = ConfusionMatrix  # its name in the configurations of earlier runs

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
    "SampleAnswers",
    "SamplePredictions",
    "SampleTags",
    "SampleText",
    "SampleTranslations",
    "StateFigure",
    "TagConfusion",
    "TrainingMetrics",
]
