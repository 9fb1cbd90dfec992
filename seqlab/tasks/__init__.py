"""LightningModules: what a model is trained for.

``base`` has what all tasks share and ``classes`` what tasks with one class an example share; a module a task has the
rest, with ``metrics`` and ``schedules``. ``resume`` and ``carry`` decide what a checkpoint holds: saved runs depend on
them.
"""

from seqlab.tasks.answer import AnswerTask
from seqlab.tasks.base import SequenceTask, StepOutput
from seqlab.tasks.captions import CaptionTask
from seqlab.tasks.carry import StateCarry
from seqlab.tasks.classification import ClassificationTask
from seqlab.tasks.counting import CountingTask
from seqlab.tasks.devices import global_mean
from seqlab.tasks.dna import DnaTask
from seqlab.tasks.examples import Examples
from seqlab.tasks.forecasting import ForecastTask
from seqlab.tasks.labelling import LabellingTask
from seqlab.tasks.language_model import LanguageModelTask
from seqlab.tasks.music import MusicTask
from seqlab.tasks.prediction import Prediction
from seqlab.tasks.pronunciation import PronunciationTask
from seqlab.tasks.regression import RegressionTask
from seqlab.tasks.series_classification import SeriesClassificationTask
from seqlab.tasks.tagging import TaggingTask
from seqlab.tasks.transcription import TranscriptionTask
from seqlab.tasks.translation import Scoring, TranslationTask

__all__ = [
    "AnswerTask",
    "CaptionTask",
    "ClassificationTask",
    "CountingTask",
    "DnaTask",
    "Examples",
    "ForecastTask",
    "LabellingTask",
    "LanguageModelTask",
    "MusicTask",
    "Prediction",
    "PronunciationTask",
    "RegressionTask",
    "Scoring",
    "SequenceTask",
    "SeriesClassificationTask",
    "StateCarry",
    "StepOutput",
    "TaggingTask",
    "TranscriptionTask",
    "TranslationTask",
    "global_mean",
]
