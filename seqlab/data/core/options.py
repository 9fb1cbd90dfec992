"""Flat options, as a configuration's keys give them: sorted into the parts that a class takes, and checked."""

import os
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, TypeVar

from seqlab.errors import InputError

T = TypeVar("T")


def from_options(kind: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Calls ``kind`` with flat ``options``; those that are fields of one of its parts go into that part.

    A part is a parameter whose default is a dataclass. Its other fields are as in the default. So the keys of a YAML
    file stay flat (``data.batch_size=8``), and a class takes its parts whole.

    Args:
        kind: a class or function, such as a data module.
        *arguments: its first arguments.
        **options: values by the names of its parameters, or of the fields of its parts.

    Returns:
        What ``kind`` returns.

    Raises:
        TypeError: ``kind`` has no such option; names those that it has.

    Example:
        >>> from seqlab.data import ClassificationData, TinySentiment
        >>> data = from_options(ClassificationData, TinySentiment(), batch_size=2, lowercase=True)
        >>> data.batch_size, data.settings.unit, data.settings.lowercase
        (2, 'word', True)
    """
    made = take(kind, options, *arguments)
    if options:
        names = ", ".join(name for parameter in _parameters(kind, arguments) for name in _options_of(parameter))
        kinds = [*(type(argument).__name__ for argument in arguments), kind.__name__]
        raise TypeError(
            f"unexpected option {next(iter(options))!r}: {'neither ' if len(kinds) > 1 else ''}{' nor '.join(kinds)} "
            f"{'takes it' if len(kinds) > 1 else 'does not take it'}; {kind.__name__} takes {names}"
        )
    return made


def take(kind: Callable[..., T], options: dict[str, Any], *arguments: Any) -> T:
    """Calls ``kind`` like :func:`from_options`, with those ``options`` that it has. They are removed; others stay.

    Args:
        kind: a class or function, such as a source.
        options: flat options; those that ``kind`` has are removed.
        *arguments: its first arguments.

    Example:
        >>> from seqlab.data.core.cut import Cut
        >>> options = {"split_seed": 3, "batch_size": 8}
        >>> take(Cut, options).split_seed, options
        (3, {'batch_size': 8})
    """
    values = {}
    for parameter in _parameters(kind, arguments):
        part = parameter.default
        if parameter.name in options:
            values[parameter.name] = options.pop(parameter.name)
        elif _is_part(part):
            flat = {name: options.pop(name) for name in _options_of(parameter) if name in options}
            values[parameter.name] = replace(part, **flat)
    return kind(*arguments, **values)


def _parameters(kind: Callable[..., Any], arguments: tuple[Any, ...]) -> list[Parameter]:
    """The parameters after those that the first arguments fill."""
    return list(signature(kind).parameters.values())[len(arguments) :]


def _is_part(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _options_of(parameter: Parameter) -> Iterator[str]:
    """The flat options of a parameter: its name, or the fields of its part."""
    if _is_part(parameter.default):
        yield from (field.name for field in fields(parameter.default))
    else:
        yield parameter.name


def check_whole_number(option: str, value: Any, least: int) -> int:
    """Checks that an option is a whole number of at least ``least``, and returns it.

    Args:
        option: the option, such as "data.batch_size".
        value: its value.
        least: the smallest number that is allowed.

    Raises:
        InputError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{option}={value} must be a whole number, {least} or more")
    return value


def check_seed(option: str, value: Any) -> int:
    """Checks that an option is a seed of random draws, and returns it.

    Raises:
        InputError: it is no whole number from 0 to 2**63 - 1.
    """
    if check_whole_number(option, value, 0) >= 2**63:
        raise InputError(f"{option}={value} must be a whole number below 2**63")
    return int(value)


def check_limit(option: str, value: Any) -> int | None:
    """Checks that an option is None, for no limit, or a whole number of at least 1, and returns it.

    Raises:
        InputError: it is neither.
    """
    return None if value is None else check_whole_number(option, value, 1)


def published_folder(root: str | os.PathLike[str] | None, data: str, folder: str, files: str) -> Path:
    """The folder of one published data set.

    Args:
        root: the folder of all published data sets.
        data: the choice ``data=`` that reads it, for messages.
        folder: its name below ``root``.
        files: the files in it, for messages.

    Raises:
        InputError: ``root`` is not given.
    """
    if root is None:
        raise InputError(
            f"data={data} reads {folder}/{files} in a folder that is not named: "
            "set the environment variable SEQLAB_DATA, or give data.root=FOLDER"
        )
    return Path(root) / folder


def check_hub_or_files(hub: str | None, path: Any, options: dict[str, Any]) -> None:
    """Refuses files beside a data set of the hub, and options of the hub without one.

    Args:
        hub: the data set's name; None: files are read.
        path: files that are one set.
        options: the other options; without ``hub``, ``name`` and ``revision`` are removed from them.

    Raises:
        InputError: ``hub`` and ``path`` are both given, or ``name`` or ``revision`` without ``hub``.
    """
    if hub is not None:
        if path is not None:
            raise InputError("data.hub and data.path are both given: give one of them")
        return
    for option in ("name", "revision"):
        if (value := options.pop(option, None)) is not None:
            raise InputError(f"data.{option}={value} is for a data set of the hub: give data.hub=NAME too")


def refuse_of_files(options: dict[str, Any]) -> None:
    """Refuses options that are for files where a data set of the hub is read.

    Args:
        options: the value of each such option; None where it is not given.

    Raises:
        InputError: one is given.
    """
    for option, value in options.items():
        if value is not None:
            raise InputError(f"data.{option}={value!r} is for files: a data set of the hub has columns with names")
