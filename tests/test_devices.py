"""Two devices train as one would: the same gradients, metrics and carried state from the same global batch."""

import json
import socket

import pytest
import torch

from tests.command import forked
from tests.conftest import small
from tests.data_parallel import trained
from tests.numbers_language import of_numbers, write_numbers
from tests.served import DEVICE
from tests.shipped import shipped_tasks, task_of
from tests.spelled_words import of_words
from tests.tones import of_tones

STEPS = 12
CLOSE = {"rtol": 1e-6, "atol": 1e-9}


@pytest.fixture(scope="module")
def cases(tmp_path_factory, text_file) -> dict[str, list[str]]:
    """Overrides of a task each, with rows and examples of unequal length, so that the devices' shares are unequal."""
    numbers = write_numbers(tmp_path_factory.mktemp("numbers"))
    text = [
        *small(text_file, f"data.cache_dir={tmp_path_factory.mktemp('cache')}", "callbacks.examples=null"),
        f"trainer.max_steps={STEPS}",
        "trainer.max_epochs=-1",
    ]
    few = text[-2:]
    uneven = {
        "classification": ["experiment=tiny_sentiment", "model.dropout=0", "data.batch_size=2"],
        "dna": ["experiment=dna", "data.sizes=[61,21,21]", "data.batch_size=8"],
        "tagging": ["experiment=grammar_tagger", "model.word_dropout=0", "data.sizes=[61,21,21]", "model.decoder=crf"],
        "translation": [*of_numbers(numbers), "data.eval_batch_size=6", "task.bleu_every_n_validations=1"],
        "series_classification": ["experiment=waveforms", "data.sizes=[61,13,13]", "data.batch_size=8"],
        "pronunciation": [each for each in of_words(tmp_path_factory.mktemp("words")) if "trainer" not in each],
        "forecasting": ["experiment=sine_forecast", "data.steps=240", "data.batch_size=8"],
        "music": ["experiment=canon", "data.sizes=[20,5,5]", "data.frames=20", "data.batch_size=4"],
        "transcription": of_tones(tmp_path_factory.mktemp("tones"), 26, "model.output_dropout=0"),
        "captions": [
            "experiment=scenes",
            "model.embedding_dropout=0",
            "data.sizes=[22,5,5]",
            "data.batch_size=6",
            "model.hidden_size=12",
        ],
        "labelling": ["experiment=parity", "data=dyck", "data.length=9", "data.sizes=[45,9,9]", "data.batch_size=8"],
        "regression": ["experiment=adding", "data.length=9", "data.sizes=[45,9,9]", "data.batch_size=8"],
        "answers": ["experiment=world_answers", "model.embedding_dropout=0", "model.output_dropout=0"],
    }
    uneven["classification"] += ["callbacks.examples.print_test=false"]
    uneven["tagging"] += ["data.batch_size=8"]
    uneven["translation"] += ["data.batch_size=6", "trainer.val_check_interval=6"]
    uneven["captions"] += ["model.embedding_dropout=0"]
    uneven["pronunciation"] += ["model.embedding_dropout=0", "model.output_dropout=0"]
    uneven["answers"] += ["data.stories=[20,4,5]", "data.questions=3", "data.batch_size=8"]
    return {
        "language_model": [
            *text,
            "model.num_layers=2",
            "trainer.gradient_clip_val=0.1",
            "trainer.val_check_interval=6",
        ],
        "documents": [*text, "data.restart_documents=true", "trainer.accumulate_grad_batches=2", "data.tbptt_steps=7"],
        "time_sum": [*text, "task.reduction=time_sum"],
        **{name: [*overrides, *few] for name, overrides in uneven.items()},
    }


@pytest.fixture(scope="module")
def together(cases, tmp_path_factory) -> dict[str, list[dict]]:
    """What each of two devices saw of each case."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "cases.json").write_text(json.dumps(cases))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
    arguments = (DEVICE, str(folder / "cases.json"), str(folder))
    devices = [forked(*arguments, folder=folder, **meeting, LOCAL_RANK=str(rank)) for rank in range(2)]
    for device in devices:
        with device:
            _, err = device.communicate(timeout=300)
        assert device.returncode == 0, err[-4000:]
    ranks = [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    return {name: [rank[name] for rank in ranks] for name in cases}


NAMES = (
    "language_model",
    "documents",
    "time_sum",
    "classification",
    "dna",
    "tagging",
    "translation",
    "series_classification",
    "pronunciation",
    "forecasting",
    "music",
    "transcription",
    "captions",
    "labelling",
    "regression",
    "answers",
)


def test_every_task_that_has_gradients_is_among_them(cases):
    assert set(cases) == set(NAMES), f"in one of `cases` and NAMES alone: {sorted(set(cases) ^ set(NAMES))}"
    missing = shipped_tasks() - {task_of(*overrides) for overrides in cases.values()}
    assert not missing, f"add a case to `cases` and to NAMES for {sorted(missing)}"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_twelve_steps_on_two_devices_are_those_on_one(name, cases, together):
    alone = trained(cases[name], 1)
    for rank in together[name]:
        assert len(rank["gradients"]) == len(alone["gradients"]) == STEPS
        for step, (one, two) in enumerate(zip(alone["gradients"], rank["gradients"], strict=True)):
            assert one.keys() == two.keys()
            for parameter in one:
                message = f"step {step}: {parameter}"
                torch.testing.assert_close(two[parameter], one[parameter], **CLOSE, msg=message)
        torch.testing.assert_close(rank["weights"], alone["weights"], **CLOSE)
        torch.testing.assert_close(rank["carried"], alone["carried"], **CLOSE)
        assert rank["tokens"] == alone["tokens"] > 0
        assert rank["loss"] == pytest.approx(alone["loss"], rel=1e-9)
        assert len(rank["validations"]) == len(alone["validations"]) >= 1
        for one, two in zip(alone["validations"], rank["validations"], strict=True):
            assert two == pytest.approx(one, rel=1e-9)
        assert all(torch.equal(*pair) for pair in zip(alone["confusions"], rank["confusions"], strict=True))
