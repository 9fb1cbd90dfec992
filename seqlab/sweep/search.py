"""A search by Optuna that the same command goes on with: what the sweeper's plugin leaves to be done.

The plugin draws ``n_trials`` trials whenever it is asked, forgets those that were running when it was killed, and with
a fixed seed draws the first ones again.
"""

import logging
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from seqlab.config.compose import judged_by, plain_values
from seqlab.config.hash import canonical_json, deciding_values
from seqlab.config.metrics import resolve_mode
from seqlab.config.own_files import GLOBAL
from seqlab.config.paths import absolute_paths, without_places
from seqlab.errors import InputError
from seqlab.run.events import COMPLETED
from seqlab.run.same import Now, differences
from seqlab.sweep.known import KnownJob, changes_line, states_below
from seqlab.sweep.plan import PlannedJob

_COMMON: Final = "seqlab.config"
"""The attribute of a study that has what its trials have in common."""

_OTHER_SPACE: Final = ("different distribution kind", "does not support dynamic value space")

_MAX_NAMED: Final = 4


def is_search(config: DictConfig) -> bool:
    """Whether Optuna decides what the jobs are."""
    return str(config.hydra.sweeper.get("_target_")).endswith(".OptunaSweeper")


def direction(metric: str, mode: str | None) -> str:
    """Optuna's word for which values of the judged metric are best.

    >>> direction("val/loss", None), direction("val/mine", "max")
    ('minimize', 'maximize')
    """
    return {"min": "minimize", "max": "maximize"}[resolve_mode(metric, mode)]


class Study:
    """A stored study, which no other sweep may search in meanwhile."""

    def __init__(self, config: DictConfig, varied: Collection[str]) -> None:
        """Takes up the study of a sweep's configuration, of which ``n_trials`` becomes what is left to do.

        Trials that were running when a sweep was killed are put first in the queue: their runs continue from their
        checkpoints.

        Args:
            config: the sweep's, composed.
            varied: the keys that the search varies.

        Raises:
            InputError: another process searches in it, or its trials are of another configuration, code or data.
        """
        folder = Path(config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / ".study.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            mend = "wait for it, or take name=ANOTHER"
            raise InputError(f"{folder}: another sweep searches in this study; {mend}") from None
        self._sweeper = config.hydra.sweeper
        try:
            known = _load(self._sweeper)
            if known is None:
                _create(self._sweeper).set_user_attr(_COMMON, _common(config))
            else:
                _check_same(known, config, varied)
                self._go_on(known)
        except BaseException:
            self._lock.release()
            raise

    def _go_on(self, known: Any) -> None:
        sweeper = self._sweeper
        from optuna.exceptions import ExperimentalWarning
        from optuna.trial import TrialState

        queued = [trial.params for trial in known.trials if trial.state == TrialState.WAITING]
        for trial in known.trials:
            if trial.state == TrialState.RUNNING:
                known.tell(trial.number, state=TrialState.FAIL)
                if trial.params and trial.params not in queued:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", ExperimentalWarning)  # of Optuna 2
                        known.enqueue_trial(trial.params)
        completed = sum(trial.state == TrialState.COMPLETE for trial in known.trials)
        print(f"study {known.study_name}: {completed} of {sweeper.n_trials} trials completed before", flush=True)
        sweeper.n_trials = max(0, sweeper.n_trials - completed)
        if sweeper.sampler.get("seed") is not None:  # otherwise it would draw again what it drew at first
            sweeper.sampler.seed += len(known.trials)

    def best(self) -> str:
        """The best trial of all commands, in a line."""
        study = _load(self._sweeper)
        try:
            trial = study.best_trial
        except (AttributeError, ValueError):  # none has been begun, or none has completed
            return "study: no trial has completed"
        drawn = " ".join(f"{key}={value}" for key, value in trial.params.items())
        return f"study {study.study_name}: the best of all its trials has {trial.value:.4g}, by {drawn}"

    def close(self) -> None:
        """Lets other sweeps search in the study."""
        self._lock.release()


def take_up(config: DictConfig, varied: Collection[str]) -> Study | None:
    """The stored study of a sweep, taken up; a dry run draws its trials from one that is kept nowhere.

    Raises:
        InputError: as :class:`Study` does, or the search would go the wrong way.
    """
    import optuna

    optuna.logging.set_verbosity(logging.WARNING)
    logging.getLogger("hydra_plugins.hydra_optuna_sweeper").setLevel(logging.ERROR)  # a failed job has told why
    _check_direction(config)
    if config.dry_run:
        config.hydra.sweeper.storage = None
    return None if config.hydra.sweeper.storage is None else Study(config, varied)


def without_result(error: Exception) -> bool:
    """Whether Optuna's sweeper ends in this error because no trial of the study has completed."""
    return str(error) in ("No trials are completed yet.", "Record does not exist.")  # in memory, in a database


def other_space(error: Exception) -> InputError | None:
    """What to say of an error by which Optuna refuses that a key of a stored study is drawn from otherwise than before;
    None for any other."""
    if not isinstance(error, ValueError) or not any(words in str(error) for words in _OTHER_SPACE):
        return None
    return InputError(
        "the study has drawn one of these keys from other values before, or otherwise from an interval, and Optuna "
        "goes on with the same alone: put that back, or search in another study by name=ANOTHER"
    )


def _common(config: DictConfig) -> dict[str, str]:
    """What counts of a search's configuration, each value as JSON, those that it varies by their defaults."""
    plain = without_places(absolute_paths(plain_values(config)))
    return {key: canonical_json(value) for key, value in deciding_values(plain).items()}


def _check_same(study: Any, config: DictConfig, varied: Collection[str]) -> None:
    """Refuses to go on with a study whose values are not those that its trials would have now.

    Raises:
        InputError: naming what differs.
    """
    completed = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    keys = {key.lstrip("+").partition("@")[0].replace("/", ".") for key in varied}
    keys |= {key.lstrip("+").partition("@")[0].replace("/", ".") for trial in study.trials for key in trial.params}
    before, now = study.user_attrs.get(_COMMON), _common(config)
    if not completed or before is None:
        study.set_user_attr(_COMMON, now)
        return
    differing = [
        f"{key} ({before.get(key, 'not there')}, {now.get(key, 'not there')})"
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key) and not any(key == name or key.startswith(f"{name}.") for name in keys)
    ]
    if differing and not keys & set(GLOBAL):  # whose files may set anything
        more = f" and {len(differing) - _MAX_NAMED} more" if differing[_MAX_NAMED:] else ""
        raise InputError(
            f"the study {study.study_name} is of another configuration, {', '.join(differing[:_MAX_NAMED])}{more}: put "
            "that back to go on with it, or search in another by name=ANOTHER"
        )
    changed = _changed_runs(config, completed, keys)
    if changed and not config.keep_changed:
        raise InputError(
            f"trials of the study {study.study_name} are of other code or data ({changes_line(changed)}): put that "
            "back, or keep_changed=true goes on with their values as they are, or name=ANOTHER searches anew"
        )
    if changed:
        print(f"trials of other code or data ({changes_line(changed)}) keep their values", flush=True)


def _changed_runs(config: DictConfig, trials: Sequence[Any], varied: Collection[str]) -> list[KnownJob]:
    """The runs of completed trials whose code or data is other now."""
    drawn = [{f"{key}={value}" for key, value in trial.params.items()} for trial in trials]
    plain = None if any(key.partition(".")[0] == "data" for key in varied) else absolute_paths(plain_values(config))
    folder, now = Path(config.hydra.sweep.dir), Now()
    found: list[KnownJob] = []
    for name, state in states_below(folder).items():
        overrides = state.record["overrides"]
        if state.status == COMPLETED and any(each <= set(overrides) for each in drawn):
            differing = differences(state.record, now, config=plain, run_dir=folder / name)
            if differing.decides:
                found.append(KnownJob(PlannedJob(len(found), tuple(overrides), ()), name, state, differing))
    return found


def _check_direction(config: DictConfig) -> None:
    """Refuses a direction that contradicts what is known of the metric.

    Raises:
        InputError: naming both.
    """
    given, (metric, mode) = config.hydra.sweeper.direction, judged_by(config)
    if isinstance(given, str) and given != (expected := direction(metric, mode)):
        raise InputError(
            f"hydra.sweeper.direction={given}: the search would {given} {metric}, whose mode is {mode}; leave it out "
            f"for {expected}, or give the mode by optimize.mode"
        )


def _create(sweeper: Any) -> Any:
    """The study as Optuna's sweeper would create it."""
    import optuna

    given = sweeper.direction
    directions: Any = [given] if isinstance(given, str) else OmegaConf.to_container(given)
    return optuna.create_study(study_name=sweeper.study_name, storage=sweeper.storage, directions=directions)


def _load(sweeper: Any) -> Any:
    """The stored study; None where there is none yet."""
    import optuna

    name, storage = sweeper.study_name, sweeper.storage
    known = [found.study_name for found in optuna.get_all_study_summaries(storage)]
    return optuna.load_study(study_name=name, storage=storage) if name in known else None
