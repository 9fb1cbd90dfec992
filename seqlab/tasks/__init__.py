"""LightningModules: what a model is trained for."""

from seqlab.tasks.answer import AnswerTask
from seqlab.tasks.base import SequenceTask, StepOutput
from seqlab.tasks.carry import StateCarry
from seqlab.tasks.classification import ClassificationTask
from seqlab.tasks.counting import CountingTask
from seqlab.tasks.examples import Examples
from seqlab.tasks.language_model import LanguageModelTask
from seqlab.tasks.prediction import Prediction
from seqlab.tasks.tagging import TaggingTask
from seqlab.tasks.translation import Scoring, TranslationTask

__all__ = [
    "AnswerTask",
    "ClassificationTask",
    "CountingTask",
    "Examples",
    "LanguageModelTask",
    "Prediction",
    "Scoring",
    "SequenceTask",
    "StateCarry",
    "StepOutput",
    "TaggingTask",
    "TranslationTask",
]
