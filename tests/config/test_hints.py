"""What Hydra can't read is told with the way to write it, and what is written so is read as meant."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

from seqlab.config.compose import compose_config
from seqlab.config.hints import explain, quote_override
from seqlab.errors import InputError

NAMES = [
    "own=file's [1].txt",
    "a,b.txt",
    "{x}.txt",
    'a "quoted" name.txt',
    "c:\\texts\\",
    "100% (1).txt",
    "it's",
    "a: b",
]


def parsed(argument: str) -> object:
    return OverridesParser.create().parse_overrides([argument])[0].value()


@pytest.mark.parametrize("name", NAMES)
def test_a_quoted_override_means_the_name(name):
    (argument,) = shlex.split(quote_override("data.path", name))
    assert parsed(argument) == name


def test_what_cannot_be_read_is_told_with_its_quoted_form():
    argument = "data.path=own=file's [1].txt"
    with pytest.raises(OverrideParseException) as caught:
        parsed(argument)
    message = explain(caught.value)
    assert argument in message and "\n" not in message
    assert parsed(shlex.split(message.partition("is quoted: ")[2])[0]) == "own=file's [1].txt"
    with pytest.raises(OverrideParseException) as caught:
        parsed("a b")
    assert "'a b' can't be read as KEY=VALUE" in explain(caught.value)


def test_a_key_of_another_choice_of_its_group_is_not_recommended_to_itself():
    with pytest.raises(InputError) as refused:
        compose_config(["data=hello", "data.split=[0.8,0.1,0.1]"])
    assert "data.split with the data that was chosen" in str(refused.value)
    assert "did you mean" not in str(refused.value)


def test_a_key_of_another_choice_is_told_with_that_choice():
    for key in ("model.character_encoder.hidden_size=9", "model.window_size=3"):
        with pytest.raises(InputError) as refused:
            compose_config(["data=hello", key])
        choice = "model=tagger" if "character" in key else "model=window"
        assert f"{key.partition('=')[0]} with the model that was chosen; {choice} has it" in str(refused.value)
    with pytest.raises(InputError, match=r"model\.num_layer; did you mean model\.num_layers"):
        compose_config(["data=hello", "model.num_layer=3"])


def test_a_key_below_a_value_that_is_given_is_told_with_that_value():
    with pytest.raises(InputError, match=r"data\.path=a\.csv leaves no key data\.path\.source: give one of the two"):
        compose_config(["data=parallel", "data.path=a.csv", "data.path.source=a.de"])
    assert compose_config(["data=parallel", "data.path.source=a.de"])["data"]["path"]["target"] is None


def test_a_key_of_several_choices_is_told_with_all_of_them():
    with pytest.raises(InputError, match="; data=answers, data=classification, data=tagging have it"):
        compose_config(["data=text", "data.hub=x"])


def test_a_cell_that_was_given_as_a_value_is_told_the_group():
    with pytest.raises(InputError, match="did you mean model/cell=gru"):
        compose_config(["data=hello", "model.cell=gru"])


def test_a_group_without_a_place_among_the_other_choices_is_told():
    with pytest.raises(InputError, match=r"model/cell is chosen, .* and the model that was chosen has none"):
        compose_config(["experiment=hello", "model=window"])
    with pytest.raises(InputError, match=r"there is no group model/cel; did you mean model/cell\?"):
        compose_config(["experiment=hello", "model/cel=gru"])
