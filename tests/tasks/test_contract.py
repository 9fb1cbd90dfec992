"""Every task keeps the contract of a task, and the contract finds what breaks it."""

import logging
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from seqlab.config import build
from seqlab.tasks import Examples
from seqlab.testing import check_task
from tests.conftest import config_of, small
from tests.numbers_language import of_numbers, write_numbers
from tests.shipped import at_once, chosen, shipped_tasks
from tests.spelled_words import of_words
from tests.tones import of_tones

# Of the presets that share a task and a model, and differ in their data alone, the first.
ONE_OF_EACH = {
    (task, chosen(preset).get("model")): preset
    for preset, task in reversed(at_once().items())
    if task != "LanguageModelTask"
}
TASKS = {
    "language_model": ("model.hidden_size=8", "data.tbptt_steps=8", "model.output_dropout=0.2"),
    "transformer": (
        *("model/encoder=transformer", "model.hidden_size=8", "model.encoder.context=12", "model.dropout=0.2"),
        "data.tbptt_steps=8",
    ),
    "translation": ("model.hidden_size=8",),
    "pronunciation": ("model.hidden_size=8",),
    "transcription": ("model.hidden_size=8",),
    **{preset: (f"experiment={preset}", "model.hidden_size=8") for preset in ONE_OF_EACH.values()},
    "adding": ("experiment=adding", "model.hidden_size=8", "data.sizes=[96,40,40]"),
    "dna": ("experiment=dna", "model.hidden_size=8", "data.sizes=[200,40,40]", "task.reverse_complement=both"),
    "scenes": ("experiment=scenes", "model.hidden_size=8", "data.sizes=[40,16,16]"),
}
SENTIMENT = ("experiment=tiny_sentiment", "model.hidden_size=8")


def data_of(config: dict[str, Any]) -> Any:
    data = build.build_data(config)
    data.prepare_data()
    return data


@pytest.mark.parametrize("name", TASKS)
def test_each_task_keeps_it(name, text_file, tmp_path):
    text = dict.fromkeys(("language_model", "transformer"), lambda: small(text_file))
    texts = {**text, "translation": lambda: of_numbers(write_numbers(tmp_path))}
    texts["pronunciation"] = lambda: of_words(tmp_path)
    texts["transcription"] = lambda: of_tones(tmp_path, 20)
    config = config_of(*texts.get(name, list)(), *TASKS[name])
    data = data_of(config)
    check_task(lambda: build.build_task(config, data.spec, build.build_model(config, data.spec)), data)


def test_no_task_is_left_out():
    missing = shipped_tasks() - {
        "LanguageModelTask",
        "PronunciationTask",
        "TranslationTask",
        "TranscriptionTask",
        *at_once().values(),
    }
    assert not missing, f"write a preset for {sorted(missing)} whose data needs no files, or name overrides in TASKS"


@pytest.fixture(scope="module")
def sentiment():
    """A configuration and its data, that a broken task is tried with."""
    config = config_of(*SENTIMENT, "data.batch_size=2", "data.eval_batch_size=1")
    return config, data_of(config)


def _returns_no_tokens(task):
    step = task.training_step
    task.training_step = lambda *given: {name: value for name, value in step(*given).items() if name != "tokens"}


def _loss_is_detached(task):
    step = task.training_step
    task.training_step = lambda *given: {**step(*given), "loss": step(*given)["loss"].detach()}


def _learns_outside_the_model(task):
    task.scale = nn.Parameter(torch.ones(()))


def _has_an_unused_parameter(task):
    task.model.unused = nn.Parameter(torch.ones(()))


def _is_not_reset(task):
    for metrics in task.eval_metrics.values():
        metrics.reset = lambda: None


def _evaluation_draws(task):
    task.model.register_forward_hook(lambda _, __, logits: logits + torch.rand(()) * torch.arange(logits.size(-1)))


def _evaluation_trains(task):
    evaluate = task.evaluate
    weight = next(task.model.parameters())
    task.evaluate = lambda *given: (weight.data.add_(1), evaluate(*given))


def _forgets_its_state(task):
    step, count = task.training_step, [0]

    def counted(*given):
        count[0] += 1
        answer = step(*given)
        return {**answer, "loss": answer["loss"] * count[0]}

    task.training_step = counted


def _examples_draw(task):
    examples = task.examples
    task.examples = lambda *given: (torch.rand(()), examples(*given))[1]


def _examples_differ(task):
    examples, count = task.examples, [0]

    def counted(*given):
        count[0] += 1
        return replace(examples(*given), name=f"predictions {count[0]}")

    task.examples = counted


def _examples_switch_dropout_off(task):
    examples = task.examples
    task.examples = lambda *given: (task.model.eval(), examples(*given))[1]


def _examples_are_empty(task):
    task.examples = lambda *given: Examples("predictions", "", ())


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (_returns_no_tokens, "training_step: expected .*'tokens'"),
        (_loss_is_detached, "training_step: the loss has no gradient"),
        (_learns_outside_the_model, "construction: scale"),
        (_has_an_unused_parameter, "no gradient reaches unused"),
        (_evaluation_draws, "evaluate: .*a second time"),
        (_evaluation_trains, "evaluate: "),
        (_is_not_reset, "evaluate: .*a second time"),
        (_forgets_its_state, "resume: the next loss"),
        (_examples_draw, "examples: .*random state"),
        (_examples_differ, "examples: .*a second time"),
        (_examples_switch_dropout_off, "examples: .*mode of training"),
        (_examples_are_empty, "examples: .*empty"),
    ],
)
def test_what_breaks_it_is_named(sentiment, spoil, named):
    config, data = sentiment

    def broken():
        task = build.build_task(config, data.spec, build.build_model(config, data.spec))
        spoil(task)
        return task

    with pytest.raises(AssertionError, match=named):
        check_task(broken, data)


def test_lightning_is_quiet_while_a_task_is_checked_and_no_longer(sentiment):
    config, data = sentiment
    log, records = logging.getLogger("lightning.pytorch"), []
    handler = logging.Handler()
    handler.emit = records.append
    level = log.level
    log.addHandler(handler)
    try:
        check_task(lambda: build.build_task(config, data.spec, build.build_model(config, data.spec)), data)
    finally:
        log.removeHandler(handler)
    assert records == [] and log.level == level


def test_it_asks_for_two_batches():
    config = config_of(*SENTIMENT, "data.batch_size=4")  # four texts, one batch
    with pytest.raises(ValueError, match="2 or more"):
        check_task(lambda: None, build.build_data(config))
