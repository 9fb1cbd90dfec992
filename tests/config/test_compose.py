"""The configuration of ``seqlab train``, composed for a script."""

import copy
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException

from seqlab import conf
from seqlab.config import hints
from seqlab.config.compose import compose_config
from seqlab.config.values import GROUPS, TOP, VALUES
from seqlab.errors import InputError
from seqlab.sweep.sweeper import register_sweepers

CALLBACKS = sorted(path.stem for path in (Path(conf.__file__).parent / "callbacks").glob("[!_]*.yaml"))


def test_a_configuration_is_that_of_the_command_resolved():
    config = compose_config(["experiment=tiny_sentiment", "seed=7", "data.batch_size=3"])
    assert (config["name"], config["data"]["batch_size"]) == ("tiny_sentiment", 3)
    assert config["data"]["seed"] == 7, "interpolations are resolved"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.batch_sise=3", "there is no configuration key data.batch_sise; did you mean data.batch_size?"),
        ("experiment=none_such", "none_such"),
        *((f"{group}.none_such=1", f"there is no configuration key {group}.none_such; ") for group in GROUPS),
    ],
)
def test_a_wrong_override_is_one_line(override, words):
    with pytest.raises(InputError, match=words) as caught:
        compose_config([override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "choices"),
    [
        ("data.batch_sise", []),  # that nothing writes
        ("data.stress", ["data=cmudict", "data=pronunciation"]),
        ("data.path.source", ["data=parallel"]),
        ("model.max_source_length", []),
        ("callbacks.checkpoint.every_n_steps", [f"callbacks={name}" for name in CALLBACKS]),  # of a base
    ],
)
def test_the_choices_that_have_a_key_are_found_without_composing_all(monkeypatch, key, choices):
    composed, of_choice = [], hints._keys
    monkeypatch.setattr(hints, "_keys", lambda *overrides: composed.append(overrides) or of_choice(*overrides))
    assert hints._choices_with(key) == choices
    assert len(composed) <= len(choices) + 2


def test_a_sweepers_own_settings_are_known_once_it_is_registered(monkeypatch):
    """Whatever was composed before in this process, and is remembered by the tests."""
    Plugins.instance()  # it imports the module of Hydra's own sweeper anew
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeperConf

    store = ConfigStore.instance()
    monkeypatch.setattr(store, "repo", copy.deepcopy(store.repo))
    store.store(group="hydra/sweeper", name="basic", node=BasicSweeperConf, provider="hydra")
    tuned = {"overrides": ["data=hello", "hydra.sweeper.tune=[seed]"], "return_hydra_config": True}
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        with pytest.raises(ConfigCompositionException, match=r"hydra\.sweeper\.tune"):
            compose("train", **tuned)
        register_sweepers()
        assert compose("train", **tuned).hydra.sweeper.tune == ["seed"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("+sed=1", "sed: nothing reads this key; did you mean seed?"),
        ("+mine={a:1}", "mine: nothing reads this key; leave it out"),
        ("+optimize.goal=1", "optimize.goal: nothing reads"),
        ("+runtime.num_thread=2", "did you mean runtime.num_threads?"),
    ],
)
def test_a_key_that_nothing_reads_is_refused(override, words):
    with pytest.raises(InputError, match=re.escape(words)):
        compose_config(["experiment=hello", override])


def test_a_key_of_ones_own_may_be_referred_to():
    config = compose_config(["experiment=hello", "+width={all: 8}", "model.hidden_size=${width.all}"])
    assert config["model"]["hidden_size"] == 8 and config["width"] == {"all": 8}
    assert compose_config(["experiment=hello", "+tag=x", "hydra.sweep.dir=runs/${tag}"])["tag"] == "x"


def test_the_keys_at_the_top_are_known():
    shipped = compose_config()
    assert shipped.keys() == TOP
    assert {f"runtime.{name}" for name in shipped["runtime"]} <= VALUES.keys()
    assert shipped["optimize"].keys() == {"metric", "mode"}
