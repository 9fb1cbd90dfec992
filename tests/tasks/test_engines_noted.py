"""A checkpoint says on which engines its layers ran; going on elsewhere is said aloud."""

import logging

import pytest
import torch

from seqlab.data import LanguageModelSpec
from seqlab.nn import LanguageModel, LSTMCell
from seqlab.tasks import LanguageModelTask
from seqlab.tasks.resume import engines_of
from tests.models import of_cell

SPEC = LanguageModelSpec(7, "character", {"train": 1.0, "validation": 1.0, "test": 1.0}, {})


def make_task(backend: str) -> LanguageModelTask:
    model = of_cell(LanguageModel, 7, cell=LSTMCell, hidden_size=5, num_layers=2, backend=backend)
    return LanguageModelTask(model, SPEC, lambda parameters: torch.optim.SGD(parameters, lr=0.5))


@pytest.mark.parametrize(("backend", "warned"), [("native", False), ("loop", True)])
def test_going_on_with_another_engine_is_logged(caplog, backend, warned):
    task = make_task(backend)
    with caplog.at_level(logging.WARNING, "seqlab"):
        task.on_load_checkpoint({"seqlab": {"engines": engines_of(make_task("native").model)}})
    assert ("native, native" in caplog.text and "loop, loop" in caplog.text) == warned


def test_a_checkpoint_that_names_no_engine_is_taken_as_it_is(caplog):
    task = make_task("loop")
    task.on_load_checkpoint({})
    task.on_load_checkpoint({"seqlab": {"carried": None}})
    assert not caplog.records
