"""A step and its adjoint as typed operations: the result of :mod:`lower`, and all that a printer reads.

Every decision has been made here: what is saved for the adjoint, which values are shared, in which order sums are
taken. :mod:`expressions` has what the statements compute. ``print(lowered.step)`` shows an Elman step of five units::

    step
      each lane j < 5:
        prefetch gi[j]
        v1 = gi[j]
        v2 = gh.0[j]
        v3 = add(v1, v2)
        v4 = tanh(v3)
        next.0[j] = v4
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import fx

from seqlab.nn.engine.scan.expressions import Buffer, Expression, Fold, Lanes, Operand, Table, Variable, Zero, place_of

# Statements


@dataclass(frozen=True)
class Define:
    """Compute a variable."""

    variable: Variable
    expression: Expression

    def __str__(self) -> str:
        return f"{self.variable} = {self.expression}"


@dataclass(frozen=True)
class DefineTable:
    """Declare a table of constants."""

    table: Table

    def __str__(self) -> str:
        return f"{self.table} = [{', '.join(map(str, self.table.values))}]"


@dataclass(frozen=True)
class Prefetch:
    """Prefetch this place of the next step's rows. It changes no value."""

    buffer: Buffer
    offset: int

    def __str__(self) -> str:
        return f"prefetch {place_of(self.buffer, self.offset, False)}"


@dataclass(frozen=True)
class Store:
    """Write ``buffer[offset + j]``; with ``end``, only lanes before it. ``add`` adds to the number in memory."""

    buffer: Buffer
    offset: int
    value: Operand | Zero
    end: int | None = None
    add: bool = False

    def __str__(self) -> str:
        lanes = "" if self.end is None else f" in {Lanes(0, self.end)}"
        return f"{place_of(self.buffer, self.offset, False)}{lanes} {'+=' if self.add else '='} {self.value}"


@dataclass(frozen=True)
class StoreSpan:
    """Store a value in a span of scratch, for later loops over the same lanes."""

    slot: int
    value: Operand

    def __str__(self) -> str:
        return f"scratch.{self.slot}[j] = {self.value}"


@dataclass(frozen=True)
class StoreOne:
    """Write a number that all lanes share to ``buffer[offset]``; ``add`` adds to the number in memory."""

    buffer: Buffer
    offset: int
    value: Operand
    add: bool = False

    def __str__(self) -> str:
        return f"{place_of(self.buffer, self.offset, True)} {'+=' if self.add else '='} {self.value}"


@dataclass(frozen=True)
class CopyGradient:
    """Copy the gradient to part ``index`` of the new state to the scratch, before the row overwrites it.

    Attributes:
        slot: the first slot of the copy.
        index: the part of the state.
        count: the width of the part.
        plus_next: whether to add the gradient from the output of the step.
    """

    slot: int
    index: int
    count: int
    plus_next: bool

    def __str__(self) -> str:
        dnext = f" + dnext.{self.index}[i]" if self.plus_next else ""
        return f"scratch.{self.slot}[i] = dstate.{self.index}[i]{dnext} for i < {self.count}"


@dataclass(frozen=True)
class Accumulate:
    """Add a value's lanes to the reduction that holds this statement; with ``lanes``, only those."""

    value: Operand
    lanes: Lanes | None = None

    def __str__(self) -> str:
        return f"reduce {self.value}" + ("" if self.lanes is None else f" in {self.lanes}")


@dataclass(frozen=True)
class Reduce:
    """``total`` = the sum, maximum or minimum over ``width`` lanes of the values that ``body`` accumulates."""

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
    """The statements of one row.

    Attributes:
        name: "step", "step_and_keep" or "adjoint".
        row: the statements that run once, in order, before the loop.
        loop: the statements that run for each lane.
        last: the statements that run once, after the loop.
        width: the number of lanes.
        whole_rows: whether a unit reads other units' elements, so that threads may not share a row.
    """

    name: str
    row: tuple[Statement, ...]
    loop: tuple[Statement, ...]
    last: tuple[Statement, ...]
    width: int
    whole_rows: bool

    def __str__(self) -> str:
        parts = [indented(self.row)] if self.row else []
        parts += [f"  each lane j < {self.width}:", indented(self.loop, 4)]
        parts += [indented(self.last)] if self.last else []
        return "\n".join((self.name, *parts))


@dataclass(frozen=True)
class KeptSpan:
    """``hidden_size`` numbers of a row that the step saves for its adjoint: in the place of gi, or apart."""

    buffer: Literal["gi", "kept"]
    index: int


@dataclass(frozen=True)
class Layout:
    """The sizes that a program and its caller agree on.

    Attributes:
        hidden_size: H.
        num_gates: G.
        state_sizes: the width of each part of the state.
        kept: the number of spans of H numbers that the step saves in a buffer apart from gi.
        kept_shared: the number of single numbers that the step saves.
        gi_needed: whether the adjoint reads the memory of gi: unchanged, or with what the step has saved there.
        shared_gradient: whether gi and gh have the same gradient.
        sums: the widths of the gradients that the adjoint sums over rows and steps; with ``sum_gh``, gh's is the first.
        sum_gh: whether the gradient of gh is summed, for a bias.
        sum_shapes: the shapes ``(1, ...)`` of the other sums.
    """

    hidden_size: int
    num_gates: int
    state_sizes: tuple[int, ...]
    kept: int
    kept_shared: int
    gi_needed: bool
    shared_gradient: bool
    sums: tuple[int, ...]
    sum_gh: bool
    sum_shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class LoweredCell:
    """A lowered cell.

    Attributes:
        layout: the sizes.
        recurrent: whether there is a recurrent product.
        num_extras: the number of tensors that all rows share.
        num_scratch: the number of spans of a thread's scratch.
        spans: where each ``kept.N`` lies.
        reads_gi: whether the adjoint reads gi, unchanged.
        step: the step.
        step_and_keep: the step that also saves what the adjoint reads.
        adjoint: the adjoint.
        post: takes (*extras, *sums) to the gradients of the extras, once a sequence; None without extras.
    """

    layout: Layout
    recurrent: bool
    num_extras: int
    num_scratch: int
    spans: tuple[KeptSpan, ...]
    reads_gi: bool
    step: Function
    step_and_keep: Function
    adjoint: Function
    post: fx.GraphModule | None

    def __str__(self) -> str:
        places = [f"kept.{slot} lies in {span.buffer} at {span.index}" for slot, span in enumerate(self.spans)]
        return "\n".join((*places, str(self.step), str(self.step_and_keep), str(self.adjoint)))


def indented(statements: Sequence[Statement], by: int = 2) -> str:
    """Statements as text, one a line."""
    return "\n".join(" " * by + line for each in statements for line in str(each).splitlines())
