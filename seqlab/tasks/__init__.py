"""LightningModules: what a model is trained for."""

from seqlab.tasks.carry import StateCarry
from seqlab.tasks.classification import ClassificationTask
from seqlab.tasks.language_model import LanguageModelTask
from seqlab.tasks.prediction import Prediction

__all__ = ["ClassificationTask", "LanguageModelTask", "Prediction", "StateCarry"]
