"""The arguments that Python passes to a compiled program: one table, from which both sides make their structure."""

import ctypes
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Field:
    """A member of the structure: its C type, its name, its length if it is an array, and what it holds."""

    type: str
    name: str
    count: str | None = None
    note: str = ""

    def declaration(self) -> str:
        """The member in C++."""
        array = "" if self.count is None else f"[{self.count}]"
        note = f"  // {self.note}" if self.note else ""
        space = "" if self.type.endswith("*") else " "
        return f"  {self.type}{space}{self.name}{array};{note}"


FIELDS: Final = (
    Field("long", "steps", note="T"),
    Field("long", "rows", note="B"),
    Field("long", "groups", note="of rows, each run through the sequence by itself"),
    Field("long", "columns", note="threads that share a group"),
    Field("long", "threads"),
    Field("long", "stride", note="rows from one of a block's rows to the next"),
    Field("long", "save", note="whether the step keeps what its adjoint needs"),
    Field("const long *", "first", note="(T, groups): the first row of each block"),
    Field("const long *", "count", note="(T, groups): the rows of each block"),
    Field("const long *", "base", note="(groups): where each group's initial rows stand"),
    Field("real *", "gi", note="(N, GI), N = all steps' rows: W_ih x + b_ih"),
    Field("const real *", "weight", note="(G * H, H): W_hh"),
    Field("const real *", "bias", note="(G, HP): b_hh, or null"),
    Field("real *", "state", "NS", "(B + N, SIZE) each: initial states first"),
    Field("real *", "kept", note="(N, KEPT * H)"),
    Field("real *", "kept_shared", note="(N, KEPT_SHARED)"),
    Field("real *", "packed", note="W_hh in panels"),
    Field("real *", "scratch", note="(B, G * HP) products, then (threads, SCRATCH)"),
    Field("real *", "sums", note="(threads, 2, SUMS): over rows and steps, for gradients that all rows share"),
    Field("const real *", "extra", "NE + 1", "what the step reads beside its rows"),
    Field("const unsigned char *", "reset", note="(T, B): whether a row begins anew before a step, or null: none does"),
    Field("const real *", "initial", "NS", "(B, SIZE) each: the states from which rows begin anew"),
    Field("real *", "held", "NS", "(B, SIZE) each: the states in whose place those stand during a step"),
    Field("real *", "dinitial", "NS", "(B, STRIDE) each: the gradients to those, to which is added"),
    Field("const real *", "dnext", "NS", "(N, SIZE) each: gradients to each step's new state, or null"),
    Field("real *", "dstate", "NS", "(B, STRIDE) each: gradient to the final state; becomes that to the initial one"),
    Field("real *", "dgi", note="(N, GI)"),
    Field("real *", "dgh", note="(N, G * H), or dgi"),
)


def structure_text() -> str:
    """``struct Arguments`` in C++."""
    return "\n".join(("struct Arguments {", *(field.declaration() for field in FIELDS), "};\n"))


def structure_type(num_states: int, num_extras: int) -> type[ctypes.Structure]:
    """The same structure for :mod:`ctypes`."""
    counts = {"NS": num_states, "NE + 1": num_extras + 1}

    def type_of(field: Field) -> type:
        one = ctypes.c_void_p if field.type.endswith("*") else ctypes.c_long
        return one if field.count is None else one * counts[field.count]

    return type("Arguments", (ctypes.Structure,), {"_fields_": [(field.name, type_of(field)) for field in FIELDS]})
