"""Prints a lowered cell as C++: the step, the step that keeps what its adjoint needs, and the adjoint.

Nothing is decided here: each operation of :mod:`~seqlab.nn.engine.scan.lowered` has one spelling. A loop is printed
twice, for full vectors and for the rest of a row.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import torch

from seqlab.nn.engine.scan.arguments import structure_text
from seqlab.nn.engine.scan.lowered import (
    Accumulate,
    Apply,
    AsNumber,
    Buffer,
    Choose,
    Combine,
    Constant,
    CopyGradient,
    Define,
    DefineTable,
    Expression,
    Function,
    Lanes,
    Load,
    LoadSpan,
    Lowered,
    Number,
    Operand,
    Prefetch,
    Reduce,
    Statement,
    Store,
    StoreOne,
    StoreSpan,
    Table,
    Truth,
    Variable,
    Zero,
)

KERNEL_TEXTS: Final = ("vector.h", "driver.h")
# Arguments stand for vectors, masks or numbers; functions are those of kernel/vector.h.
_SPELLINGS: Final = {
    "add": "({0} + {1})",
    "sub": "({0} - {1})",
    "rsub": "({1} - {0})",
    "mul": "({0} * {1})",
    "div": "({0} / {1})",
    "neg": "(-{0})",
    "reciprocal": "(real(1) / {0})",
    "exp": "exponential({0})",
    "exp2": "exponential({0} * real(0.6931471805599453))",
    "expm1": "exponential_less_one({0})",
    "log": "logarithm({0})",
    "log1p": "logarithm_of_one_plus({0})",
    "log2": "(logarithm({0}) * real(1.4426950408889634))",
    "log10": "(logarithm({0}) * real(0.43429448190325182))",
    "sqrt": "square_root({0})",
    "rsqrt": "(real(1) / square_root({0}))",
    "sigmoid": "sigmoid({0})",
    "tanh": "hyperbolic_tangent({0})",
    "sin": "each({0}, [](real x) {{ return std::sin(x); }})",
    "cos": "each({0}, [](real x) {{ return std::cos(x); }})",
    "tan": "each({0}, [](real x) {{ return std::tan(x); }})",
    "asin": "each({0}, [](real x) {{ return std::asin(x); }})",
    "acos": "each({0}, [](real x) {{ return std::acos(x); }})",
    "atan": "each({0}, [](real x) {{ return std::atan(x); }})",
    "asinh": "each({0}, [](real x) {{ return std::asinh(x); }})",
    "acosh": "each({0}, [](real x) {{ return std::acosh(x); }})",
    "atanh": "each({0}, [](real x) {{ return std::atanh(x); }})",
    "sinh": "each({0}, [](real x) {{ return std::sinh(x); }})",
    "cosh": "each({0}, [](real x) {{ return std::cosh(x); }})",
    "erf": "each({0}, [](real x) {{ return std::erf(x); }})",
    "erfc": "each({0}, [](real x) {{ return std::erfc(x); }})",
    "floor": "each({0}, [](real x) {{ return std::floor(x); }})",
    "ceil": "each({0}, [](real x) {{ return std::ceil(x); }})",
    "trunc": "each({0}, [](real x) {{ return std::trunc(x); }})",
    "round": "each({0}, [](real x) {{ return std::nearbyint(x); }})",
    "abs": "choose({0} < real(0), -{0}, {0})",
    "sign": "(choose({0} > real(0), splat(1), splat(0)) - choose({0} < real(0), splat(1), splat(0)))",
    "relu": "choose({0} < real(0), splat(0), {0})",
    "atan2": "both(vec_of({0}), vec_of({1}), [](real x, real y) {{ return std::atan2(x, y); }})",
    "hypot": "both(vec_of({0}), vec_of({1}), [](real x, real y) {{ return std::hypot(x, y); }})",
    "copysign": "both(vec_of({0}), vec_of({1}), [](real x, real y) {{ return std::copysign(x, y); }})",
    "fmod": "both(vec_of({0}), vec_of({1}), [](real x, real y) {{ return std::fmod(x, y); }})",
    "remainder": "both(vec_of({0}), vec_of({1}), modulo)",
    "maximum": "greater({0}, {1})",
    "minimum": "less({0}, {1})",
    "where": "choose({0}, vec_of({1}), vec_of({2}))",
    "eq": "({0} == {1})",
    "ne": "({0} != {1})",
    "lt": "({0} < {1})",
    "le": "({0} <= {1})",
    "gt": "({0} > {1})",
    "ge": "({0} >= {1})",
    "logical_and": "({0} & {1})",
    "logical_or": "({0} | {1})",
    "logical_xor": "({0} ^ {1})",
    "logical_not": "(~{0})",
    "bitwise_and": "({0} & {1})",
    "bitwise_or": "({0} | {1})",
    "bitwise_not": "(~{0})",
    "isnan": "({0} != {0})",
    "_to_copy": "({0})",
    "pow": "both(vec_of({0}), vec_of({1}), [](real x, real y) {{ return std::pow(x, y); }})",
    "is_true": "({0} != real(0))",
    "scale": "{0} * splat({1})",
}
_EDGES: Final = {"sum": "0", "max": "-INFINITY", "min": "INFINITY"}
_FOLDS: Final = {"sum": "{} + {}", "max": "greater({}, {})", "min": "less({}, {})"}
_ACROSS: Final = {"sum": "sum_of", "max": "max_of", "min": "min_of"}  # the lanes of one vector
_BASES: Final = {  # what a buffer is called in a function, by its index
    "gi": "gi",
    "gh": "(gh + {} * HP)",
    "previous": "previous{}",
    "next": "next{}",
    "extra": "p.extra[{}]",
    "kept": "kept{}",
    "kept_shared": "kept_shared",
    "dnext": "dnext{}",
    "dstate": "dstate{}",
    "dgi": "dgi",
    "dgh": "dgh",
    "sums": "p.sums",
    "scratch": "(scratch + {} * HP)",
}


def write(lowered: Lowered, dtype: torch.dtype) -> str:
    """The C++ of a lowered cell, in ``dtype``: float32 or float64."""
    layout, hidden_size, gates = lowered.layout, lowered.layout.hidden_size, lowered.layout.num_gates
    forward, backward = lowered.step_and_keep.whole_rows, lowered.adjoint.whole_rows
    sizes = f"""#define REAL_IS_DOUBLE {int(dtype == torch.float64)}
{kernel_text("vector.h")}
constexpr long H = {hidden_size}, G = {gates}, GI = {gates * hidden_size}, NS = {len(layout.state_sizes)};
constexpr long NE = {lowered.num_extras}, KEPT = {layout.kept}, KEPT_SHARED = {layout.kept_shared};
constexpr long HP = (H + VL - 1) / VL * VL, SUMS = {sum(layout.sums)}, SCRATCH = {lowered.num_scratch} * HP;
constexpr long SIZE[NS] = {{{", ".join(map(str, layout.state_sizes))}}};
constexpr long STRIDE[NS] = {{{", ".join(["HP", *map(str, layout.state_sizes[1:])])}}};
constexpr bool RECURRENT = {_truth(lowered.recurrent)}, SHARED_GRADIENT = {_truth(layout.shared_gradient)};
constexpr bool WHOLE_ROWS_FORWARD = {_truth(forward)}, WHOLE_ROWS_BACKWARD = {_truth(backward)};
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
    spans, shared = _spans(lowered), "kept_shared = p.kept_shared + r * p.stride * KEPT_SHARED;"
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
    """A part of a kernel, of :data:`KERNEL_TEXTS`; read once a process, for it goes with the code that was imported."""
    return files("seqlab.nn.engine.scan").joinpath(f"kernel/{name}").read_text()


def _spans(lowered: Lowered) -> list[str]:
    """Where each kept span of a row lies, and how far it is to the next row's."""
    lines = []
    for slot, span in enumerate(lowered.spans):
        stride = "GI" if span.buffer == "gi" else "KEPT * H"
        place = f"kept{slot} = p.{span.buffer} + r * p.stride * {stride} + {span.index} * H;"
        lines.append(f"{place} constexpr long kept{slot}_stride = {stride};")
    return lines


def _function(function: Function, opening: Sequence[str]) -> str:
    row = [line for each in function.row for line in _row_lines(each)]
    last = [line for each in function.last for line in _row_lines(each)]
    body = "\n".join((*opening, *row, _loop(function.loop, "j0", "j1"), *last))
    return (
        f"static void {function.name}(const Pointers& p, long row_begin, long row_end, long j0, long j1, "
        f"real* scratch) {{\n(void)scratch;\nfor (long r = row_begin; r < row_end; ++r) {{\n{body}\n}}\n}}\n"
    )


def _loop(statements: Sequence[Statement], start: str, end: str, total: "Reduce | None" = None) -> str:
    """The loop over j, full vectors first and then the rest of the row."""
    full = "\n    ".join(_line(each, "", total) for each in statements)
    rest = "\n    ".join(_line(each, "rest, ", total) for each in statements)
    return (
        f"{{ long j = {start};\n  for (; j + VL <= {end}; j += VL) {{\n    {full}\n  }}\n"
        f"  if (j < {end}) {{ const long rest = {end} - j;\n    {rest}\n  }} }}"
    )


def _row_lines(statement: Statement) -> list[str]:
    """A statement of the row's scope."""
    match statement:
        case Reduce(total, fold, body, width):
            edge = _EDGES[fold]
            return [
                f"vec {_name(total)}_ = splat({edge});",
                _loop(body, "0", str(width), statement),
                f"const vec {_name(total)} = splat({_ACROSS[fold]}({_name(total)}_));",
            ]
        case DefineTable(table):
            return [f"static const real {_name(table)}[] = {{{', '.join(_number(each) for each in table.values)}}};"]
        case CopyGradient(slot, index, count, plus_next):
            value = f"dstate{index}[i]" + (f" + dnext{index}[i]" if plus_next else "")
            return [f"for (long i = 0; i < {count}; ++i) (scratch + {slot} * HP)[i] = {value};"]
        case StoreOne(buffer, offset, value, add):
            return [f"{_base(buffer)}[{offset}] {'+=' if add else '='} {_operand(value)}[0];"]
    return [_line(statement, "", None)]


def _line(statement: Statement, rest: str, reduction: "Reduce | None") -> str:
    """A statement of a loop; ``rest`` is empty for full vectors."""
    some = "_some" if rest else ""
    match statement:
        case Define(variable, expression):
            return f"const {variable.kind} {_name(variable)} = {_expression(expression, rest)};"
        case Prefetch(buffer, offset):
            base = _base(buffer)
            return f"__builtin_prefetch({base} + p.ahead * {base}_stride + {offset} + j, 0, 2);"
        case Store(buffer, offset, value, None, add):
            base, text = _base(buffer), _operand(value)
            text = f"load{some}({rest}{base} + {offset} + j) + {text}" if add else text
            return f"store{some}({rest}{base} + {offset} + j, {text});"
        case Store(buffer, offset, value, end, add):
            base, text = _base(buffer), _operand(value)
            text = f"load_lanes({base}, {offset}, j, 0, {end}) + {text}" if add else text
            return f"store_lanes({base}, {offset}, j, {end}, {text});"
        case StoreSpan(slot, value):
            return f"store(scratch + {slot} * HP + j, {_operand(value)});"
        case Accumulate(value, lanes):
            assert reduction is not None
            edge, text = f"real({_EDGES[reduction.fold]})", _operand(value)
            text = text if lanes is None else f"choose({_operand(lanes)}, {text}, splat({edge}))"
            text = f"keep_some(rest, {text}, {edge})" if rest else f"keep_all({text}, {edge})"
            total = f"{_name(reduction.total)}_"
            return f"{total} = {_FOLDS[reduction.fold].format(total, text)};"
    raise AssertionError(f"no loop holds {statement}")


def _expression(expression: Expression, rest: str) -> str:
    some = "_some" if rest else ""
    match expression:
        case Load(buffer, offset, True):
            return f"splat({_base(buffer)}[{offset}])"
        case Load(buffer, offset, False, None):
            return f"load{some}({rest}{_base(buffer)} + {offset} + j)"
        case Load(buffer, offset, False, begin, end):
            return f"load_lanes({_base(buffer)}, {offset}, j, {begin}, {end})"
        case LoadSpan(slot):
            return f"load(scratch + {slot} * HP + j)"
        case Apply():
            return _applied(expression)
        case Combine(fold, left, right):
            return _FOLDS[fold].format(_operand(left), _operand(right))
        case Choose(mask, yes, no, "mask"):
            return f"(({_operand(mask)} & {_operand(yes)}) | (~{_operand(mask)} & {_operand(no)}))"
        case Choose(mask, yes, no):
            return f"choose({_operand(mask)}, {_operand(yes)}, {_operand(no)})"
        case Constant(kind, value):
            return f"{kind}_of({_operand(value)})"
        case Lanes() | Zero():
            return _operand(expression)
    raise AssertionError(f"no printer of {expression}")


def _applied(apply: Apply) -> str:
    values = [_operand(each) for each in apply.operands]
    name = apply.operation
    if name == "product":
        code = "(" + " * ".join(values) + ")"
    elif name == "clamp":
        code, low, high = (*values, "", "")[:3]
        code = f"choose({code} < {low}, vec_of({low}), {code})" if low else code
        code = f"choose({code} > {high}, vec_of({high}), {code})" if high else code
    elif apply.alpha is not None:
        code = f"({values[0]} {'+' if name == 'add' else '-'} {_number(apply.alpha)} * {values[1]})"
    else:
        if len(values) > 1 and all(isinstance(each, Number | Truth) for each in apply.operands):
            values[0] = f"splat({values[0]})"  # an operation of two plain numbers would be none of vectors
        code = _SPELLINGS[name].format(*values)
    return f"({code} != real(0))" if apply.truth else code


def _operand(operand: "Operand | Zero | None") -> str:
    match operand:
        case Variable():
            return _name(operand)
        case Number():
            return _number(operand)
        case Truth(value):
            return _truth(value)
        case AsNumber(mask):
            return f"number_of({_operand(mask)})"
        case Lanes(begin, end):
            return f"lanes(j, {begin}, {end})"
        case Zero():
            return "vec{}"
    return ""


def _base(buffer: Buffer | Table) -> str:
    return _name(buffer) if isinstance(buffer, Table) else _BASES[buffer.name].format(buffer.index)


def _name(named: Variable | Table) -> str:
    return f"v{named.number}"


def _number(number: Number) -> str:
    if number.text in ("inf", "-inf", "nan"):
        return {"inf": "real(INFINITY)", "-inf": "real(-INFINITY)", "nan": "real(NAN)"}[number.text]
    return f"real({number.text})"


def _truth(value: bool) -> str:
    return str(value).lower()
