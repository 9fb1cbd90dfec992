"""What studies share beside ``command.py``: the runs that a table counts, the records of baselines, figures with their
spread, and a README's table between its two marks.

A study in a folder of its own finds this module as it finds ``command.py``.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab.config.hash import canonical_json, flatten
from seqlab.errors import InputError
from seqlab.files import write_atomically
from seqlab.run.folder import RunFolder, start_run
from seqlab.run.provenance import seqlab_git
from seqlab.run.record import read_record


def completed(folder: Path, *apart: str) -> dict[Path, dict[str, Any]]:
    """The records of a sweep's completed runs by their folders, in the order of their seeds.

    Args:
        folder: the sweep's folder.
        *apart: keys of the configuration, other than the seed, that the sweep varies.

    Raises:
        SystemExit: see :func:`refuse_twice`.
    """
    records = {path.parent: read_record(path) for path in sorted(folder.glob("*/run.json"))}
    done = {path: record for path, record in records.items() if record["status"] == "completed"}
    refuse_twice(((path, dict(flatten(record["config"]))) for path, record in done.items()), *apart)
    return dict(sorted(done.items(), key=lambda pair: int(pair[1]["config"]["seed"])))


def refuse_twice(runs: Iterable[tuple[object, Mapping[str, Any]]], *apart: str) -> None:
    """Refuses two runs of one setting and one seed: a table would count both, as if they were two seeds.

    That happens where a trial with other options has trained into the folder of the study.

    Args:
        runs: the folder of each run, and its configuration by dotted keys.
        *apart: the keys, other than the seed, that tell settings apart.

    Raises:
        SystemExit: two runs have the same values of all these keys.
    """
    found: dict[tuple[str, ...], tuple[object, Mapping[str, Any]]] = {}
    for folder, config in runs:
        other, before = found.setdefault(tuple(str(config.get(key)) for key in ("seed", *apart)), (folder, config))
        if other != folder:
            differing = sorted(key for key in before.keys() | config.keys() if before.get(key) != config.get(key))
            keys = ", ".join(differing[:4]) + (" and more" if len(differing) > 4 else "")
            raise SystemExit(
                f"{other} and {folder} are runs of one setting with the same seed, and a table would count both; they "
                f"differ in {keys or 'nothing'}. Move one of them away, and let trials train into another folder"
            )


def is_measured(run_dir: Path, data: Mapping[str, Any]) -> bool:
    """Whether the record of a baseline is there already, measured on these data.

    Args:
        run_dir: the folder of the record.
        data: the configuration of the data.

    Raises:
        InputError: it was measured on other data, so it is no baseline of runs on these.
    """
    state = RunFolder(run_dir).state()
    if state.status != "completed":
        return False
    before, now = dict(flatten(state.record["config"]["data"])), dict(flatten(data))
    keys = [
        f"data.{key}"
        for key in sorted(before.keys() | now.keys())
        if canonical_json(before.get(key)) != canonical_json(now.get(key))
    ]
    if keys:
        raise InputError(f"{run_dir} was measured on other data ({', '.join(keys)}); remove it, or move it away")
    return True


def leave_record(
    run_dir: Path,
    config: dict[str, Any],
    overrides: Sequence[str],
    metrics: Mapping[str, float],
    *,
    num_parameters: int = 0,
    seconds: float | None = None,
) -> None:
    """Leaves the record of a baseline beside those of runs, for ``seqlab report``, with the version of the code."""
    with start_run(run_dir, config, overrides) as claim:
        claim.note(num_parameters=num_parameters, device="cpu", seqlab_git=seqlab_git())
        claim.complete(metrics, **({} if seconds is None else {"train_seconds": seconds}))


def with_table(text: str, content: str, name: str = "table") -> str:
    """A text with what stands between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->`` replaced.

    Raises:
        SystemExit: a marker is missing, or they are in another order: all behind the place would be lost.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"README.md: expected the markers {begin} and {end}, in that order; put them back")
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


def write_table(lines: Sequence[str], output: Path, template: Path, name: str = "table") -> None:
    """Prints a table, and writes it into ``output``, which begins as the ``template`` where it is not there yet."""
    print("\n".join(lines))
    output.parent.mkdir(parents=True, exist_ok=True)
    text = (output if output.exists() else template).read_text()
    write_atomically(output, with_table(text, "\n".join(lines), name).encode())


def spread(values: Sequence[float], style: str = ".3f") -> str:
    """The mean and the sample standard deviation of values, as ``2.10 ± 0.04``; ``not run`` where there are none."""
    if not values:
        return "not run"
    mean = format(statistics.mean(values), style)
    return f"{mean} ± {statistics.stdev(values):.2g}" if len(values) > 1 else mean
