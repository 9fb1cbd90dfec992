"""``seqlab resume``: continues a stopped run in place, and a completed one as a new run beside it."""

import os
import sys
from pathlib import Path
from typing import Any

from seqlab.commands.carry_out import carry_out
from seqlab.config.checks import check_config
from seqlab.config.hash import config_hash
from seqlab.config.overrides import override
from seqlab.config.paths import absolute_paths, moved_paths
from seqlab.config.trust import allow
from seqlab.errors import InputError
from seqlab.imports import add_user_folders
from seqlab.report import tensorboard as board
from seqlab.run.events import ABSENT, COMPLETED
from seqlab.run.folder import RunFolder
from seqlab.run.layout import EVENTS_NAME, RECORD_NAME, REPLACEMENT
from seqlab.run.parents import CONTINUES, continued_config, continued_folder
from seqlab.run.start import Start
from seqlab.run.state import State
from seqlab.sweep.sweep import show_in_tensorboard


def resume(run_dir: Path, overrides: list[str], allowed: list[str]) -> int:
    """``seqlab resume RUN_DIR [OVERRIDES]``: continues a run from its last checkpoint; returns the exit code.

    A completed run is left as it is: more epochs or steps are trained as a new run in a folder beside it, which names
    its parent.

    Raises:
        InputError: an override would change what the run computes, or the folder holds no run.
    """
    if run_dir.name in ("", ".."):  # the working folder, or one above
        run_dir = Path(os.path.abspath(run_dir))
    if run_dir.name == REPLACEMENT:
        run_dir = run_dir.parent
    run = RunFolder(run_dir)
    if run.is_old():
        raise InputError(
            f"{run_dir} has a {RECORD_NAME} without {EVENTS_NAME} or with an empty one, as runs of earlier versions of "
            "seqlab do: it can be reported, not resumed"
        )
    run.repair()
    latest = run.latest()  # the replacement, where a run with overwrite=true is under way
    state, changed, is_same, notices = _changed(latest, run_dir, overrides)
    if latest is not run and not is_same:
        latest = run
        state, changed, is_same, notices = _changed(run, run_dir, overrides)
    for notice in notices:
        print(f"seqlab: {notice}", file=sys.stderr, flush=True)
    if state.status == COMPLETED and is_same and latest is run:
        print(f"{run_dir} is complete already; its metrics are in {run_dir / RECORD_NAME}")
        return 0
    allow(allowed)
    add_user_folders([os.getcwd()])
    if state.status == COMPLETED and latest is run:
        return _continue(run_dir, state, changed, overrides)
    if not is_same:
        raise InputError(
            f"{' '.join(overrides)}: a resumed run computes what it began with; only where it runs, where its data "
            "lies and what it shows may change, such as data.path, trainer.devices and trainer.accelerator"
        )
    check_config(changed)
    before = state.record["overrides"] or []
    return _finish(run_dir, carry_out(run_dir, changed, before, Start(), overwrite=latest is not run))


def _changed(run: RunFolder, run_dir: Path, overrides: list[str]) -> tuple[State, dict[str, Any], bool, list[str]]:
    """The run's state, its overridden configuration, whether that computes the same, and notices about moved data."""
    state = run.state()
    if state.status == ABSENT:
        raise InputError(f"{run_dir} is not the folder of a run: it has no {EVENTS_NAME}")
    config, notices = moved_paths(state.record["config"], state.record["places"], run_dir)
    changed = absolute_paths(override(config, overrides))
    return state, changed, config_hash(changed) == config_hash(config), notices


def _continue(run_dir: Path, state: State, changed: dict[str, Any], overrides: list[str]) -> int:
    """Continues a completed run as a new one."""
    check_config(changed)
    config = continued_config(run_dir, state, changed)
    folder = continued_folder(run_dir, overrides)
    continuation = RunFolder(folder).state()
    if continuation.status == COMPLETED and continuation.record["config_hash"] == config_hash(config):
        print(f"{folder} is complete already; its metrics are in {folder / RECORD_NAME}")
        return 0
    # Data and code must be the parent's, as they must for a resumed run.
    origin = {name: state.record[name] for name in ("data_hash", "code")}
    all_overrides = [*(state.record["overrides"] or []), *overrides]
    print(f"{run_dir} has completed; it goes on as a new run in {folder}", flush=True)
    return _finish(folder, carry_out(folder, config, all_overrides, Start(), parent=config[CONTINUES], **origin))


def _finish(run_dir: Path, code: int) -> int:
    sweep_dir = run_dir.resolve().parent
    if any(sweep_dir.glob(f"*/{board.FILE_NAME}")):
        show_in_tensorboard(sweep_dir)
    print(run_dir, flush=True)
    return code
