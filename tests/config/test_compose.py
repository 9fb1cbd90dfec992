"""The configuration of ``seqlab train``, composed for a script."""

import pytest

from seqlab.config.compose import compose_config
from seqlab.errors import InputError


def test_a_configuration_is_that_of_the_command_resolved():
    config = compose_config(["experiment=tiny_sentiment", "seed=7", "data.batch_size=3"])
    assert (config["name"], config["data"]["batch_size"]) == ("tiny_sentiment", 3)
    assert config["data"]["seed"] == 7, "interpolations are resolved"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.batch_sise=3", "there is no configuration key data.batch_sise; did you mean data.batch_size?"),
        ("experiment=none_such", "none_such"),
    ],
)
def test_a_wrong_override_is_one_line(override, words):
    with pytest.raises(InputError, match=words) as caught:
        compose_config([override])
    assert "\n" not in str(caught.value)
