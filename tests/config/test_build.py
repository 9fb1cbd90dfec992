"""From the configuration to objects: budgets of parameters, and mistakes told in one line that names the key."""

import lightning.pytorch as pl
import pytest
import torch

from seqlab.config import build
from seqlab.config.hash import config_hash
from seqlab.config.trainer import build_trainer, check_devices, resolve_accelerator
from seqlab.data import ClassificationSpec, LanguageModelSpec
from seqlab.errors import InputError
from seqlab.nn.size import count_parameters
from seqlab.tasks.schedules import Plan
from tests.conftest import config_of, run_here

SPEC = LanguageModelSpec(66, "character", {"train": 1.0, "validation": 1.0, "test": 1.0}, {})


def refusal(make, *overrides: str) -> str:
    """The one line with which ``make(config)`` refuses the configuration."""
    with pytest.raises(InputError) as refused:
        make(config_of(*overrides, "data=hello"))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def task_of(config):
    return build.build_task(config, SPEC, build.build_model(config, SPEC))


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_match_parameters_meets_the_budget_at_every_depth(num_layers, cell):
    config = config_of(
        "data=hello", f"model/cell={cell}", f"model.num_layers={num_layers}", "model.match_parameters=200000"
    )
    model = build.build_model(config, SPEC)
    assert len(model.encoder.layers) == num_layers
    assert abs(count_parameters(model) - 200_000) <= 2000
    assert build.sized_model(config, SPEC)["hidden_size"] == model.encoder.layers[0].cell.hidden_size


def test_a_budget_far_below_the_smallest_model_is_refused():
    config = config_of("data=hello", "model.match_parameters=10")
    with pytest.raises(
        InputError, match=r"match_parameters=10: the smallest model, of hidden size 1, has \d+ parameters"
    ):
        build.sized_model(config, SPEC)


def test_match_parameters_draws_no_random_number():
    config = config_of("data=hello", "model.match_parameters=200000")
    plain = config_of("data=hello", f"model.hidden_size={build.sized_model(config, SPEC)['hidden_size']}")
    torch.manual_seed(0)
    matched = build.build_model(config, SPEC).state_dict()
    torch.manual_seed(0)
    for name, value in build.build_model(plain, SPEC).state_dict().items():
        assert torch.equal(matched[name], value), name


def test_a_budget_that_no_size_meets_takes_the_nearest_and_says_so_once(caplog):
    config = config_of("data=hello", "model.match_parameters=150")
    assert build.sized_model(config, SPEC)["hidden_size"] == 1 and not caplog.records
    size = count_parameters(build.build_model(config, SPEC))
    (record,) = caplog.records
    assert f"the nearest are 1 with {size:,}; 1 is taken, {100 * (size / 150 - 1):+.2f} %" in record.getMessage()


def test_a_tolerance_changes_what_is_said_and_not_what_is_trained(caplog):
    hashes, sizes = set(), set()
    for tolerance in (0.0, 0.5):
        config = config_of("data=hello", "model.match_parameters=2000", f"model.match_tolerance={tolerance}")
        caplog.clear()
        sizes.add(count_parameters(build.build_model(config, SPEC)))
        hashes.add(config_hash(config))
        assert bool(caplog.records) == (tolerance == 0)
    assert len(hashes) == len(sizes) == 1


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["+model.cell.nonlinearty=tanh", "model/cell=rnn"], ["model", "nonlinearty"]),
        (["model/cell=rnn", "model.cell.nonlinearity=sine"], ["model", "nonlinearity", "sine", "tanh"]),
        (["+model.depth=3"], ["model", "depth"]),
        (["model.num_layers=0"], ["model", "num_layers", "0"]),
        (["model.hidden_size=wide"], ["model", "hidden_size", "wide"]),
        (["model.hidden_size=1000000000000"], ["model", "is too large for this machine"]),
        (["model.connect=ring"], ["model", "connect", "ring"]),
        (["model.dropout=1.5"], ["model", "dropout", "1.5"]),
        (["model.backend=fastest"], ["model", "backend", "fastest"]),
        (["+model.init.unifrom=0.1"], ["model", "unifrom"]),
        (["model.tie_weights=true", "model.embedding_size=3"], ["model", "tie_weights"]),
        (["optimizer.lr=-1"], ["optimizer.lr=-1"]),
        (["optimizer.lr=fast"], ["optimizer"]),
        (["+optimizer.momentum=0.9"], ["optimizer", "momentum"]),
        (["optimizer._target_=torch.optim.SDG"], ["optimizer._target_", "SDG"]),
        (["+scheduler.warm_up=3"], ["scheduler", "warm_up"]),
        (["model.bidirectional=true"], ["model.bidirectional", "only left context exists"]),
        (["task.reduction=sum"], ["task.reduction", "sum", "time_sum"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_mistake_in_the_model_or_its_training_is_one_line_that_names_the_key(overrides, words):
    message = refusal(task_of, *overrides)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    "data", [("experiment=adding", "data.sizes=[8,4,4]"), ("experiment=canon", "data.sizes=[4,2,2]")]
)
@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "bf16-mixed"])
def test_sixteen_bits_throughout_are_refused_for_numbers_in_their_own_units(data, precision):
    config = config_of(*data, f"trainer.precision={precision}")
    spec = build.build_data(config).spec
    model = build.build_model(config, spec)
    if precision == "bf16-mixed":
        build.build_task(config, spec, model)
        return
    with pytest.raises(InputError, match=rf"trainer\.precision={precision} has too few digits .*: give bf16-mixed"):
        build.build_task(config, spec, model)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["trainer.precision=17"], ["trainer", "precision", "17"]),
        (["trainer.devices=0"], ["trainer", "devices"]),
        (["trainer.accelerator=abacus"], ["trainer", "abacus"]),
        (["+trainer.max_epoch=3"], ["trainer", "max_epoch"]),
        (["trainer.val_check_interval=2.5"], ["trainer", "val_check_interval"]),
        (["callbacks.checkpoint.every_n_steps=0"], ["callbacks.checkpoint.every_n_steps", "0"]),
        (["+callbacks.progress.every=3"], ["progress", "every"]),
        (["callbacks/early_stopping=plateau", "callbacks.early_stopping.mode=least"], ["early_stopping", "least"]),
        (
            ["+callbacks.swa={_target_: lightning.pytorch.callbacks.StochasticWeightAveraging, swa_lrs: 0.1}"],
            ["callbacks.swa", "no checkpoint", "EMAWeightAveraging"],
        ),
        (["callbacks.checkpoint=null"], ["callbacks.checkpoint", "RunCheckpoint"]),
        (
            ["+callbacks.mine={_target_: lightning.pytorch.callbacks.ModelCheckpoint, save_last: true}"],
            ["callbacks.mine.save_last", "write over"],
        ),
        (
            ["+callbacks.mine={_target_: lightning.pytorch.callbacks.ModelCheckpoint, filename: best}"],
            ["callbacks.mine.filename=best", "another filename"],
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_mistake_in_the_trainer_is_one_line_that_names_the_key(tmp_path, overrides, words):
    message = refusal(lambda config: build_trainer(config, tmp_path), "trainer=cpu", "logger=none", *overrides)
    assert all(word in message for word in words), message


def test_a_gpu_that_is_not_there_is_refused(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    message = refusal(lambda config: build_trainer(config, tmp_path), "trainer=gpu")
    assert message.startswith("trainer=gpu, but PyTorch finds no CUDA device")
    assert resolve_accelerator("auto") == "cpu"


def test_a_callback_set_to_null_is_left_out(tmp_path):
    config = config_of("data=hello", "trainer=cpu", "logger=none", "callbacks.examples=null")
    names = [type(callback).__name__ for callback in build_trainer(config, tmp_path).callbacks]
    assert "RunCheckpoint" in names and "ShowExamples" not in names


def test_the_runs_own_checkpoint_comes_last_and_has_the_state_of_all(tmp_path):
    another = "+callbacks.mine={_target_: lightning.pytorch.callbacks.ModelCheckpoint, monitor: val/loss}"
    config = config_of("data=hello", "trainer=cpu", "logger=none", another)
    config["callbacks"] = {name: config["callbacks"][name] for name in ("mine", "checkpoint")}
    for _ in range(2):
        names = [type(callback).__name__ for callback in build_trainer(config, tmp_path).checkpoint_callbacks]
        assert names == ["ModelCheckpoint", "RunCheckpoint"]
        config["callbacks"] = dict(reversed(config["callbacks"].items()))


def test_the_configuration_is_left_as_it_was():
    config = config_of("data=hello", "model.match_parameters=200000")
    before = config_of("data=hello", "model.match_parameters=200000")
    task_of(config)
    assert config == before


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
def test_optimizers_come_with_their_options(name, kind):
    config = config_of("data=hello", f"optimizer={name}", "optimizer.lr=0.25", "optimizer.weight_decay=0.125")
    optimizer = build.build(config, "optimizer")([torch.nn.Parameter(torch.zeros(2))])
    assert type(optimizer).__name__ == kind
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.25, 0.125)


@pytest.mark.parametrize(
    ("name", "options", "rates"),
    [
        ("constant", ["scheduler.warmup_steps=2"], [0.5, 1.0, 1.0, 1.0]),
        ("step_decay", ["scheduler.epochs=1", "scheduler.factor=0.1"], [1.0, 1.0, 0.1, 0.1]),
        ("cosine", ["scheduler.final_ratio=0.5"], [1.0, 0.926777, 0.75, 0.573223]),
        ("plateau", ["scheduler.factor=0.5"], [1.0, 1.0, 0.5, 0.25]),
    ],
)
def test_schedules_come_with_their_options(name, options, rates):
    schedule = build.build(config_of("data=hello", f"scheduler={name}", *options), "scheduler")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = schedule(optimizer, Plan(total_steps=4, steps_per_epoch=2))
    seen = []
    for _ in range(4):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(*[1.0] * (name == "plateau"))
    assert seen == pytest.approx(rates, abs=1e-6)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.batch_size=3"], ["data.batch_size=3", "multiple of 2"]),
        (["data.batch_size=2", "data.eval_batch_size=5"], ["data.eval_batch_size=5", "multiple of 2"]),
        (
            ["data.batch_size=2", "model=kneser_ney", "task=counting", "optimizer=none"],
            ["CountingTask", "trainer.devices=1"],
        ),
    ],
)
def test_what_two_devices_cannot_share_is_refused(overrides, words):
    line = refusal(lambda config: check_devices(config, 2, task_of(config)), *overrides)
    assert all(word in line for word in words), line
    check_devices(config_of(*overrides, "data=hello"), 1, task_of(config_of(*overrides, "data=hello")))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model.encoder.num_layers=1"], ["model.num_layers=2", "model.encoder.num_layers=1", "give it alone"]),
        (["model.input.embedding_dropout=0.1"], ["model.embedding_dropout=0.0", "model.input.embedding_dropout=0.1"]),
        (["model.head.tie_weights=true"], ["model.tie_weights=False", "model.head.tie_weights=True"]),
        (
            ["model=tagger", "model.character_encoder.hidden_size=9"],
            ["model.character_hidden_size=50", "hidden_size=9"],
        ),
        (["model=translator", "model.decoder.cell=null", "model.encoder.cell=null"], ["model.cell", "encoder.cell"]),
        (["+model.depth=3"], ["model.depth=3", "LanguageModel", "leave it out"]),
        (["+model.encoder.depth=3"], ["model.encoder.depth", "seqlab.nn.Encoder takes no depth", "leave it out"]),
        (["+model.cell.hidden=3"], ["model.cell.hidden", "seqlab.nn.LSTMCell", "did you mean hidden_size?"]),
        (
            ["~model.hidden_size", "model.embedding_size=4"],
            ["model.encoder.hidden_size", "model.hidden_size", "neither"],
        ),
    ],
    ids=str,
)
def test_a_key_of_the_model_that_nothing_reads_is_refused(overrides, words):
    line = refusal(lambda config: (build.check_parts(config), build.build_model(config, SPEC)), *overrides)
    assert all(word in line for word in words), line


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model.head.num_classes=3"], "model.head.num_classes=3: the data decides num_classes; leave it out"),
        (["model.head.num_classes=3", "model.match_parameters=9000"], "model.head.num_classes=3: the data decides"),
        (["model.input.vocab_size=9"], "model.input.vocab_size=9: the data decides vocab_size"),
        (["model=window", "model.match_parameters=null"], "seqlab.nn.WindowModel): neither it nor a part of it takes"),
    ],
    ids=str,
)
def test_a_size_that_the_data_decides_is_not_given_to_a_part(overrides, words):
    spec = ClassificationSpec(9, "word", ("a", "b"))
    line = refusal(lambda config: build.build_model(config, spec), "model=classifier", *overrides)
    assert words in line, line


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["callbacks=classification"], "callbacks.confusion: ConfusionMatrix is for ClassificationTask or TaggingTask"),
        (["callbacks=answer"], "callbacks.attention: AnswerAttention is for AnswerTask, not for LanguageModelTask"),
        (["callbacks=translation"], "callbacks.attention: AttentionMaps is for TranslationTask"),
    ],
    ids=str,
)
def test_a_callback_of_another_task_is_refused_before_any_data_is_read(overrides, words):
    line = refusal(build.check_parts, "experiment=hello", *overrides)
    assert words in line and line.endswith("=null"), line
    build.check_parts(config_of("experiment=hello", *overrides, f"{line.partition(':')[0]}=null"))


def test_a_run_refuses_such_a_key_before_it_reads_any_data(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "build_data", lambda config: pytest.fail("data was read"))
    with pytest.raises(InputError, match=r"model\.num_layers=2 has no effect beside model\.encoder\.num_layers=3"):
        run_here(tmp_path, "experiment=hello", "model.num_layers=2", "model.encoder.num_layers=3")


def test_a_part_has_a_key_of_its_own_where_others_read_the_models():
    config = config_of("data=hello", "model.input.word_dropout=0.5", "model.hidden_size=7")
    assert build.build_model(config, SPEC).input.word_dropout == 0.5


def test_a_key_of_the_model_reaches_its_parts():
    through = config_of("data=hello", "model.num_layers=3", "model.hidden_size=7", "model.connect=dense")
    encoder = build.build_model(through, SPEC).encoder
    assert (encoder.num_layers, encoder.hidden_size, encoder.connect) == (3, 7, "dense")


class NoTask(pl.LightningModule):
    """Any Lightning module."""

    def __init__(self, model, spec, optimizer, schedule, metric, mode, reduction=None):
        super().__init__()


def make_no_task(**arguments):
    return NoTask(**arguments)


@pytest.mark.parametrize("name", ["NoTask", "make_no_task"])
def test_a_lightning_module_that_is_no_task_is_refused_in_one_line(name, monkeypatch):
    monkeypatch.setenv("SEQLAB_ALLOW", __name__)
    config = config_of("experiment=hello", f"task._target_={__name__}.{name}")
    with pytest.raises(InputError, match=rf"task \({__name__}\.{name}\) is no seqlab\.tasks\.SequenceTask"):
        build.check_parts(config)  # of a class, before any data is read
        assert name == "make_no_task"
        build.build_task(config, SPEC, torch.nn.Linear(1, 1))
