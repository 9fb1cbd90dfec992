"""What a lowered step computes with: operands, buffers, and the expressions that a variable is defined by.

A row is flat. A loop runs over j = 0 .. H-1 and computes several lanes at once: ``gi[20 + j]`` is the third gate of ten
units. A variable holds one number a lane; or, where it is *shared*, one number for the whole row, which is computed
before the loops. :mod:`lowered` has the statements that use these.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["vec", "mask"]
Fold: TypeAlias = Literal["sum", "max", "min"]
BufferName: TypeAlias = Literal[
    "gi", "gh", "previous", "next", "extra", "kept", "kept_shared", "dnext", "dstate", "dgi", "dgh", "sums", "scratch"
]


@dataclass(frozen=True)
class Number:
    """A constant, by its shortest text: so -0.0 differs from 0.0, and NaN equals NaN."""

    text: str

    @classmethod
    def of(cls, value: float) -> "Number":
        return cls(repr(float(value)))

    @property
    def value(self) -> float:
        return float(self.text)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Truth:
    """A constant truth value."""

    value: bool

    def __str__(self) -> str:
        return str(self.value).lower()


@dataclass(frozen=True)
class Variable:
    """A computed value: numbers or truth values, one a lane or one that all lanes share."""

    number: int
    kind: Kind
    shared: bool

    def __str__(self) -> str:
        return f"v{self.number}"


@dataclass(frozen=True)
class AsNumber:
    """A mask as numbers, 1 and 0."""

    mask: "Operand"

    def __str__(self) -> str:
        return f"number({self.mask})"


@dataclass(frozen=True)
class Lanes:
    """A mask of the lanes from ``begin`` up to ``end``."""

    begin: int
    end: int

    def __str__(self) -> str:
        return f"lanes({self.begin}, {self.end})"


Operand: TypeAlias = Variable | AsNumber | Number | Truth | Lanes


@dataclass(frozen=True)
class Buffer:
    """Memory, by its meaning. ``name`` is one of:

    - ``gi``: the projected input; ``gh.2``: the third gate of the recurrent product;
    - ``previous.1``, ``next.1``: the second part of the state, before and after the step;
    - ``extra.0``: the first tensor that all rows share;
    - ``kept.0``: the first span that the step saves for its adjoint; ``kept_shared``: the single numbers that it saves;
    - ``dnext.1``: the gradient to the second part of the state, from the output of the step; ``dstate.1``: the gradient
      to it from the step after, which the adjoint replaces by the gradient to the previous state;
    - ``dgi``, ``dgh``: the gradients of gi and gh; ``sums``: the gradients that are summed over rows and steps;
    - ``scratch.3``: the fourth span of a thread's own memory.
    """

    name: BufferName
    index: int | None = None

    def __str__(self) -> str:
        return self.name if self.index is None else f"{self.name}.{self.index}"


@dataclass(frozen=True)
class Table:
    """Constants that differ from unit to unit."""

    number: int
    values: tuple[Number, ...]

    def __str__(self) -> str:
        return f"t{self.number}"


# Expressions


@dataclass(frozen=True)
class Load:
    """Read ``buffer[offset + j]``; or with ``shared``, ``buffer[offset]`` for all lanes.

    With ``begin`` and ``end``, lanes outside of [begin, end) lie outside of the buffer, and are 0.
    """

    buffer: Buffer | Table
    offset: int
    shared: bool = False
    begin: int | None = None
    end: int | None = None

    def __str__(self) -> str:
        place = place_of(self.buffer, self.offset, self.shared)
        return place if self.begin is None else f"{place} in {Lanes(self.begin, self.end or 0)}, else 0"


@dataclass(frozen=True)
class LoadSpan:
    """Read a span of scratch, which an earlier loop over the same lanes has stored."""

    slot: int

    def __str__(self) -> str:
        return f"scratch.{self.slot}[j]"


@dataclass(frozen=True)
class Apply:
    """An elementwise operation, by its name in PyTorch.

    Names beside PyTorch's are ``product`` (of its operands), ``is_true`` (not 0) and ``scale`` (by a number).

    Attributes:
        operation: the name.
        operands: the operands; None for an absent one.
        alpha: the factor ``alpha`` of ``add`` and ``sub``, or None.
        truth: whether the result is turned into a mask: not 0.
    """

    operation: str
    operands: tuple[Operand | None, ...]
    alpha: Number | None = None
    truth: bool = False

    def __str__(self) -> str:
        listed = ", ".join(map(str, self.operands)) + (f", alpha={self.alpha}" if self.alpha else "")
        text = f"{self.operation}({listed})"
        return f"is_true({text})" if self.truth else text


@dataclass(frozen=True)
class Combine:
    """The sum, maximum or minimum of two operands."""

    fold: Fold
    left: Operand
    right: Operand

    def __str__(self) -> str:
        return f"{self.fold}({self.left}, {self.right})"


@dataclass(frozen=True)
class Choose:
    """One of two values in each lane; ``kind`` is "mask" if both are masks."""

    mask: Operand
    yes: Operand
    no: Operand
    kind: Kind = "vec"

    def __str__(self) -> str:
        return f"{self.yes} where {self.mask} else {self.no}"


@dataclass(frozen=True)
class Constant:
    """One number or truth value for all lanes."""

    kind: Kind
    value: Number | Truth

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True)
class Zero:
    """Zeros."""

    def __str__(self) -> str:
        return "0"


Expression: TypeAlias = Load | LoadSpan | Apply | Combine | Choose | Constant | Lanes | Zero


def neutral_element(fold: Fold) -> float:
    """The neutral element of a sum, maximum or minimum."""
    return {"sum": 0.0, "max": -math.inf, "min": math.inf}[fold]


def place_of(buffer: Buffer | Table, offset: int, shared: bool) -> str:
    """The text of an element of a buffer: ``gi[20 + j]``, or with ``shared``, ``gi[20]``."""
    if shared:
        return f"{buffer}[{offset}]"
    return f"{buffer}[j]" if offset == 0 else f"{buffer}[{offset} + j]"
