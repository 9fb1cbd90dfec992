"""Random cells, written out as the source of a module: expressions over rows, gates and parameters."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

# name -> code over rows ``{a} {b} {c}`` of shape (B, H), with ``{H}`` and a number ``{k}``. A name that ends in "!" has
# kinks or jumps: there rounding alone may change a gradient.
OPERATIONS = {
    # activations
    "sigmoid": "torch.sigmoid({a})",
    "tanh": "{a}.tanh()",
    "relu!": "F.relu({a})",
    "gelu": "F.gelu({a})",
    "gelu_tanh": "F.gelu({a}, approximate='tanh')",
    "elu!": "F.elu({a})",
    "celu!": "F.celu({a}, alpha={k})",
    "selu!": "F.selu({a})",
    "softplus": "F.softplus({a})",
    "softplus_beta": "F.softplus({a}, beta=2.0)",
    "silu": "F.silu({a})",
    "mish": "F.mish({a})",
    "hardtanh!": "F.hardtanh({a})",
    "hardsigmoid!": "F.hardsigmoid({a})",
    "hardswish!": "F.hardswish({a})",
    "relu6!": "F.relu6({a})",
    "leaky_relu!": "F.leaky_relu({a}, {k})",
    "softsign!": "F.softsign({a})",
    "logsigmoid": "F.logsigmoid({a})",
    "tanhshrink": "F.tanhshrink({a})",
    "softshrink!": "F.softshrink({a}, 0.2)",
    "hardshrink!": "F.hardshrink({a}, 0.2)",
    "threshold!": "F.threshold({a}, 0.1, 0.2)",
    # numbers
    "add": "{a} + {b}",
    "add_alpha": "torch.add({a}, {b}, alpha={k})",
    "sub": "{a} - {b}",
    "sub_alpha": "torch.sub({a}, {b}, alpha={k})",
    "rsub": "1 - {a}",
    "mul": "{a} * {b}",
    "div": "{a} / (1 + {b}.square())",
    "number_over": "{k} / (1 + {a}.exp().clamp(max=9))!",
    "neg": "-{a}",
    "reciprocal": "({a}.square() + 0.5).reciprocal()",
    "square": "{a}.square()",
    "pow2": "{a}.pow(2)",
    "pow3": "{a} ** 3",
    "pow_half": "({a}.square() + 0.1) ** 0.5",
    "pow_number": "({a}.square() + 0.1).pow({k})",
    "pow_of_number": "2.0 ** {a}.tanh()",
    "abs!": "{a}.abs()",
    "sign!": "{a}.sign()",
    "floor!": "(3 * {a}).floor() / 3",
    "ceil!": "(3 * {a}).ceil() / 3",
    "round!": "(3 * {a}).round() / 3",
    "trunc!": "(3 * {a}).trunc() / 3",
    "exp!": "{a}.clamp(max=2).exp()",
    "expm1!": "{a}.clamp(max=2).expm1()",
    "exp2!": "{a}.clamp(max=2).exp2()",
    "log!": "({a}.abs() + 0.5).log()",
    "log1p": "{a}.square().log1p()",
    "log2": "({a}.square() + 0.5).log2()",
    "sqrt": "({a}.square() + 0.1).sqrt()",
    "rsqrt": "({a}.square() + 0.5).rsqrt()",
    "sin": "{a}.sin()",
    "cos": "{a}.cos()",
    "atan": "{a}.atan()",
    "asinh": "{a}.asinh()",
    "sinh!": "{a}.clamp(-2, 2).sinh()",
    "cosh!": "{a}.clamp(-2, 2).cosh()",
    "erf": "{a}.erf()",
    "addcmul": "torch.addcmul({a}, {b}, {c}, value={k})",
    "addcdiv": "torch.addcdiv({a}, {b}, {c}.square() + 1, value={k})",
    "lerp": "torch.lerp({a}, {b}, {c}.sigmoid())",
    "lerp_number": "torch.lerp({a}, {b}, {k})",
    "logaddexp": "torch.logaddexp({a}, {b})",
    "hypot": "torch.hypot({a}, {b} + 1.5)",
    "atan2": "torch.atan2({a}, {b}.square() + 0.5)",
    "remainder!": "{a}.remainder(1.5)",
    "copysign!": "torch.copysign({a}, {b})",
    # bounds and choices
    "clamp!": "{a}.clamp(-0.7, {k})",
    "clamp_min!": "{a}.clamp(min=-0.3)",
    "clamp_max!": "torch.clamp({a}, max={k})",
    "maximum!": "torch.maximum({a}, {b})",
    "minimum!": "torch.minimum({a}, {b})",
    "where!": "torch.where({a} > {b}, {a}, {c})",
    "where_number!": "torch.where({a} >= 0, {b}, {k})",
    "where_and!": "torch.where(({a} > -1) & ({b} <= 0.5), {a}, {b})",
    "where_not!": "torch.where(~({a} < 0), {a} * {k}, {b})",
    "mask_to!": "({a} > 0).to({a}.dtype) * {b}",
    "mask_mul!": "{b} * ({a} < {k})",
    "masked_fill!": "{a}.masked_fill({b} > 1, {k})",
    "nan_to_num": "{a}.nan_to_num()",
    # over the last axis
    "softmax": "{a}.softmax(-1)",
    "log_softmax": "F.log_softmax({a}, -1)",
    "layer_norm": "F.layer_norm({a}, ({H},))",
    "rms_norm": "{a} * ({a}.square().mean(-1, keepdim=True) + 0.1).rsqrt()",
    "rms_norm_f": "F.rms_norm({a}, ({H},), eps=0.01)",
    "centre": "{a} - {a}.mean(-1, keepdim=True)",
    "share!": "{a} / (1 + {b}.abs().sum(-1, keepdim=True))",
    "below_max!": "{a} - {b}.amax(-1, keepdim=True)",
    "above_min!": "{a} - {b}.amin(1, keepdim=True)",
    "variance": "{a} / ({a}.var(-1, keepdim=True, unbiased=False) + 0.1).sqrt()",
    "normalize": "F.normalize({a} + 0.5, dim=-1)",
    "norm": "{a} / (1 + {b}.norm(dim=-1, keepdim=True))",
    "logsumexp": "{a} - {b}.logsumexp(-1, keepdim=True)",
    "sum_unsqueezed": "{a} + {b}.sum(-1).unsqueeze(-1) * 0.1",
    "cumsum": "{a}.cumsum(-1) * 0.2",
    # shapes
    "swap_halves": "torch.cat(({a}[:, {cut}:], {a}[:, :{cut}]), -1)",
    "join": "torch.cat(({a}[..., :{cut}], {b}[..., {cut}:]), dim=1)",
    "roll": "{a}.roll(1, -1)",
    "flip": "{a}.flip(-1)",
    "stack_sum": "torch.stack(({a}, {b}), 1).sum(1)",
    "stack_mean": "torch.stack([{a}, {b}, {c}], dim=1).mean(1)",
    "stack_max!": "torch.stack(({a}, {b}), 1).amax(1)",
    "stack_softmax": "(torch.stack(({a}, {b}), 1).softmax(1) * torch.stack(({b}, {c}), 1)).sum(1)",
    "unsqueeze": "({a}.unsqueeze(1) * torch.stack(({b}, {c}), 1)).mean(1)",
    "narrow": "torch.cat(({a}.narrow(1, {cut}, {H} - {cut}), {b}.narrow(1, 0, {cut})), 1)",
    "heads": "{a}.unflatten(-1, ({heads}, {per})).softmax(-1).flatten(-2)",
    "heads_view": "({a}.view(-1, {heads}, {per}) - {b}.reshape(-1, {heads}, {per}).mean(-1, keepdim=True)).flatten(1)",
    "expand": "{a} * {b}[:, :1].expand(-1, {H})",
    "column": "{a} + {b}[:, {last}].unsqueeze(1)",
    "clone": "{a}.clone()",
    "contiguous": "{a}.contiguous() * {k}",
    "repeat": "{a} * {b}[:, :1].repeat(1, {H}).sigmoid()",
    "pad": "F.pad({a}[:, 1:], (0, 1))",
    "strided_slice": "torch.cat(({a}[:, ::2], {a}[:, 1::2]), 1)",
    "index_list": "{a}[:, list(range({H}))[::-1]]",
}
# Several statements, the row that they make called {out}.
IN_PLACE = {
    "copy_slice": ("{out} = {a}.clone()", "{out}[:, :{cut}] = {b}[:, :{cut}]"),
    "mul_": ("{out} = {a} * 1.0", "{out}.mul_({k})", "{out} += {b}"),
    "add_number": ("{out} = {a}.clone()", "{out}[:, 0] += {k}"),
    "zero_column": ("{out} = {a} + {b}", "{out}[:, {last}] = 0.0"),
    "tanh_": ("{out} = {a} + {b}", "{out} = {out}.tanh_()"),
    "clamp_": ("{out} = {a} - {b}", "{out} = {out}.clamp_(-1, 1)"),
    "sub_column": ("{out} = {a}.clone()", "{out}[:, 1:] -= {b}[:, :-1].tanh()"),
}
_OF_TWO = ("[:", "..., ", "stack", "(1", ", 1", "dim=1", "view", "flatten(1", "roll", "pad")  # rows (B, H) alone
ACTIVATED = (  # how a new state is kept in bounds, from rows a, b and the old part
    "{a}.tanh()",
    "torch.sigmoid({b}) * {old} + (1 - torch.sigmoid({b})) * {a}.tanh()",
    "torch.lerp({old}, {a}.tanh(), {b}.sigmoid())",
    "{b}.sigmoid() * {a}.tanh()",
    "(0.5 * {old} + {a}).tanh()",
    "{a}.sigmoid() * {old} + {b}.sin()",
    "0.5 * {old} + 0.5 * {a}.softmax(-1)",
    "F.layer_norm({a} + {old}, ({H},)) * 0.5",
)
CLAMPED = ("(0.5 * {old} + {a}).clamp(-2, 2)", "F.relu({a}).clamp(max=3)", "F.hardtanh({a} + 0.3 * {old})")


@dataclass(frozen=True)
class Change:
    """A statement that changes a cell between two calls; it sees ``cell``, ``module`` and what a cell's source sees."""

    kind: str
    code: str


@dataclass
class Writer:
    """A cell's source in the making."""

    draw: random.Random
    hidden: int
    gates: int
    parts: tuple[str, ...]
    linear: bool = False
    globals: list[str] = field(default_factory=list)  # lines of the module, before the class
    after: list[str] = field(default_factory=list)  # lines of the module, after it
    attributes: list[str] = field(default_factory=list)  # lines of the class
    init: list[str] = field(default_factory=list)
    setup: list[str] = field(default_factory=list)  # lines that change the cell that was made
    methods: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)  # of pointwise or coefficients
    rows: list[str] = field(default_factory=list)  # names of values (B, H)
    changes: list[Change] = field(default_factory=list)
    used: list[str] = field(default_factory=list)  # names of operations and features
    effects: list[str] = field(default_factory=list)  # what an engine may not compile
    special: list[str] = field(default_factory=list)  # of the autograd and mode features
    smooth: bool = True
    names: int = 0

    def fresh(self, lead: str = "v") -> str:
        self.names += 1
        return f"{lead}{self.names}"

    def row(self) -> str:
        """A value, a recent one more often than not."""
        recent = self.rows[-4:] if self.draw.random() < 0.6 else self.rows
        return self.draw.choice(recent)

    def add(self, code: str) -> str:
        """A new row, of an expression."""
        name = self.fresh()
        if self.linear:  # coefficients see no state
            code = code.replace("state[0]", self.rows[0])
        self.lines.append(f"{name} = {code}")
        self.rows.append(name)
        return name

    def change(self, kind: str, *codes: str) -> None:
        self.changes += [Change(kind, code) for code in codes]

    def number(self) -> float:
        return round(self.draw.uniform(0.1, 1.9), 2)

    def fill(self, code: str, **more: str) -> str:
        heads = next((d for d in (2, 3, 5, 7) if self.hidden % d == 0), 1)
        return code.rstrip("!").format(
            a=self.row(), b=self.row(), c=self.row(), k=self.number(), H=self.hidden, last=self.hidden - 1,
            cut=self.draw.randint(1, self.hidden - 1), heads=heads, per=self.hidden // heads, **more,
        )  # fmt: skip

    def operation(self) -> None:
        """One operation of the grammar."""
        if self.draw.random() < 0.07 and not self.linear:
            name, statements = self.draw.choice(list(IN_PLACE.items()))
            out = self.fresh()
            a, b, k, cut = self.row(), self.row(), self.number(), self.draw.randint(1, self.hidden - 1)
            last = self.hidden - 1
            self.lines += [each.format(out=out, a=a, b=b, k=k, cut=cut, last=last) for each in statements]
            self.rows.append(out)
            self.smooth &= name != "clamp_"
        else:
            known = list(OPERATIONS.items())
            if self.linear:  # of any number of dimensions
                known = [(name, code) for name, code in known if not any(each in code for each in _OF_TWO)]
            name, code = self.draw.choice(known)
            self.smooth &= not (name.endswith("!") or code.endswith("!"))
            self.add(self.fill(code))
        self.used.append(name.rstrip("!"))

    def new_part(self, old: str) -> str:
        """The expression of a part of the new state."""
        kinked = self.draw.random() < 0.15
        self.smooth &= not kinked
        return self.fill(self.draw.choice(CLAMPED if kinked else ACTIVATED), old=old)


Feature = Callable[[Writer], object]
