"""The C++ spelling of each operation, operand and expression."""

from typing import Final

from seqlab.nn.engine.scan.expressions import (
    Apply,
    AsNumber,
    Buffer,
    Choose,
    Combine,
    Constant,
    Expression,
    Lanes,
    Load,
    LoadSpan,
    Number,
    Operand,
    Table,
    Truth,
    Variable,
    Zero,
)

# {0}, {1}, ... are the operands: vectors, masks or numbers. The functions are those of kernel/vector.h.
SPELLINGS: Final = {
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
NEUTRAL_ELEMENTS: Final = {"sum": "0", "max": "-INFINITY", "min": "INFINITY"}
FOLDS: Final = {"sum": "{} + {}", "max": "greater({}, {})", "min": "less({}, {})"}
ACROSS_LANES: Final = {"sum": "sum_of", "max": "max_of", "min": "min_of"}  # the lanes of one vector
BASES: Final = {  # the name of a buffer in a function; {} is its index
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


def expression_text(expression: Expression, rest: str) -> str:
    """An expression in C++; ``rest`` is "rest, " for the rest of a row and empty for full vectors."""
    some = "_some" if rest else ""
    match expression:
        case Load(buffer, offset, True):
            return f"splat({base_text(buffer)}[{offset}])"
        case Load(buffer, offset, False, None):
            return f"load{some}({rest}{base_text(buffer)} + {offset} + j)"
        case Load(buffer, offset, False, begin, end):
            return f"load_lanes({base_text(buffer)}, {offset}, j, {begin}, {end})"
        case LoadSpan(slot):
            return f"load(scratch + {slot} * HP + j)"
        case Apply():
            return _apply_text(expression)
        case Combine(fold, left, right):
            return FOLDS[fold].format(operand_text(left), operand_text(right))
        case Choose(mask, yes, no, "mask"):
            return f"(({operand_text(mask)} & {operand_text(yes)}) | (~{operand_text(mask)} & {operand_text(no)}))"
        case Choose(mask, yes, no):
            return f"choose({operand_text(mask)}, {operand_text(yes)}, {operand_text(no)})"
        case Constant(kind, value):
            return f"{kind}_of({operand_text(value)})"
        case Lanes() | Zero():
            return operand_text(expression)
    raise AssertionError(f"no printer of {expression}")


def _apply_text(apply: Apply) -> str:
    values = [operand_text(each) for each in apply.operands]
    name = apply.operation
    if name == "product":
        code = "(" + " * ".join(values) + ")"
    elif name == "clamp":
        code, low, high = (*values, "", "")[:3]
        code = f"choose({code} < {low}, vec_of({low}), {code})" if low else code
        code = f"choose({code} > {high}, vec_of({high}), {code})" if high else code
    elif apply.alpha is not None:
        code = f"({values[0]} {'+' if name == 'add' else '-'} {number_text(apply.alpha)} * {values[1]})"
    else:
        if len(values) > 1 and all(isinstance(each, Number | Truth) for each in apply.operands):
            values[0] = f"splat({values[0]})"  # an operation of plain numbers only would not give a vector
        code = SPELLINGS[name].format(*values)
    return f"({code} != real(0))" if apply.truth else code


def operand_text(operand: "Operand | Zero | None") -> str:
    """An operand in C++; empty for None."""
    match operand:
        case Variable():
            return name_text(operand)
        case Number():
            return number_text(operand)
        case Truth(value):
            return truth_text(value)
        case AsNumber(mask):
            return f"number_of({operand_text(mask)})"
        case Lanes(begin, end):
            return f"lanes(j, {begin}, {end})"
        case Zero():
            return "vec{}"
    return ""


def base_text(buffer: Buffer | Table) -> str:
    """The pointer to a buffer of the row, or the name of a table."""
    return name_text(buffer) if isinstance(buffer, Table) else BASES[buffer.name].format(buffer.index)


def name_text(definition: Variable | Table) -> str:
    """The name of a variable or table."""
    return f"v{definition.number}"


def number_text(number: Number) -> str:
    """A constant as a ``real``."""
    if number.text in ("inf", "-inf", "nan"):
        return {"inf": "real(INFINITY)", "-inf": "real(-INFINITY)", "nan": "real(NAN)"}[number.text]
    return f"real({number.text})"


def truth_text(value: bool) -> str:
    """A truth value in C++."""
    return str(value).lower()
