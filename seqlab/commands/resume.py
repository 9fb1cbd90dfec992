"""``seqlab resume``: continues a stopped run in place, and a completed one as a new run beside it."""

import os
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

from seqlab.commands.carry_out import carry_out
from seqlab.commands.run_folder import run_folder
from seqlab.config.checks import check_config
from seqlab.config.hash import config_hash
from seqlab.config.overrides import override
from seqlab.config.paths import absolute_paths, moved_paths
from seqlab.config.project import use_project_modules
from seqlab.config.trust import allow
from seqlab.errors import InputError
from seqlab.report import tensorboard as board
from seqlab.run.events import ABSENT, COMPLETED
from seqlab.run.folder import RunFolder
from seqlab.run.layout import EVENTS_NAME, RECORD_NAME, REPLACEMENT
from seqlab.run.parents import CONTINUES, continued_config, continued_folder, remove_unused
from seqlab.run.refusal import changes
from seqlab.run.start import Start
from seqlab.run.state import State
from seqlab.sweep.sweep import show_in_tensorboard

_OF_TRAIN: Final = ("overwrite", "rerun_changed", "keep_changed", "dry_run", "fail_fast")


def resume(run_dir: Path, overrides: list[str], allowed: list[str]) -> int:
    """``seqlab resume RUN_DIR [OVERRIDES]``: continues a run from its last checkpoint.

    A completed run stays as it is. Further epochs or steps are a new run, in a folder beside it, which names its
    parent.

    Args:
        run_dir: the run's folder.
        overrides: of where the run works and what it shows; of a completed run, more epochs or steps.
        allowed: modules whose classes the configuration may name.

    Returns:
        The command's exit code: 0 if the run is complete.

    Raises:
        InputError: an override would change what the run computes, or the folder holds no run.
    """
    for text in overrides:
        if text.partition("=")[0].lstrip("+") in _OF_TRAIN:
            raise InputError(f"{text} is an option of seqlab train: seqlab resume continues a run; leave it out")
    if run_dir.name in ("", ".."):  # the working folder, or one above
        run_dir = Path(os.path.abspath(run_dir))
    if run_dir.name == REPLACEMENT:
        run_dir = run_dir.parent
    run_dir = run_folder(run_dir)
    run = RunFolder(run_dir)
    if run.is_old():
        raise InputError(
            f"{run_dir} has a {RECORD_NAME} without {EVENTS_NAME} or with an empty one, as runs of earlier versions of "
            "seqlab do: it can be reported, not resumed; begin it anew with seqlab train"
        )
    run.repair()
    latest = run.latest()  # the replacement, if a run with overwrite=true has begun
    state, config, is_same, notices = _override(latest, run_dir, overrides)
    if latest is not run and not is_same:  # the overrides are for the run that is to be replaced
        latest = run
        state, config, is_same, notices = _override(run, run_dir, overrides)
    for notice in notices:
        print(f"seqlab: {notice}", file=sys.stderr, flush=True)
    if state.status == COMPLETED and is_same and latest is run:
        print(f"{run_dir} is complete already; its metrics are in {run_dir / RECORD_NAME}")
        return 0
    allow(allowed)
    use_project_modules()
    if state.status == COMPLETED and latest is run:
        return _continue(run_dir, state, config, overrides)
    if not is_same:
        raise InputError(
            f"{' '.join(overrides)}: a resumed run computes what it began with; leave out all that changes its result. "
            "Where it runs, where its data is and what it shows may change, as by data.path, trainer.devices and "
            "trainer.accelerator"
        )
    check_config(config)
    first_overrides = state.record["overrides"] or []
    return _finish(run_dir, carry_out(run_dir, config, first_overrides, Start(), overwrite=latest is not run))


class _Overridden(NamedTuple):
    """A run with overrides: its state, its configuration, whether it computes the same, notices about moved data."""

    state: State
    config: dict[str, Any]
    is_same: bool
    notices: list[str]


def _override(run: RunFolder, run_dir: Path, overrides: list[str]) -> _Overridden:
    state = run.state()
    if state.status == ABSENT:
        raise InputError(f"{run_dir}: its {EVENTS_NAME} has no event, so there is nothing to resume; use seqlab train")
    config, notices = moved_paths(state.record["config"], state.record["places"], run_dir)
    overridden = absolute_paths(override(config, overrides))
    return _Overridden(state, overridden, config_hash(overridden) == config_hash(config), notices)


def _continue(run_dir: Path, state: State, config: dict[str, Any], overrides: list[str]) -> int:
    """Continues a completed run as a new run, in a folder beside it; returns the exit code."""
    check_config(config)
    config = continued_config(run_dir, state, config)
    folder = continued_folder(run_dir, overrides, config)
    continuation = RunFolder(folder).state()
    if continuation.status == COMPLETED and continuation.record["config_hash"] == config_hash(config):
        print(f"{folder} is complete already; its metrics are in {folder / RECORD_NAME}")
        return 0
    # Data and code must be the parent's, as for a resumed run, also code that is imported in the midst of training.
    if text := changes(run_dir, state, config):
        another = f"or begin another run from its weights: seqlab train ... init_from={run_dir}"
        raise InputError(f"{text} to continue the run, {another}")
    origin = {name: state.record[name] for name in ("data_hash", "code")}
    all_overrides = [*(state.record["overrides"] or []), *overrides]
    notice = f"{run_dir} has completed; it goes on as a new run in {folder}"
    is_new = not folder.exists()
    code = carry_out(folder, config, all_overrides, Start(), notice=notice, parent=config[CONTINUES], **origin)
    if code == 2 and is_new:
        remove_unused(folder, config)
    return _finish(folder, code)


def _finish(run_dir: Path, code: int) -> int:
    """Updates the sweep's view in TensorBoard and prints the run's folder; returns the exit code."""
    sweep_dir = run_dir.resolve().parent
    if any(sweep_dir.glob(f"*/{board.FILE_NAME}")):
        show_in_tensorboard(sweep_dir)
    if code != 2:  # a refused run has no result
        print(run_dir, flush=True)
    return code
