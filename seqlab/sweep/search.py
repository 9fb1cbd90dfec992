"""A search by Optuna that the same command goes on with: what the sweeper's plugin leaves to be done.

The plugin draws ``n_trials`` trials whenever it is asked, forgets those that were running when it was killed, and with
a fixed seed draws the first ones again.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig

from seqlab.config.metrics import resolve_mode
from seqlab.errors import InputError


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

    def __init__(self, config: DictConfig) -> None:
        """Takes up the study of a sweep's configuration, of which ``n_trials`` becomes what is left to do.

        Trials that were running when a sweep was killed are put first in the queue: their runs continue from their
        checkpoints.

        Raises:
            InputError: another process searches in it.
        """
        folder = Path(config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / ".study.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            mend = "wait for it, or take name=ANOTHER"
            raise InputError(f"{folder}: another sweep searches in this study; {mend}") from None
        sweeper = self._sweeper = config.hydra.sweeper
        known = _load(sweeper)
        if known is None:
            return
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


def take_up(config: DictConfig) -> Study | None:
    """The stored study of a sweep, taken up; a dry run draws its trials from one that is kept nowhere."""
    import optuna

    optuna.logging.set_verbosity(logging.WARNING)
    logging.getLogger("hydra_plugins.hydra_optuna_sweeper").setLevel(logging.ERROR)  # a failed job has told why
    if config.dry_run:
        config.hydra.sweeper.storage = None
    return None if config.hydra.sweeper.storage is None else Study(config)


def without_result(error: Exception) -> bool:
    """Whether Optuna's sweeper ends in this error because no trial of the study has completed."""
    return str(error) in ("No trials are completed yet.", "Record does not exist.")  # in memory, in a database


def _load(sweeper: Any) -> Any:
    """The stored study; None where there is none yet."""
    import optuna

    name, storage = sweeper.study_name, sweeper.storage
    known = [found.study_name for found in optuna.get_all_study_summaries(storage)]
    return optuna.load_study(study_name=name, storage=storage) if name in known else None
