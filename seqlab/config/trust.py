"""What a configuration may name in ``_target_``: an allow-list, for a stored configuration can be anybody's.

The list grows by the command line (``--allow``) or the environment (``SEQLAB_ALLOW``), never by a configuration.
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
)


def allowed_modules() -> tuple[str, ...]:
    """The modules whose classes a configuration may name: the built-in ones and those of ``SEQLAB_ALLOW``."""
    return ALLOWED + tuple(filter(None, (name.strip() for name in os.environ.get(ALLOW_VARIABLE, "").split(","))))


def allow(modules: Iterable[str]) -> None:
    """Lengthens the allow-list of this process and its children."""
    names = [*filter(None, os.environ.get(ALLOW_VARIABLE, "").split(",")), *modules]
    os.environ[ALLOW_VARIABLE] = ",".join(dict.fromkeys(names))


def targets(config: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each ``_target_`` in a plain configuration, with the dotted key it stands under."""
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
    """Refuses a configuration that names something outside the allow-list; imports nothing.

    Raises:
        InputError: naming the key, the target and how to allow it.

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
            if hint := _hidden(module):
                raise InputError(f"{key}._target_ is {target}, but {hint}")
            raise InputError(
                f"{key}._target_ is {target}, which is not on the allow-list; if you trust it, add --allow {module} "
                f"(or set {ALLOW_VARIABLE}={module})"
            )


def check_definitions(config: Any) -> None:
    """As :func:`check_targets`, and imports each target to see that it is *defined* in an allowed module.

    A dotted path alone proves nothing: ``torch.nn.functional.torch.hub.load`` begins well. Outside this project and
    what the user allowed, only classes may be named.

    Raises:
        InputError: where a target is missing, refused or no class.
    """
    check_targets(config)
    allowed = allowed_modules()
    for key, target in targets(config):
        found = _locate(key, target)
        defined = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
        library = not _within(target, ("seqlab", *allowed[len(ALLOWED) :]))
        if not callable(found) or not _within(defined, allowed) or (library and not isinstance(found, type)):
            raise InputError(
                f"{key}._target_ is {target}, which is no class of an allowed module (it is {defined.strip('.')})"
            )


def modules_below(config: Any, folder: Path) -> list[str]:
    """The top-level modules that ``config`` names in ``_target_`` and that lie in ``folder``; nothing is executed."""
    found = []
    for top in sorted({target.partition(".")[0] for _, target in targets(config)}):
        spec = importlib.util.find_spec(top)
        if spec and spec.origin and Path(spec.origin).resolve().is_relative_to(folder.resolve()):
            found.append(top)
    return found


def _within(name: str, allowed: Iterable[str]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in allowed)


def _hidden(top: str) -> str | None:
    """That a module of the user's own can't be found, for an installed one has its name."""
    for folder in filter(None, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)):
        for own in (Path(folder, f"{top}.py"), Path(folder, top, "__init__.py")):
            if own.exists() and (spec := importlib.util.find_spec(top)) and spec.origin != str(own):
                return f"{top} is {spec.origin or 'a part of Python'}, which comes before {own}; give that another name"
    return None


def _locate(key: str, target: str) -> Any:
    parts = target.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and (module == error.name or module.startswith(error.name + ".")):
                continue  # this prefix is a class or no module at all: try a shorter one
            raise InputError(
                f"{key}._target_ is {target}, whose module needs {error.name!r}, which is not installed"
            ) from error
        for part in parts[length:]:
            if not hasattr(found, part):
                hint = _hidden(parts[0]) or f"{module} has no {part!r}"
                raise InputError(f"{key}._target_ is {target}, but {hint}")
            found = getattr(found, part)
        return found
    raise InputError(
        f"{key}._target_ is {target}, but there is no module {parts[0]!r}; run from the folder that holds it"
    )
