"""What callbacks show of a model at work: how many examples, of which task, and drawn from where."""

import pytest
import torch

from seqlab import callbacks
from seqlab.config import build
from seqlab.errors import InputError
from seqlab.run.record import read_record
from seqlab.tasks import AnswerTask, ClassificationTask, SequenceTask
from tests.conftest import config_of, run_here, small
from tests.shipped import at_once

SHOWING = {"ShowExamples": "examples", "AnswerAttention": "attention", "AttentionMaps": "attention"}


@pytest.mark.parametrize("name", SHOWING)
def test_callbacks_refuse_to_show_nothing(name):
    with pytest.raises(InputError, match=rf"^callbacks\.{SHOWING[name]}\.num_examples is 0; expected 1 or more"):
        getattr(callbacks, name)(num_examples=0)


def test_a_callback_of_another_task_is_refused_by_name():
    task = object.__new__(ClassificationTask)
    with pytest.raises(InputError, match="AnswerAttention is for AnswerTask, not for ClassificationTask; leave it out"):
        callbacks.AnswerAttention().setup(None, task, "fit")
    callbacks.ConfusionMatrix().setup(None, task, "fit")
    with pytest.raises(InputError, match=r"is for ClassificationTask or TaggingTask or .*, not for AnswerTask"):
        callbacks.ConfusionMatrix().setup(None, object.__new__(AnswerTask), "fit")


def test_the_state_figure_is_refused_before_training_where_there_is_no_language_model(tmp_path):
    with pytest.raises(InputError, match="StateFigure is for a task with a language model, not with a Classifier"):
        run_here(tmp_path, "experiment=tiny_sentiment", "callbacks=hello", "callbacks.examples=null", "logger=none")
    assert read_record(tmp_path).get("metrics", {}) == {}


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["+callbacks.examples.promt=h"], "callbacks.examples.promt.*LanguageModelTask.*expected prompt or num_tokens"),
        (["experiment=tiny_sentiment", "+callbacks.examples.prompt=h"], "callbacks.examples.prompt.*expected none"),
    ],
)
def test_an_option_that_the_task_does_not_have_is_refused_before_training(tmp_path, text_file, overrides, named):
    with pytest.raises(InputError, match=named):
        run_here(tmp_path, *(small(text_file) if len(overrides) == 1 else []), *overrides)


@pytest.mark.parametrize("preset", [*at_once()])
def test_early_stopping_leaves_a_presets_callbacks_as_they_are(preset):
    alone = config_of(f"experiment={preset}")["callbacks"]
    stopped = config_of(f"experiment={preset}", "callbacks/early_stopping=plateau")["callbacks"]
    assert stopped.pop("early_stopping")["patience"] == 3
    alone.pop("early_stopping", None)  # a preset may have another of its own
    assert stopped == alone


def test_a_task_without_examples_is_told_and_trains(tmp_path, text_file, caplog, monkeypatch):
    from seqlab.tasks import LanguageModelTask

    caplog.set_level("INFO", "seqlab")
    monkeypatch.setattr(LanguageModelTask, "examples", SequenceTask.examples)
    run_here(tmp_path, *small(text_file, "trainer.max_steps=1"))
    assert "callbacks.examples: LanguageModelTask shows no examples" in caplog.text


def test_samples_are_as_many_as_asked_for_and_leave_all_random_numbers_alone(text_file):
    config = config_of(*small(text_file))
    data = build.build_data(config)
    data.prepare_data()
    data.setup("fit")
    task = build.build_task(config, data.spec, build.build_model(config, data.spec))
    before = torch.get_rng_state()
    options = {"prompt": "a b", "num_tokens": 5, "temperature": 0.5}
    one, other, third = (
        task.examples(data, "validation", 2, torch.Generator().manual_seed(seed), **options) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before) and task.training
    assert one == other != third
    assert len(one.lines) == 2 and all(line.startswith("a b") and len(line) == 8 for line in one.lines)
    assert one.name == "sample" and one.text.count("\n\n---\n\n") == 1
    assert all(line.startswith("    ") for part in one.text.split("\n\n---\n\n") for line in part.splitlines())


def test_the_samples_of_the_test_are_printed_where_it_is_asked_for(tmp_path, text_file, capsys):
    shown = ("callbacks.examples.print_test=true", "callbacks.examples.prompt='a b'", "trainer.max_steps=2")
    run_here(tmp_path, *small(text_file, *shown))
    assert any(line.startswith("a b") for line in capsys.readouterr().out.splitlines())
