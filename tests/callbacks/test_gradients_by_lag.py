"""The gradient by lag in TensorBoard, at each validation of a training that it leaves as it is."""

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import functional

from seqlab import callbacks
from seqlab.callbacks.gradients import gradients_by_lag
from seqlab.config import build
from seqlab.errors import InputError
from seqlab.inside import draw_norms_by_lag
from seqlab.nn import norms_by_lag
from seqlab.run.checkpoints import load_checkpoint
from seqlab.run.load import load_run
from seqlab.run.record import read_record
from tests.conftest import config_of, run_here, small

SHORT = ("trainer.max_epochs=-1", "trainer.max_steps=4", "trainer.val_check_interval=2")
SHORT = (*SHORT, "trainer.check_val_every_n_epoch=null", "trainer.limit_val_batches=2")


def events(run_dir):
    read = EventAccumulator(str(next(run_dir.rglob("events.out.*")).parent), size_guidance={"images": 0})
    read.Reload()
    return read


def test_norms_are_written_at_each_validation_and_training_is_the_same(tmp_path, text_file):
    overrides = small(text_file, *SHORT, "model.dropout=0.3", "model.num_layers=2", "trainer.limit_test_batches=1")
    own = ["callbacks/gradients=by_lag", "callbacks.gradients.num_rows=2", "callbacks.examples.num_tokens=10"]
    run_here(tmp_path / "on", *overrides, *own)
    run_here(tmp_path / "off", *overrides)
    read = events(tmp_path / "on")
    tags = [tag for tag in read.Tags()["scalars"] if tag.startswith("gradient_by_lag/")]
    layers = [f"encoder.layers.{layer}.{part}" for layer in (0, 1) for part in "hc"]
    assert sorted(tags) == sorted(f"gradient_by_lag/{layer}/{lag}" for layer in layers for lag in (1, 2, 4, 8))
    assert [event.step for event in read.Scalars(tags[0])] == [2, 4]
    assert all(event.value > 0 for event in read.Scalars(tags[0]))
    assert [image.step for image in read.Images("gradient_by_lag")] == [2, 4]
    on, off = (load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("on", "off"))
    assert all(torch.equal(value, off["state_dict"][name]) for name, value in on["state_dict"].items())
    assert torch.equal(*(kept["seqlab"]["rng"][0]["torch"] for kept in (on, off)))
    one, other = (read_record(tmp_path / name) for name in ("on", "off"))
    assert one["metrics"] == other["metrics"] and one["config_hash"] == other["config_hash"]
    # The last validation's norms are those of the last weights on the first rows of the first batch.
    run = load_run(tmp_path / "on")
    model = build.build_model(run.config, run.spec)
    model.load_state_dict({name.removeprefix("model."): value for name, value in on["state_dict"].items()})
    data = build.build_data(run.config)
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))

    def losses():
        logits, _ = model.eval()(batch.inputs[:2])
        return functional.cross_entropy(logits.transpose(1, 2), batch.targets[:2], reduction="none")

    norms = norms_by_lag(model, losses)
    written = read.Scalars("gradient_by_lag/encoder.layers.0.c/8")[-1].value
    assert written == pytest.approx(float(norms["encoder.layers.0.c"][8]), rel=1e-4)


@pytest.mark.parametrize(
    ("preset", "layers"),
    [
        (
            ["experiment=tiny_sentiment", "model.bidirectional=true"],
            ["encoder.layers.0.forward_layer.h", "encoder.layers.0.backward_layer.h"],
        ),
        (
            ["experiment=grammar_tagger", "data.sizes=[40,10,10]", "model.decoder=greedy"],
            ["encoder.layers.0.forward_layer"],
        ),
        (["experiment=grammar_tagger", "data.sizes=[40,10,10]", "model.decoder=crf"], None),
        (["experiment=world_answers"], None),
    ],
)
def test_other_tasks_have_losses_by_row_or_step_or_none(preset, layers):
    torch.manual_seed(0)
    config = config_of(*preset)
    data = build.build_data(config)
    data.setup("fit")
    task = build.build_task(config, data.spec, build.build_model(config, data.spec))
    task.train()
    with torch.inference_mode():  # as Lightning validates
        norms = gradients_by_lag(task, next(iter(data.val_dataloader())), num_rows=4)
    assert task.model.training and all(parameter.grad is None for parameter in task.parameters())
    if layers is None:
        assert norms is None
    else:
        assert any(name.startswith(layers[0]) for name in norms) and not any("input" in name for name in norms)
        assert all(values[values.isfinite()].max() > 0 for values in norms.values())


def test_a_task_without_such_losses_is_named_once(tmp_path, caplog):
    once = ("trainer.max_epochs=2", "trainer.limit_train_batches=1", "trainer.check_val_every_n_epoch=1")
    run_here(tmp_path, "experiment=world_answers", "callbacks/gradients=by_lag", *once)
    assert caplog.text.count("callbacks.gradients: AnswerTask gives no losses by step or row") == 1
    assert not [tag for tag in events(tmp_path).Tags()["scalars"] if "gradient_by_lag" in tag]


def test_numbers_below_one_are_refused():
    for name in ("num_rows", "positions"):
        with pytest.raises(InputError, match=rf"^callbacks\.gradients\.{name} is 0; expected 1 or more"):
            callbacks.GradientsByLag(**{name: 0})


def test_a_figure_leaves_out_what_a_logarithm_has_not():
    figure = draw_norms_by_lag({"layers.0.h": torch.tensor([1.0, 0.0, torch.nan, 0.25]), "layers.0.c": torch.ones(4)})
    first, second = figure.axes[0].lines
    assert torch.tensor(first.get_ydata()).isnan().tolist() == [False, True, True, False]
    assert first.get_color() == second.get_color() and first.get_linestyle() != second.get_linestyle()
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["layers.0.h", "layers.0.c"]
