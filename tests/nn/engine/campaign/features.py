"""What a cell holds beside its weights, and what can be changed of it: one function writes one such thing.

Each takes the :class:`~tests.nn.engine.campaign.grammar.Writer` of a cell and adds its lines, and the changes that a
history may make. ``EFFECTS`` are what no engine may compile: side effects in Python, draws, numbers out of tensors,
rows mixed.
"""

from collections.abc import Callable

from tests.nn.engine.campaign.grammar import Writer

Feature = Callable[[Writer], object]


# Numbers and other attributes
def float_attribute(w: Writer) -> None:
    name = w.fresh("alpha")
    w.init.append(f"self.{name} = {w.number()}")
    w.add(w.draw.choice(("{a} * self.{n}", "{a}.tanh() + self.{n} * {b}", "F.leaky_relu({a}, self.{n})")).format(
        a=w.row(), b=w.row(), n=name))  # fmt: skip
    w.smooth = False
    w.change("a number", f"cell.{name} = {w.number()}", f"cell.{name} *= 0.9", f"cell.{name} -= 0.05")
    w.change("a number", f"cell.{name} = 0.0", f"cell.{name} = 1", f"cell.{name} = -{w.number()}")


def bounded_by_number(w: Writer) -> None:
    name = w.fresh("bound")
    w.init.append(f"self.{name} = {w.number()}")
    w.add(f"{w.row()}.clamp(-self.{name}, self.{name})")
    w.smooth = False
    w.change("a number", f"cell.{name} = {w.number()}", f"cell.{name} *= 0.5")


def int_attribute(w: Writer) -> None:
    name = w.fresh("count")
    w.init.append(f"self.{name} = {w.draw.randint(1, 3)}")
    a = w.add(w.row())
    if w.draw.random() < 0.5:
        w.lines += [f"for _ in range(self.{name}):", f"    {a} = {a}.tanh() * 1.3"]
    else:
        w.lines.append(f"{a} = {a} / self.{name}")
    w.change("an integer", f"cell.{name} = {w.draw.randint(1, 3)}", f"cell.{name} += 1")


def bool_attribute(w: Writer) -> None:
    name = w.fresh("flag")
    w.init.append(f"self.{name} = {w.draw.random() < 0.5}")
    w.add(f"{w.row()} if self.{name} else {w.row()} * 0.5")
    w.change("a switch", f"cell.{name} = not cell.{name}")


def str_attribute(w: Writer) -> None:
    name = w.fresh("kind")
    w.init.append(f"self.{name} = 'tanh'")
    w.add(f"getattr(torch, self.{name})({w.row()})")
    w.smooth = False
    w.change("a string", f"cell.{name} = 'sigmoid'", f"cell.{name} = 'relu'", f"cell.{name} = 'tanh'")


def none_attribute(w: Writer) -> None:
    name = w.fresh("maybe")
    w.init.append(f"self.{name} = None")
    w.add(f"{w.row()} if self.{name} is None else {w.row()} * self.{name}")
    w.change("none or a number", f"cell.{name} = {w.number()}", f"cell.{name} = None")


def dict_attribute(w: Writer) -> None:
    name = w.fresh("options")
    w.init.append(f"self.{name} = {{'gain': {w.number()}, 'deep': {{'shift': [{w.number()}]}}}}")
    w.add(f"{w.row()} * self.{name}['gain'] + self.{name}['deep']['shift'][0]")
    w.change("a dictionary", f"cell.{name}['gain'] = {w.number()}", f"cell.{name}['deep']['shift'][0] = {w.number()}")


def list_attribute(w: Writer) -> None:
    name = w.fresh("scales")
    w.init.append(f"self.{name} = [{w.number()}, {w.number()}]")
    a = w.add(w.row())
    w.lines += [f"for each in self.{name}:", f"    {a} = ({a} * each).tanh()"]
    w.change("a list", f"cell.{name}[0] = {w.number()}", f"cell.{name}.append(0.7)", f"cell.{name}.pop()")


def tuple_attribute(w: Writer) -> None:
    name = w.fresh("pair")
    w.init.append(f"self.{name} = ({w.number()}, {w.number()})")
    w.add(f"self.{name}[0] * {w.row()} - self.{name}[1] * {w.row()}")
    w.change("a tuple", f"cell.{name} = (0.3, {w.number()})")


def object_attribute(w: Writer) -> None:
    name = w.fresh("settings")
    w.init.append(f"self.{name} = types.SimpleNamespace(rate={w.number()}, inner=types.SimpleNamespace(on=True))")
    w.add(f"{w.row()} * self.{name}.rate if self.{name}.inner.on else {w.row()}")
    w.change("an object's attribute", f"cell.{name}.rate = {w.number()}", f"cell.{name}.inner.on = False")


def class_attribute(w: Writer) -> None:
    name = w.fresh("slope")
    w.attributes.append(f"{name} = {w.number()}")
    w.add(f"{w.row()} * self.{name} + {w.row()}")
    w.change("a class attribute", f"type(cell).{name} = {w.number()}", f"module.Cell.{name} = {w.number()}")
    w.change("an instance's attribute over its class's", f"cell.{name} = {w.number()}")


def property_of_cell(w: Writer) -> None:
    name = w.fresh("rate")
    w.init.append(f"self._{name} = {w.number()}")
    w.methods += ["@property", f"def {name}(self):", f"    return self._{name} * 2"]
    w.add(f"{w.row()} * self.{name}")
    w.change("a property", f"cell._{name} = {w.number()}", f"type(cell).{name} = property(lambda self: 0.25)")


def closure(w: Writer) -> None:
    name = w.fresh("blend")
    w.globals += [
        f"def make_{name}():", f"    gain = {w.number()}", f"    def {name}(a):", "        return a * gain",
        "    def change(value):", "        nonlocal gain", "        gain = value", f"    return {name}, change",
        f"{name}, set_{name} = make_{name}()",
    ]  # fmt: skip
    w.add(f"{name}({w.row()})")
    w.change("a closure", f"module.set_{name}({w.number()})", f"module.set_{name}(0.2)")


def global_number(w: Writer) -> None:
    name = w.fresh("GAIN")
    w.globals.append(f"{name} = {w.number()}")
    w.add(f"{w.row()} * {name}")
    w.change("a global", f"module.{name} = {w.number()}", f"module.{name} += 0.5")


def global_table(w: Writer) -> None:
    name = w.fresh("TABLE")
    w.globals.append(f"{name} = {{'x': {w.number()}, 'rows': [0.5, 0.6]}}")
    w.add(f"{w.row()} * {name}['x'] + {name}['rows'][-1]")
    w.change("a global table", f"module.{name}['x'] = {w.number()}", f"module.{name}['rows'].append({w.number()})")


def helper(w: Writer) -> None:
    name = w.fresh("helper")
    w.globals += [
        f"def {name}(a, b):", "    return a.tanh() * b",
        f"def other_{name}(a, b):", "    return a - b.tanh()",
    ]  # fmt: skip
    w.add(f"{name}({w.row()}, {w.row()})")
    w.change("a helper", f"module.{name} = module.other_{name}")
    w.change("a helper's code", f"module.{name}.__code__ = module.other_{name}.__code__")


def helper_method(w: Writer) -> None:
    name = w.fresh("mix")
    w.methods += [f"def {name}(self, a, gain=0.8):", "    return (a * gain).sin()"]
    w.add(f"self.{name}({w.row()})")
    w.change("a helper method", f"cell.{name} = lambda a: a.cos()", f"type(cell).{name}.__defaults__ = (0.2,)")
    w.change("a helper method", f"type(cell).{name} = lambda self, a, gain=0.3: (a * gain).tanh()")


def numpy_attribute(w: Writer) -> None:
    name = w.fresh("array")
    w.init.append(f"self.{name} = np.array([{w.number()}, {w.number()}])")
    w.add(f"{w.row()} * float(self.{name}[0])")
    w.special.append("numpy array")
    w.change("a NumPy array", f"cell.{name}[0] = {w.number()}")


def plain_tensor(w: Writer) -> None:
    name = w.fresh("plain")
    w.init.append(f"self.{name} = [torch.linspace(0.1, 1, {w.hidden})]")
    w.add(f"{w.row()} * self.{name}[0].to({w.row()}.dtype)")
    w.special.append("unregistered tensor")
    w.change("a tensor in a list", f"cell.{name}[0].mul_(0.5)", f"cell.{name}[0] = torch.ones({w.hidden}) * 0.3")


# Parameters, buffers, submodules
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


# What the step reads of its surroundings
def reads_training(w: Writer) -> None:
    w.add(f"{w.row()} if self.training else {w.row()} * 0.3")


def reads_grad_mode(w: Writer) -> None:
    w.add(f"{w.row()} if torch.is_grad_enabled() else {w.row()} * 0.3")
    w.special.append("reads grad mode")


def reads_requires_grad(w: Writer) -> None:
    w.add(w.draw.choice((
        "{a} if state[0].requires_grad else {b} * 0.3", "{a} if gi.requires_grad else {b} * 0.3",
        "{a} if self.weight_ih.requires_grad else {b} * 0.3",
    )).format(a=w.row(), b=w.row()))  # fmt: skip
    w.special.append("reads requires_grad")
    w.change("requires_grad", "cell.weight_ih.requires_grad_(False)", "cell.weight_ih.requires_grad_(True)")


def reads_autocast(w: Writer) -> None:
    w.add(f"{w.row()} * 0.3 if torch.is_autocast_enabled('cpu') else {w.row()}")
    w.special.append("reads autocast")


def reads_dtype(w: Writer) -> None:
    w.add(f"{w.row()} * 0.3 if gi.dtype == torch.float64 else {w.row()}")
    w.special.append("reads dtype")


def reads_batch_size(w: Writer) -> None:
    w.add(w.draw.choice((
        "{a} / gi.size(0)", "{a} * (1 + len(gi)) ** -0.5", "{a} if state[0].shape[0] > 2 else {b}",
        "{a} + gi.new_ones(gi.shape[0], 1) * 0.2", "{a} * torch.full_like({b}, 0.5)", "{a} + torch.zeros_like({b})",
    )).format(a=w.row(), b=w.row()))  # fmt: skip
    w.special.append("reads the batch size")


# What autograd offers
def detach(w: Writer) -> None:
    w.add(w.draw.choice((
        "{a}.detach() * {b}", "{a} + ({b} - {a}).detach()", "{a} * 0.2 + ({b} * 0.8).detach()",
        "{a} * state[0].detach()",
        "({a}.sign() - {a}.tanh()).detach() + {a}.tanh()", "{a} / ({a}.data.abs() + 1)",
    )).format(a=w.row(), b=w.row()))  # fmt: skip
    w.smooth = False
    w.special.append("detach")


def no_grad(w: Writer) -> None:
    name = w.fresh()
    w.lines += [
        w.draw.choice(("with torch.no_grad():", "with torch.set_grad_enabled(False):")),
        f"    {name} = {w.row()}.square() + 0.5",
    ]
    w.add(f"{w.row()} / {name}")
    w.special.append("no_grad")


def hook(w: Writer) -> None:
    a = w.add(f"{w.row()}.tanh()")
    code = w.draw.choice(("g.clamp(-0.01, 0.01)", "g * 0.5", "-g", "g / (g.norm() + 1e-3)"))
    w.lines += [f"if {a}.requires_grad:", f"    {a}.register_hook(lambda g: {code})"]
    w.smooth = False
    w.special.append("tensor hook")


def surrogate(w: Writer) -> None:
    w.globals += [
        "class Spike(torch.autograd.Function):", "    @staticmethod", "    def forward(ctx, a):",
        "        ctx.save_for_backward(a)", "        return (a > 0).to(a.dtype)", "    @staticmethod",
        "    def backward(ctx, g):", "        (a,) = ctx.saved_tensors", "        return g / (1 + a.abs()).square()",
    ]  # fmt: skip
    w.add(f"Spike.apply({w.row()} - 0.1)")
    w.smooth = False
    w.special.append("autograd function")


def reversal(w: Writer) -> None:
    w.globals += [
        "class Reversal(torch.autograd.Function):", "    @staticmethod", "    def forward(ctx, a):",
        "        return a.view_as(a)", "    @staticmethod", "    def backward(ctx, g):", "        return -0.5 * g",
    ]  # fmt: skip
    w.add(f"Reversal.apply({w.row()})")
    w.special.append("autograd function")


# What no engine may compile
def counter(w: Writer) -> None:
    w.init.append("self.calls = 0")
    w.lines.append("self.calls += 1")
    if w.draw.random() < 0.5:
        w.add(f"{w.row()} * (self.calls % 2)")
    w.effects.append("counter")


def global_counter(w: Writer) -> None:
    w.globals.append("COUNTS = {'calls': 0}")
    w.lines.append("COUNTS['calls'] += 1")
    w.effects.append("global counter")


def growing_list(w: Writer) -> None:
    w.init.append("self.seen = []")
    w.lines.append(f"self.seen.append({w.draw.choice(('1', 'tuple(gi.shape)', w.row() + '.detach()'))})")
    w.effects.append("growing list")


def probe(w: Writer) -> None:
    w.init.append("self.last = None")
    w.lines.append(f"self.last = {w.row()}.detach()")
    w.effects.append("probe")


def iterator(w: Writer) -> None:
    w.init.append("self.turn = itertools.cycle([1.0, 0.5, 0.2])")
    w.add(f"{w.row()} * next(self.turn)")
    w.effects.append("iterator")


def chance(w: Writer) -> None:
    w.add(w.draw.choice((
        "{a} if random.random() < 0.5 else {b}", "{a} * random.choice((1.0, 0.5))", "{a} * float(np.random.rand())",
        "{a} + float(np.random.normal()) * 0.1",
    )).format(a=w.row(), b=w.row()))  # fmt: skip
    w.effects.append("draws of Python or NumPy")


def noise(w: Writer) -> None:
    w.add(w.draw.choice((
        "{a} + 0.1 * torch.randn_like({a})", "F.dropout({a}, 0.3)", "F.dropout({a}, 0.3, self.training)",
        "{a} * (torch.rand_like({a}) > 0.2)", "{a} * torch.bernoulli({b}.detach().sigmoid())", "{a} * torch.rand(())",
    )).format(a=w.row(), b=w.row()))  # fmt: skip
    w.smooth = False
    w.effects.append("draws of torch")


def mixes_rows(w: Writer) -> None:
    w.add(w.draw.choice((
        "{a} - {b}.mean(0)", "{a} - {b}.mean(0, keepdim=True)", "{a} * {b}.softmax(0)", "{a} - {b}.mean()",
        "{a} + {b}[:1]", "{a} + {b}.flip(0)", "{a} / (1 + {b}.norm())", "F.batch_norm({a}, None, None, training=True)",
    )).format(a=w.row(), b=w.row()))  # fmt: skip
    w.effects.append("mixes rows")


def takes_number(w: Writer) -> None:
    w.add(w.draw.choice((
        "{a} * {b}.detach().mean().tanh().item()", "{a} if {b}.sum() > 0 else {c}",
        "{a} * float({b}.detach().abs().max() > 0.5)",
    )).format(a=w.row(), b=w.row(), c=w.row()))  # fmt: skip
    w.smooth = False
    w.effects.append("takes a number out of a tensor")


def prints(w: Writer) -> None:
    w.lines.append("print('step')")
    w.effects.append("print")


def running_buffer(w: Writer) -> None:
    w.init.append(f"self.register_buffer('running', torch.zeros({w.hidden}))")
    w.lines.append(f"self.running.mul_(0.9).add_(0.1 * {w.row()}.detach().mean(0))")
    if w.draw.random() < 0.5:
        w.add(f"{w.row()} - self.running.clone()")
    w.effects.append("running buffer")


def made_at_first_call(w: Writer) -> None:
    w.lines += [
        "if not hasattr(self, 'cache'):", f"    self.cache = torch.ones({w.hidden}, dtype=gi.dtype) * 0.7",
    ]  # fmt: skip
    w.add(f"{w.row()} * self.cache")
    w.effects.append("made at the first call")


ATTRIBUTES: tuple[Feature, ...] = (
    float_attribute, float_attribute, bounded_by_number, int_attribute, bool_attribute, str_attribute, none_attribute,
    dict_attribute, list_attribute, tuple_attribute, object_attribute, class_attribute, property_of_cell, closure,
    global_number, global_table, helper, helper_method, numpy_attribute, plain_tensor,
)  # fmt: skip
MEMBERS: tuple[Feature, ...] = (
    parameter, parameter, matrix, product_of_parameters, parameter_list, buffer, mask_buffer, submodule_norm,
    submodule_activation, submodule_dropout, submodule_sequence, submodule_list, submodule_linear, own_module,
)  # fmt: skip
SURROUNDINGS: tuple[Feature, ...] = (
    reads_training, reads_grad_mode, reads_requires_grad, reads_autocast, reads_dtype, reads_batch_size,
)  # fmt: skip
AUTOGRAD: tuple[Feature, ...] = (detach, no_grad, hook, surrogate, reversal)
EFFECTS: tuple[Feature, ...] = (
    counter, global_counter, growing_list, probe, iterator, chance, noise, mixes_rows, takes_number, prints,
    running_buffer, made_at_first_call,
)  # fmt: skip
