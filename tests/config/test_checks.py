"""Values of a wrong type or out of range: one line that names the key, before anything is built."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seqlab import conf
from seqlab.config.checks import check_config, check_sweep
from seqlab.config.compose import compose_config
from seqlab.config.hash import flatten
from seqlab.config.values import VALUES, check_values
from seqlab.errors import InputError

MISTAKES = {
    "seed=-1": "seed=-1: expected a whole number, from 0 to 4294967295",
    "seed=4294967296": "seed=4294967296: expected a whole number, from 0 to 4294967295",
    "seed=abc": "seed=abc: expected a whole number",
    "seed=true": "seed=true: expected a whole number",
    "seed=1.0": "seed=1.0: expected a whole number, from 0 to 4294967295; did you mean 1?",
    "seed=null": "seed=null: expected a whole number",
    "name=null": "name=null: expected a text",
    "name=''": "name='': expected a text",
    "dry_run=perhaps": "dry_run=perhaps: expected true or false",
    "runtime.num_threads=0": "runtime.num_threads=0: expected a whole number, from 1 to 4096 or null",
    "runtime.tf32=no": "runtime.tf32=no: expected true or false; did you mean false?",
    "trainer.max_epochs=many": "trainer.max_epochs=many: expected a whole number",
    "trainer.max_steps=1e3": "trainer.max_steps=1000.0: expected a whole number, -1 or more; did you mean 1000?",
    "trainer.accumulate_grad_batches=0": "trainer.accumulate_grad_batches=0: expected a whole number, 1 or more",
    "trainer.check_val_every_n_epoch=0": "trainer.check_val_every_n_epoch=0: expected a whole number, 1 or more",
    "trainer.log_every_n_steps=0": "trainer.log_every_n_steps=0: expected a whole number, 1 or more",
    "trainer.gradient_clip_val=-1": "trainer.gradient_clip_val=-1: expected a number, 0 or more",
    "trainer.val_check_interval=0": "trainer.val_check_interval=0: expected a number, above 0, at most 1",
    "trainer.val_check_interval=2.5": "trainer.val_check_interval=2.5: expected a number, above 0, at most 1",
    "trainer.limit_train_batches=0": "trainer.limit_train_batches=0: expected a number, above 0",
    "trainer.limit_val_batches=-1": "trainer.limit_val_batches=-1: expected",
    "optimizer.lr=abc": "optimizer.lr=abc: expected a number, 0 or more",
    "optimizer.lr=-1": "optimizer.lr=-1: expected a number, 0 or more",
    "optimizer.lr=nan": "optimizer.lr=nan: expected a number, 0 or more",
    "optimizer.betas=0.9": "optimizer.betas=0.9: expected a list of 2, each a number",
    "optimizer.betas=[0.9,1.0]": "optimizer.betas=[0.9, 1.0]: expected a list of 2, each a number, 0 or more, below 1",
    "scheduler.warmup_steps=-3": "scheduler.warmup_steps=-3: expected a whole number, 0 or more",
    "data.lowercase=no": "data.lowercase=no: expected true or false; did you mean false?",
    "data.batch_size=two": "data.batch_size=two: expected a whole number, 1 or more",
    "data.unit=words": "data.unit=words: expected character, word or subword",
    "model.num_layers=0": "model.num_layers=0: expected a whole number, from 1 to 10000",
    "model.encoder.num_layers=0": "model.encoder.num_layers=0: expected a whole number, from 1 to 10000",
    "model.encoder.recompute=perhaps": "model.encoder.recompute=perhaps: expected true or false",
    "model.connect=skip": "model.connect=skip: expected none, residual, highway or dense",
    "model.encoder.norm=before": "model.encoder.norm=before: expected none, pre or post",
    "model.hidden_size=[8,0]": "model.hidden_size=[8, 0]: expected a whole number, 1 or more or a list",
    "model.dropout=1": "model.dropout=1: expected a number, 0 or more, below 1",
    "model.cell.bias=maybe": "model.cell.bias=maybe: expected true or false",
    "callbacks.examples.temperature=0": "callbacks.examples.temperature=0: expected a number, above 0",
    "callbacks.examples.num_tokens=0": "callbacks.examples.num_tokens=0: expected a whole number, from 1 to 1000000",
    "callbacks.checkpoint.every_n_minutes=0": "callbacks.checkpoint.every_n_minutes=0: expected a number, above 0",
    "trainer.max_epochs=0": "trainer.max_epochs=0: nothing would be trained; give 1 or more",
    "trainer.max_steps=0": "trainer.max_steps=0: nothing would be trained; give 1 or more",
    "trainer.max_epochs=null": "trainer.max_epochs=null with trainer.max_steps=-1",
    "callbacks.examples=3": "callbacks.examples=3: expected keys, its class in callbacks.examples._target_, or null",
    "callbacks.examples._target_=''": "callbacks.examples._target_='': expected the name of a class",
    "optimizer._target_=0": "optimizer._target_=0: expected the name of a class",
    "data._target_=null": "data._target_=null: expected the name of a class",
    "optimizer._partial_=3": "optimizer._partial_=3: expected true or false",
    "logger.hparams=3": "logger.hparams=3: expected a list, each a text",
    "~data": "data is None; expected a group of keys, as by data=text",
    "model=null": "model=null: Config group override must be a string or a list",
    "model=[]": "model is None; expected a group of keys",
    "+experiment.seed=3": "'# @package _global_'",
}
CHECKED_WHERE_USED = {  # names and paths, which only files and data can judge; metrics, of which test_metrics.py is
    *("optimize.metric", "optimize.mode"),
    *(f"data.{key}" for key in ("targets", "covariates", "known", "features", "audio", "speaker", "picture")),
    *(f"data.{key}" for key in ("targets", "covariates", "known", "audio", "speaker", "picture", "features", "file")),
    *(f"callbacks.{key}" for key in ("checkpoint.metric", "checkpoint.mode")),
    "data.test_voices",
    *(f"callbacks.early_stopping.{key}" for key in ("monitor", "mode")),
    *(f"data.{key}" for key in ("path", "train", "validation", "test", "hub", "name", "revision")),
    *(f"data.{key}" for key in ("story", "question", "answer", "answers", "folder", "task", "text", "label")),
    *(f"data.{key}" for key in ("separator", "quoting", "ignore_label", "labels", "tag_column", "word_column")),
    *(f"data.{key}" for key in ("tags", "column", "data_files", "source", "target")),
    *(f"data.{key}" for key in ("format", "comments", "hub.path", "hub.name", "hub.revision", "hub.data_files")),
    *(f"data.hub.{key}" for key in ("source", "target", "column", "train", "validation", "test")),
    *(f"data.{split}.{side}" for split in ("path", "train", "validation", "test") for side in ("source", "target")),
    *("model.unit", "model.halvings", "model.attention", "model.backend", "model.pooling", "model.decoder"),
    *("model.cell.nonlinearity", "model.cell.candidate", "model.cell.forget"),
    *("model.cell.state_names", "model.cell.state_sizes"),
}
CONF = Path(conf.__file__).parent


def shipped_leaves() -> list[tuple[str, object]]:
    leaves = []
    for path in sorted(CONF.rglob("*.yaml")):
        group = path.relative_to(CONF).parent.as_posix()
        if group not in ("experiment", "sweep", "launcher") and not group.startswith("hydra/"):  # Hydra's own keys
            content = OmegaConf.to_container(OmegaConf.load(path))
            content = {key: value for key, value in content.items() if key not in ("defaults", "hydra")}
            leaves += flatten(content, "" if group == "." else group.replace("/", ".") + ".")
    return [
        (key, value) for key, value in leaves if not key.endswith(("_target_", "_partial_")) and "_unread_" not in key
    ]


@pytest.mark.parametrize("override", MISTAKES)
def test_a_value_of_a_wrong_kind_is_refused(override):
    with pytest.raises(InputError) as refused:
        compose_config([override])
    assert MISTAKES[override] in str(refused.value) and "\n" not in str(refused.value)


def test_every_shipped_key_has_a_kind_that_takes_its_value():
    of_part = re.compile(r"^(model|task)\.(?!cell\.|init\.)\w+\.(?=\w+$)")
    leaves = [
        (of_part.sub(r"\1.", key), value)
        for key, value in shipped_leaves()
        if not (of_part.match(key) and isinstance(value, str) and value.startswith("\\${"))  # the group's key has it
    ]
    keys, known = {key for key, _ in leaves}, set(VALUES) | CHECKED_WHERE_USED
    missing = sorted(keys - known)
    assert not missing, f"say in VALUES of seqlab/config/values.py what they take, or in CHECKED_WHERE_USED: {missing}"
    assert not known - keys, f"no file of conf/ has these keys any more: {sorted(known - keys)}"
    assert not set(VALUES) & CHECKED_WHERE_USED
    for key, value in leaves:
        if key in VALUES and not (isinstance(value, str) and "${" in value):
            assert VALUES[key].accepts(value), (key, value)


@pytest.mark.parametrize("key", VALUES)
def test_no_key_takes_values_of_every_kind(key):
    tried = ("", "abc", -2, 0.5, [], {"a": 1}, float("nan"), 10**12)
    wrong = [value for value in tried if not VALUES[key].accepts(value)]
    assert len(wrong) >= 4 and {"a": 1} in wrong and [] in wrong
    for value in wrong:
        node: object = value
        for part in reversed(key.split(".")):
            node = {part: node, "_target_": "seqlab.any"}
        if key.startswith("callbacks."):
            del node["callbacks"]["_target_"]
        with pytest.raises(InputError) as refused:
            check_values(node)
        assert str(refused.value).startswith(f"{key}=") and VALUES[key].words in str(refused.value)


def test_the_keys_of_a_class_of_ones_own_are_ones_own():
    own = ["model.cell._target_=mine.Cell", "model.cell.bias=perhaps", "+callbacks.sample2._target_=mine.Sample"]
    config = compose_config([*own, "+callbacks.sample2.num_tokens=0"])
    assert config["model"]["cell"]["bias"] == "perhaps"
    with pytest.raises(InputError, match=r"model\.num_layers=0"):
        compose_config([*own, "model.num_layers=0"])


def test_what_a_sweep_varies_is_not_judged_by_its_default():
    config = compose_config()
    config["model"]["num_layers"] = 0
    for varied in (["model.num_layers"], ["model"], ["model/cell"], ["experiment"]):
        check_sweep(config, varied)
    for varied in ([], ["seed"], ["optimizer.lr"]):
        with pytest.raises(InputError, match=r"model\.num_layers=0"):
            check_sweep(config, varied)
    with pytest.raises(InputError):
        check_config(config)
