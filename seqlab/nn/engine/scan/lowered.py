"""A step and its adjoint as typed operations: what :mod:`lower` decides, and all that a printer is told.

A row lies flat. A loop runs over j = 0 .. H-1 and computes H lanes at once, so ``gi[20 + j]`` is the third gate of ten
units. A value is either one number a lane or, where it is *shared*, one number for the whole row, which is computed
before the loops. Every decision has been made here: what is kept for the adjoint, which values are shared, in which
order sums are taken. ``print(lowered.step)`` shows an Elman step of five units::

    step
      each lane j < 5:
        prefetch gi[j]
        v1 = gi[j]
        v2 = gh.0[j]
        v3 = add(v1, v2)
        v4 = tanh(v3)
        next.0[j] = v4
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import fx

Kind: TypeAlias = Literal["vec", "mask"]
Fold: TypeAlias = Literal["sum", "max", "min"]
BufferName: TypeAlias = Literal[
    "gi", "gh", "previous", "next", "extra", "kept", "kept_shared", "dnext", "dstate", "dgi", "dgh", "sums", "scratch"
]


@dataclass(frozen=True)
class Number:
    """A number by its shortest text, so that -0.0 differs from 0.0 and NaN equals NaN."""

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
    """A truth value that the step holds as a constant."""

    value: bool

    def __str__(self) -> str:
        return str(self.value).lower()


@dataclass(frozen=True)
class Variable:
    """A value that was computed: of numbers or of truth values, one a lane or shared by the row."""

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
    """Memory by its meaning: ``previous.1`` is the second part of the state before the step, ``kept.0`` the first span
    that the step keeps, ``gh.2`` the third gate of the recurrent product, ``scratch.3`` the fourth span of a thread's
    own memory."""

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


# --- what a variable is computed from


@dataclass(frozen=True)
class Load:
    """Read ``buffer[offset + j]``; where ``shared``, ``buffer[offset]`` for all lanes.

    With ``begin`` and ``end``, lanes outside of them lie beyond the buffer and are 0.
    """

    buffer: Buffer | Table
    offset: int
    shared: bool = False
    begin: int | None = None
    end: int | None = None

    def __str__(self) -> str:
        place = _place(self.buffer, self.offset, self.shared)
        return place if self.begin is None else f"{place} in {Lanes(self.begin, self.end or 0)}, else 0"


@dataclass(frozen=True)
class LoadSpan:
    """Read a span of the scratch, which an earlier loop over the same lanes has left there."""

    slot: int

    def __str__(self) -> str:
        return f"scratch.{self.slot}[j]"


@dataclass(frozen=True)
class Apply:
    """An elementwise operation, by its name in PyTorch; ``alpha`` is that of sums and differences.

    Names beside PyTorch's: ``product`` of its operands, ``is_true`` (not 0), ``scale`` by a number. With ``truth`` the
    result is a mask: whether the number that the operation gives is not 0.
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
    """Two parts of a sum, a maximum or a minimum."""

    fold: Fold
    left: Operand
    right: Operand

    def __str__(self) -> str:
        return f"{self.fold}({self.left}, {self.right})"


@dataclass(frozen=True)
class Choose:
    """Lane by lane one of two values; of two masks, a mask."""

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


# --- what is done


@dataclass(frozen=True)
class Define:
    variable: Variable
    expression: Expression

    def __str__(self) -> str:
        return f"{self.variable} = {self.expression}"


@dataclass(frozen=True)
class DefineTable:
    table: Table

    def __str__(self) -> str:
        return f"{self.table} = [{', '.join(map(str, self.table.values))}]"


@dataclass(frozen=True)
class Prefetch:
    """Ask for what the next step's rows hold at this place. It changes no value."""

    buffer: Buffer
    offset: int

    def __str__(self) -> str:
        return f"prefetch {_place(self.buffer, self.offset, False)}"


@dataclass(frozen=True)
class Store:
    """Write ``buffer[offset + j]``; with ``end``, lanes from there on are left. ``add`` adds to what is there."""

    buffer: Buffer
    offset: int
    value: Operand | Zero
    end: int | None = None
    add: bool = False

    def __str__(self) -> str:
        lanes = "" if self.end is None else f" in {Lanes(0, self.end)}"
        return f"{_place(self.buffer, self.offset, False)}{lanes} {'+=' if self.add else '='} {self.value}"


@dataclass(frozen=True)
class StoreSpan:
    """Leave a value in the scratch, for loops over the same lanes that come later."""

    slot: int
    value: Operand

    def __str__(self) -> str:
        return f"scratch.{self.slot}[j] = {self.value}"


@dataclass(frozen=True)
class StoreOne:
    """Write what all lanes share to ``buffer[offset]``; ``add`` adds to what is there."""

    buffer: Buffer
    offset: int
    value: Operand
    add: bool = False

    def __str__(self) -> str:
        return f"{_place(self.buffer, self.offset, True)} {'+=' if self.add else '='} {self.value}"


@dataclass(frozen=True)
class CopyGradient:
    """Copy the gradient to part ``index`` of the new state to the scratch, from ``slot`` on: its place is written soon.

    With ``plus_next`` what reaches the part as an output of its step is added.
    """

    slot: int
    index: int
    count: int
    plus_next: bool

    def __str__(self) -> str:
        given = f" + dnext.{self.index}[i]" if self.plus_next else ""
        return f"scratch.{self.slot}[i] = dstate.{self.index}[i]{given} for i < {self.count}"


@dataclass(frozen=True)
class Accumulate:
    """Take a value's lanes into a reduction; with ``lanes`` those alone."""

    value: Operand
    lanes: Lanes | None = None

    def __str__(self) -> str:
        return f"reduce {self.value}" + ("" if self.lanes is None else f" in {self.lanes}")


@dataclass(frozen=True)
class Reduce:
    """``total`` = the sum, maximum or minimum over ``width`` lanes of all that its ``body`` accumulates."""

    total: Variable
    fold: Fold
    body: "tuple[Statement, ...]"
    width: int

    def __str__(self) -> str:
        return f"{self.total} = {self.fold} over each lane j < {self.width}:\n{indented(self.body)}"


Statement: TypeAlias = (
    Define | DefineTable | Prefetch | Store | StoreSpan | StoreOne | CopyGradient | Accumulate | Reduce
)


@dataclass(frozen=True)
class Function:
    """What is done for each row: ``row`` once, in order; then ``loop`` for each lane; then ``last`` once."""

    name: str
    row: tuple[Statement, ...]
    loop: tuple[Statement, ...]
    last: tuple[Statement, ...]
    width: int
    whole_rows: bool  # a unit looks at others, so threads may not share a row

    def __str__(self) -> str:
        parts = [indented(self.row)] if self.row else []
        parts += [f"  each lane j < {self.width}:", indented(self.loop, 4)]
        parts += [indented(self.last)] if self.last else []
        return "\n".join((self.name, *parts))


@dataclass(frozen=True)
class Span:
    """``hidden_size`` numbers of a row that the step keeps for its adjoint: in gi's own place, or apart."""

    buffer: Literal["gi", "kept"]
    index: int


@dataclass(frozen=True)
class Layout:
    """The sizes that a program and its caller agree on, in numbers of a row."""

    hidden_size: int
    num_gates: int
    state_sizes: tuple[int, ...]
    kept: int  # spans of hidden_size that the step stores apart
    kept_shared: int  # single numbers that it stores
    gi_needed: bool  # by the adjoint: unchanged, or with what the step has stored in its place
    shared_gradient: bool  # one gradient serves gi and gh
    sums: tuple[int, ...]  # widths of what the adjoint sums over rows and steps; the first is gh's gradient, if wanted
    sum_gh: bool
    sum_shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Lowered:
    """A cell's step, the step that also keeps what its adjoint reads, and the adjoint.

    ``post`` turns (*extras, *sums) into the gradients of the extras, once a sequence. ``spans`` says where each
    ``kept.N`` lies; ``reads_gi`` that the adjoint reads gi as it was.
    """

    layout: Layout
    recurrent: bool
    num_extras: int
    num_scratch: int
    spans: tuple[Span, ...]
    reads_gi: bool
    step: Function
    step_and_keep: Function
    adjoint: Function
    post: fx.GraphModule | None

    def __str__(self) -> str:
        places = [f"kept.{slot} lies in {span.buffer} at {span.index}" for slot, span in enumerate(self.spans)]
        return "\n".join((*places, str(self.step), str(self.step_and_keep), str(self.adjoint)))


def indented(statements: Sequence[Statement], by: int = 2) -> str:
    """Statements as text, a line each."""
    return "\n".join(" " * by + line for each in statements for line in str(each).splitlines())


def edge_of(fold: Fold) -> float:
    """What changes no sum, no maximum, no minimum."""
    return {"sum": 0.0, "max": -math.inf, "min": math.inf}[fold]


def _place(buffer: Buffer | Table, offset: int, shared: bool) -> str:
    if shared:
        return f"{buffer}[{offset}]"
    return f"{buffer}[j]" if offset == 0 else f"{buffer}[{offset} + j]"
