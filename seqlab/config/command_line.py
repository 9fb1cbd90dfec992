"""What ``seqlab train`` reads from its command line before Hydra does."""

import os
import sys

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException


def take_option(argv: list[str], option: str) -> tuple[list[str], list[str]]:
    """Takes ``option VALUE`` and ``option=VALUE`` out of a command line."""
    rest, values, arguments = [], [], iter(argv)
    for argument in arguments:
        if argument == option:
            values.append(next(arguments, ""))
        elif argument.startswith(option + "="):
            values.append(argument.partition("=")[2])
        else:
            rest.append(argument)
    return rest, values


def values(argv: list[str], *options: str) -> list[str]:
    return [value for option in options for value in take_option(argv, option)[1]]


def extend_python_path(folders: list[str]) -> None:
    """A console script has neither the working folder nor the user's own beside ``--config-dir`` on its path; nor has
    its child."""
    for folder in folders:
        if folder not in sys.path:
            sys.path.append(folder)
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*filter(None, known), *folders]))


def flags_first(argv: list[str]) -> list[str]:
    """A command line that Hydra can read: it takes overrides in one row only, with no ``-m`` between them.

    >>> flags_first(["seed=1,2", "-m", "name=x"])
    ['-m', 'seed=1,2', 'name=x']
    """
    return sorted(argv, key=lambda argument: argument not in ("-m", "--multirun"))


def varied_keys(argv: list[str]) -> list[str]:
    """The keys that a command line sweeps over; what Hydra cannot parse, it will say itself."""
    keys = []
    for text in argv:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException:
            continue
        if override.is_sweep_override():
            keys.append(override.get_key_element().lstrip("+~"))
    return keys
