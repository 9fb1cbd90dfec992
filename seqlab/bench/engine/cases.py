"""What is measured: a cell at a size, as a plain layer, over rows of unequal lengths, in both directions, two deep."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqlab.bench.engine.cells import CellFactory, Stock, stock_of
from seqlab.bench.engine.contenders import (
    SEED,
    Contender,
    LayerContender,
    Setting,
    Size,
    disagreement,
    recurrent_contender,
    stepped_contender,
)
from seqlab.bench.engine.products import Products
from seqlab.nn import Encoder, Recurrent, RecurrentCell
from seqlab.nn.engine import available, choose
from seqlab.nn.interop import from_torch

SHAPES: dict[str, dict[str, Any]] = {"bidirectional": {"bidirectional": True}, "two layers": {"num_layers": 2}}
Make = Callable[[], LayerContender]


@dataclass
class Case:
    """Contenders over one input.

    ``baselines`` says what the engines are held against: "stock", the layer of ``torch.nn``; "eager", the loop over its
    cell; "loop", the loop over ours; "products", the bare ones. ``failures`` says who was refused, and why.
    """

    cell: str
    kind: str
    size: Size
    auto: str
    engines: dict[str, Contender] = field(default_factory=dict)
    others: dict[str, Contender] = field(default_factory=dict)
    baselines: dict[str, str] = field(default_factory=dict)
    flops: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def contenders(self) -> dict[str, Contender]:
        return self.engines | self.others


class _Entry:
    """Lets contenders into a case once they compute what the reference does; notes why another stays out."""

    def __init__(self, case: Case, reference: LayerContender, setting: Setting) -> None:
        self.case, self.expected, self.tolerance = case, reference.values(), setting.tolerance
        self.sensitivity = reference.sensitivity()

    def engine(self, name: str, make: Make) -> None:
        self._admit(name, make, self.case.engines, same=True)

    def other(self, name: str, make: Make, same: bool) -> None:
        """``same`` says whether it computes the same function; else there is nothing to hold it to."""
        self._admit(name, make, self.case.others, same)

    def _admit(self, name: str, make: Make, into: dict[str, Contender], same: bool) -> None:
        try:
            contender = make()
            wrong = None
            if same:
                wrong = disagreement(contender.values(), self.expected, self.tolerance, self.sensitivity)
        except Exception as error:  # one that fails must not cost what the others have measured: it is reported
            first_line = next(iter(str(error).splitlines()), "")
            wrong = f"it raised {type(error).__name__}: {first_line}"
        if wrong is None:
            into[name] = contender
        else:
            self.case.failures[name] = wrong


def layer_case(
    name: str,
    factory: CellFactory,
    size: Size,
    engines: Sequence[str] | None,
    setting: Setting,
    *,
    only_stock: bool = False,
) -> Case:
    """One layer: every engine that serves the cell (of those asked for), its counterpart in ``torch.nn``, and unless
    ``only_stock`` the loop that a user would write and the bare products."""
    x, stock = setting.data(size), stock_of(name)
    cell = _seeded(factory, size)
    case = Case(name, "layer", size, _auto(cell, setting))
    reference = recurrent_contender(Recurrent(_seeded(factory, size), "loop"), x, setting)
    entry = _Entry(case, reference, setting)
    for engine in _chosen(available(cell), case.auto, engines):
        entry.engine(engine, partial(_layer, factory, size, engine, x, setting))
    case.baselines["stock"] = stock.name
    entry.other(stock.name, lambda: _stock_layer(stock, cell, size, x, setting), stock.same)
    if only_stock:
        return case
    if stock.same:
        case.baselines["eager"] = stock.loop_name
        entry.other(stock.loop_name, lambda: _stock_loop(stock, cell, size, x, setting), same=True)
    elif "loop" not in case.engines:
        case.others["loop"] = reference  # what its user would write
    if "loop" in case.contenders:
        case.baselines["loop"] = "loop"
    products = Products.of(cell, size.T, size.B)
    if products is not None:
        case.baselines["products"] = "products"
        case.others["products"] = products.contender(setting.device, setting.dtype)
        case.flops = {"forward": products.forward_flops, "forward+backward": products.flops}
    return case


def lengths_case(name: str, factory: CellFactory, size: Size, engines: Sequence[str] | None, setting: Setting) -> Case:
    """Rows of T/2 to T steps, against the packed layer of ``torch.nn``."""
    x, stock = setting.data(size), stock_of(name)
    lengths = draw_lengths(size)
    here = lengths.to(setting.device)

    def masked(backend: str) -> LayerContender:
        layer = Recurrent(_seeded(factory, size), backend)
        return LayerContender(layer, lambda x: layer(x, lengths=here)[0], x, setting)

    def packed() -> LayerContender:
        layer = stock.layer(size.input_size, size.H, batch_first=True)
        if stock.same:
            _copy_to_stock(cell, layer)

        def run(x: Tensor) -> Tensor:
            rows = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            output: Tensor = pad_packed_sequence(layer(rows)[0], batch_first=True, total_length=size.T)[0]
            return output

        return LayerContender(layer, run, x, setting)

    cell = _seeded(factory, size)
    case = Case(name, "lengths", size, _auto(cell, setting, packed=True))
    entry = _Entry(case, masked("loop"), setting)
    for engine in _chosen(available(cell), case.auto, engines or ("auto",)):
        entry.engine(engine, partial(masked, engine))
    case.baselines["stock"] = f"packed {stock.name}"
    entry.other(f"packed {stock.name}", packed, stock.same)
    return case


def shape_case(
    name: str, factory: CellFactory, size: Size, kind: str, engines: Sequence[str] | None, setting: Setting
) -> Case:
    """A bidirectional layer or two layers, against the same of ``torch.nn``."""
    x, stock, shape = setting.data(size), stock_of(name), SHAPES[kind]

    def encoder(backend: str) -> LayerContender:
        torch.manual_seed(SEED)
        made = Encoder(factory, size.input_size, size.H, backend=backend, **shape)
        if stock.same:
            made.load_state_dict(from_torch(stacked()).state_dict())
        return LayerContender(made, lambda x: made(x)[0], x, setting)

    def stacked() -> nn.RNNBase:
        torch.manual_seed(SEED)
        return stock.layer(size.input_size, size.H, batch_first=True, **shape)

    def theirs() -> LayerContender:
        layer = stacked()
        return LayerContender(layer, lambda x: layer(x)[0], x, setting)

    cell = _seeded(factory, size)
    case = Case(name, kind, size, _auto(cell, setting))
    entry = _Entry(case, encoder("loop"), setting)
    for engine in _chosen(available(cell), case.auto, engines or ("auto",)):
        entry.engine(engine, partial(encoder, engine))
    case.baselines["stock"] = stock.name
    entry.other(stock.name, theirs, stock.same)
    return case


def draw_lengths(size: Size) -> Tensor:
    """Uniform in T/2..T, the same at every call; ``(B,)`` on the CPU, where packing wants them."""
    generator = torch.Generator().manual_seed(SEED)
    return torch.randint((size.T + 1) // 2, size.T + 1, (size.B,), generator=generator)


def _chosen(served: Sequence[str], auto: str, asked: Sequence[str] | None) -> list[str]:
    """The engines to measure of those that serve a cell; "auto" itself only where it is asked for, or is no one of
    them."""
    if asked is None:
        return [*served, *(["auto"] if auto not in served else [])]
    return [name for name in asked if name == "auto" or name in served]


def _auto(cell: RecurrentCell, setting: Setting, packed: bool = False) -> str:
    """The engine that "auto" takes in this setting."""
    return choose(cell, "auto", setting.device.type, setting.precision == "bf16-mixed", packed)


def _seeded(factory: CellFactory, size: Size) -> RecurrentCell:
    torch.manual_seed(SEED)
    return factory(size.input_size, size.H)


def _layer(factory: CellFactory, size: Size, engine: str, x: Tensor, setting: Setting) -> LayerContender:
    return recurrent_contender(Recurrent(_seeded(factory, size), engine), x, setting)


def _stock_layer(stock: Stock, cell: nn.Module, size: Size, x: Tensor, setting: Setting) -> LayerContender:
    torch.manual_seed(SEED)
    layer = stock.layer(size.input_size, size.H, batch_first=True)
    if stock.same:
        _copy_to_stock(cell, layer)
    return LayerContender(layer, lambda x: layer(x)[0], x, setting)


def _stock_loop(stock: Stock, cell: nn.Module, size: Size, x: Tensor, setting: Setting) -> LayerContender:
    stepped = stock.cell(size.input_size, size.H)
    stepped.load_state_dict(cell.state_dict())
    return stepped_contender(stepped, x, setting)


def _copy_to_stock(cell: nn.Module, layer: nn.RNNBase) -> None:
    layer.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
