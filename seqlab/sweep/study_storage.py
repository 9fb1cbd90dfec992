"""Where a study is kept: a SQLite file beside its runs, or any database that Optuna can use."""

import contextlib
import sqlite3
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from seqlab.errors import InputError

STORAGE: Final = "hydra.sweeper.storage"
_SQLITE: Final = "sqlite:///"
_WAIT_SECONDS: Final = 60.0  # for another process that has the file locked


def import_optuna() -> Any:
    """Optuna, which is an extra.

    Raises:
        InputError: it is not installed, or in a version before 5.
    """
    mend = "pip install 'seqlab[optuna]'"
    try:
        import optuna
    except ImportError as error:
        raise InputError(f"a search needs {error.name or 'optuna'}, which is not installed: {mend}") from error
    if int(version("optuna").partition(".")[0]) < 5:
        raise InputError(f"a search needs Optuna 5 or later, and {version('optuna')} is installed: {mend}")
    return optuna


def sqlite_file(url: str, sweep_dir: Path) -> Path | None:
    """The file of a SQLite storage; None for another database, and for an address with options.

    Example:
        >>> sqlite_file("sqlite:///runs/what?/study.db", Path("runs/what?")).name
        'study.db'
        >>> sqlite_file("postgresql://host/studies", Path("runs/x"))
    """
    if not url.startswith(_SQLITE):
        return None
    path = url.removeprefix(_SQLITE)
    is_beside_runs = Path(path).is_relative_to(sweep_dir)
    return Path(path) if path and (is_beside_runs or "?" not in path) and path != ":memory:" else None


def open_storage(url: str | None, sweep_dir: Path) -> Any:
    """Opens a storage.

    Args:
        url: the address of a database; None: the study is kept in memory.
        sweep_dir: the sweep's folder.

    Raises:
        InputError: it can't be opened, or another version of Optuna has written it.
    """
    optuna = import_optuna()
    if url is None:
        return optuna.storages.InMemoryStorage()
    path = sqlite_file(url, sweep_dir)
    try:
        with storage_errors(url):
            if path is None:
                return optuna.storages.get_storage(url)
            # The path goes to SQLite as it is: in an address, characters such as ? or % mean something.
            options = {"creator": lambda: sqlite3.connect(path, timeout=_WAIT_SECONDS, check_same_thread=False)}
            return optuna.storages.get_storage(optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs=options))
    except InputError:
        raise
    except ImportError as error:
        raise InputError(f"{STORAGE}={url}: the driver of this database is not installed ({error})") from error
    except ValueError as error:
        raise InputError(f"{STORAGE}={url}: {_one_line(error)}; expected the address of a database") from error
    except RuntimeError as error:
        raise InputError(_other_version(str(error), url, path)) from error


@contextlib.contextmanager
def storage_errors(url: str | None) -> Iterator[None]:
    """Turns the errors of a database into one line.

    Raises:
        InputError: the database can't be read or written.
    """
    if url is None:
        yield
        return
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        yield
    except ArgumentError as error:
        raise InputError(f"{STORAGE}={url}: expected the address of a database, as sqlite:///FILE, or null") from error
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error) as error:
        cause = error.__cause__ or error
        reason = _one_line(getattr(cause, "orig", None) or cause).partition(" (Background on")[0]
        raise InputError(
            f"{STORAGE}={url} can't be used: {reason}; once this is repaired, the same command goes on"
        ) from error


def _other_version(text: str, url: str, path: Path | None) -> str:
    """What to do about a storage whose form is not that of this version of Optuna."""
    if "storage upgrade" not in text:
        return f"{STORAGE}={url}: {' '.join(text.split())}; or search in another study by name=ANOTHER"
    where = path if path is not None else f"{STORAGE}={url}"
    return (
        f"{where} was written by an older Optuna than {version('optuna')}, which can't go on with it as it is: search "
        f"in another study by name=ANOTHER, or keep a copy and run: optuna storage upgrade --storage '{url}'"
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
