"""Labels that a user gives: of texts, words and questions alike."""

import pytest

from seqlab.data import AnswerData, ClassificationData, Grammar, TaggingData, TinySentiment, World
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
