"""A search by Optuna that the same command continues: the study, its trials, and what becomes of them.

A trial is a job of the sweep. The study is told of a trial once its run has ended. A trial whose run was cut short
stays ``RUNNING`` in the study, and comes first in the next command.
"""

import contextlib
import logging
import math
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from seqlab.config.compose import judged_by
from seqlab.errors import InputError
from seqlab.report.searches import SearchRecord, Trial
from seqlab.run.events import FAILED, PRUNED
from seqlab.sweep.plan import PlannedJob
from seqlab.sweep.progress import DONE, Progress
from seqlab.sweep.samplers import build_pruner, build_sampler
from seqlab.sweep.search_options import SearchOptions
from seqlab.sweep.space import read_space
from seqlab.sweep.study_checks import FINISHED, OVERRIDES, SHARED_CONFIG, check_study, shared_config
from seqlab.sweep.study_storage import import_optuna, open_storage, sqlite_file, storage_errors
from seqlab.sweep.tuning import Rung

_RUN, _SAMPLER, _SPACE = "seqlab.run", "seqlab.sampler", "seqlab.space"
"""Attributes of a trial: its run's folder, the sampler that drew it, and how each key was drawn."""
_QUEUED: Final = "queued"


@dataclass
class Asked:
    """A trial of this command.

    Attributes:
        trial: Optuna's trial.
        job: its job. Trials of the same values share one.
        is_told: whether the study has been told how it ended.
    """

    trial: Any
    job: PlannedJob
    is_told: bool = False


class Search:
    """A search, whose study is locked against other sweeps. A dry run's is not stored.

    Args:
        config: the sweep's composed configuration.
        varied: the keys that the search varies.

    Attributes:
        options: its options.
        num_left: how many trials are still to be drawn.
        num_trials: how many this command draws: ``n_trials`` without those that were done before.

    Raises:
        InputError: an option is wrong, another process searches in this study, or its trials have another
            configuration, code or data.
    """

    def __init__(self, config: DictConfig, varied: Collection[str]) -> None:
        self._optuna = import_optuna()
        self._optuna.logging.set_verbosity(logging.ERROR if config.dry_run else logging.WARNING)
        self.options = options = SearchOptions.of(config)
        self._folder = Path(config.hydra.sweep.dir)
        self._metric, self._mode = judged_by(config)
        self._url = None if config.dry_run else options.storage
        self._is_dry = bool(config.dry_run)
        loader = GlobalHydra.instance().config_loader()  # it resolves a glob over a group's choices
        task: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
        self._space = read_space(task, options.params, loader)
        self._pruner = build_pruner(options.pruner, options.rungs)
        self._sampler = build_sampler(options.sampler, self._space, 0)  # refuses a mistake before anything is made
        self._asked: list[Asked] = []
        self._jobs: dict[tuple[str, ...], PlannedJob] = {}
        self._batch: list[Asked] = []
        self._cut_short: list[int] = []  # the identifiers of trials whose runs go on
        with ExitStack() as stack:
            if self._url is not None:
                self._lock(stack, self._url)
            self._storage = open_storage(self._url, self._folder)
            stack.callback(self._dispose)
            with storage_errors(self._url), _quiet():
                done = self._open(config, varied)
            self.num_trials = self.num_left = max(0, options.n_trials - done)
            self._stack = stack.pop_all()

    # Opening

    def _lock(self, stack: ExitStack, url: str) -> None:
        """Locks the sweep's folder, and a SQLite file that lies elsewhere."""
        self._folder.mkdir(parents=True, exist_ok=True)
        paths = [self._folder / ".study.lock"]
        file = sqlite_file(url, self._folder)
        if file is not None and file.parent.is_dir() and file.parent.resolve() != self._folder.resolve():
            paths.append(file.with_name(f".{file.name}.lock"))
        for path in paths:
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                mend = "wait for it, or take name=ANOTHER"
                raise InputError(f"{path.parent}: another sweep searches in this study; {mend}") from None
            stack.callback(lock.release)

    def _dispose(self) -> None:
        storage = getattr(self._storage, "_backend", self._storage)  # below Optuna's cache of trials
        if hasattr(storage, "engine"):
            storage.remove_session()
            storage.engine.dispose()

    def _open(self, config: DictConfig, varied: Collection[str]) -> int:
        """Opens or creates the study; returns how many of its trials are done."""
        options, name = self.options, self.options.study_name
        summaries = self._optuna.get_all_study_summaries(self._storage)
        before = next((summary for summary in summaries if summary.study_name == name), None)
        if before is not None and (ways := [way.name.lower() for way in before.directions]) != [options.direction]:
            raise InputError(
                f"the study {name} is to {' and '.join(ways)}, and this search to {options.direction} {self._metric}: "
                "restore that, or search in another study by name=ANOTHER"
            )
        self._study = study = self._optuna.create_study(
            study_name=name,
            storage=self._storage,
            direction=options.direction,
            load_if_exists=True,
            sampler=self._sampler,
            pruner=self._pruner or self._optuna.pruners.NopPruner(),
        )
        if before is None:
            study.set_user_attr(SHARED_CONFIG, shared_config(config, self._space))
            return 0
        check_study(study, config, varied, self._space)
        self._find_cut_short()
        self._retry_failed()
        states = [trial.state.name for trial in study.get_trials(deepcopy=False)]
        study.sampler = self._sampler = build_sampler(options.sampler, self._space, len(states))
        done = sum(state in FINISHED for state in states)
        pruned = f", {states.count('PRUNED')} of them pruned" if "PRUNED" in states else ""
        print(f"study {name}: {done} of {options.n_trials} trials done before{pruned}", flush=True)
        self._write_record()  # a kill may have come before
        return done

    def _find_cut_short(self) -> None:
        """Finds the trials whose runs go on. One whose values are not complete, or not drawn any more, has failed."""
        for frozen in self._study.get_trials(deepcopy=False):
            if frozen.state.name != "RUNNING":
                continue
            if self._space.has(frozen.params):
                self._cut_short.append(frozen._trial_id)
                continue
            queued = frozen.system_attrs.get("fixed_params")
            if set(frozen.params) >= set(self._space.drawn):
                print(
                    f"study {self._study.study_name}: trial {frozen.number} was cut short, and does not go on: its "
                    "values are none that are drawn now",
                    flush=True,
                )
            elif queued:  # stopped before its values were set: they come again
                self._study.enqueue_trial(queued)
            self._study.tell(frozen.number, state=self._optuna.trial.TrialState.FAIL)

    def _retry_failed(self) -> None:
        """Queues failed trials where the sampler draws each combination once, and takes these for drawn."""
        if not hasattr(self._sampler, "is_exhausted"):
            return
        trials = self._study.get_trials(deepcopy=False)
        known = [
            trial.params or trial.system_attrs.get("fixed_params") for trial in trials if trial.state.name != "FAIL"
        ]
        for trial in trials:
            if trial.state.name == "FAIL" and self._space.has(trial.params) and trial.params not in known:
                self._study.enqueue_trial(trial.params)
                known.append(trial.params)

    # Drawing

    def draw(self) -> list[PlannedJob]:
        """Draws the next batch of trials; returns their jobs, none if no trial is left."""
        size = self.num_left if self._is_dry else min(self.options.n_jobs, self.num_left)
        self._batch = []
        with storage_errors(self._url), _sampler_errors(), _quiet():
            while len(self._batch) < size and not self._is_exhausted():
                asked = self._ask()
                self._batch.append(asked)
                self._asked.append(asked)
                self.num_left -= 1
        if len(self._batch) < size:
            print(f"study {self._study.study_name}: every combination has been drawn", flush=True)
            self.num_left = 0
        return self.jobs()

    def _ask(self) -> Asked:
        if self._cut_short:
            trial = self._optuna.Trial(self._study, self._cut_short[0])
            self._cut_short.pop(0)
            return self._asked_of(trial)
        trial = self._study.ask()
        is_queued = "fixed_params" in self._storage.get_trial_system_attrs(trial._trial_id)
        # Before its values, so that of a trial which has them all this is known, too.
        trial.set_user_attr(_SAMPLER, _QUEUED if is_queued else type(self._sampler).__name__)
        trial.set_user_attr(_SPACE, {key: each.text for key, each in self._space.drawn.items()})
        for each in self._space.drawn.values():
            each.draw(trial)
        return self._asked_of(trial)

    def _asked_of(self, trial: Any) -> Asked:
        overrides, drawn = self._space.overrides(trial.params)
        job = self._jobs.setdefault(overrides, PlannedJob(len(self._jobs), overrides, drawn))
        trial.set_user_attr(OVERRIDES, list(drawn))
        return Asked(trial, job)

    def _is_exhausted(self) -> bool:
        """Whether the sampler has drawn all that there is."""
        trials = self._study.get_trials(deepcopy=False)
        if self._cut_short or any(trial.state.name == "WAITING" for trial in trials):
            return False
        if type(self._sampler).__name__ == "GridSampler":
            values = [each.values for each in self._space.drawn.values()]
            if all(values):
                size = math.prod(len(each) for each in values if each)
                seen = {canonical_values(trial.params) for trial in trials if trial.state.name != "FAIL"}
                return len(seen) >= size or bool(trials and self._sampler.is_exhausted(self._study))
        return bool(trials and getattr(self._sampler, "is_exhausted", lambda _: False)(self._study))

    def jobs(self) -> list[PlannedJob]:
        """The jobs of the batch whose trials have not ended, each once."""
        return list({asked.job.number: asked.job for asked in self._batch if not asked.is_told}.values())

    @property
    def num_jobs(self) -> int:
        """How many jobs this command has, if all trials that are left differ."""
        return len(self._jobs) + self.num_left

    # Results

    def report_rung(self, number: int, step: int, rung: Rung) -> bool:
        """Reports the value of a job at a rung; returns whether the pruner ends its trials.

        Args:
            number: the job's number.
            step: the rung as a step of the pruner.
            rung: where the run was there.
        """
        trials = [asked.trial for asked in self._batch if asked.job.number == number and not asked.is_told]
        with storage_errors(self._url), _quiet():
            for trial in trials:
                self._report(trial, step, rung["value"])
            return bool(trials) and bool(trials[0].should_prune())

    def _report(self, trial: Any, step: int, value: float | None) -> None:
        known = self._storage.get_trial(trial._trial_id).intermediate_values
        if step not in known:  # as that of a trial that was cut short after it
            trial.report(math.nan if value is None else value, step)

    def settle(self, progress: Progress) -> None:
        """Tells the study how trials have ended. Those that go on later stay as they are."""
        news = False
        with storage_errors(self._url), _quiet():
            for asked in self._asked:
                job = progress.jobs.get(asked.job.number)
                if asked.is_told or job is None:
                    continue
                if job.status in DONE:
                    self._tell(asked, job.folder, value=job.value)
                elif job.status == PRUNED:
                    if job.value is not None and (share := self._share_of(job.place.step, job.place.steps)) is not None:
                        self._report(asked.trial, share, job.value)
                    self._tell(asked, job.folder, state="PRUNED")
                elif job.status == FAILED:
                    self._tell(asked, job.folder, state="FAIL")
                news |= asked.is_told
            if news:
                self._write_record()

    def _share_of(self, step: int | None, steps: int | None) -> int | None:
        """The rung of a run that an earlier trial has pruned, as a step of the pruner."""
        if not step or not steps:
            return None
        passed = [share for share in self.options.rungs if step >= share * steps]
        return round(100 * max(passed)) if passed else None

    def _tell(self, asked: Asked, folder: str, value: float | None = None, state: str = "COMPLETE") -> None:
        states = self._optuna.trial.TrialState
        asked.trial.set_user_attr(_RUN, folder)
        if state == "COMPLETE" and (value is None or math.isnan(value)):  # Optuna takes no such value
            state = "FAIL"
        values = {"values": value} if state == "COMPLETE" else {}
        try:
            self._study.tell(asked.trial.number, state=states[state], skip_if_finished=True, **values)
        except (RuntimeError, KeyError) as error:
            # The grid's sampler ends Optuna's own loop, which is not used here; the trial has been told.
            if self._storage.get_trial(asked.trial._trial_id).state != states[state]:
                raise error
        asked.is_told = True

    def _write_record(self) -> None:
        """Writes the trials for reports."""
        trials = [
            Trial(
                number=each.number,
                state=each.state.name.lower(),
                value=each.values[0] if each.values else None,
                sampler=each.user_attrs.get(_SAMPLER, ""),
                space=each.user_attrs.get(_SPACE) or {},
                params=each.params,
                run=each.user_attrs.get(_RUN, ""),
            )
            for each in self._study.get_trials(deepcopy=False)
        ]
        if not self._is_dry:
            SearchRecord(self.options.study_name, self._metric, self._mode, trials).write(self._folder)

    @property
    def has_failed_too_often(self) -> bool:
        """Whether more of this command's trials have failed than ``max_failure_rate`` allows."""
        return self._num_failed > self.options.max_failure_rate * self.num_trials

    @property
    def _num_failed(self) -> int:
        states = [self._storage.get_trial(asked.trial._trial_id).state.name for asked in self._asked if asked.is_told]
        return states.count("FAIL")

    def failures(self) -> str:
        """How many of this command's trials have failed, for a message."""
        return f"{self._num_failed} of {self.num_trials} trials have failed"

    @property
    def pruner_name(self) -> str:
        """The name of the pruner's class."""
        return type(self._pruner).__name__

    @property
    def varies_schedule(self) -> bool:
        """Whether the schedule of the rate is drawn, so that it may suit the rungs in another trial."""
        return any(key.lstrip("+").startswith("scheduler") for key in self._space.drawn)

    def best(self) -> str:
        """A line about the best trial, of this command or an earlier one."""
        with storage_errors(self._url):
            try:
                trial = self._study.best_trial
            except ValueError:  # none has completed
                return "study: no trial has completed"
        values = " ".join(f"{key}={value}" for key, value in trial.params.items())
        name = self._study.study_name
        return f"study {name}: the best of all its trials has {trial.value:.4g}, with {values}"

    def close(self) -> None:
        """Closes the storage, and unlocks the study."""
        self._stack.close()


def canonical_values(params: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """A trial's values in a form that can be compared."""
    return tuple((key, repr(value)) for key, value in sorted(params.items()))


@contextlib.contextmanager
def _sampler_errors() -> Iterator[None]:
    """Turns a sampler's errors about its arguments or a missing package, which it may find only now, into one line."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, ImportError) as error:
        raise InputError(f"hydra.sweeper.sampler can't draw a trial: {' '.join(str(error).split())}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Optuna's notices of experimental parts away from the user, who has chosen these by name."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
