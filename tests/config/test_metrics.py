"""Which way a metric is better, and which ones there are, is known before anything is trained."""

from typing import get_args

import pytest

from seqlab import tasks
from seqlab.config.compose import compose_config
from seqlab.config.metrics import DIRECTIONS, LOGGED, UNDIRECTED, direction_of, logged_by, resolve_mode
from seqlab.errors import InputError
from seqlab.sweep.search_options import direction
from tests.conftest import run_here, small
from tests.spelled_words import of_words
from tests.tones import of_tones

ONE = ("trainer.max_steps=1", "trainer.max_epochs=1", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1")
TRAINED = {
    "LanguageModelTask": ["experiment=hello"],
    "CountingTask": ["data=hello", "model=kneser_ney", "task=counting", "optimizer=none", "trainer.max_epochs=1"],
    "ClassificationTask": ["experiment=tiny_sentiment"],
    "DnaTask": ["experiment=dna", "data.sizes=[60,30,30]"],
    "TaggingTask": ["experiment=grammar_tagger", "data.layer=entities", "data.sizes=[60,30,30]"],
    "AnswerTask": ["experiment=world_answers"],
    "SeriesClassificationTask": ["experiment=waveforms", "data.sizes=[60,12,12]"],
    "ForecastTask": ["experiment=sine_forecast", "data.steps=200"],
    "PronunciationTask": [],
    "MusicTask": ["experiment=canon", "data.sizes=[8,4,4]"],
    "CaptionTask": ["experiment=scenes", "data.sizes=[8,4,4]", "task.bleu_every_n_validations=1"],
    "TranscriptionTask": ["experiment=recordings"],
    "LabellingTask": ["experiment=parity", "data.sizes=[64,8,8]"],
    "RegressionTask": ["experiment=adding", "data.length=20", "data.sizes=[50,8,8]"],
    "TranslationTask": ["data=parallel", "model=translator", "task=translation", "callbacks=translation"],
}


def refusal(*overrides: str) -> str:
    with pytest.raises(InputError) as refused:
        compose_config(overrides)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_every_task_that_ships_says_what_it_logs():
    shipped = {name for name in tasks.__all__ if name.endswith("Task")} - {"SequenceTask"}
    for name, known in (("LOGGED of seqlab/config/metrics.py", LOGGED), ("TRAINED", TRAINED)):
        missing = sorted(shipped - set(known))
        assert not missing and set(known) <= shipped, f"add to {name}: {missing}"
    assert set(DIRECTIONS.values()) == {"min", "max"}
    for names in LOGGED.values():
        assert all(direction_of(f"val/{name.replace('*', 'X')}") for name in names if name not in UNDIRECTED)
    assert {name for names in LOGGED.values() for name in names if "*" not in name} == {*DIRECTIONS, *UNDIRECTED}


@pytest.mark.parametrize("task", TRAINED)
def test_what_a_task_is_said_to_log_is_what_it_logs(task, tmp_path):
    overrides = [*TRAINED[task], "logger=none", *ONE]
    if task == "PronunciationTask":
        overrides = [each for each in of_words(tmp_path) if "max_epochs" not in each] + overrides
    if task == "TranscriptionTask":
        overrides += of_tones(tmp_path, 20)
    if task == "TranslationTask":
        for side, words in (("source", "a b c d"), ("target", "x y z w")):
            lines = "".join(f"{words} {words[: 1 + 2 * (number % 4)]}\n" for number in range(40))
            (tmp_path / side).write_text(lines)
        overrides += [f"data.path.source={tmp_path / 'source'}", f"data.path.target={tmp_path / 'target'}"]
        overrides += ["data.unit=word", "data.batch_size=4", "task.bleu_every_n_validations=1"]
    record = run_here(tmp_path / "run", *overrides)
    logged = {name for name in record.fields["metrics"] if name.startswith("val/")}
    said = logged_by(record.fields["config"])
    plain = {name for name in said if not name.endswith("*")}
    of_one = tuple(name[:-1] for name in said if name.endswith("*"))
    assert plain <= logged and all(name in plain or name.startswith(of_one) for name in logged)
    assert all(any(name.startswith(start) for name in logged - plain) for start in of_one)


@pytest.mark.parametrize(
    ("metric", "mode"),
    [("val/loss", "min"), ("val/perplexity", "min"), ("val/accuracy", "max"), ("val/bits_per_character", "min")],
)
def test_the_mode_of_a_metric_that_ships_is_its_own(metric, mode):
    config = compose_config(["callbacks/early_stopping=plateau", f"optimize.metric={metric}"])
    assert config["optimize"]["mode"] == mode
    assert config["callbacks"]["checkpoint"]["mode"] == config["callbacks"]["early_stopping"]["mode"] == mode
    assert compose_config([f"optimize.metric={metric}", f"optimize.mode={mode}"])["optimize"]["mode"] == mode
    other = "max" if mode == "min" else "min"
    message = refusal(f"optimize.metric={metric}", f"optimize.mode={other}")
    assert f"optimize.mode={other}" in message and f"give optimize.mode={mode}" in message
    assert direction(metric, None) == {"min": "minimize", "max": "maximize"}[mode]


def test_a_callbacks_mode_of_null_is_its_metrics_own():
    config = compose_config(["callbacks.checkpoint.mode=null", "callbacks.checkpoint.metric=val/accuracy"])
    assert config["callbacks"]["checkpoint"]["mode"] == "max"


@pytest.mark.slow
def test_the_best_checkpoint_by_accuracy_is_not_the_worst(tmp_path, text_file):
    few = small(text_file, "trainer.max_epochs=4", "trainer.limit_train_batches=15", "logger=none", "optimizer.lr=0.2")
    best = run_here(tmp_path / "best", *few, "optimize.metric=val/accuracy").fields["metrics"]["val/accuracy"]
    by_loss = run_here(tmp_path / "by_loss", *few).fields["metrics"]["val/accuracy"]
    assert best >= by_loss


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["optimize.metric=val/los"], ["optimize.metric=val/los ", "did you mean val/loss?", "val/perplexity"]),
        (["optimize.metric=accuracy"], ["optimize.metric=accuracy ", "did you mean val/accuracy?"]),
        (["optimize.metric=val/Loss"], ["did you mean val/loss?"]),
        (["optimize.metric=test/loss"], ["optimize.metric=test/loss ", "did you mean val/loss?"]),
        (["optimize.metric=val/macro_f1"], ["optimize.metric=val/macro_f1 "]),
        (["optimize.metric=val/los", "optimize.mode=min"], ["optimize.metric=val/los "]),
        (
            ["optimize.metric=val/mine", "optimize.mode=min"],
            ["val/mine is not logged by validation, which decides; it logs"],
        ),
        (["optimize.metric=3"], ["optimize.metric=3: expected the name of a metric"]),
        (["optimize.metric=null"], ["optimize.metric=None: expected the name of a metric"]),
        (["~optimize"], ["optimize.metric"]),
        (["optimize.mode=best"], ["optimize.mode is 'best'", "min or max"]),
        (["callbacks.checkpoint.metric=val/los"], ["callbacks.checkpoint.metric=val/los ", "val/loss?"]),
        (
            ["callbacks/early_stopping=plateau", "callbacks.early_stopping.monitor=null"],
            ["callbacks.early_stopping.monitor=None: expected the name of a metric"],
        ),
        (["callbacks.checkpoint.mode=max"], ["callbacks.checkpoint.mode=max", "give callbacks.checkpoint.mode=min"]),
        (
            ["callbacks/early_stopping=plateau", "callbacks.early_stopping.monitor=val/accuracy"],
            ["callbacks.early_stopping.mode=min", "give callbacks.early_stopping.mode=max"],
        ),
        (
            ["callbacks/early_stopping=plateau", "callbacks.early_stopping.monitor=val/x"],
            ["callbacks.early_stopping.monitor="],
        ),
        (
            ["experiment=grammar_tagger", "data.layer=pos", "optimize.metric=val/entity_f1"],
            ["optimize.metric=val/entity_f1 "],
        ),
        (
            ["experiment=kjv_web_gru", "optimize.metric=val/bleu"],
            ["optimize.metric=val/bleu is needed at every validation", "task.bleu_every_n_validations=1"],
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, list) and "=" in value[0] else None,
)
def test_a_metric_that_no_validation_logs_is_told_before_training(overrides, words):
    message = refusal(*overrides)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    "overrides",
    [
        ["experiment=grammar_tagger", "optimize.metric=val/accuracy_NOUN"],
        ["experiment=grammar_tagger", "data.layer=entities", "optimize.metric=val/entity_f1_firm"],
        ["experiment=wnut17_ner", "optimize.metric=val/entity_f1"],
        ["experiment=kjv_web_gru", "optimize.metric=val/chrf", "task.bleu_every_n_validations=1"],
        ["experiment=mr_gru", "optimize.metric=val/macro_f1"],
    ],
    ids=lambda overrides: overrides[-1],
)
def test_metrics_of_a_tag_or_of_an_option_are_taken(overrides, monkeypatch):
    monkeypatch.setenv("SEQLAB_DATA", "/data")
    assert compose_config(overrides)["optimize"]["mode"] == "max"


@pytest.mark.parametrize("metric", ["val/mae", "val/mae_1"])
def test_a_forecast_may_be_judged_by_a_target_that_only_the_file_names(metric):
    overrides = ["experiment=forecasting", "data.path=arrays.npy", f"optimize.metric={metric}"]
    assert compose_config(overrides)["optimize"]["mode"] == "min"


@pytest.mark.parametrize(
    "own", [["task._target_=mine.Task"], ["+callbacks.mine._target_=mine.Extra"]], ids=["task", "callback"]
)
def test_a_metric_of_ones_own_is_taken_with_its_mode(own):
    message = refusal(*own, "optimize.metric=val/mine")
    assert "optimize.mode=min or optimize.mode=max" in message
    assert compose_config([*own, "optimize.metric=val/mine", "optimize.mode=max"])["optimize"]["mode"] == "max"
    assert compose_config([*own, "optimize.metric=val/accuracy"])["optimize"]["mode"] == "max"


def test_a_mode_is_one_of_two():
    assert get_args(tasks.base.SequenceTask.__init__.__annotations__["mode"]) == ("min", "max")
    assert [resolve_mode("val/mine", mode) for mode in ("min", "max")] == ["min", "max"]
