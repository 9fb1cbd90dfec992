"""Numbers and other attributes that a cell holds: one function writes one such thing.

Each takes the :class:`~tests.nn.engine.campaign.grammar.Writer` of a cell and adds its lines, and the changes that a
history may make.
"""

from tests.nn.engine.campaign.grammar import Feature, Writer


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


ATTRIBUTES: tuple[Feature, ...] = (
    float_attribute, float_attribute, bounded_by_number, int_attribute, bool_attribute, str_attribute, none_attribute,
    dict_attribute, list_attribute, tuple_attribute, object_attribute, class_attribute, property_of_cell, closure,
    global_number, global_table, helper, helper_method, numpy_attribute, plain_tensor,
)  # fmt: skip
