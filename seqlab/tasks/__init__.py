"""LightningModules: what a model is trained for."""

from seqlab.tasks.carry import StateCarry
from seqlab.tasks.language_model import LanguageModelTask

__all__ = ["LanguageModelTask", "StateCarry"]
