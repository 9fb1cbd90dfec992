"""Window and n-gram models by the commands: the same folder, report, evaluation and generation as of every run."""

import json

import pytest
import torch

from seqlab import report
from seqlab.commands.evaluate import evaluate
from seqlab.commands.generate import complete, generate
from seqlab.errors import InputError
from seqlab.nn import KneserNey, WindowModel
from seqlab.nn.models.generation import Sampling
from seqlab.nn.size import count_parameters
from seqlab.run import load
from seqlab.run.load import load_run
from tests.command import train_in_this_process
from tests.conftest import run_here, small

COUNTED = ("model=kneser_ney", "task=counting", "optimizer=none", "trainer.max_epochs=1")


def counting(text_file, *overrides: str) -> list[str]:
    return ["data=text", f"data.path={text_file}", "data.batch_size=1", "data.tbptt_steps=500", *COUNTED, *overrides]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, text_file):
    """A window model and an n-gram model of the small text."""
    folder = tmp_path_factory.mktemp("runs")
    window = small(text_file, "model=window", "model.window_size=3", "model.embedding_size=8", "trainer.max_epochs=1")
    run_here(folder / "window", *window)
    run_here(folder / "kneser_ney", *counting(text_file, "callbacks.examples.num_tokens=10"))
    return folder


@pytest.mark.parametrize(("name", "kind"), [("window", WindowModel), ("kneser_ney", KneserNey)])
def test_the_folder_is_complete_and_evaluates_to_its_own_figures(runs, name, kind):
    record = json.loads((runs / name / "run.json").read_text())
    model = load.load_run(runs / name).model()
    assert isinstance(model, kind)
    assert record["status"] == "completed" and record["num_parameters"] == count_parameters(model) > 0
    found = evaluate(runs / name, [])
    assert found == pytest.approx({metric: record["metrics"][metric] for metric in found})
    assert {"val/perplexity", "test/perplexity", "test/bits_per_character"} <= found.keys()


def test_an_n_gram_model_of_the_text_holds_its_n_grams_and_knows_it(runs):
    model = load.load_run(runs / "kneser_ney").model()
    data_spec = json.loads((runs / "kneser_ney" / "data_spec.json").read_text())
    assert model.num_ngrams[0] == data_spec["vocab_size"] == 9
    metrics = load.load_run(runs / "kneser_ney").record["metrics"]
    assert metrics["test/perplexity"] < 5 and metrics["test/accuracy"] > 0.4


@pytest.mark.parametrize("name", ["window", "kneser_ney"])
def test_it_writes_and_completes_text(runs, name):
    text = generate(load_run(runs / name), "ab", 20, Sampling(temperature=0.8), num_samples=2, seed=1)
    assert all(sample.startswith("ab") and len(sample) == 22 for sample in text)
    assert text == generate(load_run(runs / name), "ab", 20, Sampling(temperature=0.8), num_samples=2, seed=1)
    found = complete(load_run(runs / name), "a", 3)
    assert len(found) == 3 and found[0][1] >= found[1][1] >= found[2][1] > 0


def test_both_stand_in_one_report(runs):
    table = report.render(report.compare([runs], by=["model._target_"]), "csv")
    kinds = {line.split(",")[0].rpartition(".")[2]: line for line in table.splitlines()[1:]}
    assert {"WindowModel", "KneserNey"} <= kinds.keys()
    for name, kind in (("window", "WindowModel"), ("kneser_ney", "KneserNey")):
        record = json.loads((runs / name / "run.json").read_text())
        assert str(record["num_parameters"]) in kinds[kind]


def test_the_checkpoint_holds_plain_tensors_alone(runs):
    checkpoint = torch.load(runs / "kneser_ney" / "checkpoints" / "best.ckpt", weights_only=True)
    assert {"model.orders.2.keys", "model.orders.2.share", "model.orders.2.left_over"} <= checkpoint[
        "state_dict"
    ].keys()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("optimizer=sgd",), "task=counting takes no gradient steps; set optimizer=none scheduler=constant"),
        (("scheduler=cosine",), "task=counting takes no gradient steps; set optimizer=none scheduler=constant"),
        (("task=language_model",), "optimizer=none leaves a LanguageModelTask nothing to learn by"),
        (("model=window",), "task=counting fits a model=kneser_ney, not a WindowModel"),
        (("trainer.max_epochs=3",), "trainer.max_epochs=3: counting reads the text once; give 1"),
        (("trainer.gradient_clip_val=5.0",), "trainer.gradient_clip_val=5.0 with optimizer=none: there is no gradient"),
        (("trainer.accumulate_grad_batches=2",), "trainer.accumulate_grad_batches=2 with optimizer=none"),
        (("model.order=0",), "model.order=0: expected a whole number"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, text_file, capsys, overrides, message):
    try:
        assert train_in_this_process(tmp_path / "run", *counting(text_file, *overrides)) == 2
    except InputError as error:  # of the configuration alone: before any process starts
        assert message in str(error)
    else:
        assert message in capsys.readouterr().err.strip().splitlines()[-1]
