"""Whether a stored study may go on: its trials must be of this configuration, code, data and search space."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

from omegaconf import DictConfig

from seqlab.config.compose import plain_values
from seqlab.config.hash import canonical_json, deciding_values
from seqlab.config.own_files import GLOBAL
from seqlab.config.paths import absolute_paths, without_places
from seqlab.errors import InputError
from seqlab.run.comparison import Present, compare
from seqlab.run.events import COMPLETED, PRUNED
from seqlab.sweep.existing_runs import ExistingRun, describe_changes, read_states
from seqlab.sweep.plan import PlannedJob
from seqlab.sweep.space import Space

SHARED_CONFIG: Final = "seqlab.config"
"""The attribute of a study with the configuration that its trials share."""
OVERRIDES: Final = "seqlab.overrides"
"""The attribute of a trial with its values as overrides."""
FINISHED: Final = ("COMPLETE", "PRUNED")
"""The states of trials that have a result."""
_MAX_NAMED: Final = 4


def shared_config(config: DictConfig, space: Space) -> dict[str, str]:
    """The values of a search's configuration that count, as JSON; the keys that it draws have their defaults."""
    plain = without_places(absolute_paths(plain_values(config)))
    shared = {key: canonical_json(value) for key, value in deciding_values(plain).items()}
    # The command line's are in the configuration already.
    return shared | {f"hydra.sweeper.params.{key}": text.partition("=")[2] for key, text in space.fixed_params.items()}


def check_study(study: Any, config: DictConfig, varied: Collection[str], space: Space) -> None:
    """Refuses to continue a study whose results a new trial would not reproduce. Without a result it is of this search.

    Args:
        study: the study.
        config: the configuration of the search.
        varied: the keys that it varies.
        space: how it draws them.

    Raises:
        InputError: the configuration, the code, the data, or how a key is drawn differs.
    """
    check_space(study, space)
    finished = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in FINISHED]
    drawn = {*varied, *space.drawn} - set(space.fixed_params)
    drawn |= {key for trial in study.get_trials(deepcopy=False) for key in trial.params}
    keys = {key.lstrip("+").partition("@")[0].replace("/", ".") for key in drawn}
    before, now = study.user_attrs.get(SHARED_CONFIG), shared_config(config, space)
    if not finished or before is None:
        study.set_user_attr(SHARED_CONFIG, now)
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
    changed = _changed_runs(config, finished, keys)
    if changed and not config.keep_changed:
        raise InputError(
            f"trials of the study {study.study_name} have other code or data ({describe_changes(changed)}): restore "
            "it, or keep_changed=true keeps their values, or name=ANOTHER begins another study"
        )
    if changed:
        print(f"trials with other code or data ({describe_changes(changed)}) keep their values", flush=True)


def check_space(study: Any, space: Space) -> None:
    """Refuses to draw a key in a way that Optuna can't compare with how the study has drawn it before.

    Raises:
        InputError: names the key.
    """
    from optuna.distributions import check_distribution_compatibility

    for trial in reversed(study.get_trials(deepcopy=False)):
        for key, before in trial.distributions.items():
            if key not in space.drawn:
                continue
            try:
                check_distribution_compatibility(before, space.drawn[key].distribution)
            except ValueError as error:
                raise InputError(
                    f"{key}={space.drawn[key].text}: the study {study.study_name} has drawn {key} from {before} "
                    "before, and Optuna lets a study change neither choices, nor whole numbers to others, nor the "
                    "scale: restore that, or search in another study by name=ANOTHER"
                ) from error


def _changed_runs(config: DictConfig, trials: Sequence[Any], varied: Collection[str]) -> list[ExistingRun]:
    """The runs of finished trials whose code or data has changed since."""
    trial_overrides = [
        set(trial.user_attrs.get(OVERRIDES) or {f"{key}={value}" for key, value in trial.params.items()})
        for trial in trials
    ]
    plain = None if any(key.partition(".")[0] == "data" for key in varied) else absolute_paths(plain_values(config))
    folder, present = Path(config.hydra.sweep.dir), Present()
    runs: list[ExistingRun] = []
    for name, state in read_states(folder).items():
        overrides = state.record["overrides"]
        if state.status in (COMPLETED, PRUNED) and any(each <= set(overrides) for each in trial_overrides):
            differences = compare(state.record, present, config=plain, run_dir=folder / name)
            if differences.blocking:
                runs.append(ExistingRun(PlannedJob(len(runs), tuple(overrides), ()), name, state, differences))
    return runs
