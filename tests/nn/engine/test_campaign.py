"""Some cases of the campaign against the engines; `experiments/engine_campaign/run.py` runs any number."""

import sys

import pytest

from seqlab.nn.engine.scan import build
from seqlab.run import loaded
from tests.nn.engine.campaign.campaign import HISTORIES, Lives, describe
from tests.nn.engine.campaign.family import family

CELLS = range(13)  # of sixteen cases each
programs: dict[int, int] = {}


@pytest.fixture(autouse=True)
def leaves_no_module(monkeypatch, tmp_path):
    """What a case writes and imports is no code of the runs that later tests of this process train."""
    monkeypatch.setattr(loaded._recorder, "files", dict(loaded._recorder.files))
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", CELLS)
def test_every_engine_gives_what_the_written_out_steps_give(compiled_quickly, tmp_path, number):
    lives, before = Lives(tmp_path, optimize=False), build.compilations
    for case in range(number * HISTORIES, (number + 1) * HISTORIES):
        record = lives.run(case)
        assert not record["faults"], f"{record['faults']}\n{describe(case)}"
    programs[number] = build.compilations - before


def test_the_campaign_compiles_few_programs(compiled_quickly):
    assert sum(programs.values()) <= 40


def test_a_case_is_the_same_each_time():
    assert describe(137) == describe(137)
    assert family(3) != family(4)
