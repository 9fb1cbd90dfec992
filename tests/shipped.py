"""What the project ships, read from the packages and ``conf/``: lists of tests are made from it or compared with it."""

import functools
from pathlib import Path

from omegaconf import OmegaConf

from seqlab import conf, tasks
from seqlab.bench.engine.cells import all_cells
from seqlab.config.paths import declared_keys
from seqlab.nn import GatedCell, LinearCell, RecurrentCell
from tests.conftest import config_of

CONF = Path(conf.__file__).parent
OF_PACKAGES = (
    *("basic_motions", "chitchat", "chorales", "cmudict", "digit_pixels", "gunpoint", "moving_digits", "observed"),
    "synthetic_digits",
)
"""Data that come with the packages of extras."""
PRESETS = sorted(path.stem for path in (CONF / "experiment").glob("[!_]*.yaml"))


def shipped_cells() -> set[type[RecurrentCell]]:
    """The classes of ``conf/model/cell``, without the adapter for modules."""
    return {kind for name, kind in all_cells().items() if not name.startswith("user_")}


def hook_of(kind: type[RecurrentCell]) -> str:
    """The method in which a cell says what a step does: "coefficients", "pointwise" or "step"."""
    if issubclass(kind, LinearCell):
        return "coefficients"
    return "pointwise" if issubclass(kind, GatedCell) and kind.step is GatedCell.step else "step"


def shipped_tasks() -> set[str]:
    """The names of the tasks that train by gradients."""
    return {name for name in tasks.__all__ if name.endswith("Task")} - {"SequenceTask", "CountingTask"}


def task_of(*overrides: str) -> str:
    """The name of the class that a configuration's task is of."""
    return str(config_of(*overrides)["task"]["_target_"]).rpartition(".")[2]


@functools.cache
def at_once() -> dict[str, str]:
    """The presets that train at once, with small data that comes with the package; for each the name of its task.

    Read from the files: each test module that makes a list of these would otherwise compose them all as it is imported.
    """
    default = next(entry["task"] for entry in OmegaConf.load(CONF / "train.yaml")["defaults"] if "task" in entry)
    tasks_ = {preset: chosen(preset).get("task", default) for preset in PRESETS if _is_at_once(preset)}
    targets = {task: OmegaConf.load(CONF / "task" / f"{task}.yaml")["_target_"] for task in set(tasks_.values())}
    return {preset: targets[task].rpartition(".")[2] for preset, task in tasks_.items()}


def _is_at_once(preset: str) -> bool:
    data = chosen(preset).get("data")
    if data is None or "kjv" in data or data in OF_PACKAGES:  # a book, or what takes long to make
        return False
    keys = declared_keys(OmegaConf.load(CONF / "data" / f"{data}.yaml")["_target_"])
    return keys is not None and not keys.files and keys.hub is None


def chosen(preset: str) -> dict[str, str]:
    """The choices of groups, such as "model" or "model/cell", that a preset's file makes."""
    defaults = OmegaConf.to_container(OmegaConf.load(CONF / "experiment" / f"{preset}.yaml")).get("defaults", ())
    entries = [entry for entry in defaults if isinstance(entry, dict)]
    return {
        key.removeprefix("override ").lstrip("/"): value
        for entry in entries
        for key, value in entry.items()
        if isinstance(value, str)
    }
