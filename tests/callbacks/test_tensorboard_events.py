"""What a run leaves for TensorBoard, read back with TensorBoard's own reader."""

import math

import pytest
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import plugin_data_pb2

from seqlab.run import load
from seqlab.run.record import read_record
from tests.conftest import run_here, small

HPARAMS = "_hparams_/session_start_info"
TRAINING = ("loss", "perplexity", "learning_rate", "gradient_norm", "tokens_per_second")


def events_of(run_dir) -> EventAccumulator:
    accumulator = EventAccumulator(str(run_dir), size_guidance={TENSORS: 0, "scalars": 0, "images": 0})
    return accumulator.Reload()


def scalars(accumulator: EventAccumulator, tag: str) -> dict[int, float]:
    return {event.step: event.value for event in accumulator.Scalars(tag)}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, text_file):
    folder = tmp_path_factory.mktemp("events")
    overrides = small(
        text_file,
        f"data.cache_dir={folder / 'cache'}",
        "trainer.max_steps=40",
        "trainer.val_check_interval=20",
        "scheduler=cosine",
        "scheduler.warmup_steps=10",
        "optimizer.lr=0.5",
        "optimizer=sgd",
        "callbacks.examples.prompt='a b'",
    )
    run_here(folder / "run", *overrides)
    return folder / "run"


def test_training_is_logged_at_its_interval(run_dir):
    events = events_of(run_dir)
    for name in TRAINING:
        logged = scalars(events, f"train/{name}")
        assert list(logged) == list(range(5, 41, 5)), name
        assert all(math.isfinite(value) and value >= 0 for value in logged.values()), name
    losses = scalars(events, "train/loss")
    assert losses[40] < losses[5]
    for step, value in scalars(events, "train/perplexity").items():
        assert value == pytest.approx(math.exp(losses[step]), rel=1e-5)


def test_the_logged_rate_is_the_one_that_the_step_used(run_dir):
    logged = scalars(events_of(run_dir), "train/learning_rate")
    assert (logged[5], logged[10]) == (pytest.approx(0.5 * 5 / 10), pytest.approx(0.5))  # linear over ten steps
    for step in range(15, 41, 5):
        assert logged[step] == pytest.approx(0.5 * (1 + math.cos(math.pi * (step - 11) / 30)) / 2, abs=1e-7), step


def test_validation_is_logged_and_ends_where_the_record_does(run_dir):
    events, metrics = events_of(run_dir), read_record(run_dir)["metrics"]
    for name in ("loss", "perplexity", "bits_per_character", "accuracy"):
        logged = scalars(events, f"val/{name}")
        assert len(logged) == 2
        last = logged[max(logged)]  # which is the best, for the loss falls
        assert last == pytest.approx(metrics[f"val/{name}"], rel=1e-6)


def test_the_sample_continues_its_prompt(run_dir):
    events = events_of(run_dir).Tensors("sample/text_summary")
    texts = [event.tensor_proto.string_val[0].decode() for event in events]
    assert [event.step for event in events] == [20, 40]
    for text in texts:
        lines = text.split("\n")
        assert all(line.startswith("    ") for line in lines)
        written = "\n".join(line[4:] for line in lines)
        assert written.startswith("a b") and len(written) in (12, 13)  # ten more; a newline at the end is not shown
    assert texts[0] != texts[1]


def test_there_is_one_hparams_record_with_validation_and_test_metrics(run_dir):
    records = []
    for path in run_dir.glob("**/*tfevents*"):
        for event in EventFileLoader(str(path)).Load():
            records += [value.metadata for value in event.summary.value if value.tag == HPARAMS]
    assert len(records) == 1
    data = plugin_data_pb2.HParamsPluginData.FromString(records[0].plugin_data.content)
    found = {name: getattr(value, value.WhichOneof("kind")) for name, value in data.session_start_info.hparams.items()}
    assert found == {
        "model.cell": "LSTMCell",
        "model.num_layers": 2.0,
        "model.hidden_size": 16.0,
        "optimizer.lr": 0.5,
        "seed": 1.0,
    }
    events = events_of(run_dir)
    for name, value in read_record(run_dir)["metrics"].items():
        # Validation's have a name of their own: they are the best checkpoint's, and no point of the curve.
        shown = name if name.startswith("test/") else f"best/{name}"
        assert scalars(events, shown) == {40: pytest.approx(value, rel=1e-6)}
    assert "hp_metric" not in events.Tags()["scalars"]


def test_matched_parameters_show_the_size_that_was_solved_for(tmp_path, text_file):
    run_here(tmp_path, *small(text_file, "trainer.max_steps=2", "model.match_parameters=49500", "model.num_layers=1"))
    (record,) = [metadata for tag, metadata in events_of(tmp_path).summary_metadata.items() if tag == HPARAMS]
    data = plugin_data_pb2.HParamsPluginData.FromString(record.plugin_data.content)
    shown = data.session_start_info.hparams
    assert shown["model.hidden_size"].number_value == load.load_run(tmp_path).model().encoder.layers[0].cell.hidden_size
    assert shown["model.hidden_size"].number_value != 16


def test_hello_draws_its_state(tmp_path):
    run_here(tmp_path, "experiment=hello", "trainer.max_epochs=4", "trainer.check_val_every_n_epoch=2")
    images = events_of(tmp_path).Images("state")
    assert [image.step for image in images] == [2, 4]
    assert all(image.encoded_image_string.startswith(b"\x89PNG") and image.height > 300 for image in images)
    assert images[0].encoded_image_string != images[1].encoded_image_string
