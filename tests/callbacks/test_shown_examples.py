"""Callbacks that show examples: how many, and of which task."""

from types import SimpleNamespace

import pytest

from seqlab import callbacks
from seqlab.data import ClassificationData, TinySentiment
from seqlab.errors import InputError
from seqlab.tasks import AnswerTask, ClassificationTask

SHOWING = {
    "SamplePredictions": "predictions",
    "SampleTags": "predictions",
    "SampleAnswers": "answers",
    "SampleTranslations": "translations",
    "AnswerAttention": "attention",
    "AttentionMaps": "attention",
}


@pytest.mark.parametrize("name", SHOWING)
def test_callbacks_refuse_to_show_nothing(name):
    with pytest.raises(InputError, match=rf"^callbacks\.{SHOWING[name]}\.num_examples is 0; expected 1 or more"):
        getattr(callbacks, name)(num_examples=0)


def test_a_callback_of_another_task_is_refused_by_name():
    trainer = SimpleNamespace(datamodule=ClassificationData(TinySentiment()))
    task = object.__new__(ClassificationTask)
    with pytest.raises(TypeError, match="expected AnswerTask and AnswerData, got ClassificationTask and Class"):
        callbacks.SampleAnswers(print_test=True).on_test_end(trainer, task)
    with pytest.raises(TypeError, match="expected ClassificationTask or TaggingTask, got AnswerTask"):
        callbacks.ConfusionMatrix().on_test_end(trainer, object.__new__(AnswerTask))
