"""The origin of a report's runs, and warnings about differences between them that the groups' keys do not show."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqlab.report.collect import Run, speed_unit
from seqlab.report.configs import differing_keys, is_below
from seqlab.report.conflicts import DATA
from seqlab.report.labels import full_text, runs_text, shortened


@dataclass(frozen=True, slots=True)
class Provenance:
    """The number of runs of each state of the code, each set of versions, each device and each host."""

    code: Counter[str]
    versions: Counter[str]
    devices: Counter[str]
    hosts: Counter[str]


def provenance(runs: Sequence[Run]) -> Provenance:
    """Counts the runs by their code, versions, device and host."""
    return Provenance(
        Counter(run.code for run in runs),
        Counter(run.versions for run in runs),
        Counter(run.device for run in runs),
        Counter(run.host for run in runs),
    )


def mixed_keys(groups: Sequence[Sequence[Run]]) -> dict[str, list[Any]]:
    """The config keys that differ within a group, with their values; not those below another one."""
    mixed: dict[str, dict[Any, Any]] = {}
    for group in groups:
        for key in differing_keys(group):
            mixed.setdefault(key, {}).update((run.identity(key), run.value(key)) for run in group)
    uppermost = [key for key in mixed if not is_below(key, mixed.keys() - {key})]
    return {key: list(mixed[key].values()) for key in uppermost}


def warnings(
    groups: Sequence[Sequence[Run]], by: Sequence[str], mixed: Mapping[str, Sequence[Any]], origin: Provenance
) -> list[str]:
    """A sentence for each difference between the runs that the groups' keys do not show.

    Args:
        groups: the runs of each group.
        by: the groups' keys.
        mixed: the keys that differ within a group, with their values.
        origin: where the runs come from.
    """
    runs = [run for group in groups for run in group]
    notes = []
    if mixed:
        settings = shortened(f"{key} ({_values(values)})" for key, values in mixed.items())
        notes.append(f"Mixed within a group: {settings}. Add the key to --by to keep such runs apart.")
    notes += _other_settings(runs, by, mixed)
    notes += [] if DATA in by else _contents(runs)
    if len(origin.code) > 1:
        notes.append(f"The runs come from {len(origin.code)} states of the code: {_counts(origin.code)}.")
    if len(origin.versions) > 1:
        notes.append(f"The runs used different versions: {'; '.join(_versions(origin.versions))}.")
    if len(origin.devices) > 1:
        devices = shortened(sorted(origin.devices))
        notes.append(
            f"The runs used {len(origin.devices)} devices ({devices}): {speed_unit(runs)} and time do not compare."
        )
    if len(origin.hosts) > 1:
        hosts = shortened(sorted(origin.hosts))
        notes.append(
            f"The runs ran on {len(origin.hosts)} hosts ({hosts}): {speed_unit(runs)} and time may not compare."
        )
    return notes


def _other_settings(runs: Sequence[Run], by: Sequence[str], mixed: Mapping[str, Any]) -> list[str]:
    """The settings that differ from group to group beside the groups' keys: each could explain the results."""
    others = [key for key in differing_keys(runs) if not is_below(key, [*by, *mixed]) and key != DATA]
    data_keys = [key for key in others if key.startswith("data.")]
    other_keys = [key for key in others if key not in data_keys]
    notes = [f"Differing in step with {', '.join(by)}: {shortened(other_keys)}."] if other_keys else []
    if data_keys:
        values = {key: {run.identity(key): run.value(key) for run in runs}.values() for key in data_keys}
        settings = shortened(f"{key} ({_values(of_key)})" for key, of_key in values.items())
        notes.append(f"The groups differ in settings of the data as well: {settings}.")
    return notes


def _contents(runs: Sequence[Run]) -> list[str]:
    """A note where the same settings of the data gave different contents: a file has changed, or a newer download."""
    counts = Counter(str(run.value(DATA)) for run in runs if DATA in run.config)
    return [f"The same settings of the data gave different data: {_counts(counts)}."] if len(counts) > 1 else []


def _versions(counts: Counter[str]) -> list[str]:
    """Each package with several versions, and the number of runs of each version."""
    packages: dict[str, Counter[str]] = {}
    for text, count in counts.items():
        for part in filter(None, text.split(", ")):
            name, _, number = part.partition(" ")
            packages.setdefault(name, Counter())[number] += count
    total = counts.total()
    for versions in packages.values():
        versions["unknown"] += total - versions.total()
    several = {name: +versions for name, versions in packages.items() if len(+versions) > 1}
    return [f"{name} {_counts(versions)}" for name, versions in sorted(several.items())]


def _counts(counts: Counter[str]) -> str:
    """Names with their numbers of runs, the most frequent first."""
    return shortened([f"{name} ({runs_text(count)})" for name, count in counts.most_common()], limit=5)


def _values(values: Iterable[Any]) -> str:
    return shortened(sorted(map(full_text, values), key=_numbers_first))


def _numbers_first(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), ""
    except ValueError:
        return True, 0.0, text
