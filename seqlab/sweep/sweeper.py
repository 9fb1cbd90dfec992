"""A sweeper like Hydra's own that composes each job once; Hydra's own composes all jobs a first time as a check."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from seqlab.config.layers import list_overrides
from seqlab.sweep.callback import owner
from seqlab.sweep.plan import PlannedJob, plan_jobs
from seqlab.sweep.search_options import TARGET as TARGET_OF_SEARCH
from seqlab.sweep.tuned import TunedSweep
from seqlab.sweep.tuning_options import read_options

TARGET: Final = "hydra_plugins.seqlab.JobSweeper"
"""The class's name in a configuration. Hydra takes plugins only from the package ``hydra_plugins``. There is no such
module: :func:`register_sweepers` registers the class under this name."""


@dataclass
class JobSweeperConf:
    """The choice ``basic`` of Hydra's group ``hydra/sweeper``, which is the default."""

    _target_: str = TARGET
    max_batch_size: int | None = None
    params: dict[str, str] | None = None
    tune: Any = None
    fresh_seeds: Any = None
    rungs: Any = None
    keep: Any = 0.5


class JobSweeper(Sweeper):
    """Runs every combination of the values of a command line.

    The command that owns the sweep sees all jobs before any is composed, and chooses those to run. With ``tune``, the
    sweep chooses the best values of some keys: see :class:`seqlab.sweep.tuned.TunedSweep`.

    Args:
        max_batch_size: how many jobs the launcher gets at a time; None: all.
        params: the keys and values of a stored sweep.
        **tuning: as for :func:`seqlab.sweep.tuning.read_options`.
    """

    def __init__(self, max_batch_size: int | None = None, params: dict[str, str] | None = None, **tuning: Any) -> None:
        self.max_batch_size, self.params = max_batch_size, params or {}
        self.tuning = read_options(tuning)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        assert self.config is not None and self.launcher is not None and self.hydra_context is not None
        arguments, params = _with_lists(arguments, self.params)
        jobs = plan_jobs(arguments, params, self.hydra_context.config_loader)
        if self.tuning is None:
            return self._launch(jobs)
        returns: list[Sequence[JobReturn]] = []
        tuned = TunedSweep(jobs, self.tuning, self.config)
        for batch, pause_at in tuned.batches():
            returns += self._launch(batch, pause_at)
        return returns

    def _launch(self, jobs: list[PlannedJob], pause_at: float | None = None) -> list[Sequence[JobReturn]]:
        """Runs the jobs that have not come so far yet, up to a share of their steps or to their end."""
        assert self.config is not None and self.launcher is not None
        jobs = owner.get().choose_jobs(self.config, jobs, pause_at)
        self.validate_batch_is_legal([job.overrides for job in jobs])
        returns = []
        size = self.max_batch_size or len(jobs) or 1
        for start in range(0, len(jobs), size):
            batch = [list(job.overrides) for job in jobs[start : start + size]]
            results = self.launcher.launch(batch, initial_job_idx=start)
            for result in results:
                _ = result.return_value  # raises the job's exception
            returns.append(results)
        return returns

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Composes one job for each combination of group choices; the other jobs differ from it only in values."""
        assert self.hydra_context is not None
        loader = self.hydra_context.config_loader
        is_group: dict[str, bool] = {}

        def choices(overrides: Sequence[str]) -> tuple[str, ...]:
            keys = {text: text.partition("=")[0].lstrip("+~").partition("@")[0] for text in overrides}
            for key in keys.values():
                if key not in is_group:
                    is_group[key] = "." not in key and bool(loader.get_group_options(key))
            return tuple(text for text, key in keys.items() if is_group[key])

        firsts = {choices(overrides): overrides for overrides in reversed(batch)}
        super().validate_batch_is_legal([*firsts.values()])


def _with_lists(arguments: list[str], params: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """What a command line and a stored sweep vary, with lists of cells as Hydra wants them said."""
    texts = list_overrides([f"{key}={value}" for key, value in params.items()])
    if len(texts) == len(params):
        return arguments, params
    return [texts[0], *arguments], dict(text.split("=", 1) for text in texts[1:])


def register_sweepers() -> None:
    """Registers this sweeper as Hydra's own, and that of a search, in this process and in those that a launcher starts.

    A regular plugin would have to be in the package ``hydra_plugins``, where an editable install puts nothing.
    """
    classes: dict[str, Any] = Plugins.instance().class_name_to_class  # first: it registers Hydra's own sweeper again
    classes[TARGET] = JobSweeper
    from seqlab.sweep.optuna_sweeper import OptunaSweeper  # itself a JobSweeper

    classes[TARGET_OF_SEARCH] = OptunaSweeper
    ConfigStore.instance().store(group="hydra/sweeper", name="basic", node=JobSweeperConf, provider="seqlab")


@contextmanager
def tuning_sweeper() -> Iterator[None]:
    """Within the block, this sweeper's settings are those of Hydra's default; a caller's own Hydra keeps its own."""
    Plugins.instance()  # first: it stores Hydra's own
    choices = ConfigStore.instance().repo["hydra"]["sweeper"]
    before = choices["basic.yaml"]
    ConfigStore.instance().store(group="hydra/sweeper", name="basic", node=JobSweeperConf, provider="seqlab")
    try:
        yield
    finally:
        choices["basic.yaml"] = before


def sweep_settings(composed: DictConfig) -> list[str]:
    """The settings by which a composed configuration is one of a sweep; none for a single run."""
    is_sweep = str(composed.hydra.mode).rpartition(".")[2] == "MULTIRUN"
    names = [name for name in ("params", "tune", "fresh_seeds") if composed.hydra.sweeper.get(name)]
    return [*(["hydra.mode=MULTIRUN"] if is_sweep else []), *(f"hydra.sweeper.{name}" for name in names)]
