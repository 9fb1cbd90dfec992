"""Some cases of the campaign against the engines; `experiments/engine_campaign/run.py` runs any number."""

import pytest

from seqlab.nn.engine.scan import build
from tests.nn.campaign.campaign import HISTORIES, Lives, describe
from tests.nn.campaign.family import family

CELLS = range(6)  # of sixteen cases each
programs: dict[int, int] = {}


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
