"""What Hydra and OmegaConf say of a wrong configuration, in one line with the mend."""

import difflib
import importlib.resources
import re
import shlex
import traceback

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqlab.config.hash import flatten
from seqlab.config.values import GROUPS
from seqlab.sweep.launchers import EXTRAS


def is_of_composition(error: BaseException) -> bool:
    """Whether an error came up while Hydra composed a configuration: it is about a file or an override then."""
    return any(frame.f_code.co_name == "load_configuration" for frame, _ in traceback.walk_tb(error.__traceback__))


def explain(error: Exception) -> str:
    """What went wrong while a configuration was composed, in one line, with the mend."""
    text = " ".join(str(error).split()).partition(" Config search path")[0]
    if not isinstance(error, (HydraException, OmegaConfBaseException)):
        if (file := _file_read_at(error)) is not None:
            return text if file in text else f"{file} can't be read: {text}"
        override = _override_at(error)
        return text if override is None or override in text else f"{override}: {text}"
    if isinstance(error, OverrideParseException):
        return _explain_grammar(error.override, text)
    if unknown := re.search(r"Could not override '([^']+)'", text):
        known = _known_keys()
        if unknown[1] in known:  # of the default choice
            group = unknown[1].partition(".")[0]
            return f"there is no configuration key {unknown[1]} with the {group} that was chosen; leave it out"
        if choice := _choice_with(unknown[1]):
            group = unknown[1].partition(".")[0]
            return f"there is no configuration key {unknown[1]} with the {group} that was chosen; {choice} has it"
        near = difflib.get_close_matches(unknown[1], known, n=1)
        kind = "hydra" if unknown[1].startswith("hydra.") else "job"
        hint = f"did you mean {near[0]}?" if near else f"seqlab train --cfg {kind} prints those there are"
        return f"there is no configuration key {unknown[1]}; {hint}"
    if error.__cause__ is not None and (wrong := re.match(r"Error merging override (\S+)", text)):
        return f"{wrong[1]}: {str(error.__cause__).splitlines()[0]}"
    if (folder := re.search(r"Additional config directory '(.+)' not found", text)) is not None:
        return f"--config-dir {folder[1]}: there is no such folder"
    if absent := re.search(r"Could not find '(hydra/\w+)/(\w+)'", text):
        extra = EXTRAS.get(absent[1], {}).get(absent[2])
        if extra is not None:
            return f"{absent[1]}={absent[2]} is not installed; it comes with: pip install 'seqlab[{extra}]'"
    if not_interpolated := re.search(r"Environment variable '([^']+)' not found", text):
        return f"the environment variable {not_interpolated[1]} is not set, and the configuration needs it"
    if "Available options in" in text:
        return re.sub(r" _\w+", "", text)  # files that hold what several choices share, and are none
    return text


def _file_read_at(error: Exception) -> str | None:
    """The file that was read when an error came up: its path, or its name below the root of the configuration."""
    readers = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_name == "load_config"]
    if not readers:
        return None
    variables = readers[-1].f_locals
    return str(variables.get("full_path") or variables.get("config_path"))


def _override_at(error: Exception) -> str | None:
    """The override that was looked at when an error came up."""
    at = [frame.f_locals.get("override") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return next((each.input_line for each in reversed(at) if isinstance(each, Override)), None)


def _explain_grammar(override: str, text: str) -> str:
    """An override that Hydra can't parse, with its value quoted, for Hydra and for the shell."""
    key, equals, value = override.partition("=")
    if not equals or not value or not re.fullmatch(r"[+~]*[\w./@:-]+", key):
        return f"{override!r} can't be read as KEY=VALUE: {text}"
    return (
        f"{override} can't be read: {text.partition(' See http')[0]}; a value with special characters, as a file's "
        f"name may have, is quoted: {quote_override(key, value)}"
    )


def quote_override(key: str, value: str) -> str:
    """An override that means this very text, as a user types it in a shell.

    Example:
        >>> print(quote_override("data.path", "own=file's [1].txt"))
        'data.path="own=file'"'"'s [1].txt"'
    """
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    value = value.replace("${", "\\${")
    quoted = re.sub(r'(\\*)"', lambda match: 2 * match[1] + '\\"', value)
    trailing = len(quoted) - len(quoted.rstrip("\\"))
    return shlex.quote(f'{key}="{quoted}{trailing * chr(92)}"')


def _choice_with(key: str) -> str | None:
    """A choice of the key's group that has the key, such as "model=tagger"."""
    group = key.partition(".")[0]
    if group not in GROUPS:
        return None
    files = importlib.resources.files("seqlab.conf").joinpath(group)
    names = sorted(file.name.removesuffix(".yaml") for file in files.iterdir() if file.name.endswith(".yaml"))
    choices = (f"{group}={name}" for name in names if not name.startswith("_"))
    return next((choice for choice in choices if key in _known_keys(choice)), None)


def _known_keys(*overrides: str) -> list[str]:
    """The dotted keys of the default configuration, or of another choice."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("seqlab.conf", version_base="1.3"):
        plain = OmegaConf.to_container(hydra.compose("train", overrides=list(overrides)))
    assert isinstance(plain, dict)
    return list(dict(flatten({str(key): value for key, value in plain.items()})))
