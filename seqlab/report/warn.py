"""Where the runs of a report come from, and what a reader must be warned of before comparing them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqlab.report.collect import Run
from seqlab.report.configs import differing_keys, is_below
from seqlab.report.contents import DATA
from seqlab.report.labels import full_text

MAX_NAMED = 6


@dataclass(frozen=True, slots=True)
class Provenance:
    """How many runs come from each state of the code, have each set of versions, ran on each device and host."""

    code: Counter[str]
    versions: Counter[str]
    devices: Counter[str]
    hosts: Counter[str]


def provenance(runs: Sequence[Run]) -> Provenance:
    """Count where the runs come from."""
    return Provenance(
        Counter(run.code for run in runs),
        Counter(run.versions for run in runs),
        Counter(run.device for run in runs),
        Counter(run.host for run in runs),
    )


def mixed_keys(groups: Sequence[Sequence[Run]]) -> dict[str, list[Any]]:
    """The config keys that differ within a group, with the values that they have."""
    mixed: dict[str, dict[Any, Any]] = {}
    for group in groups:
        for key in differing_keys(group):
            mixed.setdefault(key, {}).update((run.identity(key), run.value(key)) for run in group)
    return {key: list(values.values()) for key, values in mixed.items()}


def warnings(
    groups: Sequence[Sequence[Run]], by: Sequence[str], mixed: Mapping[str, Sequence[Any]], origin: Provenance
) -> list[str]:
    """One sentence for each way in which the groups' runs differ and that their keys do not tell."""
    runs = [run for group in groups for run in group]
    found = []
    if mixed:
        named = some(f"{key} ({_values(values)})" for key, values in mixed.items())
        found.append(f"Mixed within a group: {named}. Add the key to --by to keep such runs apart.")
    found += _other_settings(runs, by, mixed)
    found += [] if DATA in by else _contents(runs)
    if len(origin.code) > 1:
        found.append(f"The runs come from {len(origin.code)} states of the code: {_counts(origin.code)}.")
    if len(origin.versions) > 1:
        found.append(f"The runs used different versions: {'; '.join(_versions(origin.versions))}.")
    if len(origin.devices) > 1:
        named = some(sorted(origin.devices))
        found.append(f"The runs used {len(origin.devices)} devices ({named}): tokens/s and time do not compare.")
    if len(origin.hosts) > 1:
        named = some(sorted(origin.hosts))
        found.append(f"The runs ran on {len(origin.hosts)} hosts ({named}): tokens/s and time may not compare.")
    return found


def some(names: Iterable[str], limit: int = MAX_NAMED) -> str:
    """The first of some names, and how many more there are.

    Example:
        >>> some(["a", "b", "c"], limit=2)
        'a, b and 1 more'
    """
    names = list(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "") or "none"


def told(count: int) -> str:
    """``1 run``, ``2 runs``."""
    return f"{count} run{'s' if count != 1 else ''}"


def _other_settings(runs: Sequence[Run], by: Sequence[str], mixed: Mapping[str, Any]) -> list[str]:
    """What differs from group to group beside the keys could be the reason for what the report shows."""
    others = [key for key in differing_keys(runs) if not is_below(key, by) and key not in mixed and key != DATA]
    of_data = [key for key in others if key.startswith("data.")]
    rest = [key for key in others if key not in of_data]
    found = [f"Differing in step with {', '.join(by)}: {some(rest)}."] if rest else []
    if of_data:
        values = {key: {run.identity(key): run.value(key) for run in runs}.values() for key in of_data}
        named = some(f"{key} ({_values(of_key)})" for key, of_key in values.items())
        found.append(f"The groups differ in settings of the data as well: {named}.")
    return found


def _contents(runs: Sequence[Run]) -> list[str]:
    """Whether one and the same choice of data stood for different contents: a file that changed, a newer download."""
    counts = Counter(str(run.value(DATA)) for run in runs if DATA in run.config)
    return [f"The same settings of the data gave different data: {_counts(counts)}."] if len(counts) > 1 else []


def _versions(counts: Counter[str]) -> list[str]:
    """The packages of which there are several versions, with the number of runs that had each."""
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
    named = [f"{name} ({told(count)})" for name, count in counts.most_common()]
    return some(named, limit=5)


def _values(values: Iterable[Any]) -> str:
    return some(sorted(map(full_text, values), key=_numbers_first))


def _numbers_first(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), ""
    except ValueError:
        return True, 0.0, text
