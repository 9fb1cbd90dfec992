"""From a configuration to data, model and task; :func:`build` is the only function that instantiates.

Configurations are resolved, plain dictionaries. Their targets are first checked against the allow-list of
:mod:`seqlab.config.trust`.
"""

import copy
import difflib
import functools
import inspect
import logging
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, get_type_hints

import lightning.pytorch as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, get_object, instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException

from seqlab.callbacks.at_test import Observer
from seqlab.config.parts import check_read, is_late, references, resolved
from seqlab.config.paths import FILES_KEY
from seqlab.config.trust import check_definitions
from seqlab.data import ExampleData, LanguageModelData, Spec
from seqlab.errors import InputError
from seqlab.nn import Input, Standardize, initialize
from seqlab.nn.size import nearest_size
from seqlab.tasks.base import SequenceTask
from seqlab.tasks.schedules import Plan

log = logging.getLogger("seqlab")

Config = Mapping[str, Any]
MATCHING: Final = ("match_parameters", "match_tolerance")
"""The keys of a model that choose its hidden size."""
Data: TypeAlias = LanguageModelData | ExampleData


def build(config: Config, key: str, /, **arguments: Any) -> Any:
    """Instantiates ``config[key]`` with further ``arguments``, after a check against the allow-list.

    Raises:
        InputError: the target is not allowed, does not exist, or rejects its arguments; the line names the key.
    """
    node = config[key]
    check_definitions({key: node})
    # A partial, because Hydra would turn dataclasses among the arguments into dictionaries.
    factory = _call(key, node, instantiate, {**_without_declarations(node), "_partial_": True}, _convert_="all")
    if node.get("_partial_"):
        return functools.partial(factory, **arguments)
    return _call(key, node, factory, **arguments)


def _without_declarations(node: Any) -> Any:
    """A copy of a node without the keys that are for :mod:`seqlab.config.paths`."""
    if isinstance(node, Mapping):
        return {name: _without_declarations(value) for name, value in node.items() if name != FILES_KEY}
    return [_without_declarations(value) for value in node] if isinstance(node, list) else copy.deepcopy(node)


def _call(key: str, node: Config, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Calls ``function``; an error about its arguments becomes one line that names their ``key``."""
    try:
        return function(*args, **kwargs)
    except InputError:
        raise
    except (TypeError, ValueError, ImportError, MisconfigurationException, InstantiationException) as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        if isinstance(cause, InputError):
            raise cause from error
        raise InputError(f"{key} ({node['_target_']}): {_one_line(cause)}") from error
    except (RuntimeError, MemoryError, OverflowError) as error:
        if not isinstance(error, (MemoryError, OverflowError)) and not _TOO_LARGE.search(str(error)):
            raise
        raise InputError(f"{key} ({node['_target_']}) is too large for this machine: {_one_line(error)}") from error


_MOST_TIMES: Final = 2  # by which the smallest model may exceed a budget
_TOO_LARGE: Final = re.compile("allocate memory|out of memory|overflow", re.IGNORECASE)


def _one_line(error: BaseException) -> str:
    """An error's message without the C++ stack that PyTorch appends."""
    return " ".join(str(error).partition("Exception raised from")[0].split())


def build_data(config: Config) -> Data:
    """The data module; it has ``spec`` and ``vocabulary`` once it is prepared."""
    data: Data = build(config, "data")
    return data


def build_model(config: Config, spec: Spec) -> torch.nn.Module:
    """The model, with its sizes from the data, and its first weights.

    ``model.match_parameters`` solves for the hidden size first. ``model.init`` draws the weights anew, and pretrained
    vectors of the data come last.
    """
    node = sized_model(config, spec, notes_a_miss=True)
    model = _model_of_parts(node, spec)
    if node.get("init") is not None and "init" not in _arguments("model", node):
        _call("model.init", node, initialize, model, **node["init"])
    if (vectors := spec.word_vectors()) is not None:
        _call("model.input", node, input_of(model, "data.vectors").load_vectors, vectors)
    if (statistics := spec.statistics()) is not None:
        _call("model.input", node, input_of(model, "data of numbers").load_statistics, *statistics)
    if (statistics := spec.target_statistics()) is not None:
        if (load := getattr(getattr(model, "head", None), "load_statistics", None)) is None:
            raise InputError(
                f"model: numbers that are answered expect a model whose head has load_statistics, as NumberHead has, "
                f"got {type(model).__name__}"
            )
        _call("model.head", node, load, *statistics)
    return model


def check_parts(config: Config) -> None:
    """Refuses what shows before any data is read: keys that nothing reads, no task, and callbacks for another task.

    A key of a model or a task is read by its class or by a part of it.

    Raises:
        InputError: naming the key.
    """
    for key in ("model", "task"):
        node = config[key]
        check_definitions({key: node})
        taken = _arguments(key, node) | ({"init", *MATCHING} if key == "model" else set())
        if "**" not in taken:
            check_read(node, taken, node["_target_"], key)
        for name, part in node.items():
            _check_part(f"{key}.{name}", part)
    task = _target("task", config["task"])
    if inspect.isclass(task):
        _check_task(config, task)
    for name, node in config["callbacks"].items():
        if isinstance(node, Mapping) and "_target_" in node:
            check_definitions({f"callbacks.{name}": node})
            callback = _target(f"callbacks.{name}", node)
            if all(map(inspect.isclass, (task, callback))) and issubclass(callback, Observer):
                callback.check_task(task, f"callbacks.{name}")


def _check_task(config: Config, task: type) -> None:
    if not issubclass(task, SequenceTask):
        raise InputError(
            f"task ({config['task']['_target_']}) is no seqlab.tasks.SequenceTask, which a run needs to log and resume "
            f"it: derive {task.__name__} from that class"
        )


def _target(key: str, node: Config) -> Any:
    """The class or function that a node names."""
    return _call(key, node, get_object, node["_target_"])


def _check_part(key: str, part: Any) -> None:
    """Refuses keys of a part, and of its own parts, that its target does not take."""
    if not isinstance(part, Mapping):
        return
    if isinstance(target := part.get("_target_"), str):
        try:
            taken = _arguments(key, part)
        except InputError as error:
            if isinstance(error.__cause__, ValueError):  # a function in C may have no signature
                return
            raise
        unknown = [name for name in part if not name.startswith("_") and name not in taken]
        if unknown and "**" not in taken:
            near = difflib.get_close_matches(unknown[0], taken, n=1)
            mend = f"did you mean {near[0]}?" if near else "leave it out"
            raise InputError(f"{key}.{unknown[0]}: {target} takes no {unknown[0]}; {mend}")
    for name, inner in part.items():
        _check_part(f"{key}.{name}", inner)


def _arguments(key: str, node: Config) -> set[str]:
    """The names of the arguments that a node's target takes; "**" for any."""
    target = _target(key, node)
    parameters = _call(key, node, inspect.signature, target).parameters.values()
    return {"**" if each.kind is each.VAR_KEYWORD else each.name for each in parameters}


def _model_of_parts(node: Config, spec: Spec) -> torch.nn.Module:
    """The model of a ``model`` group: its parts get the keys that they refer to, the model those that it takes."""
    group, taken = {**node, **spec.model_arguments()}, _arguments("model", node)
    _check_sizes(spec.model_arguments(), group, taken)
    if "init" not in taken:
        group.pop("init", None)
    if "embedding_size" in references(group) and group.get("embedding_size", 0) is None:
        size = group.get("hidden_size")
        group["embedding_size"] = size[0] if isinstance(size, list) else size
    model: torch.nn.Module = _of_parts("model", group)
    return model


def _check_sizes(sizes: Mapping[str, Any], group: Config, taken: set[str]) -> None:
    """Refuses a model that does not take a size that the data decides.

    Raises:
        InputError: naming the key of a part that hides the size, or else the class that lacks it.
    """
    unread = [name for name in sizes if "**" not in taken and name not in taken | references(group)]
    for name in unread:
        for part, own in group.items():
            for key, value in own.items() if isinstance(own, Mapping) else ():
                if (name == key or name.endswith(f"_{key}")) and not is_late(value):
                    raise InputError(f"model.{part}.{key}={value}: the data decides {name}; leave it out")
        raise InputError(
            f"model ({group['_target_']}): neither it nor a part of it takes {name}, which this data gives to a model; "
            f"choose a model that is for this data, or give your own class an argument {name}"
        )


def _of_parts(key: str, group: Config, **arguments: Any) -> Any:
    """The object of a group: its parts get the keys that they refer to, and it those that it takes or no part does."""
    check_definitions({key: group})
    read, taken = references(group), _arguments(key, group)
    own = {name: resolved(group, name, key) for name in group if name in taken or name not in read}
    return _made(key, own, **arguments)


def _made(key: str, value: Any, **arguments: Any) -> Any:
    """The object of a resolved node, of its parts first. Values of the data, such as tags, never pass through Hydra."""
    if isinstance(value, list):
        return [_made(f"{key}.{place}", each) for place, each in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    own = {name: _made(f"{key}.{name}", each) for name, each in value.items() if not name.startswith("_")}
    if "_target_" not in value:
        return own
    target = {name: each for name, each in value.items() if name.startswith("_")}
    return build({key: target}, key, **own, **arguments)


def input_of(model: torch.nn.Module, what: str) -> Input:
    """The input of a model, for what the data gives to it.

    Args:
        model: the model.
        what: what it is needed for, for the message.

    Raises:
        InputError: the model has no input.
    """
    part = getattr(model, "input", None)
    if not isinstance(part, Input):
        raise InputError(f"model: {what} expects a model with an Input as model.input, got {type(model).__name__}")
    return part


def sized_model(config: Config, spec: Spec, notes_a_miss: bool = False) -> dict[str, Any]:
    """The ``model`` group without ``match_parameters``: ``hidden_size`` is the size that is nearest to that budget.

    A size that misses the budget by more than ``match_tolerance`` is taken too: a sweep over depths would otherwise
    stop at a model that is too small to meet it. ``notes_a_miss`` logs a line that says so.

    Raises:
        InputError: even the smallest model is far larger than the budget, or the model does not grow with its size.
    """
    model = {key: value for key, value in config["model"].items() if key not in MATCHING}
    if (budget := budget_of(config)) is not None:
        try:
            fit = nearest_size(model_of_size(config, spec), budget.num_parameters).times(size_step(config))
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"model.match_parameters: {str(error).removeprefix('budget: ')}") from error
        if fit.hidden_size == size_step(config) and fit.num_parameters > _MOST_TIMES * budget.num_parameters:
            raise InputError(
                f"model.match_parameters={budget.num_parameters}: the smallest model, of hidden size "
                f"{fit.hidden_size}, has {fit.num_parameters:,} parameters; give a larger number"
            )
        if notes_a_miss and (message := fit.misses(*budget)):
            share = fit.num_parameters / budget.num_parameters - 1
            log.warning("model.match_parameters: %s; %d is taken, %+.2f %%", message, fit.hidden_size, 100 * share)
        model["hidden_size"] = fit.hidden_size
    return model


class Budget(NamedTuple):
    """The number of parameters that a model is to have, and the share of it by which it may differ."""

    num_parameters: int
    tolerance: float


def budget_of(config: Config) -> Budget | None:
    """The budget of ``model.match_parameters``; None where the hidden size is given."""
    number, tolerance = (config["model"].get(key) for key in MATCHING)
    return None if number is None else Budget(int(number), 0.01 if tolerance is None else float(tolerance))


def model_of_size(config: Config, spec: Spec) -> Callable[[int], torch.nn.Module]:
    """Makes the model of a configuration with another hidden size, without initial weights of its own.

    The size is counted in steps of :func:`size_step`.
    """
    model = {key: value for key, value in config["model"].items() if key not in MATCHING}
    step = size_step(config)
    return lambda steps: _model_of_parts({**model, "hidden_size": steps * step, "init": None}, spec)


def size_step(config: Config) -> int:
    """The number whose multiples a model's hidden size may be: that of attention's heads, 1 without."""
    parts = [part for part in config["model"].values() if isinstance(part, Mapping) and "num_heads" in part]
    return math.lcm(*(int(part["num_heads"]) for part in parts if is_late(part.get("hidden_size"))))


def task_class(config: Config) -> type[pl.LightningModule]:
    """The class that the ``task`` group names, after a check against the allow-list."""
    check_definitions({"task": config["task"]})
    cls: type[pl.LightningModule] = get_class(config["task"]["_target_"])
    return cls


def _check_precision(config: Config, model: torch.nn.Module) -> None:
    """Refuses 16 bits throughout for numbers in their own units: 340.12 would be 340 before its mean is taken away."""
    precision = config.get("trainer", {}).get("precision")
    if precision in ("bf16-true", "16-true") and any(isinstance(module, Standardize) for module in model.modules()):
        mend = "give bf16-mixed, which keeps these in float32"
        raise InputError(f"trainer.precision={precision} has too few digits for numbers in their own units: {mend}")


def _check_kind(config: Config, spec: Spec) -> None:
    """Refuses a task whose class says that it takes facts about data of another kind."""
    try:
        taken = get_type_hints(task_class(config).__init__).get("spec")
    except Exception:  # hints of a class of the user's own may name what is imported for types alone
        return
    if not isinstance(taken, type) or not issubclass(taken, Spec) or taken is Spec:
        return
    if not isinstance(spec, taken) or spec.kind != taken.kind:
        raise InputError(
            f"task ({config['task']['_target_']}) is for data of kind {taken.kind}, and data "
            f"({config['data']['_target_']}) is of kind {spec.kind}: choose a task and data of one kind"
        )


def build_task(config: Config, spec: Spec, model: torch.nn.Module) -> pl.LightningModule:
    """The LightningModule around ``model``, with its optimizer and schedule.

    Raises:
        InputError: the task is for data of another kind, the precision is too low for numbers in their own units; or as
            :func:`build`.
    """
    _check_kind(config, spec)
    _check_precision(config, model)
    optimizer = build(config, "optimizer") if config["optimizer"].get("_target_") else None
    schedule = build(config, "scheduler")
    # This call is for its errors alone: here they become one line, in Lightning's setup a traceback.
    if optimizer is not None:
        trial = _call("optimizer", config["optimizer"], optimizer, model.parameters())
        _call("scheduler", config["scheduler"], schedule, trial, Plan(total_steps=1, steps_per_epoch=1))
    task: pl.LightningModule = _of_parts(
        "task",
        config["task"],
        model=model,
        spec=spec,
        optimizer=optimizer,
        schedule=schedule,
        metric=config["optimize"]["metric"],
        mode=config["optimize"]["mode"],
    )
    _check_task(config, type(task))
    if optimizer is None and task.automatic_optimization:
        raise InputError(f"optimizer=none leaves a {type(task).__name__} nothing to learn by; choose another optimizer")
    return task
