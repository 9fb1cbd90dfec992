"""How each elementwise operation is written in C++."""

from collections.abc import Sequence

import torch
from torch import fx

# Arguments stand for vectors, masks or numbers; functions are those of kernel/vector.h.
POINTWISE = {
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
    "where": "choose({0}, {1}, {2})",
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
    "pow": "",
    "clamp": "",
}
# Worth storing for the adjoint, or for the next loop, rather than computing again.
COSTLY = frozenset(
    (
        *("div", "reciprocal", "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "rsqrt", "pow"),
        *("sigmoid", "tanh", "sin", "cos", "tan", "asin", "acos", "atan", "asinh", "acosh", "atanh", "sinh", "cosh"),
        *("erf", "erfc", "atan2", "hypot", "fmod", "remainder"),
        *("floor", "ceil", "trunc", "round", "sum", "mean", "amax", "amin"),
    )
)
REDUCTIONS = ("sum", "mean", "amax", "amin")
_MASKS = (
    *("logical_and", "logical_or", "logical_xor", "logical_not"),
    *("bitwise_and", "bitwise_or", "bitwise_not"),
)
_TRUTHS = frozenset((*_MASKS, "eq", "ne", "lt", "le", "gt", "ge", "isnan"))  # what gives a mask by itself


def name_of(node: fx.Node) -> str:
    """The operation's name without its overload."""
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet))


def expression(node: fx.Node, name: str, operands: Sequence[str], masks: Sequence[bool]) -> str:
    """The C++ of one operation on its operands' variables."""
    values = list(operands)
    truth = node.meta["val"].dtype == torch.bool
    if name not in _MASKS and name != "where":
        values = [f"number_of({value})" if mask else value for value, mask in zip(values, masks, strict=True)]
    if name == "where":
        values = [values[0], *(f"vec_of({value})" for value in values[1:])]
        code = POINTWISE[name].format(*values)
        return f"({code} != real(0))" if truth else code
    if name in ("add", "sub") and "alpha" in node.kwargs:
        return f"({values[0]} {'+' if name == 'add' else '-'} real({node.kwargs['alpha']}) * {values[1]})"
    if name == "pow":
        return _power(node, values)
    if name == "clamp":
        return _clamp(values)
    if name == "_to_copy" and truth:
        return f"({values[0]} != real(0))"
    if not truth and len(values) > 1 and not any(isinstance(argument, fx.Node) for argument in node.args):
        values[0] = f"splat({values[0]})"
    code = POINTWISE[name].format(*(values if len(values) > 1 else [*values, ""]))
    return f"({code} != real(0))" if truth and name not in _TRUTHS else code


def _power(node: fx.Node, values: Sequence[str]) -> str:
    exponent = node.args[1]
    if isinstance(exponent, int | float) and exponent in (1, 2, 3, 4):
        return "(" + " * ".join([values[0]] * int(exponent)) + ")"
    if isinstance(exponent, int | float) and exponent == 0.5:
        return f"square_root({values[0]})"
    return f"both(vec_of({values[0]}), vec_of({values[1]}), [](real x, real y) {{ return std::pow(x, y); }})"


def _clamp(values: Sequence[str]) -> str:
    code = values[0]
    if len(values) > 1 and values[1]:
        code = f"choose({code} < {values[1]}, vec_of({values[1]}), {code})"
    if len(values) > 2 and values[2]:
        code = f"choose({code} > {values[2]}, vec_of({values[2]}), {code})"
    return code
