"""Labels that a user gives: of texts, words and questions alike."""

import numpy as np
import pytest

from seqlab.data import AnswerData, ClassificationData, Grammar, TaggingData, TinySentiment, World
from seqlab.data.core.batch import IGNORE_INDEX
from seqlab.data.core.labels import Labels
from seqlab.errors import InputError

DATA = {
    "labels": lambda given: ClassificationData(TinySentiment(), labels=given),
    "tags": lambda given: TaggingData(Grammar(), tags=given),
    "answers": lambda given: AnswerData(World(), answers=given),
}


@pytest.mark.parametrize("option", DATA)
def test_a_text_is_no_list_of_them(option):
    with pytest.raises(InputError, match=rf"data\.{option}=abc must be a list"):
        DATA[option]("abc")


@pytest.mark.parametrize("option", DATA)
def test_each_has_one_number(option):
    with pytest.raises(InputError, match=rf"data\.{option} has 'b' twice"):
        DATA[option](["a", "b", "b"])


@pytest.mark.parametrize("option", DATA)
def test_their_order_is_as_given(option):
    assert getattr(DATA[option](["b", "a"]), option) == ("b", "a")


FEWER = {
    "labels": (
        ["positive"],
        r"sentence 3: the class 'negative' is not among data\.labels=\[positive\]: add it there, or",
    ),
    "tags": (
        ["NOUN", "VERB"],
        r"train sentence 1, word \d+: the tag '\w+' is not among data\.tags=\[NOUN,VERB\]: add it",
    ),
    "answers": (
        ["yes", "no"],
        r"train story 1: the answer '\w+' is not among data\.answers=\[yes,no\]: add it there, or",
    ),
}


@pytest.mark.parametrize("option", DATA)
def test_a_training_row_of_another_label_is_refused_before_a_training_alone(option):
    given, words = FEWER[option]
    data = DATA[option](given)
    data.setup("test")
    assert len(data.test_dataloader()) > 0
    for begins in (lambda: data.setup("fit"), data.train_dataloader):
        with pytest.raises(InputError, match=words):
            begins()


def test_names_that_training_never_saw_are_numbered_after_the_labels_or_ignored_with_a_log_line(caplog):
    labels = Labels(["a", "b"], "tag")
    names = ["b", "z", "a", "y"]
    assert labels.unseen(names) == ("y", "z")
    assert labels.numbers(names, "test", "words", str).tolist() == [1, IGNORE_INDEX, 0, IGNORE_INDEX]
    assert labels.numbers(names, "test", "words", str, labels.unseen(names)).tolist() == [1, 3, 0, 2]
    assert caplog.text.count("test: 2 of 4 words have a tag that training never saw (y, z) and count as wrong") == 2
    assert labels.numbers(names, "train", "words", str).dtype == np.int64
    assert len(caplog.records) == 2
