"""``seqlab evaluate``: the metrics of a run's best checkpoint, on its own data or another."""

import json
import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from seqlab.config import build
from seqlab.config.checks import check_settings
from seqlab.config.hash import flatten
from seqlab.config.paths import absolute_paths
from seqlab.config.trust import check_targets
from seqlab.data import ForecastData, Spec
from seqlab.data.core.examples import ExampleData
from seqlab.errors import InputError
from seqlab.run import content, load
from seqlab.run.code import short_path
from seqlab.run.cuts import BY_TIME, files_of_training, other_cut
from seqlab.run.inputs import ContentHashes
from seqlab.run.loops import evaluate_splits
from seqlab.run.torch_settings import ignore_foreign_warnings, prepare_process

_MAX_NAMED: Final = 3  # files in one line
_COMPUTATION: Final = ("backend", "recompute")  # keys of a model by which the same one is computed otherwise
_DECODING: Final = (  # keys of a task that say how a trained model is searched, and what is scored of its answers
    *("beam_size", "length_penalty", "max_length", "lowercase_scores"),
    *("bleu_every_n_validations", "wer_every_n_validations"),
)


def evaluate(run_dir: Path, overrides: list[str]) -> dict[str, float]:
    """The metrics of a run's best checkpoint on the validation and test splits.

    The run's own vocabulary and classes are used, whatever the data: ids mean what the model learned them to mean.
    Standard error says what each split holds, and what has changed of the run's own data since training.

    Args:
        run_dir: the run's folder.
        overrides: ``KEY=VALUE`` changes of the run's configuration, such as another file of data; of its model and task
            those of computation and decoding alone, such as ``task.beam_size``.

    Returns:
        The metrics by their names in TensorBoard, such as ``test/loss``.

    Raises:
        InputError: the folder, its data or an override is wrong.
    """
    run = load.load_run(run_dir, overrides)
    for text in run.moved:
        print(f"seqlab: {text}", file=sys.stderr)
    data = evaluation_data(run, overrides)
    task = build.build_task(run.config, data.spec, run.model())
    with warnings.catch_warnings():
        ignore_foreign_warnings()
        return evaluate_splits(run.config, task, data, run.checkpoint)


def evaluation_data(run: load.SavedRun, overrides: list[str]) -> build.Data:
    """The data of a run, read for its evaluation with the run's own vocabulary and classes.

    Standard error says what each split holds, and what has changed of the run's own data since training.

    Args:
        run: the run.
        overrides: the changes of its configuration with which it was loaded.

    Raises:
        InputError: the data can't be read, or the model does not fit it.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    _check_same_model(run)
    check_targets(run.config)
    check_settings(run.config)
    prepare_process(run.config)
    changed = content.changed_data_files(run)
    vocabulary = {"vocabulary": str(run.run_dir)} if run.vocabularies else {}
    arguments = run.spec.data_arguments()
    _check_arguments(run, arguments, overrides)
    config, hashes = absolute_paths(run.config), ContentHashes()
    cut = other_cut(run.record, config, hashes)
    _check_cut(run, [name for name in cut if name not in BY_TIME])
    data_config = {**run.config["data"], **vocabulary, **arguments}
    data = build.build_data({**run.config, "data": data_config})
    if isinstance(data, ExampleData):
        data.trained = run.spec
    data.prepare_data()
    data.setup("test")
    if isinstance(data, ForecastData) and cut:
        cut_of_training = replace(data.cut, **{name: run.record["config"]["data"][name] for name in cut})
        _check_cut(run, cut if data.begins_before(cut_of_training) else [])
    if not changed and content.is_other_data(run, data, overrides):
        changed = ["its data is other data"]
    if changed:
        print(f"seqlab: since this run was trained: {'; '.join(changed)}", file=sys.stderr)
    if known := [short_path(file) for file in files_of_training(run.record, config, hashes)]:
        print(
            f"seqlab: this run was trained on {', '.join(known[:_MAX_NAMED])}"
            f"{f' and {len(known) - _MAX_NAMED} more' if known[_MAX_NAMED:] else ''}: rows of its training may be in "
            "this test",
            file=sys.stderr,
        )
    if hasattr(data, "summaries"):  # a user's own module need not have them
        for summary in data.summaries():
            print(summary.line(), file=sys.stderr)
    if data.spec.model_arguments() != run.spec.model_arguments():
        trained, offered = (_sizes(spec.model_arguments()) for spec in (run.spec, data.spec))
        raise InputError(
            f"{run.run_dir} was trained on data with {trained}, this data has {offered}: give data like it"
        )
    _check_reading(run, data.spec)
    return data


def _check_same_model(run: load.SavedRun) -> None:
    """Refuses overrides of the model and its task: the weights may fit another model, which nobody has trained."""
    free = {"model": _COMPUTATION, "task": _DECODING}
    trained, asked = (dict(flatten(config)) for config in (run.record["config"], run.config))
    for key in {**trained, **asked}:
        now, before = asked.get(key), trained.get(key)
        group, name = key.split(".")[0], key.split(".")[-1]
        if group in free and name not in free[group] and now != before:
            now, before = json.dumps(now), json.dumps(before)
            raise InputError(f"{key}={now}: the model is measured as it was trained, with {before}; leave it out")


def _check_reading(run: load.SavedRun, spec: Spec) -> None:
    """Refuses data that are read by other options than those of training: their numbers would mean something else."""
    trained, offered = run.spec.read_by(), spec.read_by()
    changed = [name for name in trained if trained[name] != offered.get(name)]
    if changed:
        there, here = (", ".join(f"{name} {each.get(name)}" for name in changed) for each in (trained, offered))
        raise InputError(f"{run.run_dir} was trained on data with {there}, this data has {here}: give data read alike")


def _check_arguments(run: load.SavedRun, arguments: Mapping[str, Any], overrides: list[str]) -> None:
    """Refuses an override of what the trained model decides, such as the columns that it reads."""
    names = {text.lstrip("+").partition("=")[0].removeprefix("data.") for text in overrides}
    for name, trained in arguments.items():
        given = run.config["data"].get(name)
        given = [given] if isinstance(given, (str, int)) else given
        if name in names and given != trained:
            own = "" if trained is None else f", {trained}"
            raise InputError(f"data.{name}={given}: a run is evaluated with that of its training{own}; leave it out")


def _check_cut(run: load.SavedRun, changed: Sequence[str]) -> None:
    """Refuses to cut the data of the training anew: the test would hold rows that the model was trained on."""
    for name in changed:
        before, now = (json.dumps(config["data"][name]) for config in (run.record["config"], run.config))
        raise InputError(
            f"data.{name}={now}: the data of the training, cut anew, would have rows in the test that the model was "
            f"trained on; leave it out (it was {before}), or give other data"
        )


def _sizes(arguments: Mapping[str, Any]) -> str:
    """The sizes that a model takes from its data, in words."""
    return ", ".join(f"{name} {value}" for name, value in arguments.items())
