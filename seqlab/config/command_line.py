"""The parts of the command line of ``seqlab train`` that are read before Hydra reads it."""

import difflib
from typing import Final

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from seqlab.errors import InputError

_EXCLUSIVE: Final = ("run", "multirun", "cfg", "info", "shell_completion")
"""Options of which Hydra takes only one."""


def take_option(argv: list[str], option: str) -> tuple[list[str], list[str]]:
    """A command line without ``option VALUE`` and ``option=VALUE``, and the values of that option."""
    rest, values, arguments = [], [], iter(argv)
    for argument in arguments:
        if argument == option:
            values.append(next(arguments, ""))
        elif argument.startswith(option + "="):
            values.append(argument.partition("=")[2])
        else:
            rest.append(argument)
    return rest, values


def option_values(argv: list[str], *options: str) -> list[str]:
    """The values of one option, under each of its names."""
    return [value for option in options for value in take_option(argv, option)[1]]


def options_first(argv: list[str]) -> list[str]:
    """A command line with the options before the overrides: Hydra accepts no option between overrides.

    Raises:
        InputError: Hydra has no such option, an option has no value or is given twice, or two options exclude each
            other.

    Example:
        >>> options_first(["seed=1,2", "-m", "name=x", "--config-dir", "conf", "model.num_layers=2"])
        ['-m', '--config-dir', 'conf', 'seed=1,2', 'name=x', 'model.num_layers=2']
    """
    parser = get_args_parser()
    options, overrides = [], []
    exclusive: dict[str, str] = {}
    given: set[str] = set()
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            overrides.append(word)
            continue
        name, equals, _ = word.partition("=")
        action = parser._option_string_actions.get(name)
        if action is None:
            near = difflib.get_close_matches(name, [*parser._option_string_actions, "--allow"], n=1)
            hint = f"did you mean {near[0]}?" if near else "seqlab train --help lists them"
            raise InputError(f"there is no option {name}; {hint}")
        if action.nargs is None and action.dest in given:  # of several values, Hydra would take the last
            raise InputError(f"{name} is given twice; give it once")
        given.add(action.dest)
        options.append(word)
        if action.dest in _EXCLUSIVE:
            exclusive[action.dest] = name
        if equals or action.nargs == 0:
            continue
        choices = [*(action.choices or ())]
        if action.nargs is None and not rest:
            raise InputError(f"{name}: a value is needed, {', '.join(choices) or 'such as a folder'}")
        if action.nargs is None or (rest and rest[0] in choices):
            options.append(rest.pop(0))
            if choices and options[-1] not in choices:
                raise InputError(f"{name} {options[-1]}: expected one of {', '.join(choices)}")
    if len(exclusive) > 1:
        raise InputError(f"{' and '.join(exclusive.values())}: expected one of them; leave the others out")
    return [*options, *overrides]


def varied_keys(argv: list[str]) -> list[str]:
    """The keys that a command line sweeps over. An override that can't be parsed is left to Hydra, which reports it."""
    keys = []
    for text in argv:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException:
            continue
        if override.is_sweep_override():
            keys.append(override.get_key_element().lstrip("+~"))
    return keys
