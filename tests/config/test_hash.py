"""A config's hash: only what can change a result changes it."""

import hashlib
import json
import math

import pytest

from seqlab.config.hash import LEFT_OUT, config_hash
from seqlab.run.folder import start_run
from seqlab.run.record import read_record

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
