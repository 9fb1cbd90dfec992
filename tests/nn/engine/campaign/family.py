"""One random cell: its source, its sizes, and what may be changed of it."""

import random
from dataclasses import dataclass
from functools import partial

from seqlab import nn as cells
from tests.nn.engine.campaign.attributes import ATTRIBUTES
from tests.nn.engine.campaign.grammar import Change, Writer
from tests.nn.engine.campaign.members import MEMBERS
from tests.nn.engine.campaign.surroundings import AUTOGRAD, EFFECTS, SURROUNDINGS
from tests.shipped import hook_of

_HEAD = """import itertools, random, types
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune
from seqlab import nn as cells
from seqlab.nn import GatedCell, LinearCell, RecurrentCell

def halve(module, args, result):
    return result * 0.5

def halve_input(module, args):
    return (args[0] * 0.5,)

def halved(a):
    return a * 0.5

def scale_weight(cell, args):
    with torch.no_grad():
        cell.weight_ih.mul_(0.9)

class Halved(nn.Module):
    rate = 0.5
    def forward(self, weight):
        return weight * self.rate
"""
_TAIL = """
def other_{rest}(self, *args):
    return tuple(each * 0.5 for each in _{rest}(self, *args))

def other_project(self, x):
    return _project(self, x) * 0.5

def other_output(self, state):
    return _output(self, state) * 0.5

def other_step(self, gi, state):
    return _step(self, gi * 0.5, state)

def other_initial_state(self, batch_size, *, like):
    return tuple(part + 0.25 for part in _initial_state(self, batch_size, like=like))

def coded_pointwise(self, gi, gh, state):
    return tuple(torch.tanh(each + gi[:, :each.size(1)]) for each in state)

def coded_coefficients(self, gi):
    return torch.sigmoid(gi[..., :1]), gi[..., -1:] * 0.5

_{rest}, _project, _output, _step, _initial_state = (
    Cell.{rest}, Cell.project, Cell.output, Cell.step, Cell.initial_state)

class Other(Cell):
    def {rest}(self, *args):
        return tuple(each * 0.7 for each in super().{rest}(*args))
"""
# A new cell goes at the end: nearly all cases that are drawn then stay what they were.
SHIPPED = (
    "LSTMCell", "LSTMCell", "GRUCell", "GRUCell", "RNNCell", "RNNCell", "PeepholeLSTMCell", "CoupledLSTMCell",
    "UGRNNCell",
    "MGUCell", "IndRNNCell", "IRNNCell", "SLSTMCell", "LayerNormLSTMCell", "LayerNormGRUCell", "MinGRUCell",
    "MinLSTMCell",
)  # fmt: skip
_EXTRAS = {
    "RNNCell": (", nonlinearity='relu'", ", nonlinearity='sigmoid'", ""),
    "MinGRUCell": (", candidate='positive'", ""),
}
_SETUPS = (
    ("weight_norm", "parametrizations.weight_norm(cell, 'weight_hh')"),
    ("spectral_norm", "parametrizations.spectral_norm(cell, 'weight_hh')"),
    ("orthogonal", "parametrizations.orthogonal(cell, 'weight_hh')"),
    ("own parametrization", "parametrize.register_parametrization(cell, 'weight_hh', Halved())"),
    ("own parametrization", "parametrize.register_parametrization(cell, 'weight_ih', Halved())"),
    ("legacy weight_norm", "nn.utils.weight_norm(cell, 'weight_hh')"),
    ("legacy spectral_norm", "nn.utils.spectral_norm(cell, 'weight_ih')"),
    ("pruning", "prune.l1_unstructured(cell, 'weight_hh', 0.5)"),
    ("pruning", "prune.random_unstructured(cell, 'weight_ih', 0.3)"),
    ("pre-hook", "cell.register_forward_pre_hook(scale_weight)"),
    ("weight tying", "cell.bias_hh = cell.bias_ih"),
    ("frozen", "cell.weight_ih.requires_grad_(False)"),
    ("frozen", "cell.requires_grad_(False)"),
    ("frozen", "[each.requires_grad_(False) for name, each in cell.named_parameters() if '_hh' in name]"),
    ("transposed weight", "cell.weight_hh.data = cell.weight_hh.data.t().contiguous().t()"),
    ("strided weight", "cell.weight_ih.data = torch.stack((cell.weight_ih.data, cell.weight_ih.data), -1)[..., 0]"),
)
_STATEFUL = ("spectral_norm", "legacy spectral_norm", "pre-hook")


@dataclass(frozen=True)
class Family:
    """A cell's source with what a history needs to know of it; ``effects`` are what no engine may compile."""

    number: int
    kind: str  # gated, linear, plain, stepping or the name of a shipped cell
    source: str
    input_size: int
    hidden_size: int
    dtype: str
    optimized: bool  # compiled as for use, with -O3
    changes: tuple[Change, ...]
    own: int  # how many of them are of this cell alone; the others are of every cell
    used: tuple[str, ...]
    effects: tuple[str, ...]
    special: tuple[str, ...]

    @property
    def concurrent(self) -> bool:
        """Whether calls at once have one right answer: no call changes what another sees."""
        return not self.effects and not {"dropout module", "stateful"}.intersection(self.special)


def family(number: int, seed: int = 0) -> Family:
    """The ``number``-th cell of the campaign of ``seed``."""
    draw = random.Random(f"family {seed} {number}")
    kind = draw.choices(("gated", "shipped", "linear", "plain", "stepping"), (74, 13, 8, 2, 3))[0]
    hidden, inputs = draw.randint(3, 20), draw.randint(1, 7)
    parts = ("h", "c", "n")[: draw.choices((1, 2, 3), (5, 4, 2))[0]] if kind != "linear" else ("h",)
    w = Writer(draw, hidden, draw.choices((1, 2, 3, 4), (5, 4, 3, 2))[0], parts, kind == "linear")
    w.gates = max(w.gates, 2) if kind == "linear" else w.gates
    if kind == "shipped":
        name = draw.choice(SHIPPED)
        text, rest = _shipped(w, name)
        kind = name
    else:
        text, rest = _written(w, kind)
    own = len(w.changes)
    _general_changes(w, kind, rest)
    return Family(
        number, kind, text, inputs, hidden, draw.choices(("float64", "float32"), (11, 9))[0], draw.random() < 0.1,
        tuple(w.changes), own, tuple(w.used), tuple(w.effects), tuple(w.special),
    )  # fmt: skip


def _shipped(w: Writer, name: str) -> tuple[str, str]:
    extra = w.draw.choice(_EXTRAS.get(name, ("",)))
    bias = "" if name in ("IRNNCell",) or w.draw.random() < 0.8 else ", bias=False"
    rest = hook_of(getattr(cells, name))
    if name == "RNNCell":
        w.change(
            "a string", "cell.nonlinearity = 'relu'", "cell.nonlinearity = 'tanh'", "cell.nonlinearity = 'sigmoid'"
        )
    if name in ("MinGRUCell", "MinLSTMCell"):
        w.change("a string", "cell.candidate = 'positive'", "cell.candidate = 'linear'")
    if w.draw.random() < 0.35 and name in ("LSTMCell", "GRUCell", "RNNCell", "LayerNormLSTMCell", "PeepholeLSTMCell"):
        _set_up(w, not bias)
    w.used.append(name)
    return "\n".join(
        (_HEAD, f"Cell = cells.{name}", _tail(rest), _make(w, f"input_size, hidden_size{bias}{extra}"))
    ), rest


def _written(w: Writer, kind: str) -> tuple[str, str]:
    if kind == "linear":
        rest, names = "coefficients", []
        w.lines.append(f"{', '.join(f'g{k}' for k in range(w.gates))} = gi.chunk({w.gates}, -1)")
        w.rows += [f"g{k}" for k in range(w.gates)]
    else:
        rest = "step" if kind == "plain" else "pointwise"
        names = _unpack(w, kind)
    _body(w, names)
    _overrides(w, kind)
    bias = "" if w.draw.random() < 0.8 else ", bias=False"
    if w.draw.random() < 0.14 and kind == "gated":
        _set_up(w, not bias)
    base = {"plain": "RecurrentCell", "linear": "LinearCell"}.get(kind, "GatedCell")
    arguments = "" if kind == "plain" else ", bias=True"
    lines = [*w.globals, "", f"class Cell({base}):"]
    if kind != "plain":
        w.attributes.append(f"num_gates = {w.gates}")
    if kind != "linear":
        w.attributes.append(f"state_names = {w.parts!r}")
    lines += [f"    {each}" for each in w.attributes]
    if w.init:
        lines += ["", f"    def __init__(self, input_size, hidden_size{arguments}):"]
        lines.append(f"        super().__init__(input_size, hidden_size{', bias' if arguments else ''})")
        lines += [f"        {each}" for each in w.init]
    lines += [f"    {each}" for each in w.methods]
    signature = {"coefficients": "gi", "step": "gi, state", "pointwise": "gi, gh, state"}[rest]
    lines += ["", f"    def {rest}(self, {signature}):", *(f"        {each}" for each in w.lines)]
    given = "input_size, hidden_size" + ("" if kind == "plain" else bias)
    return "\n".join((_HEAD, *lines, *w.after, _tail(rest), _make(w, given))), rest


def _tail(rest: str) -> str:
    text = _TAIL.format(rest=rest)
    if rest == "step":  # it is there already
        start = text.index("def other_step(self, gi, state)")
        text = text[:start] + text[text.index("def other_initial_state") :]
        text = text.replace("_output, _step, _initial", "_output, _initial")
        text = text.replace("Cell.output, Cell.step, Cell.initial", "Cell.output, Cell.initial")
    return text


def _make(w: Writer, arguments: str) -> str:
    lines = ["def make(input_size, hidden_size):", f"    cell = Cell({arguments})"]
    return "\n".join([*lines, *(f"    {each}" for each in w.setup), "    return cell", ""])


def _set_up(w: Writer, biased: bool) -> None:
    name, code = w.draw.choice(_SETUPS)
    if "bias" in code and not biased:
        return
    w.setup.append(code)
    w.used.append(name)
    if name in _STATEFUL:
        w.special.append("stateful")
    if name == "own parametrization":
        tensor = code.split("'")[1]
        w.change("a parametrization's option", f"cell.parametrizations.{tensor}[0].rate = 0.3")
        w.change("a parametrization removed", f"parametrize.remove_parametrizations(cell, '{tensor}')")


def _unpack(w: Writer, kind: str) -> list[str]:
    """The lines that take gi, gh and the state apart; the names of the state's parts."""
    G, H = w.gates, w.hidden
    names = list(w.parts)
    w.lines.append(
        f"({', '.join(names)},) = state" if len(names) < 2 or w.draw.random() < 0.5 else f"{', '.join(names)} = state"
    )
    if kind == "plain":
        w.init.append(f"self.weight_ih = nn.Parameter(torch.rand({H}, input_size) - 0.5)")
        w.init.append(f"self.weight_hh = nn.Parameter((torch.rand({H}, {H}) - 0.5) / 2)")
        w.lines += ["i0 = gi @ self.weight_ih.t()", "h0 = h @ self.weight_hh.t()"]
        w.rows += ["i0", "h0", *names]
        return names
    inner, together = [f"i{k}" for k in range(G)], w.draw.random() < 0.4
    pairs = [("i", "(gi + gh)")] if together else [("i", "gi"), ("h", "gh")]
    style = w.draw.choice(("chunk", "view", "slices", "split", "unbind", "unflatten", "tensor_split"))
    for lead, source in pairs:
        inner = [f"{lead}{k}" for k in range(G)] if lead == "i" else [f"u{k}" for k in range(G)]
        left = ", ".join(inner) if G > 1 else f"({inner[0]},)"
        match style:
            case "chunk":
                w.lines.append(f"{left} = {source}.chunk({G}, -1)")
            case "split":
                w.lines.append(f"{left} = {source}.split(self.hidden_size, -1)")
            case "tensor_split":
                w.lines.append(f"{left} = torch.tensor_split({source}, {G}, dim=1)")
            case "unbind":
                w.lines.append(f"{left} = {source}.view(-1, {G}, {H}).unbind(1)")
            case "unflatten":
                name = w.fresh("gates")
                w.lines.append(f"{name} = {source}.unflatten(-1, ({G}, {H}))")
                w.lines += [f"{each} = {name}[..., {k}, :]" for k, each in enumerate(inner)]
            case "view":
                name = w.fresh("gates")
                w.lines.append(f"{name} = {source}.view({source}.shape[0], {G}, {H}){'.sigmoid()' if G > 2 else ''}")
                w.lines += [f"{each} = {name}[:, {k}]" for k, each in enumerate(inner)]
            case _:
                w.lines += [f"{each} = {source}[:, {k * H}:{(k + 1) * H}]" for k, each in enumerate(inner)]
        w.rows += inner
    if not together:  # most gates are sums
        w.rows = [w.add(f"i{k} + u{k}") if w.draw.random() < 0.7 else f"u{k}" for k in range(G)] + w.rows
    w.rows += names
    return names


def _body(w: Writer, names: list[str]) -> None:
    draw, jobs = w.draw, []
    jobs += [w.operation] * draw.choices((1, 2, 3, 4, 6, 9), (3, 4, 4, 3, 2, 1))[0]
    jobs += [partial(f, w) for f in draw.choices(ATTRIBUTES, k=draw.choices((0, 1, 2, 3), (3, 5, 3, 1))[0])]
    jobs += [partial(f, w) for f in draw.choices(MEMBERS, k=draw.choices((0, 1, 2), (4, 4, 1))[0])]
    for several, share in ((SURROUNDINGS, 0.1), (AUTOGRAD, 0.12), (EFFECTS, 0.11)):
        if draw.random() < share:
            feature = draw.choice(several)
            jobs.append(partial(feature, w))
    draw.shuffle(jobs)
    for job in jobs:
        job()
    if not names:  # coefficients of a linear cell
        w.lines.append(f"return torch.sigmoid({w.row()}), {w.row()}.tanh()")
        return
    new = [w.new_part(name) for name in names]
    odd = draw.random()
    if odd < 0.03 and len(names) > 1:
        new[1] = names[0]  # a delay
    elif odd < 0.05 and len(names) > 1:
        new[1] = names[1]  # never changed
    elif odd < 0.07 and len(names) > 1:
        w.lines.append(f"both = {new[0]}")
        new[:2] = ["both", "both"]
    elif odd < 0.09 and len(names) == 3:
        w.attributes.append("state_sizes = property(lambda self: (self.hidden_size, self.hidden_size, 1))")
        w.lines = [line.replace("h, c, n", "h, c, n_").replace("= state", f"= state; n = n_.expand(-1, {w.hidden})")
                   if line.endswith("= state") else line for line in w.lines]  # fmt: skip
        new[2] = f"0.5 * n_ + {w.row()}.mean(-1, keepdim=True).tanh()"
        w.used.append("state of size 1")
    # Every cell listens to its input: what depends on no weight has no gradient to compare.
    w.lines.append(f"first = {new[0]}")
    w.lines.append("first = first + 0.1 * i0.tanh()")
    new[0] = "first"
    form = "[{}]" if draw.random() < 0.04 else "({},)"
    if form == "[{}]":
        w.special.append("a list for a tuple")
    w.lines.append(f"return {form.format(', '.join(new))}")


def _overrides(w: Writer, kind: str) -> None:
    draw = w.draw
    if draw.random() < 0.13:
        name, effect, codes = draw.choice((
            ("row-wise output", "", ("return state[0] * torch.sigmoid(state[-1])",)),
            ("row-wise output", "", ("return torch.relu(state[-1])",)),
            ("row-wise output", "", ("return state[0] * self.output_gain",)),
            ("joined output", "", ("return torch.cat((state[0], state[-1]), -1)",)),
            ("sliced output", "", ("return state[0][:, :2]",)),
            ("detached output", "", ("return state[0].detach() * 0.5 + state[-1]",)),
            ("batch norm output", "rows", ("return self.output_norm(state[0])",)),
            ("centred output", "rows", ("return state[0] - state[0].mean(0)",)),
            ("dropout output", "draws", ("return F.dropout(state[0], 0.2)",)),
            ("counting output", "counter", ("self.outputs += 1", "return state[0]")),
        ))  # fmt: skip
        if kind == "linear" and name == "joined output":
            return
        w.methods += ["", "def output(self, state):", *(f"    {code}" for code in codes)]
        w.used.append(name)
        if name == "joined output":
            w.methods += ["", "@property", "def output_size(self):", "    return 2 * self.hidden_size"]
            if "state of size 1" in w.used:
                w.methods[-1] = "    return self.hidden_size + 1"
        if name == "sliced output":
            w.methods += ["", "@property", "def output_size(self):", "    return 2"]
        if "output_gain" in codes[0]:
            w.init.append(f"self.output_gain = {w.number()}")
            w.change("a number of the output", f"cell.output_gain = {w.number()}")
        if "output_norm" in codes[0]:
            w.init.append(f"self.output_norm = nn.BatchNorm1d({w.hidden}, track_running_stats={draw.random() < 0.5})")
        if name == "counting output":
            w.init.append("self.outputs = 0")
        if effect:
            w.effects.append(f"output: {effect}")
    if draw.random() < 0.09 and kind != "plain":
        name, effect, code = draw.choice((
            ("project", "", "return super().project(x).tanh()"),
            ("project", "", "return super().project(x * 0.5) * self.project_gain"),
            ("project over time", "", "return super().project(x.cumsum(1)) if x.dim() == 3 else super().project(x)"),
            ("project over rows", "project: rows", "return super().project(x - x.mean(0))"),
            ("project drops", "project: draws", "return super().project(F.dropout(x, 0.2, self.training))"),
            ("project of one row", "", "return (x[..., :1] * self.project_row).expand(*x.shape[:-1], -1)"),
        ))  # fmt: skip
        w.methods += ["", "def project(self, x):", f"    {code}"]
        w.used.append(name)
        if "project_gain" in code:
            w.init.append(f"self.project_gain = {w.number()}")
            w.change("a number of project", f"cell.project_gain = {w.number()}")
        if "project_row" in code:
            w.init.append(f"self.project_row = nn.Parameter(torch.rand({w.gates * w.hidden}) - 0.5)")
        if effect:
            w.effects.append(effect)
    if draw.random() < 0.05 and "state of size 1" not in w.used:
        w.init.append("self.start = nn.Parameter(torch.rand(hidden_size) - 0.5)")
        w.methods += ["", "def initial_state(self, batch_size, *, like):"]
        w.methods.append("    return (self.start.to(like.dtype).expand(batch_size, -1),) * len(self.state_names)")
        w.used.append("learned initial state")
    if kind == "stepping":
        w.methods += draw.choice((
            ["", "def step(self, gi, state):", "    return super().step(gi * 0.9, state)"],
            ["", "def product(self, h):", "    return super().product(h.tanh())"],
        ))  # fmt: skip


def _general_changes(w: Writer, kind: str, rest: str) -> None:
    """What may be changed of every cell."""
    gated = kind not in ("plain", "MGUCell", "linear", "MinGRUCell", "MinLSTMCell", "IndRNNCell")
    for name in dict.fromkeys((rest, "project", "output", "step", "initial_state")):
        w.change(f"{name} replaced on the instance", f"cell.{name} = types.MethodType(module.other_{name}, cell)")
        w.change(f"{name} replaced on the class", f"replace(type(cell), '{name}', module.other_{name})")
    w.change(f"{rest} replaced on the instance", f"cell.__dict__.pop('{rest}', None)")
    w.change("the class of the cell", "cell.__class__ = module.Other")
    w.change("the class of the cell", "cell.__class__ = module.Cell")
    if rest in ("pointwise", "coefficients") and kind in ("gated", "linear"):
        w.change("the code of pointwise", f"type(cell).{rest}.__code__ = module.coded_{rest}.__code__")
    w.change("a cell replaced", "layer.cell = module.make(cell.input_size, cell.hidden_size).to(dtype_of(cell))")
    w.change("weights", "cell.weight_ih.data.mul_(0.5)", "load(cell, 0.7)", "load(cell, 1.3)")
    w.change("precision", "layer.double()", "layer.float()")
    w.change("requires_grad", "cell.requires_grad_(False)", "cell.requires_grad_(True)")
    w.change("requires_grad", "cell.weight_ih.requires_grad_(False)")
    if gated:
        w.change(
            "weights", "cell.weight_hh = nn.Parameter(cell.weight_hh.detach() * 0.5)", "cell.weight_hh.data[0] = 0.3"
        )
        w.change("a transposed weight", "cell.weight_hh.data = cell.weight_hh.data.t().contiguous().t()")
        w.change("a bias removed", "cell.bias_hh = None")
        w.change("weights tied", "cell.bias_hh = cell.bias_ih")
        w.change("pruning", "prune.l1_unstructured(cell, 'weight_hh', 0.5)")
        w.change("a parametrization", "parametrize.register_parametrization(cell, 'weight_hh', module.Halved())")
        w.change("a parametrization", "parametrizations.weight_norm(cell, 'weight_hh')")
        w.change("a pre-hook", "cell.register_forward_pre_hook(module.scale_weight)")
