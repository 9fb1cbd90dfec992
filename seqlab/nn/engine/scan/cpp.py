"""Prints a lowered cell as C++: the step, the step that also saves what its adjoint reads, and the adjoint.

Nothing is decided here. Each statement and each expression (:mod:`~seqlab.nn.engine.scan.spellings`) has one spelling.
A loop is printed twice: for full vectors, and for the rest of a row.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import torch

from seqlab.nn.engine.scan.arguments import structure_text
from seqlab.nn.engine.scan.lowered import (
    Accumulate,
    CopyGradient,
    Define,
    DefineTable,
    Function,
    LoweredCell,
    Prefetch,
    Reduce,
    Statement,
    Store,
    StoreOne,
    StoreSpan,
)
from seqlab.nn.engine.scan.spellings import (
    ACROSS_LANES,
    FOLDS,
    NEUTRAL_ELEMENTS,
    base_text,
    expression_text,
    name_text,
    number_text,
    operand_text,
    truth_text,
)

KERNEL_TEXTS: Final = ("vector.h", "driver.h")


def write(lowered: LoweredCell, dtype: torch.dtype) -> str:
    """The C++ program of a lowered cell.

    Args:
        lowered: the cell.
        dtype: float32 or float64, in which the program computes.
    """
    layout, hidden_size, gates = lowered.layout, lowered.layout.hidden_size, lowered.layout.num_gates
    forward, backward = lowered.step_and_keep.whole_rows, lowered.adjoint.whole_rows
    sizes = f"""#define REAL_IS_DOUBLE {int(dtype == torch.float64)}
{kernel_text("vector.h")}
constexpr long H = {hidden_size}, G = {gates}, GI = {gates * hidden_size}, NS = {len(layout.state_sizes)};
constexpr long NE = {lowered.num_extras}, KEPT = {layout.kept}, KEPT_SHARED = {layout.kept_shared};
constexpr long HP = (H + VL - 1) / VL * VL, SUMS = {sum(layout.sums)}, SCRATCH = {lowered.num_scratch} * HP;
constexpr long SIZE[NS] = {{{", ".join(map(str, layout.state_sizes))}}};
constexpr long STRIDE[NS] = {{{", ".join(["HP", *map(str, layout.state_sizes[1:])])}}};
constexpr bool RECURRENT = {truth_text(lowered.recurrent)}, SHARED_GRADIENT = {truth_text(layout.shared_gradient)};
constexpr bool WHOLE_ROWS_FORWARD = {truth_text(forward)}, WHOLE_ROWS_BACKWARD = {truth_text(backward)};
struct Pointers {{
  const real *gh, *previous[NS], *extra[NE + 1], *dnext[NS];
  long ahead;                    // rows from this block to the next one
  long stride, previous_stride;  // rows from one of a block's rows to the next, now and in the previous state
  real *gi, *next[NS], *kept, *kept_shared, *dstate[NS], *dgi, *dgh, *sums;
}};
"""
    states = range(len(layout.state_sizes))
    step = ["const real* gi = p.gi + r * p.stride * GI;", "constexpr long gi_stride = GI;"]
    step += ["const real* gh = p.gh + r * G * HP;"] if lowered.recurrent else []
    for index in states:
        step.append(f"const real* previous{index} = p.previous[{index}] + r * p.previous_stride * SIZE[{index}];")
        step.append(f"real* next{index} = p.next[{index}] + r * p.stride * SIZE[{index}];")
    spans, shared = _span_lines(lowered), "kept_shared = p.kept_shared + r * p.stride * KEPT_SHARED;"
    keep = [*step, *(f"real* {line}" for line in spans), f"real* {shared}"]
    adjoint = step[:2] if lowered.reads_gi else []
    adjoint += [*(f"const real* {line}" for line in spans), f"const real* {shared}"]
    adjoint += ["real* dgi = p.dgi + r * p.stride * GI;", "real* dgh = p.dgh + r * p.stride * G * H;", "(void)dgh;"]
    for index in states:
        adjoint.append(f"const real* previous{index} = p.previous[{index}] + r * p.previous_stride * SIZE[{index}];")
        adjoint.append(f"const real* next{index} = p.next[{index}] + r * p.stride * SIZE[{index}];")
        adjoint.append(f"const real* dnext{index} = p.dnext[{index}] + r * p.stride * SIZE[{index}];")
        adjoint.append(f"real* dstate{index} = p.dstate[{index}] + r * STRIDE[{index}];")
        adjoint.append(f"(void)previous{index}; (void)next{index};")
    functions = (
        _function(lowered.step, step),
        _function(lowered.step_and_keep, keep),
        _function(lowered.adjoint, adjoint),
    )
    return "\n".join((sizes + structure_text(), *functions, kernel_text("driver.h")))


@cache
def kernel_text(name: str) -> str:
    """A file of :data:`KERNEL_TEXTS`. It is read once a process, so that it matches the imported Python code."""
    return files("seqlab.nn.engine.scan").joinpath(f"kernel/{name}").read_text()


def _span_lines(lowered: LoweredCell) -> list[str]:
    """Declarations of each saved span of a row, and of its distance to the next row's."""
    lines = []
    for slot, span in enumerate(lowered.spans):
        stride = "GI" if span.buffer == "gi" else "KEPT * H"
        place = f"kept{slot} = p.{span.buffer} + r * p.stride * {stride} + {span.index} * H;"
        lines.append(f"{place} constexpr long kept{slot}_stride = {stride};")
    return lines


def _function(function: Function, opening: Sequence[str]) -> str:
    """A C++ function that runs on some rows and units; ``opening`` declares a row's pointers."""
    row = [line for each in function.row for line in _row_statement(each)]
    last = [line for each in function.last for line in _row_statement(each)]
    body = "\n".join((*opening, *row, _loop(function.loop, "j0", "j1"), *last))
    return (
        f"static void {function.name}(const Pointers& p, long row_begin, long row_end, long j0, long j1, "
        f"real* scratch) {{\n(void)scratch;\nfor (long r = row_begin; r < row_end; ++r) {{\n{body}\n}}\n}}\n"
    )


def _loop(statements: Sequence[Statement], start: str, end: str, reduction: "Reduce | None" = None) -> str:
    """The loop over j: full vectors first, then the rest of the row. ``reduction`` is the one that it computes."""
    full = "\n    ".join(_loop_statement(each, "", reduction) for each in statements)
    rest = "\n    ".join(_loop_statement(each, "rest, ", reduction) for each in statements)
    return (
        f"{{ long j = {start};\n  for (; j + VL <= {end}; j += VL) {{\n    {full}\n  }}\n"
        f"  if (j < {end}) {{ const long rest = {end} - j;\n    {rest}\n  }} }}"
    )


def _row_statement(statement: Statement) -> list[str]:
    """A statement outside of the last loop."""
    match statement:
        case Reduce(total, fold, body, width):
            edge = NEUTRAL_ELEMENTS[fold]
            return [
                f"vec {name_text(total)}_ = splat({edge});",
                _loop(body, "0", str(width), statement),
                f"const vec {name_text(total)} = splat({ACROSS_LANES[fold]}({name_text(total)}_));",
            ]
        case DefineTable(table):
            return [
                f"static const real {name_text(table)}[] = {{{', '.join(number_text(each) for each in table.values)}}};"
            ]
        case CopyGradient(slot, index, count, plus_next):
            value = f"dstate{index}[i]" + (f" + dnext{index}[i]" if plus_next else "")
            return [f"for (long i = 0; i < {count}; ++i) (scratch + {slot} * HP)[i] = {value};"]
        case StoreOne(buffer, offset, value, add):
            return [f"{base_text(buffer)}[{offset}] {'+=' if add else '='} {operand_text(value)}[0];"]
    return [_loop_statement(statement, "", None)]


def _loop_statement(statement: Statement, rest: str, reduction: "Reduce | None") -> str:
    """A statement of a loop; ``rest`` is "rest, " for the rest of a row and empty for full vectors."""
    some = "_some" if rest else ""
    match statement:
        case Define(variable, expression):
            return f"const {variable.kind} {name_text(variable)} = {expression_text(expression, rest)};"
        case Prefetch(buffer, offset):
            base = base_text(buffer)
            return f"__builtin_prefetch({base} + p.ahead * {base}_stride + {offset} + j, 0, 2);"
        case Store(buffer, offset, value, None, add):
            base, text = base_text(buffer), operand_text(value)
            text = f"load{some}({rest}{base} + {offset} + j) + {text}" if add else text
            return f"store{some}({rest}{base} + {offset} + j, {text});"
        case Store(buffer, offset, value, end, add):
            base, text = base_text(buffer), operand_text(value)
            text = f"load_lanes({base}, {offset}, j, 0, {end}) + {text}" if add else text
            return f"store_lanes({base}, {offset}, j, {end}, {text});"
        case StoreSpan(slot, value):
            return f"store(scratch + {slot} * HP + j, {operand_text(value)});"
        case Accumulate(value, lanes):
            assert reduction is not None
            edge, text = f"real({NEUTRAL_ELEMENTS[reduction.fold]})", operand_text(value)
            text = text if lanes is None else f"choose({operand_text(lanes)}, {text}, splat({edge}))"
            text = f"keep_some(rest, {text}, {edge})" if rest else f"keep_all({text}, {edge})"
            total = f"{name_text(reduction.total)}_"
            return f"{total} = {FOLDS[reduction.fold].format(total, text)};"
    raise AssertionError(f"no loop holds {statement}")
