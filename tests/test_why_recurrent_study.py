"""The study's own part: parameters by context, and its table, from made-up records."""

import importlib.util
from pathlib import Path

import pytest
import torch

import seqlab
from seqlab.nn.size import count_parameters
from seqlab.run.folder import start_run

SCRIPT = Path(seqlab.__file__).parents[1] / "experiments" / "why_recurrent" / "run.py"


@pytest.fixture(scope="module")
def study():
    if not SCRIPT.is_file():
        pytest.skip("experiments/ is not beside the package")
    spec = importlib.util.spec_from_file_location("why_recurrent", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_windows_parameters_grow_evenly_a_full_nets_by_the_square_and_a_recurrent_nets_not_at_all(study):
    counts = {steps: study.parameters(50, steps) for steps in (10, 20, 30)}

    def growth(name):
        return counts[20][name] - counts[10][name], counts[30][name] - counts[20][name]

    assert growth("rnn") == growth("lstm") == (0, 0)
    assert growth("window") == (10 * study.SIZE**2, 10 * study.SIZE**2)
    first, second = growth("fully connected")
    assert second - first == 2 * 10**2 * study.SIZE**2


def test_in_the_full_net_each_step_depends_on_each_token(study):
    torch.manual_seed(0)
    model = study.FullyConnected(7, steps=4, embedding_size=3, hidden_size=5)
    assert count_parameters(model) == 7 * 3 + 4 * 3 * 4 * 5 + 4 * 5 + 5 * 7 + 7
    inputs = torch.tensor([[1, 2, 3, 4]])
    whole = model(inputs)
    for place in range(4):
        other = inputs.clone()
        other[0, place] = 0
        assert (model(other) != whole).any(-1).all()


BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def test_the_table_tells_the_kinds_apart_and_marks_the_best_on_validation(study, tmp_path):
    def record(name, model, validation, test, status="completed"):
        with start_run(tmp_path / name, {"seed": 1, "model": model}) as claim:
            claim.note(num_parameters=1000)
            if status == "completed":
                claim.complete({"val/perplexity": validation, "test/perplexity": test}, train_seconds=60.0)

    record("a", {"_target_": "seqlab.nn.WindowModel", "window_size": 8}, 150.0, 140.0)
    record("b", {"_target_": "seqlab.nn.WindowModel", "window_size": 2}, 151.0, 139.0)
    record("c", {"_target_": "seqlab.nn.LanguageModel", "cell": {"_target_": "seqlab.nn.LSTMCell"}}, 120.0, 115.0)
    record("d", {"_target_": "seqlab.nn.KneserNey", "order": 5}, 148.0, 141.0)
    record("e", {"_target_": "seqlab.nn.KneserNey", "order": 6}, 147.0, 140.0, status="running")
    rows = study.read_rows(tmp_path)
    assert [(row.kind, row.seen) for row in rows] == [("n-gram", 4), ("window", 2), ("window", 8), ("lstm", None)]
    lines = study.with_table(f"before\n{BEGIN}\nold\n{END}\nafter", study.table(rows)).splitlines()
    assert "| window | 2 | 1,000 | 151.0 | 139.0 | 60 s |" in lines
    assert "| window | 8 | 1,000 | 150.0 | **140.0** | 60 s |" in lines
    assert "| lstm | all | 1,000 | 120.0 | **115.0** | 60 s |" in lines
    assert lines[0] == "before" and lines[-1] == "after" and "old" not in lines
