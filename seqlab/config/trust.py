"""The allow-list of modules whose classes a configuration may name in ``_target_``: a stored configuration may be
anybody's.

The command line (``--allow``), the environment (``SEQLAB_ALLOW``) and the user's project file extend the list, a
configuration never does.
"""

import importlib
import importlib.util
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from seqlab.errors import InputError
from seqlab.imports import FOLDERS_VARIABLE

ALLOW_VARIABLE: Final = "SEQLAB_ALLOW"
PROJECT_ALLOW_VARIABLE: Final = "SEQLAB_PROJECT_ALLOW"
"""The modules of the project file, apart from the user's own variable: another working folder's file replaces them."""

ALLOWED: Final = (
    "seqlab.callbacks",
    "seqlab.data",
    "seqlab.nn",
    "seqlab.tasks",
    "torch.nn",
    "torch.optim",
    "torchmetrics",
    "lightning.pytorch.callbacks",
    "lightning.pytorch.loggers",
    "lightning.pytorch.plugins",
    "lightning.pytorch.profilers",
    "lightning.pytorch.strategies",
    "lightning.pytorch.Trainer",
    "lightning.pytorch.trainer",
    "optuna.pruners",
    "optuna.samplers",
)


def allowed_modules() -> tuple[str, ...]:
    """The modules whose classes a configuration may name: those of `ALLOWED`, ``SEQLAB_ALLOW`` and the project file."""
    names = [name for variable in (ALLOW_VARIABLE, PROJECT_ALLOW_VARIABLE) for name in _names(variable)]
    return ALLOWED + tuple(dict.fromkeys(names))


def allow(modules: Iterable[str]) -> None:
    """Extends the allow-list of this process and its children.

    Raises:
        InputError: it is no list of names.
    """
    names = None if isinstance(modules, str) or not isinstance(modules, Iterable) else [*modules]
    if names is None or not all(isinstance(name, str) for name in names):
        raise InputError(f"allow={modules!r}: expected a list of names of modules, such as allow=['my_cells']")
    os.environ[ALLOW_VARIABLE] = ",".join(dict.fromkeys([*_names(ALLOW_VARIABLE), *names]))


def _names(variable: str) -> list[str]:
    """The modules that an environment variable names."""
    return [*filter(None, (name.strip() for name in os.environ.get(variable, "").split(",")))]


def targets(config: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each ``_target_`` of a plain configuration, with the dotted key of its node."""
    if isinstance(config, Mapping):
        if isinstance(config.get("_target_"), str):
            yield key, config["_target_"]
        children: Iterable[tuple[Any, Any]] = config.items()
    elif isinstance(config, list):
        children = enumerate(config)
    else:
        return
    for name, child in children:
        yield from targets(child, f"{key}.{name}" if key else str(name))


def check_targets(config: Any) -> None:
    """Refuses a configuration with a target outside the allow-list; imports nothing.

    Raises:
        InputError: names the key, the target and how to allow it.

    Example:
        >>> check_targets({"cell": {"_target_": "seqlab.nn.LSTMCell"}})
        >>> check_targets({"cell": {"_target_": "os.system"}})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        seqlab.errors.InputError: cell._target_ is os.system, which is not on the allow-list; ... --allow os ...
    """
    allowed = allowed_modules()
    for key, target in targets(config):
        if not _within(target, allowed):
            module = target.partition(".")[0]
            if reason := _shadowed(module):
                raise InputError(f"{key}._target_ is {target}, but {reason}")
            raise InputError(
                f"{key}._target_ is {target}, which is not on the allow-list; if you trust it, add --allow {module} "
                f"(or set {ALLOW_VARIABLE}={module})"
            )


def own_targets(config: Any) -> list[str]:
    """The targets of a configuration that are the user's own: outside of `ALLOWED`."""
    return [target for _, target in targets(config) if not _within(target, ALLOWED)]


def check_definitions(config: Any) -> None:
    """As :func:`check_targets`; also imports each target and checks that an allowed module *defines* it.

    The dotted path alone proves nothing: ``torch.nn.functional.torch.hub.load`` begins with an allowed module. Outside
    this project and the user's own modules, a target must be a class.

    Raises:
        InputError: a target does not exist, is not allowed, or is not a class.
    """
    check_targets(config)
    allowed = allowed_modules()
    for key, target in targets(config):
        obj = _locate(key, target)
        definition = f"{getattr(obj, '__module__', '')}.{getattr(obj, '__qualname__', '')}"
        is_of_library = not _within(target, ("seqlab", *allowed[len(ALLOWED) :]))
        if not callable(obj) or not _within(definition, allowed) or (is_of_library and not isinstance(obj, type)):
            raise InputError(
                f"{key}._target_ is {target}, which is no class of an allowed module (it is {definition.strip('.')}); "
                "name a class by the module that defines it"
            )


def modules_below(config: Any, folder: Path) -> list[str]:
    """The top-level modules in ``folder`` that ``config`` names in ``_target_``; imports nothing."""
    modules = []
    for top in sorted({target.partition(".")[0] for _, target in targets(config)}):
        spec = importlib.util.find_spec(top)
        if spec and spec.origin and Path(spec.origin).resolve().is_relative_to(folder.resolve()):
            modules.append(top)
    return modules


def _within(name: str, allowed: Iterable[str]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in allowed)


def _shadowed(top: str) -> str | None:
    """Why the user's own module of this name can't be imported: an installed one comes before it."""
    for folder in filter(None, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)):
        for own in (Path(folder, f"{top}.py"), Path(folder, top, "__init__.py")):
            if own.exists() and (spec := importlib.util.find_spec(top)) and spec.origin != str(own):
                return f"{top} is {spec.origin or 'a part of Python'}, which comes before {own}; give that another name"
    return None


def _locate(key: str, target: str) -> Any:
    """Imports a target."""
    parts = target.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        try:
            obj = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and (module == error.name or module.startswith(error.name + ".")):
                continue  # the last name of this prefix is not a module: try a shorter prefix
            raise InputError(
                f"{key}._target_ is {target}, whose module needs {error.name!r}, which is not installed"
            ) from error
        for part in parts[length:]:
            if not hasattr(obj, part):
                reason = _shadowed(parts[0]) or f"{module} has no {part!r}"
                raise InputError(f"{key}._target_ is {target}, but {reason}")
            obj = getattr(obj, part)
        return obj
    raise InputError(
        f"{key}._target_ is {target}, but there is no module {parts[0]!r}; run from the folder that holds it"
    )
