"""The search space: how each key of a search is drawn, in Hydra's grammar and in Optuna's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, RangeSweep

from seqlab.errors import InputError
from seqlab.sweep.plan import single_overrides

LOG = "log"


@dataclass(frozen=True)
class Drawn:
    """A key that is drawn.

    Attributes:
        key: the key, as an override names it.
        text: how it is drawn, in Hydra's grammar.
        distribution: the same as a distribution of Optuna.
        texts: of choices, each as the text of an override, by its place among them; None for numbers.
    """

    key: str
    text: str
    distribution: Any
    texts: tuple[str, ...] | None = None

    def draw(self, trial: Any) -> None:
        """Has a trial draw the key."""
        how = self.distribution
        if self.texts is not None:
            trial.suggest_categorical(self.key, how.choices)
            return
        suggest = trial.suggest_int if isinstance(how.low, int) else trial.suggest_float
        suggest(self.key, how.low, how.high, step=how.step, log=how.log)

    def override(self, value: Any) -> str:
        """The override that sets a value that was drawn."""
        if self.texts is None:
            return f"{self.key}={value}"  # a float's shortest text that gives the same float again
        return f"{self.key}={self.texts[int(self.distribution.to_internal_repr(value))]}"

    def has(self, value: Any) -> bool:
        """Whether a value could be drawn."""
        try:
            return bool(self.distribution._contains(self.distribution.to_internal_repr(value)))
        except ValueError:
            return False

    @property
    def values(self) -> list[Any] | None:
        """All values, in their order; None where there is no end to them."""
        if self.texts is not None:
            return list(self.distribution.choices)
        step, low = self.distribution.step, self.distribution.low
        if step is None or self.distribution.log:
            return None
        return [low + number * step for number in range(round((self.distribution.high - low) / step) + 1)]


@dataclass(frozen=True)
class Space:
    """What a search draws.

    Attributes:
        drawn: the keys that are drawn.
        fixed: the other overrides of each job, by their keys.
        fixed_params: of these, the ones of the sweeper's ``params``.
    """

    drawn: Mapping[str, Drawn]
    fixed: Mapping[str, str]
    fixed_params: Mapping[str, str] = field(default_factory=dict)

    @property
    def distributions(self) -> dict[str, Any]:
        """The distributions of Optuna by key."""
        return {key: each.distribution for key, each in self.drawn.items()}

    def has(self, params: Mapping[str, Any]) -> bool:
        """Whether a trial with these parameters is complete, and could be drawn now."""
        return params.keys() == self.drawn.keys() and all(self.drawn[key].has(value) for key, value in params.items())

    def overrides(self, params: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """All overrides of a trial's job, and those that were drawn."""
        drawn = tuple(self.drawn[key].override(params[key]) for key in self.drawn)
        return (*self.fixed.values(), *drawn), drawn


def read_space(arguments: Sequence[str], params: Mapping[str, Any], loader: ConfigLoader | None = None) -> Space:
    """The search space of a command line and of the sweeper's ``params``, which the command line overrides.

    A list (``1,2,3`` or ``choice(...)``) and a glob over a group give choices. ``range(start, stop, step)`` gives the
    numbers of Hydra, without ``stop``. ``interval(low, high)`` gives numbers from ``low`` to ``high``,
    ``int(interval(low, high))`` whole ones, and ``tag(log, interval(...))`` draws evenly on a log scale. Any other
    value is fixed.

    Args:
        arguments: the overrides of the command line, without those of Hydra itself.
        params: the sweeper's keys and values.
        loader: resolves a glob over the choices of a group.

    Raises:
        InputError: nothing is drawn, or a key in a way that there is not.

    Example:
        >>> params = {"optimizer.lr": "tag(log, interval(0.001, 0.1))", "model.num_layers": "1,2"}
        >>> space = read_space(["seed=1"], params)
        >>> space.distributions["optimizer.lr"]
        FloatDistribution(high=0.1, log=True, low=0.001, step=None)
        >>> space.overrides({"optimizer.lr": 0.01, "model.num_layers": 2})
        (('seed=1', 'optimizer.lr=0.01', 'model.num_layers=2'), ('optimizer.lr=0.01', 'model.num_layers=2'))
    """
    parser = OverridesParser.create(config_loader=loader)
    of_params = parser.parse_overrides([f"{key}={'null' if value is None else value}" for key, value in params.items()])
    overrides: dict[str, Override] = {}
    for override in [*of_params, *parser.parse_overrides(list(arguments))]:
        key = override.get_key_element()
        overrides.pop(key, None)  # so that it takes the place of the later one
        overrides[key] = override
    drawn: dict[str, Drawn] = {}
    fixed: dict[str, str] = {}
    for key, override in overrides.items():
        if override.is_sweep_override():
            drawn[key] = _read(key, override)
        else:
            (fixed[key],) = single_overrides(override)
    fixed_params = {key: text for key, text in fixed.items() if any(overrides[key] is each for each in of_params)}
    if not drawn:
        raise InputError(
            "the search draws no key: give one as optimizer.lr='tag(log, interval(0.001, 0.1))' or model.num_layers=1,2"
        )
    return Space(drawn, fixed, fixed_params)


def _read(key: str, override: Override) -> Drawn:
    from optuna.distributions import CategoricalDistribution

    text, value = str(override.input_line).partition("=")[2], override.value()
    if isinstance(value, IntervalSweep):
        return Drawn(key, text, _interval(override, value))
    if isinstance(value, RangeSweep) and not value.shuffle and not value.tags & {LOG}:
        return Drawn(key, text, _range(override))
    if getattr(value, "tags", set()) & {LOG}:
        raise InputError(f"{override.input_line}: a log scale is for an interval, as tag(log, interval(0.001, 0.1))")
    texts = tuple(each.partition("=")[2] for each in single_overrides(override))
    values = [_plain(each) for each in texts]
    if len(set(values)) < len(values):  # Optuna takes 1, 1.0 and true for one value
        values = list(texts)
    return Drawn(key, text, CategoricalDistribution(values), texts)


def _interval(override: Override, sweep: IntervalSweep) -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    low, high, log = sweep.start, sweep.end, LOG in sweep.tags
    assert low is not None and high is not None
    if unknown := sweep.tags - {LOG}:
        raise InputError(f"{override.input_line}: the tag {sorted(unknown)[0]} means nothing; there is tag(log, ...)")
    if not low <= high or (log and low <= 0):
        expected = "0 < low <= high on a log scale" if log else "low <= high"
        raise InputError(f"{override.input_line}: expected {expected} in interval(low, high)")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _range(override: Override) -> Any:
    """A range of Hydra, from its least to its greatest number."""
    from optuna.distributions import FloatDistribution, IntDistribution

    numbers = [_plain(text.partition("=")[2]) for text in single_overrides(override)]
    low, high = min(numbers), max(numbers)
    step = abs(override.value().step)  # type: ignore[union-attr]
    if all(isinstance(number, int) for number in numbers):
        return IntDistribution(low, high, step=int(step))
    # The greatest number in decimals, as Optuna counts the steps: 0.1 + 2 * 0.1 is above 0.3.
    high = float(Decimal(str(low)) + (len(numbers) - 1) * Decimal(str(step)))
    return FloatDistribution(float(low), high, step=float(step))


def _plain(text: str) -> Any:
    """The value of an override's text, as a study stores it: what is no plain value stays a text."""
    value = OverridesParser.create().parse_override(f"key={text}").value()
    if isinstance(value, QuotedString):
        return value.text
    return value if value is None or isinstance(value, (bool, int, float, str)) else text
