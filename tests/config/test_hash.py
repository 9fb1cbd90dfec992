"""A config's hash: only what can change a result changes it."""

import hashlib
import json
import math
from pathlib import Path

import lightning.pytorch.callbacks
import pytest
import torch
from omegaconf import OmegaConf

from seqlab import callbacks, conf
from seqlab.callbacks import Observer
from seqlab.config.compose import compose_config
from seqlab.config.hash import (
    LEFT_OUT,
    LEFT_OUT_OF_SHIPPED,
    OBSERVERS,
    SHARES_OR_COUNTS,
    config_hash,
    differing_values,
    flatten,
)
from seqlab.run.checkpoints import load_checkpoint
from seqlab.run.folder import start_run
from seqlab.run.record import read_record
from tests.conftest import run_here
from tests.numbers_language import of_numbers, write_numbers
from tests.shipped import shipped_tasks, task_of
from tests.spelled_words import of_words
from tests.tones import of_tones

CONFIG = {
    "seed": 1,
    "name": "x",
    "model": {"num_layers": 2, "sizes": [3, 4]},
    "optimizer": {"lr": 0.5, "nesterov": True},
}


def with_value(key: str, value: object) -> dict[str, object]:
    config = json.loads(json.dumps(CONFIG))
    place = config
    *above, last = key.split(".")
    for name in above:
        place = place.setdefault(name, {})
    place[last] = value
    return config


@pytest.mark.parametrize("key", LEFT_OUT)
def test_what_does_not_change_results_does_not_change_the_hash(key):
    for value in ("one", "two", None, {"below": {"it": 3}}):
        assert config_hash(with_value(key, value)) == config_hash(CONFIG)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 2),
        ("model.num_layers", 3),
        ("model.num_layers", "2"),
        ("model.num_layers", None),
        ("model.sizes", [4, 3]),
        ("model.name", "x"),
        ("model.paths", "x"),
        ("paths_of_data", "x"),
        ("optimizer.lr", 0.5000001),
        ("optimizer.nesterov", 1),
        ("trainer.precision", "bf16-mixed"),
        ("data.path", "text.txt"),
        ("model.extra", {}),
    ],
)
def test_what_changes_results_changes_the_hash(key, value):
    assert config_hash(with_value(key, value)) != config_hash(CONFIG)


def test_order_and_the_spelling_of_whole_numbers_do_not_change_the_hash():
    turned = {key: CONFIG[key] for key in reversed(CONFIG)}
    assert config_hash(turned) == config_hash(CONFIG)
    assert config_hash(with_value("model", {"sizes": [3.0, 4], "num_layers": 2.0})) == config_hash(CONFIG)


def test_a_config_has_the_same_hash_after_it_was_written_and_read(tmp_path):
    config = {**CONFIG, "clip": math.inf, "schedule": {0: 0.1, 10: 0.01}, "pair": (1, 2)}
    start_run(tmp_path, config).release()
    fields = read_record(tmp_path)
    assert fields["config_hash"] == config_hash(fields["config"]) == config_hash(config)


def test_the_hash_is_the_same_in_every_process_and_version():
    text = '{"model.num_layers":2,"name_of":"\u00e9","seed":1}'
    config = {"seed": 1, "model": {"num_layers": 2}, "name_of": "\u00e9"}
    assert config_hash(config) == hashlib.sha256(text.encode()).hexdigest()[:12]


CONF = Path(conf.__file__).parent
OF_THE_SWEEP = ("experiment", "sweep", "launcher")  # they hold no keys of their own
NOT_COUNTED = {
    "name": "what its folder is called",
    "dry_run": "how a sweep goes",
    "fail_fast": "how a sweep goes",
    "overwrite": "what becomes of the run that is there",
    "rerun_changed": "how a sweep goes",
    "keep_changed": "how a sweep goes",
    "launcher.job_timeout": "how a sweep goes",
    "model.match_tolerance": "what is said of a size",
    "runtime.keep_freed_memory": "where it works",
    "runtime.gpu_per_job": "where it works",
    "data.root": "where a published corpus lies",
    "data.cache_dir": "where it works",
    "trainer.accelerator": "where it works",
    "trainer.devices": "where it works",
    "trainer.num_nodes": "where it works",
    "trainer.strategy": "where it works",
    "trainer.log_every_n_steps": "what it shows",
    "trainer.enable_progress_bar": "what it shows",
    "trainer.enable_model_summary": "what it shows",
    "logger._target_": "what it shows",
    "logger.default_hp_metric": "what it shows",
    "logger.hparams": "what it shows",
    "logger.project": "what it shows",
    "logger.offline": "what it shows",
    "logger.experiment_name": "what it shows",
    "logger.tracking_uri": "what it shows",
    "callbacks.checkpoint.every_n_steps": "how often it is kept",
    "callbacks.checkpoint.every_n_minutes": "how often it is kept",
    **{
        f"callbacks.{key}": "what it shows"
        for key in (
            "progress.every_n_minutes",
            *(f"examples.{name}" for name in ("num_examples", "print_test", "prompt", "num_tokens", "temperature")),
            *("examples.num_frames", "descriptions.num_examples", "forecasts.num_examples"),
            *(f"piano_rolls.{name}" for name in ("num_examples", "num_frames", "prompt_frames")),
            *("state_figure.text", "attention.num_examples", "gradients.num_rows", "gradients.positions"),
            "answers.num_examples",
        )
    },
}


def shipped_keys() -> list[tuple[str, str, object]]:
    """Each leaf of each file of ``conf/``: the choice it belongs to, its key and value."""
    leaves = []
    for path in sorted(CONF.rglob("*.yaml")):
        group, name = path.relative_to(CONF).parent.as_posix(), path.stem
        if group in OF_THE_SWEEP or group.startswith("hydra/"):
            continue
        content = OmegaConf.to_container(OmegaConf.load(path))
        content.pop("defaults", None)
        content.pop("hydra", None)
        prefix = "" if group == "." else group.replace("/", ".") + "."
        leaves += [(f"{group}={name}", key, value) for key, value in flatten(content, prefix)]
    return leaves


def test_of_every_shipped_key_it_is_known_whether_it_counts():
    seen = set()
    for choice, key, value in shipped_keys():
        if choice.startswith("callbacks") and key.endswith("._target_"):
            continue  # another class, which the next test is about
        group, _, chosen = choice.partition("=")
        config = {}
        if group.startswith("callbacks/"):
            put(
                config, group.replace("/", "."), OmegaConf.to_container(OmegaConf.load(CONF / group / f"{chosen}.yaml"))
            )
        for name in ("_base", *([chosen] if group == "callbacks" else [])):
            if group == "callbacks":
                for other, old in flatten(OmegaConf.to_container(OmegaConf.load(CONF / "callbacks" / f"{name}.yaml"))):
                    if not other.startswith("defaults"):
                        put(config, f"callbacks.{other}", old)
        if group == "data":
            put(config, "data._target_", "seqlab.data.hello_data")  # one that ships
        put(config, key, value)
        before = config_hash(config)
        put(config, key, "another value" if value != "another value" else None)
        counts = config_hash(config) != before
        assert counts == (key not in NOT_COUNTED), f"{choice}: {key} {'counts' if counts else 'does not count'}"
        seen.add(key)
    assert set(NOT_COUNTED) <= seen, set(NOT_COUNTED) - seen


def put(config, key, value):
    *above, last = key.split(".")
    for name in above:
        node = config.get(name)
        config[name] = config = dict(node) if isinstance(node, dict) else {}
    config[last] = value


def test_the_observers_that_ship_are_those_that_are_declared():
    shipped = {name for name in callbacks.__all__ if issubclass(getattr(callbacks, name), Observer)}
    declared = {target.rpartition(".")[2] for target in OBSERVERS if target.startswith("seqlab.callbacks.")}
    assert declared == shipped - {"Observer", "AtTest"}
    others = [target for target in OBSERVERS if not target.startswith("seqlab.callbacks.")]
    assert all(hasattr(lightning.pytorch.callbacks, target.rpartition(".")[2]) for target in others)
    assert not {"EarlyStopping", "StochasticWeightAveraging", "Timer"} & {name.rpartition(".")[2] for name in others}


def test_a_callback_that_observes_does_not_count_and_one_of_ones_own_does():
    plain = config_hash(compose_config())
    same = ["callbacks.examples=null", "+callbacks.rate._target_=lightning.pytorch.callbacks.LearningRateMonitor"]
    same += ["callbacks.examples.num_tokens=3", "runtime.keep_freed_memory=false", "optimize.mode=min", "logger=none"]
    same += ["+callbacks.mine=null", "trainer.log_every_n_steps=7"]
    assert {config_hash(compose_config([override])) for override in same} == {plain}
    other = ["callbacks.progress._target_=mine.Callback", "runtime.num_threads=1", "optimize.metric=val/perplexity"]
    other += ["callbacks/early_stopping=plateau", "callbacks.checkpoint.metric=val/perplexity", "runtime.tf32=false"]
    other += ["+callbacks.mine._target_=seqlab_mine.callbacks.ShowExamples", "runtime.deterministic=true"]
    assert plain not in (found := [config_hash(compose_config([override])) for override in other])
    assert len(set(found)) == len(other)


OBSERVED = {
    "hello": ["trainer.max_epochs=4", "model.dropout=0.3", "model.num_layers=2"],
    "tiny_sentiment": ["trainer.max_epochs=2", "model.dropout=0.3"],
    "dna": ["data.sizes=[60,30,30]", "trainer.max_epochs=2", "task.reverse_complement=both"],
    "grammar_tagger": ["data.sizes=[60,30,30]", "trainer.max_epochs=2"],
    "parity": ["data.sizes=[128,16,16]", "data.length=12", "trainer.max_epochs=2", "model.output_dropout=0.3"],
    "adding": ["data.sizes=[100,16,16]", "data.length=12", "trainer.max_epochs=2", "model.output_dropout=0.3"],
    "sine_forecast": ["data.steps=200", "trainer.max_epochs=2", "model.output_dropout=0.3"],
    "waveforms": ["data.sizes=[60,12,12]", "trainer.max_epochs=2", "model.output_dropout=0.3"],
    "canon": ["data.sizes=[8,4,4]", "trainer.max_epochs=2", "model.output_dropout=0.3"],
    "recordings": ["trainer.max_epochs=2", "model.output_dropout=0.3"],
    "scenes": ["data.sizes=[16,4,4]", "trainer.max_epochs=2", "model.output_dropout=0.3"],
    "world_answers": ["trainer.max_epochs=2", "trainer.limit_train_batches=2", "model.dropout=0.3"],
    "pronunciation": ["trainer.limit_train_batches=2"],
    "translation": ["trainer.max_epochs=2", "trainer.limit_train_batches=2", "model.hidden_size=16"],
}


def test_the_observers_of_every_task_are_among_them():
    missing = shipped_tasks() - {task_of(f"experiment={preset}") for preset in OBSERVED}
    assert not missing, f"add a preset to OBSERVED for {sorted(missing)}"


@pytest.mark.slow
@pytest.mark.parametrize("preset", OBSERVED)
def test_observers_leave_what_is_trained_bit_for_bit_as_it_was(tmp_path, preset):
    overrides = [f"experiment={preset}", *OBSERVED[preset], "trainer.check_val_every_n_epoch=1"]
    if preset == "pronunciation":
        overrides += of_words(tmp_path)[1:]
    if preset == "recordings":
        overrides += [text for text in of_tones(tmp_path, 20) if text.startswith("data.")]
    if preset == "translation":
        overrides += [text for text in of_numbers(write_numbers(tmp_path)) if text.startswith("data.")]
    overrides += ["trainer.max_steps=-1", "trainer.val_check_interval=1.0", "trainer.limit_test_batches=1"]
    config = compose_config(overrides)["callbacks"]
    observers = [name for name, node in config.items() if node and node["_target_"] in OBSERVERS]
    assert observers
    run_here(tmp_path / "on", *overrides, "+callbacks.rate._target_=lightning.pytorch.callbacks.LearningRateMonitor")
    run_here(tmp_path / "off", *overrides, *(f"callbacks.{name}=null" for name in observers))
    on, off = (load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("on", "off"))
    assert all(torch.equal(value, off["state_dict"][name]) for name, value in on["state_dict"].items())
    assert torch.equal(*(kept["seqlab"]["rng"][0]["torch"] for kept in (on, off)))
    one, other = (read_record(tmp_path / name) for name in ("on", "off"))
    assert one["metrics"] == other["metrics"] and one["config_hash"] == other["config_hash"]


@pytest.mark.parametrize("key", sorted(SHARES_OR_COUNTS))
def test_one_batch_is_not_all_of_them(key):
    name = key.removeprefix("trainer.")
    share, count, again = (config_hash({"trainer": {name: value}}) for value in (1.0, 1, json.loads("1.0")))
    assert share == again != count
    assert differing_values({"trainer": {name: 1.0}}, {"trainer": {name: 1}}) != []


@pytest.mark.parametrize("key", LEFT_OUT_OF_SHIPPED)
def test_what_a_key_means_to_data_of_ones_own_is_not_known_so_it_counts(key):
    name = key.removeprefix("data.")

    def hashes(target):
        return [config_hash({"data": {"_target_": target, name: value}}) for value in ("a", "b")]

    shipped, own = hashes("seqlab.data.hello_data"), hashes("mine.Data")
    assert shipped[0] == shipped[1] and own[0] != own[1]


def test_a_hidden_size_that_is_solved_for_does_not_count_and_one_that_is_given_does():
    solved = [config_hash({"model": {"hidden_size": size, "match_parameters": 900}}) for size in (16, 25)]
    given = [config_hash({"model": {"hidden_size": size, "match_parameters": None}}) for size in (16, 25)]
    assert solved[0] == solved[1] and given[0] != given[1]
