"""The elementwise operations that a compiled step supports, and how a graph's node becomes an ``Apply``."""

from collections.abc import Sequence

import torch
from torch import fx

from seqlab.nn.engine.scan.expressions import (
    Apply,
    AsNumber,
    Number,
    Operand,
)

POINTWISE = frozenset(
    (
        *("add", "sub", "rsub", "mul", "div", "neg", "reciprocal", "exp", "exp2", "expm1", "log", "log1p"),
        *("log2", "log10", "sqrt", "rsqrt", "sigmoid", "tanh", "sin", "cos", "tan", "asin", "acos", "atan"),
        *("asinh", "acosh", "atanh", "sinh", "cosh", "erf", "erfc", "floor", "ceil", "trunc", "round", "abs"),
        *("sign", "relu", "atan2", "hypot", "copysign", "fmod", "remainder", "maximum", "minimum", "where", "eq", "ne"),
        *(
            "lt",
            "le",
            "gt",
            "ge",
            "logical_and",
            "logical_or",
            "logical_xor",
            "logical_not",
            "bitwise_and",
            "bitwise_or",
            "bitwise_not",
            "isnan",
        ),
        *("_to_copy", "pow", "clamp"),
    )
)
# To store their results, for the adjoint or for a later loop, is cheaper than to compute them again.
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
_TRUTHS = frozenset((*_MASKS, "eq", "ne", "lt", "le", "gt", "ge", "isnan"))  # their results are masks


def name_of(node: fx.Node) -> str:
    """The operation's name without its overload."""
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet))


def apply(node: fx.Node, name: str, operands: Sequence[Operand | None], masks: Sequence[bool]) -> Apply:
    """Lower one elementwise operation.

    Args:
        node: the operation's node in the graph.
        name: its name.
        operands: its lowered operands; None for an absent one.
        masks: whether each operand holds truth values.
    """
    values = list(operands)
    truth = node.meta["val"].dtype == torch.bool
    if name == "where":
        return Apply(name, tuple(values), truth=truth)
    if name not in _MASKS:
        values = [
            AsNumber(each) if mask and each is not None else each for each, mask in zip(values, masks, strict=True)
        ]
    if name in ("add", "sub") and "alpha" in node.kwargs:
        return Apply(name, tuple(values), alpha=Number.of(node.kwargs["alpha"]))  # type: ignore[arg-type]
    if name == "pow":
        return _power(node, values)
    if name == "_to_copy":
        return Apply("is_true" if truth else name, tuple(values))
    return Apply(name, tuple(values), truth=truth and name not in _TRUTHS and name != "clamp")


def _power(node: fx.Node, values: Sequence[Operand | None]) -> Apply:
    exponent = node.args[1]
    if isinstance(exponent, int | float) and exponent in (1, 2, 3, 4):
        names = {1: "_to_copy", 2: "mul"}  # a square is named as `x * x` is, so that the two are computed once
        return Apply(names.get(int(exponent), "product"), (values[0],) * int(exponent))
    if isinstance(exponent, int | float) and exponent == 0.5:
        return Apply("sqrt", (values[0],))
    return Apply("pow", tuple(values))
