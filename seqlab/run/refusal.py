"""Why a configuration must not train in a folder that holds a run already. Torch is not needed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from seqlab.config.hash import config_hash, differing_values
from seqlab.run.code import code_differences
from seqlab.run.comparison import Present, compare
from seqlab.run.events import ABSENT, COMPLETED
from seqlab.run.layout import CODE_COPIES
from seqlab.run.replacement import unowned_files
from seqlab.run.state import State

_MAX_NAMED: Final = 4


def refusal(run_dir: Path, state: State, config: Mapping[str, Any]) -> str | None:
    """Why ``config`` must not train in a folder whose run has this state; None if it may."""
    overwrite = "seqlab train ... overwrite=true trains a new run, which replaces it once it completes"
    is_same = state.record["config_hash"] == config_hash(config)
    if state.status == COMPLETED:
        run = "this same run" if is_same else "another run"
        if is_same and (changed := changed_inputs(run_dir, state, config)):
            run = f"a run of other data or code ({'; '.join(changed)})"
        return f"{run_dir} holds {run}, completed: its metrics are in run.json; {overwrite}"
    if state.status == ABSENT and (names := unowned_files(run_dir)):
        return (
            f"{run_dir} holds {shortened(names)}, which a run would overwrite, and no events.jsonl that says which run "
            f"they belong to; give another folder, or {overwrite}"
        )
    if not (state.is_stopped and state.has_checkpoint):
        return None
    if not is_same:
        differing = shortened(differing_values(state.record["config"], config))
        return (
            f"{run_dir} holds another run, {state.status}, which differs in {differing}; seqlab resume continues "
            f"it, or {overwrite}"
        )
    if text := changes(run_dir, state, config):
        return f"{text} to continue the run, or {overwrite}"
    return None


def changes(run_dir: Path, state: State, config: Mapping[str, Any]) -> str | None:
    """What has changed in the data and the user's code since a run began, and to restore it; None: nothing."""
    changed = changed_inputs(run_dir, state, config)
    if not changed:
        return None
    copies = f" (copies of the code are in {run_dir / CODE_COPIES})" if _has_code_to_restore(run_dir, state) else ""
    return (
        f"{run_dir}: data or code has changed since this run, {state.status}, began: {'; '.join(changed)}; "
        f"restore it{copies}"
    )


def changed_inputs(run_dir: Path, state: State, config: Mapping[str, Any]) -> list[str]:
    """What has changed in the data and the user's code since the run began, so that it cannot continue."""
    return compare(state.record, Present(), config=config, run_dir=run_dir).blocking


def _has_code_to_restore(run_dir: Path, state: State) -> bool:
    """Whether the user's code has changed, and the folder has copies of what it was."""
    return (run_dir / CODE_COPIES).is_dir() and bool(code_differences(state.record["code"]))


def shortened(values: list[str]) -> str:
    """The first few values, for a message, and how many more there are."""
    if not values:  # the hashes differ and no value does: an earlier version computed the other hash
        return "how this version of seqlab tells configurations apart"
    more = f" and {len(values) - _MAX_NAMED} more" if values[_MAX_NAMED:] else ""
    return ", ".join(values[:_MAX_NAMED]) + more
