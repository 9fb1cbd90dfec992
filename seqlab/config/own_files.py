"""What is refused of the files that a user adds to the configuration. Torch is not needed.

Hydra looks into its own files first, then into those that ship with seqlab, then into those of ``--config-dir``: of two
of one name it takes the first, and says nothing.
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
"""Groups whose files set keys of all others, and so must say that they stand at the top."""

_HEADER: Final = "# @package _global_"
_HEADER_CHARACTERS: Final = 512  # in which Hydra looks for it


def check_own_files(folders: Sequence[str]) -> None:
    """Refuses a file that Hydra would leave unread for another of its name, and one that would change nothing.

    Args:
        folders: those of ``--config-dir`` and ``hydra.searchpath``.

    Raises:
        InputError: naming the file, and how to mend it.
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
    return [entry.removeprefix("file://") for entry in _searched(overrides) if not entry.startswith("pkg://")]


def search_packages(overrides: Sequence[str]) -> list[str]:
    """The packages of ``hydra.searchpath`` on a command line.

    Example:
        >>> search_packages(["seed=1", "hydra.searchpath=[file://mine, pkg://other.conf]"])
        ['other.conf']
    """
    return [entry.removeprefix("pkg://") for entry in _searched(overrides) if entry.startswith("pkg://")]


def _searched(overrides: Sequence[str]) -> list[str]:
    found: list[str] = []
    for text in overrides:
        if text.lstrip("+").startswith("hydra.searchpath="):
            try:
                value = OverridesParser.create().parse_override(text).value()
            except HydraException:  # which Hydra will say itself
                continue
            found += [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []
    return found


def _shipped_files() -> Iterator[tuple[Path, str]]:
    """Each packaged file, Hydra's and seqlab's, and its name below the root of the configuration."""
    for package in ("hydra.conf", "seqlab.conf"):
        root = Path(str(files(package)))
        for path in sorted(root.rglob("*.yaml")):
            yield path, path.relative_to(root).as_posix()


def _differs(own: Path, packaged: Path) -> bool:
    """Whether a user's file says other things than the packaged one of its name; a copy does no harm."""
    try:
        return own.is_file() and not own.samefile(packaged) and own.read_bytes() != packaged.read_bytes()
    except OSError as error:
        raise InputError(f"{own} can't be read: {error.strerror}") from error


def _check_header(path: Path, group: str) -> None:
    try:
        text = path.read_text("utf-8")[:_HEADER_CHARACTERS]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"{path} can't be read: {reason}") from error
    try:
        package = ConfigSource._get_header_dict(text)["package"]
    except ValueError:  # such as words behind it
        package = None
    if package != "_global_":
        near = next((line.strip() for line in text.splitlines() if "@" in line or "package" in line.lower()), None)
        came = "" if near is None else f", which {near!r} is not" if near != _HEADER else ", before all other lines"
        raise InputError(f"{path}: a file of {group}/ changes nothing without its first line being {_HEADER!r}{came}")
