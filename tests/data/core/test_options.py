"""Flat options, as a configuration gives them, become the parts that data modules and sources take."""

from dataclasses import fields

import pytest

from seqlab.data import (
    Batching,
    ClassificationData,
    Files,
    Grammar,
    LabelledTables,
    ParallelTables,
    TableFormat,
    TaggingData,
    TinySentiment,
    WordReading,
    answer_data,
    from_options,
    labelled_data,
    parallel_data,
    tagged_data,
)
from seqlab.data.core.options import take
from seqlab.errors import InputError


def test_options_go_to_the_part_that_has_them_and_the_rest_is_as_by_default():
    data = from_options(
        ClassificationData, TinySentiment(), batch_size=2, min_frequency=2, labels=["positive", "negative"]
    )
    whole = ClassificationData(TinySentiment(), batching=Batching(batch_size=2), labels=["positive", "negative"])
    assert (
        (data.batch_size, data.eval_batch_size, data.seed) == (2, 2, 0) == (whole.batch_size, whole.eval_batch_size, 0)
    )
    assert (data.settings.unit, data.settings.min_frequency, whole.settings.min_frequency) == ("word", 2, 1)
    assert data.labels == whole.labels == ("positive", "negative")


def test_an_option_that_nothing_takes_is_told_with_the_source_that_was_asked_too():
    with pytest.raises(TypeError, match="option 'hub': neither TinySentiment nor ClassificationData takes it; Class"):
        from_options(ClassificationData, TinySentiment(), hub="imdb")
    with pytest.raises(TypeError, match="option 'hub': Grammar does not take it; Grammar takes layer"):
        from_options(Grammar, hub="imdb")


def test_a_data_set_of_the_hub_is_named_where_it_can_be_given_and_by_its_key():
    with pytest.raises(InputError, match=r"data\.test=$"):
        Files().expanded("numbers")
    with pytest.raises(InputError, match=r"data\.test=, or data\.hub=NAME$"):
        LabelledTables()
    with pytest.raises(InputError, match=r"data\.test=, or data\.hub\.path=NAME$"):
        ParallelTables(form=TableFormat())


def test_a_part_may_be_given_whole():
    data = from_options(TaggingData, Grammar(), words=WordReading(lowercase=True), batch_size=3)
    assert data.words.lowercase and data.batch_size == 3


def test_an_option_that_nothing_takes_is_named_with_those_that_are():
    with pytest.raises(TypeError, match=r"'max_sentences': .*; ClassificationData takes unit, .*batch_size, .*labels"):
        from_options(ClassificationData, TinySentiment(), max_sentences=3)


def test_what_is_taken_is_removed_and_the_rest_stays(tmp_path):
    (tmp_path / "a.csv").write_text("review,stars\n" + "".join(f"text {i},{i % 2}\n" for i in range(30)))
    options = {"path": tmp_path / "a.csv", "text": "review", "label": "stars", "split_seed": 1, "batch_size": 4}
    assert len(take(LabelledTables, options).read("train")) == 24
    assert options == {"batch_size": 4}


def test_no_two_parts_of_a_data_module_share_an_option():
    names = [field.name for part in (Batching(), WordReading()) for field in fields(part)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: labelled_data(hub="nobody/nothing", **options),
        lambda **options: tagged_data(hub="nobody/nothing", **options),
        lambda **options: answer_data(hub="nobody/nothing", **options),
        lambda **options: parallel_data(hub={"path": "nobody/nothing", "source": "de", "target": "en"}, **options),
    ],
    ids=["classification", "tagging", "answers", "parallel"],
)
def test_an_encoding_is_for_files(make):
    with pytest.raises(InputError, match=r"^data\.encoding.* is for files"):
        make(encoding="latin-1")
    make(encoding="utf-8")
