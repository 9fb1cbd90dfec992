"""The command that trains a configuration again."""

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from seqlab.config.trust import ALLOWED
from seqlab.report.collect import Run


@dataclass(frozen=True, slots=True)
class Command:
    """A command for a POSIX shell, and remarks on what the same numbers need."""

    line: str
    remarks: tuple[str, ...]


def command_for(runs: Sequence[Run]) -> Command | None:
    """The command that trains the runs of one configuration again, for all seeds if the runs differ only in these.

    ``runs`` has the best run first. None where the best run has no checkpoint: ``seqlab train`` did not make its
    record.

    Example:
        >>> words = ("experiment=hello", "name='x y'")
        >>> runs = [Run("a", "completed", overrides=(*words, f"seed={n}"), seed=n, trained=True) for n in (2, 1)]
        >>> print(command_for(runs[:1]).line)
        seqlab train experiment=hello 'name='"'"'x y'"'"'' seed=2
        >>> print(command_for(runs).line)
        seqlab train -m experiment=hello 'name='"'"'x y'"'"'' seed=1,2
    """
    best = runs[0]
    if not best.trained:
        return None
    remarks = []
    without_seed = {_without(run.overrides, "seed", "launcher") for run in runs}
    seeds = {run.seed for run in runs}
    is_sweep = any(key_of_override(override) == "sweep" for override in best.overrides)
    if len(runs) == len(seeds) > 1 and len(without_seed) == 1 and None not in seeds and not is_sweep:
        numbers = ",".join(str(seed) for seed in sorted(seed for seed in seeds if seed is not None))
        words = ["-m", *without_seed.pop(), f"seed={numbers}"]
        remarks.append("A sweep skips what is complete in its folder: to train anew there, add name=ANOTHER.")
    else:
        # `sweep=...` would start a sweep; the overrides have the values of this run already.
        words = [*_without(best.overrides, "launcher"), *(["hydra.mode=RUN"] if is_sweep else [])]
        if len(runs) > 1:
            remarks.append(f"It trains the group's best run, seed {best.seed}, of {len(runs)}.")
    modules = sorted(_foreign_modules(best))
    if modules:
        remarks.append(f"It needs --allow {','.join(modules)}, or the --config-dir beside that code.")
    own = _own_files(best.overrides)
    if own:
        remarks.append(f"It needs the --config-dir that holds {' and '.join(own)}.")
    code = best.code
    if code == "unknown":
        code = "not recorded (no git repository was found)"
    remarks.append(f"Code of the best run: {code}; {best.versions or 'versions unknown'}.")
    return Command(shlex.join(["seqlab", "train", *words]), tuple(remarks))


def swept_keys(runs: Iterable[Run]) -> set[str]:
    """The config keys that the runs' overrides set."""
    return {key_of_override(override) for override in {override for run in runs for override in run.overrides}}


def key_of_override(override: str) -> str:
    """The config key that an override sets; a group as a key.

    Example:
        >>> key_of_override("+model/cell=gru"), key_of_override("optimizer.lr=0.1")
        ('model.cell', 'optimizer.lr')
    """
    return override.partition("=")[0].lstrip("+~").partition("@")[0].replace("/", ".")


def _without(overrides: Iterable[str], *keys: str) -> tuple[str, ...]:
    return tuple(override for override in overrides if key_of_override(override) not in keys)


def _own_files(overrides: Iterable[str]) -> list[str]:
    """The files of the user's own configuration that overrides choose, as ``sweep/width.yaml``.

    Example:
        >>> _own_files(["sweep=width", "model/cell=gru", "optimizer=null", "model.num_layers=2"])
        ['sweep/width.yaml']
    """
    shipped = files("seqlab.conf")
    names = []
    for override in overrides:
        group, _, choice = override.lstrip("+").partition("=")
        group = group.partition("@")[0]
        if not re.fullmatch(r"[\w/-]+", choice) or choice == "null" or not shipped.joinpath(group).is_dir():
            continue
        if not shipped.joinpath(group, f"{choice}.yaml").is_file():
            names.append(f"{group}/{choice}.yaml")
    return names


def _foreign_modules(run: Run) -> set[str]:
    """The user's own modules that a configuration names."""
    targets = {
        value
        for section in run.config.values()
        for key, value in section.flat.items()
        if key.endswith("_target_") and isinstance(value, str)
    }
    allowed = tuple(f"{name}." for name in ALLOWED)
    return {target.rpartition(".")[0] for target in targets if not f"{target}.".startswith(allowed)}
