"""The kinds of values that configuration keys take: each accepts a value or not, and says in words what it accepts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Kind(Protocol):
    """A kind of values."""

    @property
    def words(self) -> str:
        """What the kind accepts, as in "expected a whole number, 1 or more"."""

    def accepts(self, value: Any) -> bool:
        """Whether a value is of this kind."""


@dataclass(frozen=True)
class Whole:
    """A whole number within limits."""

    least: int = 1
    most: int | None = None

    @property
    def words(self) -> str:
        limits = f"{self.least} or more" if self.most is None else f"from {self.least} to {self.most}"
        return f"a whole number, {limits}"

    def accepts(self, value: Any) -> bool:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.least <= value <= (math.inf if self.most is None else self.most)


@dataclass(frozen=True)
class Number:
    """A finite number within limits; ``above`` excludes the lower limit, ``below`` the upper one."""

    least: float = 0.0
    most: float | None = None
    above: bool = False
    below: bool = False

    @property
    def words(self) -> str:
        lower = f"above {self.least:g}" if self.above else f"{self.least:g} or more"
        upper = "" if self.most is None else f", {'below' if self.below else 'at most'} {self.most:g}"
        return f"a number, {lower}{upper}"

    def accepts(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return False
        within = value > self.least if self.above else value >= self.least
        return within and (self.most is None or (value < self.most if self.below else value <= self.most))


@dataclass(frozen=True)
class Flag:
    """true or false."""

    words: str = "true or false"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class Text:
    """One of some texts; any text that is not empty where there are no ``choices``."""

    choices: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        return _join(self.choices) or "a text"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and (value in self.choices if self.choices else value != "")


@dataclass(frozen=True)
class Several:
    """A list of ``count`` values of one kind; of one or more where ``count`` is None."""

    kind: Kind
    count: int | None = None

    @property
    def words(self) -> str:
        return f"a list{'' if self.count is None else f' of {self.count}'}, each {self.kind.words}"

    def accepts(self, value: Any) -> bool:
        fits = isinstance(value, list) and bool(value) and self.count in (None, len(value))
        return fits and all(map(self.kind.accepts, value))


@dataclass(frozen=True)
class Either:
    """A value of any of several kinds."""

    kinds: tuple[Kind, ...]

    @property
    def words(self) -> str:
        return _join(tuple(kind.words for kind in self.kinds))

    def accepts(self, value: Any) -> bool:
        return any(kind.accepts(value) for kind in self.kinds)


@dataclass(frozen=True)
class Null:
    """null."""

    words: str = "null"

    def accepts(self, value: Any) -> bool:
        return value is None


@dataclass(frozen=True)
class Parent:
    """The run whose weights a run begins with, as a stored configuration has it."""

    words: str = "a run's folder"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Mapping) and set(value) == {"run", "checkpoint"}


def or_null(kind: Kind) -> Either:
    """A value of a kind, or null."""
    return Either((kind, Null()))


def _join(words: tuple[str, ...]) -> str:
    """Words as in "a, b or c"."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
