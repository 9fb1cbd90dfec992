"""Parameters, buffers and submodules of a cell: one function writes one such thing.

Each takes the :class:`~tests.nn.engine.campaign.grammar.Writer` of a cell and adds its lines, and the changes that a
history may make.
"""

from tests.nn.engine.campaign.grammar import Feature, Writer

_SHAPES = {"vector": "({H},)", "scalar": "()", "row": "(1, {H})", "one": "(1, 1)"}
_USES = (
    "{a} * self.{n}", "{a} + self.{n}.sigmoid() * {b}", "{a} * F.softplus(self.{n})", "{a} - self.{n}.exp()",
    "torch.maximum({a}, self.{n} * {b})", "{a} / (1 + self.{n}.square())", "torch.where({a} > self.{n}, {a}, {b})",
)  # fmt: skip


def parameter(w: Writer) -> None:
    name, (kind, shape) = w.fresh("p"), w.draw.choice(list(_SHAPES.items()))
    w.init.append(f"self.{name} = nn.Parameter(torch.rand{shape.format(H=w.hidden)} - 0.4)"
                  .replace("torch.rand()", "torch.rand(())"))  # fmt: skip
    w.add(w.draw.choice(_USES).format(a=w.row(), b=w.row(), n=name))
    w.used.append(f"parameter: {kind}")
    w.smooth = False
    w.change("a parameter's data", f"cell.{name}.data.mul_(0.7)", f"cell.{name}.data = cell.{name}.data * 0.5 + 0.1")
    w.change("a parameter replaced", f"cell.{name} = nn.Parameter(cell.{name}.detach() * 0.3 + 0.1)")
    w.change("a parameter of another shape", f"cell.{name} = nn.Parameter(cell.{name}.detach().mean() + 0.1)")
    w.change("requires_grad", f"cell.{name}.requires_grad_(False)", f"cell.{name}.requires_grad_(True)")


def matrix(w: Writer) -> None:
    name = w.fresh("m")
    w.init.append(f"self.{name} = nn.Parameter(torch.rand({max(w.gates, 2)}, {w.hidden}) - 0.4)")
    w.add(w.draw.choice((
        *(() if w.linear else ("({a}.unsqueeze(1) * self.{n}).sum(1)",)), "{a} * self.{n}[0] + self.{n}[1]",
        "{a} * self.{n}.softmax(0)[1]", "{a} * self.{n}.sum(0)", "{a} * self.{n}[-1:].tanh()",
    )).format(a=w.row(), n=name))  # fmt: skip
    w.change("a parameter's data", f"cell.{name}.data[0] = 0.2")
    w.change("requires_grad", f"cell.{name}.requires_grad_(False)")


def product_of_parameters(w: Writer) -> None:
    u, v = w.fresh("u"), w.fresh("u")
    w.init.append(f"self.{u}, self.{v} = nn.Parameter(torch.rand(3) - 0.4), nn.Parameter(torch.rand(3, {w.hidden}))")
    w.add(f"{w.row()} + self.{u} @ self.{v}")


def parameter_list(w: Writer) -> None:
    name = w.fresh("list")
    w.init.append(f"self.{name} = nn.ParameterList([nn.Parameter(torch.rand({w.hidden})) for _ in range(2)])")
    a = w.add(w.row())
    w.lines += [f"for each in self.{name}:", f"    {a} = ({a} * each).tanh()"]


def buffer(w: Writer) -> None:
    name = w.fresh("scale")
    w.init.append(f"self.register_buffer('{name}', torch.linspace(0.5, 1, {w.hidden}))")
    w.add(f"{w.row()} * self.{name}")
    w.change("a buffer's values", f"cell.{name}.mul_(0.5)", f"cell.{name} = cell.{name} + 0.3")
    w.change("a buffer of another shape", f"cell.{name} = torch.tensor(2.0).to(cell.weight_ih)")


def mask_buffer(w: Writer) -> None:
    name = w.fresh("mask")
    w.init.append(f"self.register_buffer('{name}', torch.arange({w.hidden}) % 2 == 0)")
    w.add(f"torch.where(self.{name}, {w.row()}, {w.row()})")
    w.change("a buffer's values", f"cell.{name} = ~cell.{name}")


def submodule_norm(w: Writer) -> None:
    name = w.fresh("norm")
    w.init.append(f"self.{name} = nn.LayerNorm({w.hidden})")
    w.add(f"self.{name}({w.row()})")
    w.change("a submodule's option", f"cell.{name}.eps = 0.5")
    w.change("a submodule replaced", f"cell.{name} = nn.LayerNorm({w.hidden}, eps=0.1).to(cell.weight_ih)")
    w.change("a submodule replaced", f"cell.{name} = nn.Identity()")
    w.change("a submodule's hook", f"cell.{name}.register_forward_hook(module.halve)")


def submodule_activation(w: Writer) -> None:
    name, code = w.fresh("act"), w.draw.choice((
        "nn.Tanh()", "nn.LeakyReLU(0.1)", "nn.ELU(1.2)", "nn.Hardtanh(-0.5, 0.5)", "nn.Softplus(2.0)", "nn.SiLU()",
        "nn.GELU()", "nn.PReLU()", "nn.Mish()", "nn.Threshold(0.1, 0.2)", "nn.Softmax(-1)",
    ))  # fmt: skip
    w.init.append(f"self.{name} = {code}")
    w.add(f"self.{name}({w.row()})")
    w.smooth = False
    option = {"Leaky": "negative_slope", "ELU(": "alpha", "Hard": "max_val", "Softp": "beta", "Thresh": "threshold"}
    w.change("a submodule replaced", f"cell.{name} = nn.ReLU()", f"cell.{name} = nn.Sigmoid()")
    w.change("a submodule's option", *(f"cell.{name}.{o} = 0.3" for key, o in option.items() if f"nn.{key}" in code))
    w.change("a submodule's hook", f"cell.{name}.register_forward_hook(module.halve)")
    w.change("a submodule's hook", f"cell.{name}.register_forward_pre_hook(module.halve_input)")
    w.change("a submodule's forward", f"cell.{name}.forward = module.halved")


def submodule_dropout(w: Writer) -> None:
    name, p = w.fresh("drop"), w.draw.choice((0.0, 0.0, 0.3, 1.0))
    w.init.append(f"self.{name} = nn.Dropout({p})")
    w.add(f"self.{name}({w.row()})")
    w.change("a submodule's mode", f"cell.{name}.eval()", f"cell.{name}.train()")
    w.change("a submodule's option", f"cell.{name}.p = 0.5", f"cell.{name}.p = 0.0", f"cell.{name}.p = 1.0")
    w.special.append("dropout module")


def submodule_sequence(w: Writer) -> None:
    name = w.fresh("seq")
    w.init.append(f"self.{name} = nn.Sequential(nn.Tanh(), nn.LayerNorm({w.hidden}), nn.Dropout(0.0))")
    w.add(f"self.{name}({w.row()})")
    w.change("a submodule replaced", f"cell.{name}[0] = nn.Sigmoid()", f"del cell.{name}[2]")
    w.change("a submodule's mode", f"cell.{name}[2].eval()")
    w.change("a submodule's option", f"cell.{name}[1].eps = 0.2", f"cell.{name}[2].p = 1.0")
    w.special.append("dropout module")


def submodule_list(w: Writer) -> None:
    name = w.fresh("acts")
    w.init.append(f"self.{name} = nn.ModuleList([nn.Tanh(), nn.Softsign()])")
    a = w.add(w.row())
    w.lines += [f"for each in self.{name}:", f"    {a} = each({a})"]
    w.smooth = False
    w.change("a submodule replaced", f"cell.{name}[1] = nn.Sigmoid()", f"cell.{name}.append(nn.SiLU())")


def submodule_linear(w: Writer) -> None:
    name = w.fresh("linear")
    w.init.append(f"self.{name} = nn.Linear({w.hidden}, {w.hidden})")
    w.add(f"self.{name}({w.row()})")
    w.change("a parameter's data", f"cell.{name}.weight.data.mul_(0.7)")


def own_module(w: Writer) -> None:
    name = w.fresh("Gain")
    w.globals += [
        f"class {name}(nn.Module):", "    power = 1", "    def __init__(self):", "        super().__init__()",
        "        self.weight, self.strength = nn.Parameter(torch.ones(())), 0.7", "    def forward(self, a):",
        "        a = a * self.weight * self.strength",
        "        return a if self.training else a.tanh() * self.power",
    ]  # fmt: skip
    attribute = name.lower()
    w.init.append(f"self.{attribute} = {name}()")
    w.add(f"self.{attribute}({w.row()})")
    w.change("a submodule's option", f"cell.{attribute}.strength = {w.number()}")
    w.change("a submodule's mode", f"cell.{attribute}.eval()")
    w.change("a class attribute of a submodule", f"module.{name}.power = 3")
    w.change("a submodule's forward", f"module.{name}.forward = lambda self, a: a * self.weight * 0.3")


MEMBERS: tuple[Feature, ...] = (
    parameter, parameter, matrix, product_of_parameters, parameter_list, buffer, mask_buffer, submodule_norm,
    submodule_activation, submodule_dropout, submodule_sequence, submodule_list, submodule_linear, own_module,
)  # fmt: skip
