"""``seqlab.train``: one run from a script or a notebook."""

import contextlib
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from seqlab.commands.carry_out import carry_out
from seqlab.commands.run import Run
from seqlab.config.command_line import varied_keys
from seqlab.config.compose import plain_config
from seqlab.config.hints import explain
from seqlab.config.hydra_settings import check_typed
from seqlab.config.layers import list_overrides
from seqlab.config.names import overrides_of
from seqlab.config.own_files import check_own_files, search_path
from seqlab.config.project import use_project
from seqlab.config.trust import allow, check_targets, own_targets, targets
from seqlab.errors import InputError
from seqlab.imports import add_user_folders, quick_imports
from seqlab.run.folder import RunFolder
from seqlab.run.installed import is_own
from seqlab.run.loaded import check_imported
from seqlab.run.parents import INIT_FROM, resolve_init_from
from seqlab.run.start import Start
from seqlab.run.supervisor import open_attempt
from seqlab.sweep.sweeper import sweep_settings, tuning_sweeper

_composing: Final = threading.Lock()  # Hydra's state is global
_training_here: Final = threading.Lock()  # so are the random generators


class RunFailedError(RuntimeError):
    """A run did not complete; the message says why, and names its folder."""


def train(
    overrides: Sequence[str],
    *,
    cell: type | None = None,
    allowed: Iterable[str] = (),
    config_dir: str | os.PathLike[str] | None = None,
    process: bool = True,
) -> Run:
    """See :func:`seqlab.train`."""
    _check_arguments(overrides, cell, config_dir)
    allow(allowed)
    config_dir = use_project(None if config_dir is None else os.fspath(config_dir))
    if cell is not None:
        overrides = [*overrides, *_cell_overrides(cell, overrides)]
    _check_no_sweep(overrides)
    check_typed(overrides)
    check_own_files([*([] if config_dir is None else [config_dir]), *search_path(overrides)])
    run_dir, config, typed = _compose(overrides, config_dir)
    parent = config.get(INIT_FROM)
    overwrite = bool(config.get("overwrite"))
    _add_user_folders(config, config_dir)
    if cell is not None:
        check_imported([cell.__module__])  # the run's process imports it anew
    if process:
        code = carry_out(run_dir, config, typed, Start(to_python=True), overwrite=overwrite, parent=parent)
    else:
        with _alone():
            check_imported([*sys.modules] if own_targets(config) else [])
            code = _train_here(run_dir, config, typed, overwrite=overwrite, parent=parent)
    if code == 0:
        return Run(run_dir)
    state = RunFolder(run_dir).latest().state()  # the new run's, where it was to replace one
    reason = (state.reason or "it left no reason").splitlines()[-1]
    if code == 2:
        raise InputError(reason.removeprefix("seqlab.errors.InputError: "))
    raise RunFailedError(f"{run_dir} is {state.status}: {reason}")


def _check_arguments(overrides: Sequence[Any], cell: Any, config_dir: Any) -> None:
    """Refuses arguments of another kind than is expected."""
    for text in overrides:
        if not isinstance(text, str):
            mend = "; a list of them is given with a star: seqlab.train(*overrides)" if isinstance(text, list) else ""
            raise InputError(f"seqlab.train({text!r}): expected overrides, each a text such as 'seed=2'{mend}")
        if text.startswith("-"):
            raise InputError(
                f"seqlab.train({text!r}): options are the command's; expected overrides such as 'seed=2', and "
                "config_dir= and allow= as arguments"
            )
    if cell is not None and not (isinstance(cell, type) and "<locals>" not in cell.__qualname__):
        what = "a class within a function" if isinstance(cell, type) else f"an object of {type(cell).__name__}"
        shown = " ".join(repr(cell).split())
        raise InputError(
            f"cell={shown}: expected a class of a module, such as my_cells.MyCell, not {what}; arguments are "
            "overrides, such as 'model.hidden_size=8', and so is a name: 'model.cell._target_=my_cells.MyCell'"
        )
    if config_dir is not None and not (isinstance(config_dir, str | os.PathLike) and os.path.isdir(config_dir)):
        raise InputError(
            f"config_dir={str(config_dir)!r}: there is no such folder; expected one like conf of seqlab new"
        )


def _cell_overrides(cell: type, overrides: Sequence[str]) -> list[str]:
    """The overrides that choose a cell's class. Its module is trusted: the caller has imported it."""
    other = next(
        (text for text in overrides if text.lstrip("+").startswith(("model/cell=", "model.cell.", "model.cell="))), None
    )
    if other is not None:
        raise InputError(f"cell={cell.__name__} and {other!r} are both given; drop one of them")
    if cell.__module__ != "__main__":
        allow([cell.__module__])
    return ["model/cell=lstm", "~model.cell.bias", f"model.cell._target_={cell.__module__}.{cell.__qualname__}"]


def _check_no_sweep(overrides: Sequence[str]) -> None:
    """Refuses overrides that ask for a sweep: keys with several values, and settings of a sweeper."""
    sweeps = [text for text in overrides if re.split(r"[.=/]", text.lstrip("+~"))[:2] == ["hydra", "sweeper"]]
    if keys := [*varied_keys(list(overrides)), *sweeps]:
        raise _one_run(", ".join(keys))


def _one_run(what: str) -> InputError:
    return InputError(f"{what}: seqlab.train trains one run; seqlab train -m runs a sweep")


def _check_composed(composed: DictConfig) -> None:
    """Refuses a composed configuration that asks for a sweep: here it would be trained once."""
    if settings := sweep_settings(composed):
        chosen = composed.hydra.runtime.choices.get("sweep")
        raise _one_run(", ".join(settings) if chosen is None else f"sweep={chosen}")


def _compose(
    overrides: Sequence[str], config_dir: str | os.PathLike[str] | None
) -> tuple[Path, dict[str, Any], list[str]]:
    """The folder of a run, its configuration and its overrides."""
    search = [f"hydra.searchpath=[{_quoted('file://' + os.path.abspath(config_dir))}]"] if config_dir else []
    setup_globals()
    try:
        with _own_hydra(), initialize_config_module("seqlab.conf", version_base="1.3"):
            with tuning_sweeper():
                composed = compose("train", overrides=[*list_overrides(overrides), *search], return_hydra_config=True)
            _check_composed(composed)
            run_dir = Path(str(composed.hydra.run.dir)).absolute()
            typed = overrides_of(composed.hydra)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(explain(error)) from error
    config = plain_config(composed)
    if config.get("dry_run"):
        raise InputError(
            "dry_run=true: a dry run is the command's, and seqlab.train trains: leave it out, or give the same "
            "overrides to seqlab train"
        )
    config = resolve_init_from(config)
    _check_modules(config)
    check_targets(config)
    return run_dir, config, typed


def _quoted(text: str) -> str:
    """A text in the quotes of Hydra's overrides, whose grammar gives a meaning to characters that a path may have."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f"'{escaped}{trailing * chr(92)}'"


@contextlib.contextmanager
def _own_hydra() -> Iterator[None]:
    """Gives Hydra's global state to one thread at a time, and restores that of a caller that uses Hydra itself."""
    with _composing:
        before = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        try:
            yield
        finally:
            GlobalHydra.instance().hydra = before


def _check_modules(config: dict[str, Any]) -> None:
    """Refuses classes that another process cannot import by their names."""
    for key, target in targets(config):
        if target.partition(".")[0] == "__main__":
            name = target.rpartition(".")[2]
            raise InputError(
                f"{key}._target_ is {target}, which is defined in a notebook or in the script that runs; put it into "
                f"a file of its own, such as my_cells.py, and name it my_cells.{name}"
            )


def _add_user_folders(config: dict[str, Any], config_dir: str | None) -> None:
    """Lets the run's process import the user's modules that the configuration names and this process has imported."""
    folders = [os.getcwd(), *([] if config_dir is None else [os.path.dirname(os.path.abspath(config_dir))])]
    for _, target in targets(config):
        file = getattr(sys.modules.get(target.partition(".")[0]), "__file__", None)
        if file is not None and is_own(target.partition(".")[0], file):
            path = Path(file).resolve()
            folders.append(str(path.parents[1] if path.name == "__init__.py" else path.parent))
    add_user_folders(folders)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Lets one run at a time train in this process.

    Raises:
        InputError: another one trains.
    """
    if not _training_here.acquire(blocking=False):
        raise InputError(
            "process=False: this process trains another run, and both would draw from its one random generator; train "
            "one after the other, or leave process=False out"
        )
    try:
        yield
    finally:
        _training_here.release()


def _train_here(run_dir: Path, config: dict[str, Any], overrides: list[str], *, overwrite: bool, **fields: Any) -> int:
    """Trains in this process; returns the exit code, or raises the run's own error."""
    with quick_imports():
        from seqlab.run.training_process import train_in_this_process

    with open_attempt(run_dir, config, overrides, overwrite=overwrite, **fields) as attempt:
        if not attempt.is_complete:
            train_in_this_process(attempt.claim)
        return attempt.note_end(0)
