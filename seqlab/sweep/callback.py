"""How a sweep goes and ends, in the process that began it."""

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from seqlab.config.checks import check_sweep
from seqlab.config.compose import judged_by, plain_values
from seqlab.config.hydra_settings import check_hydra
from seqlab.config.names import VARIED_VARIABLE, varied_by
from seqlab.config.trust import OWN_VARIABLE
from seqlab.errors import InputError
from seqlab.imports import FOLDERS_VARIABLE
from seqlab.report import tensorboard as board
from seqlab.sweep import jobs, launchers, search
from seqlab.sweep.search import Study
from seqlab.sweep.watch import Watch

_CARRIED = (
    VARIED_VARIABLE,
    OWN_VARIABLE,
    jobs.VARIABLE,
    FOLDERS_VARIABLE,
    "PYTHONSAFEPATH",
    "PYTHONPATH",
    "HYDRA_FULL_ERROR",
    "OMP_NUM_THREADS",
)


class Outcome:
    """How the command goes: Hydra returns nothing from a job, nor from a sweep."""

    code = 0
    stopped = False  # somebody asked for the end
    failed = False  # a job failed, and fail_fast is on
    sweep: tuple[Path, str] | None = None  # its folder, and the judged metric
    tensorboard = False  # its runs log there
    watch: Watch | None = None  # where jobs run in other processes
    config: DictConfig | None = None  # of the sweep
    refused: Exception | None = None  # what there was against beginning the sweep
    search: "Study | None" = None


class SweepSummary(Callback):
    """Hydra's callback of a sweep: what it starts with, and at its end, how its runs ended, and the exit code."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _refusing():
            check_hydra(config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _refusing():
            check_hydra(config, varied_by(config))
            self._begin(config)

    def _begin(self, config: DictConfig) -> None:
        Outcome.config = config
        if not config.dry_run:  # which tells the mistakes of each job
            check_sweep(plain_values(config), varied_by(config))
        if config.dry_run:
            config.hydra.launcher = launchers.BASIC  # its jobs are composed, not run
        if search.is_search(config):
            Outcome.search = search.take_up(config)
        began = jobs.begin(config)
        sweep_dir, (metric, mode) = Path(config.hydra.sweep.dir), judged_by(config)
        Outcome.sweep = sweep_dir, metric
        Outcome.tensorboard = str(config.logger.get("_target_")).endswith(".TensorBoardLogger")
        if launchers.kind_of(config) == "basic":
            return
        for line in launchers.announce(config, began["at_once"], began["threads"]):
            print(line, flush=True)
        launchers.carry_environment(config, _CARRIED)
        Outcome.watch = Watch(sweep_dir, metric, mode)
        signal.signal(signal.SIGTERM, signal.default_int_handler)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        finish(config)


@contextmanager
def _refusing() -> Iterator[None]:
    """Ends the command over an error, of which Hydra would make a warning, and go on."""
    try:
        yield
    except Exception as error:
        Outcome.refused = error
        raise KeyboardInterrupt from error


def finish(config: DictConfig) -> None:
    """What there is to do once no job of a sweep is left."""
    if config.dry_run:
        jobs.remove_unused(Path(config.hydra.sweep.dir))
    else:
        Outcome.failed = jobs.is_over(Path(config.hydra.sweep.dir), config.fail_fast)
        summarise()


def end_watch() -> None:
    if Outcome.watch is not None:
        Outcome.watch.stop()
        Outcome.watch = None


def summarise() -> None:
    """The end of a sweep, which ``fail_fast`` may have brought about."""
    end_watch()
    assert Outcome.sweep is not None
    if Outcome.failed:
        print("seqlab: fail_fast=true ends the sweep with its first failure", file=sys.stderr, flush=True)
    sweep_dir, metric = Outcome.sweep
    text, all_done = jobs.summary(sweep_dir, metric)
    print(text)
    if Outcome.search is not None:
        print(Outcome.search.best())
    print(f"compare them with: seqlab report {shlex.quote(str(sweep_dir))}")
    if Outcome.tensorboard:
        show_in_tensorboard(sweep_dir)
    print(sweep_dir, flush=True)
    Outcome.code = 0 if all_done else 1


def show_in_tensorboard(sweep_dir: Path) -> None:
    """The sweep as a whole for TensorBoard. It is no result: what is wrong with it is said, and changes nothing."""
    from seqlab.report import compare

    try:
        text = board.save_for_tensorboard(compare([sweep_dir]), sweep_dir)
    except Exception as error:  # whatever odd values there are in the runs of the user
        print(f"seqlab: the sweep as a whole could not be written for TensorBoard: {_one_line(error)}", file=sys.stderr)
    else:
        print(f"{text}; see them with: tensorboard --logdir {shlex.quote(str(sweep_dir))}")


def _one_line(error: Exception) -> str:
    return " ".join((str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}").split())
