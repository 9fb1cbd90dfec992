"""What a step does beside computing: what it reads around it, what of autograd it uses, and its side effects.

One function writes one such thing, with the changes that a history may make. ``EFFECTS`` are what no engine may
compile: side effects in Python, draws, numbers out of tensors, rows mixed.
"""

from tests.nn.engine.campaign.grammar import Feature, Writer


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


SURROUNDINGS: tuple[Feature, ...] = (
    reads_training, reads_grad_mode, reads_requires_grad, reads_autocast, reads_dtype, reads_batch_size,
)  # fmt: skip
AUTOGRAD: tuple[Feature, ...] = (detach, no_grad, hook, surrogate, reversal)
EFFECTS: tuple[Feature, ...] = (
    counter, global_counter, growing_list, probe, iterator, chance, noise, mixes_rows, takes_number, prints,
    running_buffer, made_at_first_call,
)  # fmt: skip
