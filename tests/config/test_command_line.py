"""A command line is read whatever the order of its options and overrides, and a mistake in it is one line."""

import pytest

from seqlab.config.command_line import options_first
from seqlab.errors import InputError


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["a=1", "--cfg", "job"], ["--cfg", "job", "a=1"]),
        (["a=1", "-m", "b=2", "-cd", "conf"], ["-m", "-cd", "conf", "a=1", "b=2"]),
        (["a=1", "--config-dir=conf", "b=2"], ["--config-dir=conf", "a=1", "b=2"]),
        (["--info", "a=1"], ["--info", "a=1"]),
        (["a=1", "--info", "defaults"], ["--info", "defaults", "a=1"]),
        (["~a", "-c", "job", "--resolve"], ["-c", "job", "--resolve", "~a"]),
    ],
)
def test_options_go_first(given, read):
    assert options_first(given) == read


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--config-dri", "conf"], ["no option --config-dri", "did you mean --config-dir?"]),
        (["--multirum", "a=1,2"], ["did you mean --multirun?"]),
        (["a=1", "--config-dir"], ["--config-dir: a value is needed"]),
        (["--cfg", "jobs"], ["--cfg jobs: expected one of job, hydra, all"]),
        (["-x"], ["no option -x"]),
        (["-m", "a=1,2", "--cfg", "job"], ["-m and --cfg", "leave the others out"]),
        (["--config-dir", "conf", "a=1", "-cd=other"], ["-cd is given twice"]),
    ],
)
def test_a_mistake_in_an_option_is_one_line(given, words):
    with pytest.raises(InputError) as refused:
        options_first(given)
    assert all(word in str(refused.value) for word in words) and "\n" not in str(refused.value)
