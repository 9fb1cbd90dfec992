"""The texts that a user wants shown in place of keys, values and metrics."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from seqlab.errors import InputError
from seqlab.report.configs import config_keys, near_hint
from seqlab.report.groups import Report
from seqlab.report.labels import full_text, labels


def check_names(texts: Iterable[str]) -> None:
    """Refuses texts that are not of the form ``NAME=TEXT``.

    Raises:
        InputError: The line has the first that is not.
    """
    for text in texts:
        if not [*_splits(text)]:
            raise InputError(f"--label: expected NAME=TEXT, such as model.num_layers=Layers, got {text!r}")


def find_names(report: Report, texts: Sequence[str], metrics: Iterable[str] = ()) -> tuple[dict[str, str], list[str]]:
    """What texts of the form ``NAME=TEXT`` name, for `Report.names`.

    A value may have a ``=`` of its own, so a text is split at the first one that has a known name before it.

    Args:
        report: The report.
        texts: Each ``NAME=TEXT``; a key may be spelled as it was swept, as ``model/cell``.
        metrics: Further names of metrics, as of curves.

    Returns:
        Name to text, and the names of keys and metrics that the runs have but the report does not show.

    Raises:
        InputError: A name is no key, value or metric, and the line has the nearest; a name is given twice; or two
            values of a key would be shown alike.
    """
    if not texts:
        return {}, []
    shown = _shown(report, metrics)
    elsewhere = {*config_keys(report.runs), *(name for run in report.runs for name in run.metrics)}
    names: dict[str, str] = {}
    unused = []
    for text in texts:
        for name, label in _splits(text):
            spellings = (name, name.replace("/", "."))
            if known := next((each for each in spellings if each in shown), None):
                if names.setdefault(shown[known], label) != label:
                    raise InputError(f"--label: {name} is given twice, as {names[shown[known]]!r} and {label!r}")
                break
            if any(each in elsewhere for each in spellings):
                unused.append(name)
                break
        else:
            name = next(_splits(text))[0]
            hint = near_hint(name, shown)
            raise InputError(f"--label: no key, value or metric of the report is called {name!r}{hint}")
    _check_apart(report, names)
    return names, unused


def _check_apart(report: Report, names: Mapping[str, str]) -> None:
    """Refuses names by which two values of a key would be shown alike."""
    for key in report.by:
        shown: dict[str, str] = {}
        for text in labels(key, [group.key[key] for group in report.groups]):
            other = shown.setdefault(names.get(text, text), text)
            if other != text:
                raise InputError(
                    f"--label: {other} and {text} of {key} would both be shown as {names.get(text, text)!r}"
                )


def _splits(text: str) -> Iterator[tuple[str, str]]:
    """The names and texts that a text may be split into, each with a word in it."""
    for place, character in enumerate(text):
        if character == "=" and (name := text[:place].strip()) and (label := text[place + 1 :].strip()):
            yield name, label


def _shown(report: Report, metrics: Iterable[str]) -> dict[str, str]:
    """What the report calls its values, keys and metrics; a value by its whole text too."""
    shown: dict[str, str] = {}
    for key in [*report.by, *report.tune]:
        # As the groups' labels, those of the values tried, and those of the runs that have failed.
        of_groups = [group.key[key] for group in report.groups if key in group.key]
        of_choices = [(group.choice.values or {}).get(key, "") for group in report.groups if group.choice]
        of_runs = [run.value(key) for run in report.runs]
        for values in (of_runs, of_choices, of_groups):
            by_class = labels(key, values)  # where a choice is shown as it was typed
            for value, label, other in zip(values, report.texts(key, values), by_class, strict=True):
                shown |= {full_text(value): label, other: label, label: label}
    shown.pop("", None)
    last = report.metric.rpartition("/")[2]
    named = [report.metric, report.deciding or report.metric, f"val/{last}", "val/loss", *metrics]
    return shown | {name: name for name in [*named, *report.by, *report.tune]}
