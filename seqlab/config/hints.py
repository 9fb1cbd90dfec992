"""Errors of Hydra and OmegaConf about a configuration, in one line with the mend."""

import difflib
import importlib.resources
import re
import shlex
import traceback
from collections.abc import Mapping, Sequence
from typing import Final

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seqlab.config.hash import flatten
from seqlab.config.values import GROUPS
from seqlab.sweep.launchers import EXTRAS

_SWEEPER_KEYS: Final = tuple(f"hydra.sweeper.{name}" for name in ("tune", "fresh_seeds", "rungs", "keep", "n_trials"))


def is_of_composition(error: BaseException) -> bool:
    """Whether Hydra raised an error while it composed a configuration: then it is about a file or an override."""
    return any(frame.f_code.co_name == "load_configuration" for frame, _ in traceback.walk_tb(error.__traceback__))


def explain(error: Exception) -> str:
    """An error of composing a configuration as one line with the mend."""
    text = " ".join(str(error).split()).partition(" Config search path")[0]
    if not isinstance(error, (HydraException, OmegaConfBaseException)):
        if isinstance(error, RecursionError):
            return _explain_circle(error)
        if (file := _file_read_at(error)) is not None:
            return text if file in text else f"{file} can't be read: {text}"
        override = _override_at(error)
        return text if override is None or override in text else f"{override}: {text}"
    if isinstance(error, OverrideParseException):
        return _explain_grammar(error.override, text)
    if match := re.search(r"Could not override '([^']+)'", text):
        return _explain_key(match[1], _overrides_at(error))
    if error.__cause__ is not None and (match := re.match(r"Error merging override (\S+)", text)):
        return f"{match[1]}: {str(error.__cause__).splitlines()[0]}"
    if match := re.search(r"Additional config directory '(.+)' not found", text):
        return f"--config-dir {match[1]}: there is no such folder; give the folder of your own configuration files"
    if match := re.search(r"Could not find '(hydra/\w+)/(\w+)'", text):
        extra = EXTRAS.get(match[1], {}).get(match[2])
        if extra is not None:
            return f"{match[1]}={match[2]} is not installed; it comes with: pip install 'seqlab[{extra}]'"
    if match := re.search(
        r"(?:Ambiguous value for argument|Sweeping over Hydra's configuration).*?'(([^'=]+)=([^']*))'", text
    ):
        return f"{match[1]}: {_several_values(match[2], match[3])}"
    if match := re.search(r"Sweep parameters '([^']+)' requires --multirun", text):
        return f"{match[1]}: {_several_values(match[1].partition('=')[0], None)}"
    if match := re.search(r"Environment variable '([^']+)' not found", text):
        return f"the environment variable {match[1]} is not set, and the configuration needs it; set it"
    if match := re.search(r"Could not find '([\w/]+)/([^'/]+)' Available options in '[^']*':(.*)", text):
        choices = [name for name in match[3].split() if not name.startswith("_")]  # those are parts of choices
        near = difflib.get_close_matches(match[2], choices, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{match[1]}={match[2]}: there is no such choice; {hint}the choices are {', '.join(choices)}"
    return text


def _several_values(key: str, values: str | None) -> str:
    """What is to be done about several values of a key, such as "1,2"; None: of a function, such as ``range(1,3)``."""
    if key.startswith("hydra."):  # of the sweep itself, which can't be swept
        many = "" if values is None or "(" in values else f"; a list is written with brackets, {key}=[{values}]"
        return f"a key of the sweep itself takes one value{many}"
    text = "several values are a sweep: add -m"
    if values is None or ("." not in key and key != "model/cell"):
        return text
    return f"{text}; a list is written with brackets, {key.replace('/', '.')}=[{values}]"


def _explain_key(key: str, overrides: Sequence[str] = ()) -> str:
    """An override of a key that does not exist, among all ``overrides``."""
    if "/" in key and not key.startswith("hydra/"):
        return _explain_group(key)
    keys, group, parent = _keys(), key.partition(".")[0], key.rpartition(".")[0]
    if "." in parent and (whole := [text for text in overrides if text.startswith(f"{parent}=")]):
        return f"{whole[0]} leaves no key {key}: give one of the two"
    if key in keys:  # it exists with the default choice
        return f"there is no configuration key {key} with the {group} that was chosen; leave it out"
    if choices := _choices_with(key):
        have = "have it" if len(choices) > 1 else "has it"
        return f"there is no configuration key {key} with the {group} that was chosen; {', '.join(choices)} {have}"
    near = difflib.get_close_matches(key, [*keys, *_SWEEPER_KEYS], n=1)
    section = "hydra" if key.startswith("hydra.") else "job"
    hint = f"did you mean {near[0]}?" if near else f"seqlab train --cfg {section} prints those there are"
    return f"there is no configuration key {key}; {hint}"


def _file_read_at(error: Exception) -> str | None:
    """The file that Hydra was reading: its path, or its name below the root of the configuration."""
    readers = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_name == "load_config"]
    if not readers:
        return None
    variables = readers[-1].f_locals
    return str(variables.get("full_path") or variables.get("config_path"))


def _explain_group(group: str) -> str:
    """A choice of a group that does not exist, or that the other choices leave no place for."""
    root = importlib.resources.files("seqlab.conf")
    if root.joinpath(group).is_dir():
        above = group.rpartition("/")[0]
        return (
            f"{group} is chosen, by an experiment or the command line, and the {above} that was chosen has none: "
            f"choose another {above}, or leave the experiment out"
        )
    groups = [f"{folder.name}/{each.name}" for folder in root.iterdir() if folder.is_dir() for each in folder.iterdir()]
    near = difflib.get_close_matches(group, [name for name in groups if root.joinpath(name).is_dir()], n=1)
    return f"there is no group {group}; " + (f"did you mean {near[0]}?" if near else "the reference lists them")


def _overrides_at(error: Exception) -> list[str]:
    """All overrides that Hydra was given."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return next((f.f_locals["overrides"] for f in frames if f.f_code.co_name == "load_configuration"), [])


def _override_at(error: Exception) -> str | None:
    """The override that Hydra was applying."""
    overrides = [frame.f_locals.get("override") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return next((override.input_line for override in reversed(overrides) if isinstance(override, Override)), None)


def _explain_circle(error: RecursionError) -> str:
    """Which file's defaults name a choice that an override, or a file, replaces by that file itself."""
    frames = (frame.f_locals.get("path") for frame, _ in traceback.walk_tb(error.__traceback__))
    path = next((each for each in frames if isinstance(each, str) and "/" in each), None)
    if path is None:
        return "the configuration's files name each other in a circle, by their defaults"
    group, _, name = path.rpartition("/")
    return (
        f"the defaults of {path}.yaml lead back to it. To take another file of {group} for its base, write '- NAME' "
        f"and not '- /{group}: NAME': {group}={name} chooses it wherever a file names the group"
    )


def _explain_grammar(override: str, text: str) -> str:
    """An override that Hydra can't parse, and how to quote it for Hydra and for the shell."""
    key, equals, value = override.partition("=")
    if not equals or not value or not re.fullmatch(r"[+~]*[\w./@:-]+", key):
        return f"{override!r} can't be read as KEY=VALUE: {text}"
    for opening, closing in ("[]", "{}", "()"):
        if value.count(opening) > value.count(closing):
            quoted = quote_override(key, value)
            return (
                f"{override} can't be read: a {opening} is not closed by a {closing}; in a name, it is quoted: {quoted}"
            )
    return (
        f"{override} can't be read: {text.partition(' See http')[0]}; a value with special characters, as a file's "
        f"name may have, is quoted: {quote_override(key, value)}"
    )


def quote_override(key: str, value: str) -> str:
    """An override as a user types it in a shell, quoted so that its value is exactly this text.

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


def _choices_with(key: str) -> list[str]:
    """The choices of the key's group that have the key, such as "model=tagger"."""
    group = key.partition(".")[0]
    if group not in GROUPS:
        return []
    with importlib.resources.as_file(importlib.resources.files("seqlab.conf").joinpath(group)) as folder:
        texts = {
            path.relative_to(folder).with_suffix("").as_posix(): path.read_text() for path in folder.rglob("*.yaml")
        }
    names = sorted(place for place in texts if not re.search(r"/|^_", place))
    written = rf"\b{re.escape(key.rpartition('.')[2])}\b['\"]?\s*:"
    possible = (name for name in names if any(re.search(written, text) for text in _read_for(name, texts)))
    return [f"{group}={name}" for name in possible if key in _keys(f"{group}={name}")]


def _read_for(place: str, texts: Mapping[str, str]) -> list[str]:
    """The text of a file of a group and those of all files that it names: what they do not write, a choice has not.

    To compose a choice takes a tenth of a second, and data have forty.
    """
    waiting, found = [place], {place}
    while waiting:
        words = set(re.findall(r"\w+", texts[waiting.pop()]))
        named = {other for other in texts if other.rpartition("/")[2] in words} - found
        found |= named
        waiting += named
    return [texts[each] for each in found]


def _keys(*overrides: str) -> list[str]:
    """The dotted keys of the default configuration, or of another choice."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("seqlab.conf", version_base="1.3"):
        plain = OmegaConf.to_container(hydra.compose("train", overrides=list(overrides)))
    assert isinstance(plain, dict)
    return list(dict(flatten({str(key): value for key, value in plain.items()})))
