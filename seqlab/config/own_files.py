"""Checks of the configuration files that a user adds. Torch is not needed.

Hydra searches its own files first, then those of seqlab, then those of ``--config-dir``. Of two files of one name it
takes the first, without a word.
"""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigSource

from seqlab.errors import InputError

GLOBAL: Final = ("experiment", "sweep", "launcher")
"""Groups whose files set keys of all other groups, and so need the header `_HEADER`."""

_HEADER: Final = "# @package _global_"
_HEADER_CHARACTERS: Final = 512  # Hydra looks for the header in so many


def check_own_files(folders: Sequence[str]) -> None:
    """Refuses a file that Hydra would not read, because another has its name, or that would change nothing.

    Args:
        folders: of ``--config-dir`` and ``hydra.searchpath``.

    Raises:
        InputError: names the file and the mend.
    """
    for folder in map(Path, folders):
        for packaged, name in _shipped_files():
            if _differs(folder / name, packaged):
                raise InputError(
                    f"{folder / name} would not be read: {packaged} is of the same name and comes first; give it "
                    f"another name"
                )
        for group in GLOBAL:
            for path in sorted((folder / group).rglob("*.yaml")):
                _check_header(path, group)


def search_path(overrides: Sequence[str]) -> list[str]:
    """The folders of ``hydra.searchpath`` on a command line.

    Example:
        >>> search_path(["seed=1", "hydra.searchpath=[file://mine, pkg://other.conf]"])
        ['mine']
    """
    return [entry.removeprefix("file://") for entry in _search_entries(overrides) if not entry.startswith("pkg://")]


def search_packages(overrides: Sequence[str]) -> list[str]:
    """The packages of ``hydra.searchpath`` on a command line.

    Example:
        >>> search_packages(["seed=1", "hydra.searchpath=[file://mine, pkg://other.conf]"])
        ['other.conf']
    """
    return [entry.removeprefix("pkg://") for entry in _search_entries(overrides) if entry.startswith("pkg://")]


def _search_entries(overrides: Sequence[str]) -> list[str]:
    entries: list[str] = []
    for text in overrides:
        if text.lstrip("+").startswith("hydra.searchpath="):
            try:
                value = OverridesParser.create().parse_override(text).value()
            except HydraException:  # Hydra itself will report it
                continue
            entries += [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []
    return entries


def _shipped_files() -> Iterator[tuple[Path, str]]:
    """Each configuration file of Hydra and seqlab, with its name below the root of the configuration."""
    for package in ("hydra.conf", "seqlab.conf"):
        root = Path(str(files(package)))
        for path in sorted(root.rglob("*.yaml")):
            yield path, path.relative_to(root).as_posix()


def _differs(own: Path, packaged: Path) -> bool:
    """Whether a user's file differs from the packaged one of its name; a copy does no harm."""
    try:
        return own.is_file() and not own.samefile(packaged) and own.read_bytes() != packaged.read_bytes()
    except OSError as error:
        raise InputError(f"{own} can't be read: {error.strerror}") from error


def _check_header(path: Path, group: str) -> None:
    """Refuses a file of a group in `GLOBAL` without the header."""
    try:
        text = path.read_text("utf-8")[:_HEADER_CHARACTERS]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"{path} can't be read: {reason}") from error
    try:
        package = ConfigSource._get_header_dict(text)["package"]
    except ValueError:  # such as for further words in the header's line
        package = None
    if package != "_global_":
        near = next((line.strip() for line in text.splitlines() if "@" in line or "package" in line.lower()), None)
        hint = "" if near is None else f", which {near!r} is not" if near != _HEADER else ", before all other lines"
        raise InputError(f"{path}: a file of {group}/ changes nothing without its first line being {_HEADER!r}{hint}")
