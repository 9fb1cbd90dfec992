"""The data of a report: its groups of runs, and how they compare."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from seqlab.config.hash import canonical_json
from seqlab.report.collect import Run
from seqlab.report.labels import labels
from seqlab.report.means import Mean
from seqlab.report.reproduce import Command
from seqlab.report.tuning import Choice
from seqlab.report.warnings import Provenance


@dataclass(frozen=True, slots=True)
class Difference:
    """A group's value less the baseline's, over pairs of runs with a common seed.

    Attributes:
        n: The number of pairs.
        mean: The mean difference.
        interval: Its interval; the intervals of all differences hold together with 95 %.
        p_value: Of the paired t-test, adjusted by Holm for the number of differences; None where no baseline was named.
        detectable: The true difference that so many pairs would have shown with a probability of 80 %.
    """

    n: int
    mean: float
    interval: tuple[float, float] | None
    p_value: float | None = None
    detectable: float | None = None


@dataclass(slots=True)
class Group:
    """The completed runs with the same values of the report's keys, and their statistics.

    ``sd`` and ``interval`` need two seeds or more. ``mixed`` names other keys whose values differ among the runs: then
    there is no mean. ``validation`` is the mean of the report's deciding metric. With tuned keys, the runs are those
    that judge ``choice``. ``incomplete`` counts the runs of the group that did not complete, by their status.
    ``difference`` is None for the baseline itself and where there is no pair.
    """

    key: dict[str, Any]
    runs: list[Run]
    values: list[float]
    diverged: int
    mean: float | None
    sd: float | None
    interval: tuple[float, float] | None
    num_parameters: float | None
    tokens_per_second: float | None
    train_seconds: float | None
    peak_memory_bytes: float | None
    best: bool = False
    baseline: bool = False
    difference: Difference | None = None
    validation: Mean | None = None
    choice: Choice | None = None
    mixed: tuple[str, ...] = ()
    incomplete: dict[str, int] = field(default_factory=dict)

    @property
    def is_judged(self) -> bool:
        """Whether its values are a sample of one setting that they did not choose."""
        return not self.mixed and (self.choice is None or self.choice.judged)

    @property
    def seeds(self) -> list[int | None]:
        """The seeds of the runs, in their order."""
        return [run.seed for run in self.runs]


@dataclass(slots=True)
class Report:
    """A comparison of runs, for `render` and `save_plot`.

    ``by`` has the keys of the rows, then those of the columns; ``tune`` the keys that are chosen within each group.
    ``names`` has the texts that tables and pictures show in place of a key, a value's label or a metric, ``typed``
    what was typed for the values of a key that is a group, by their identity.
    ``deciding`` is the metric that the best group and the tuned values are chosen by, on validation; None where the
    runs have no common one. ``has_named_baseline`` is false where the best group is the baseline for want of another.
    ``runs`` has all runs, ``not_counted`` those that did not complete.
    """

    by: list[str]
    columns: list[str]
    metric: str
    higher_is_better: bool
    groups: list[Group]
    not_counted: list[Run]
    provenance: Provenance
    command: Command | None = None
    notes: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    tune: list[str] = field(default_factory=list)
    deciding: str | None = None
    names: dict[str, str] = field(default_factory=dict)
    typed: dict[str, dict[Hashable, str]] = field(default_factory=dict)
    has_named_baseline: bool = False

    def name_of(self, text: str) -> str:
        """What is shown in place of a key, a value's label or a metric."""
        return self.names.get(text, text)

    def labels_of(self, key: str) -> list[str]:
        """The text of each group's value of a key."""
        return [self.name_of(text) for text in self.texts(key, (group.key[key] for group in self.groups))]

    def texts(self, key: str, values: Iterable[Any]) -> list[str]:
        """Short texts for values of a key, before `name_of`."""
        return labels(key, values, self.typed.get(key))

    def _repr_html_(self) -> str:
        """The report in a notebook."""
        from seqlab.report.page import as_part

        return as_part(self)

    @property
    def rows(self) -> list[str]:
        """The keys of the rows."""
        return self.by[: len(self.by) - len(self.columns)]

    @property
    def differing(self) -> list[str]:
        """The keys with several values among the groups; another value may be that of a failed run only."""
        return [key for key in self.by if len({canonical_json(group.key[key]) for group in self.groups}) > 1]

    @property
    def baseline(self) -> Group | None:
        """The group that the differences of the others are taken from."""
        return next((group for group in self.groups if group.baseline), None)
