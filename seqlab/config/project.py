"""The user's project file: what would be repeated with each command. Torch is not needed.

It is ``seqlab.toml``, or the table ``[tool.seqlab]`` of ``pyproject.toml``. It can allow code to run, so it is read
from the working folder alone, and each use prints a line.
"""

import difflib
import os
import stat
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from seqlab.config.trust import PROJECT_ALLOW_VARIABLE
from seqlab.errors import InputError
from seqlab.imports import add_user_folders
from seqlab.run.layout import EVENTS_NAME, RECORD_NAME, checkpoint_folder

FILE_NAME: Final = "seqlab.toml"
PYPROJECT: Final = "pyproject.toml"

DATA_VARIABLE: Final = "SEQLAB_DATA"
RUNS_VARIABLE: Final = "SEQLAB_RUNS"
VARIABLES: Final = (PROJECT_ALLOW_VARIABLE, RUNS_VARIABLE, DATA_VARIABLE)
"""The environment variables that carry a project's settings to the processes of its runs and its jobs."""

DEFAULT_RUNS: Final = "runs"

_KEYS: Final = {
    "allow": 'a list of modules, such as ["my_cells"]',
    "config_dir": 'a folder, such as "conf"',
    "runs_dir": 'a folder, such as "runs"',
    "data_dir": 'a folder, such as "~/data"',
}
_set_here: dict[str, str] = {}  # the variables that this process has set, and to what


@dataclass(frozen=True)
class Project:
    """The settings of a project file.

    Attributes:
        name: the file's name, for messages; empty if there is no file.
        allow: modules whose classes a configuration may name, beside those of ``--allow``.
        config_dir: the folder with more configuration groups, which ``--config-dir`` replaces.
        runs_dir: the folder of the runs, as ``SEQLAB_RUNS``.
        data_dir: the folder of the published data sets, as ``SEQLAB_DATA``.
    """

    name: str = ""
    allow: tuple[str, ...] = ()
    config_dir: str | None = None
    runs_dir: str | None = None
    data_dir: str | None = None


def read_project(folder: Path) -> Project:
    """The settings of the project file in a folder. Its relative paths become absolute.

    Args:
        folder: the working folder.

    Returns:
        The settings; all empty if there is no file.

    Raises:
        InputError: the file can't be read, belongs to another user, or has an unknown key or a wrong value; or there
            are two of them.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "seqlab.toml").write_text('allow = ["my_cells"]')
        ...     read_project(Path(folder)).allow
        ('my_cells',)
    """
    settings = {name: table for name, table in (_own_file(folder), _table_of_pyproject(folder)) if table}
    if len(settings) > 1:
        raise InputError(f"{' and '.join(settings)} both hold settings; move all of them into {FILE_NAME}")
    for name, table in settings.items():
        _check(name, table)
        path = folder / (FILE_NAME if name == FILE_NAME else PYPROJECT)
        _check_owner(path)
        paths = {key: _absolute(name, key, folder, table[key]) for key in table if key != "allow"}
        return Project(name, tuple(table.get("allow", ())), **paths)
    return Project()


def use_project(config_dir: str | None = None, *, trusts_beside: bool = False) -> str | None:
    """Reads the working folder's project file and puts it into effect, for this process and its children.

    One line on standard error says what it sets. What an earlier call has set in this process is undone: its file may
    be that of another working folder.

    Args:
        config_dir: the folder of ``--config-dir``, which replaces the project's; None: there is none.
        trusts_beside: whether the modules beside the configuration folder are allowed as well.

    Returns:
        The configuration folder in effect; None if there is none.

    Raises:
        InputError: as :func:`read_project`; or the project's folder does not exist.
    """
    folder = Path.cwd()
    if (run := _run_around(folder)) is None:
        project = read_project(folder)
    else:
        project = Project()
        if os.path.lexists(folder / FILE_NAME):
            print(f"seqlab: {FILE_NAME} is not read: it is in the folder of a run, {run}", file=sys.stderr, flush=True)
    modules = ", ".join(project.allow)
    os.environ[PROJECT_ALLOW_VARIABLE] = ",".join(project.allow)
    values = {}
    if project.config_dir is not None:
        values["config_dir"] = project.config_dir if config_dir is None else f"{config_dir} (by --config-dir)"
        if config_dir is None and not os.path.isdir(project.config_dir):
            raise InputError(
                f"{project.name}: config_dir is {project.config_dir}: there is no such folder; make it, or drop the key"
            )
        if config_dir is None and trusts_beside:
            modules += f"{' and ' if modules else ''}those in {os.path.dirname(project.config_dir)}"
    for key, name, value in (
        ("runs_dir", RUNS_VARIABLE, project.runs_dir),
        ("data_dir", DATA_VARIABLE, project.data_dir),
    ):
        is_set = _set(name, value)
        if value is not None:
            values[key] = value if is_set else f"{os.environ[name]} (by {name})"
    for name in (RUNS_VARIABLE, DATA_VARIABLE):
        if "${" in (value := os.environ.get(name, "")):
            raise InputError(
                f"{name} is {value!r}: Hydra would take ${{ for the beginning of a key; name another folder"
            )
    if project.name:
        allowed = f" allows the modules {modules};" if modules else ":"
        text = ", ".join(f"{key}={value}" for key, value in values.items())
        print(f"seqlab: {project.name}{allowed} {text}".rstrip(" ;:"), file=sys.stderr, flush=True)
    return project.config_dir if config_dir is None else config_dir


def use_project_modules() -> None:
    """As :func:`use_project`, for a command on a stored run; the user's modules can then be imported.

    They are found in the working folder and beside the project's ``config_dir``.
    """
    config_dir = use_project()
    add_user_folders([os.getcwd(), *([] if config_dir is None else [os.path.dirname(config_dir)])])


def project_runs() -> str:
    """The folder that runs are written below: that of ``SEQLAB_RUNS`` or of the project file, else ``runs``."""
    use_project()
    return os.environ.get(RUNS_VARIABLE) or DEFAULT_RUNS


def _own_file(folder: Path) -> tuple[str, Any]:
    text = _text(folder / FILE_NAME)
    return FILE_NAME, None if text is None else _parse(FILE_NAME, text)


def _table_of_pyproject(folder: Path) -> tuple[str, Any]:
    name = f"[tool.seqlab] of {PYPROJECT}"
    text = _text(folder / PYPROJECT)
    if text is None or "seqlab" not in text:  # another tool's mistake is not ours to report
        return name, None
    tools = _parse(PYPROJECT, text).get("tool")
    table = tools.get("seqlab") if isinstance(tools, Mapping) else None
    if table is not None and not isinstance(table, Mapping):
        raise InputError(f"{PYPROJECT}: tool.seqlab is {table!r}; expected a table, [tool.seqlab], with {_choices()}")
    return name, table


def _text(path: Path) -> str | None:
    """The text of a file; None if there is none."""
    if not os.path.lexists(path):
        return None
    try:
        return path.read_text("utf-8-sig")  # some editors begin a file with a mark of UTF-8
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"{path.name} can't be read: {reason}; repair it, or remove it") from error


def _parse(name: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name} is not TOML: {error}; repair that line") from error


def _check(name: str, table: Mapping[str, Any]) -> None:
    """Refuses unknown keys and wrong values."""
    for key, value in table.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(key.replace("-", "_"), _KEYS, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise InputError(f"{name}: there is no key {key}; {hint}expected {_choices()}")
        if key == "allow":
            is_right = isinstance(value, list) and all(map(_is_module, value))
        else:
            is_right = isinstance(value, str) and bool(value.strip()) and not any(map(value.__contains__, ("\0", "${")))
        if not is_right:
            raise InputError(f"{name}: {key} is {value!r}; expected {_KEYS[key]}")


def _is_module(name: Any) -> bool:
    return isinstance(name, str) and all(part.isidentifier() for part in name.split("."))


def _choices() -> str:
    *most, last = _KEYS
    return f"{', '.join(most)} or {last}"


def _check_owner(path: Path) -> None:
    """Refuses a file that another user has put here, such as into /tmp: it would have code run.

    The owner of the working folder may: whoever works there has chosen to.
    """
    trusted = {os.getuid(), 0, path.parent.stat().st_uid}
    target = path.stat()
    if not {path.lstat().st_uid, target.st_uid} <= trusted or target.st_mode & stat.S_IWOTH:
        raise InputError(
            f"{path.name} is not read: it is another user's, or others may write it, and it can allow code to run; if "
            f"you trust it, make it your own: chown $USER {path.name}; chmod o-w {path.name}"
        )


def _absolute(name: str, key: str, folder: Path, text: str) -> str:
    try:
        return os.path.normpath(folder / Path(text).expanduser())
    except RuntimeError as error:
        raise InputError(f"{name}: {key} is {text!r}: {error}; expected {_KEYS[key]}") from error


def _run_around(folder: Path) -> Path | None:
    """The run whose folder this is, or is in: it can come from anybody. ``run.json`` alone may be another program's."""
    for each in (folder, *folder.parents):
        if (each / EVENTS_NAME).is_file() or ((each / RECORD_NAME).is_file() and checkpoint_folder(each).is_dir()):
            return each
    return None


def _set(name: str, value: str | None) -> bool:
    """Sets a variable of the environment, unless the user has; returns whether it did.

    None undoes what an earlier call has set.
    """
    present = os.environ.get(name)
    if present and present != _set_here.get(name):
        return False
    if value is None:
        os.environ.pop(name, None)
        _set_here.pop(name, None)
    elif present != value:
        os.environ[name] = _set_here[name] = value
    return True
