"""A search by Optuna that the same command continues. This adds what Hydra's plugin for Optuna lacks.

The plugin draws ``n_trials`` trials each time it runs. It forgets the trials that were running when it was killed. With
a fixed seed it draws its first trials again.
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
from seqlab.run.comparison import Present, compare
from seqlab.run.events import COMPLETED
from seqlab.sweep.existing_runs import ExistingRun, describe_changes, read_states
from seqlab.sweep.plan import PlannedJob

_SHARED_CONFIG: Final = "seqlab.config"
"""The attribute of a study with the configuration that its trials share."""

_SPACE_ERRORS: Final = ("different distribution kind", "does not support dynamic value space")

_MAX_NAMED: Final = 4


def is_search(config: DictConfig) -> bool:
    """Whether Optuna decides what the jobs are."""
    return str(config.hydra.sweeper.get("_target_")).endswith(".OptunaSweeper")


def direction(metric: str, mode: str | None) -> str:
    """Optuna's word for the direction of the judged metric.

    Example:
        >>> direction("val/loss", None), direction("val/mine", "max")
        ('minimize', 'maximize')
    """
    return {"min": "minimize", "max": "maximize"}[resolve_mode(metric, mode)]


class Study:
    """A stored study, locked against other sweeps.

    ``n_trials`` in the configuration becomes the number of trials that are left. Trials that were running when a sweep
    was killed come first in the queue: their runs continue from their checkpoints.

    Args:
        config: the sweep's composed configuration.
        varied: the keys that the search varies.

    Raises:
        InputError: another process searches in this study, or its trials have another configuration, code or data.
    """

    def __init__(self, config: DictConfig, varied: Collection[str]) -> None:
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
            study = _load(self._sweeper)
            if study is None:
                _create(self._sweeper).set_user_attr(_SHARED_CONFIG, _shared_config(config))
            else:
                _check_same(study, config, varied)
                self._continue(study)
        except BaseException:
            self._lock.release()
            raise

    def _continue(self, study: Any) -> None:
        """Queues the trials that were cut short, and reduces ``n_trials`` by the completed ones."""
        sweeper = self._sweeper
        from optuna.exceptions import ExperimentalWarning
        from optuna.trial import TrialState

        queued = [trial.params for trial in study.trials if trial.state == TrialState.WAITING]
        for trial in study.trials:
            if trial.state == TrialState.RUNNING:
                study.tell(trial.number, state=TrialState.FAIL)
                if trial.params and trial.params not in queued:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", ExperimentalWarning)  # of Optuna 2
                        study.enqueue_trial(trial.params)
        completed = sum(trial.state == TrialState.COMPLETE for trial in study.trials)
        print(f"study {study.study_name}: {completed} of {sweeper.n_trials} trials completed before", flush=True)
        sweeper.n_trials = max(0, sweeper.n_trials - completed)
        if sweeper.sampler.get("seed") is not None:  # otherwise it would draw its first trials again
            sweeper.sampler.seed += len(study.trials)

    def best(self) -> str:
        """A line about the best trial, of this command or an earlier one."""
        study = _load(self._sweeper)
        try:
            trial = study.best_trial
        except (AttributeError, ValueError):  # no trial has begun, or none has completed
            return "study: no trial has completed"
        values = " ".join(f"{key}={value}" for key, value in trial.params.items())
        return f"study {study.study_name}: the best of all its trials has {trial.value:.4g}, with {values}"

    def close(self) -> None:
        """Unlocks the study."""
        self._lock.release()


def open_study(config: DictConfig, varied: Collection[str]) -> Study | None:
    """Opens the stored study of a sweep; None if it is not stored. A dry run draws its trials without storing them.

    Args:
        config: the sweep's composed configuration; a dry run changes it.
        varied: the keys that the search varies.

    Raises:
        InputError: as :class:`Study`, or the direction of the search contradicts the metric.
    """
    import optuna

    optuna.logging.set_verbosity(logging.WARNING)
    logging.getLogger("hydra_plugins.hydra_optuna_sweeper").setLevel(logging.ERROR)  # a failed job has said why
    _check_direction(config)
    if config.dry_run:
        config.hydra.sweeper.storage = None
    return None if config.hydra.sweeper.storage is None else Study(config, varied)


def is_no_result(error: Exception) -> bool:
    """Whether this is the error of Optuna's sweeper for a study in which no trial has completed."""
    return str(error) in ("No trials are completed yet.", "Record does not exist.")  # in memory, in a database


def explain_changed_space(error: Exception) -> InputError | None:
    """Explains Optuna's error for a key whose values are drawn in another way than before; None for any other error."""
    if not isinstance(error, ValueError) or not any(words in str(error) for words in _SPACE_ERRORS):
        return None
    return InputError(
        "the study has drawn one of these keys from other values or another interval before, which Optuna does not let "
        "change: restore them, or search in another study by name=ANOTHER"
    )


def _shared_config(config: DictConfig) -> dict[str, str]:
    """The values of a search's configuration that count, as JSON; the keys that it varies have their defaults."""
    plain = without_places(absolute_paths(plain_values(config)))
    return {key: canonical_json(value) for key, value in deciding_values(plain).items()}


def _check_same(study: Any, config: DictConfig, varied: Collection[str]) -> None:
    """Refuses to continue a study whose results a new trial would not reproduce.

    Raises:
        InputError: the configuration, the code or the data differs.
    """
    completed = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    keys = {key.lstrip("+").partition("@")[0].replace("/", ".") for key in varied}
    keys |= {key.lstrip("+").partition("@")[0].replace("/", ".") for trial in study.trials for key in trial.params}
    before, now = study.user_attrs.get(_SHARED_CONFIG), _shared_config(config)
    if not completed or before is None:
        study.set_user_attr(_SHARED_CONFIG, now)
        return
    differing = [
        f"{key} ({before.get(key, 'not there')}, {now.get(key, 'not there')})"
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key) and not any(key == name or key.startswith(f"{name}.") for name in keys)
    ]
    if differing and not keys & set(GLOBAL):  # the files of those groups may set anything
        more = f" and {len(differing) - _MAX_NAMED} more" if differing[_MAX_NAMED:] else ""
        raise InputError(
            f"the study {study.study_name} has another configuration, {', '.join(differing[:_MAX_NAMED])}{more}: "
            "restore it to continue the study, or search in another one by name=ANOTHER"
        )
    changed = _changed_runs(config, completed, keys)
    if changed and not config.keep_changed:
        raise InputError(
            f"trials of the study {study.study_name} have other code or data ({describe_changes(changed)}): restore "
            "it, or keep_changed=true keeps their values, or name=ANOTHER begins another study"
        )
    if changed:
        print(f"trials with other code or data ({describe_changes(changed)}) keep their values", flush=True)


def _changed_runs(config: DictConfig, trials: Sequence[Any], varied: Collection[str]) -> list[ExistingRun]:
    """The runs of completed trials whose code or data has changed since."""
    trial_overrides = [{f"{key}={value}" for key, value in trial.params.items()} for trial in trials]
    plain = None if any(key.partition(".")[0] == "data" for key in varied) else absolute_paths(plain_values(config))
    folder, present = Path(config.hydra.sweep.dir), Present()
    runs: list[ExistingRun] = []
    for name, state in read_states(folder).items():
        overrides = state.record["overrides"]
        if state.status == COMPLETED and any(each <= set(overrides) for each in trial_overrides):
            differences = compare(state.record, present, config=plain, run_dir=folder / name)
            if differences.blocking:
                runs.append(ExistingRun(PlannedJob(len(runs), tuple(overrides), ()), name, state, differences))
    return runs


def _check_direction(config: DictConfig) -> None:
    """Refuses a direction that contradicts the metric's mode.

    Raises:
        InputError: the direction is wrong.
    """
    requested, (metric, mode) = config.hydra.sweeper.direction, judged_by(config)
    if isinstance(requested, str) and requested != (expected := direction(metric, mode)):
        raise InputError(
            f"hydra.sweeper.direction={requested}: the search would {requested} {metric}, whose mode is {mode}; "
            f"leave it out for {expected}, or give the mode by optimize.mode"
        )


def _create(sweeper: Any) -> Any:
    """A new study, as Optuna's sweeper would create it."""
    import optuna

    requested = sweeper.direction
    directions: Any = [requested] if isinstance(requested, str) else OmegaConf.to_container(requested)
    return optuna.create_study(study_name=sweeper.study_name, storage=sweeper.storage, directions=directions)


def _load(sweeper: Any) -> Any:
    """The stored study; None if there is none yet."""
    import optuna

    name, storage = sweeper.study_name, sweeper.storage
    names = [summary.study_name for summary in optuna.get_all_study_summaries(storage)]
    return optuna.load_study(study_name=name, storage=storage) if name in names else None
