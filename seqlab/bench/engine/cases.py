"""What is measured of a cell at a size: a layer, rows of unequal lengths, a bidirectional layer, two layers."""

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

    Attributes:
        cell: the cell's name.
        kind: layer, lengths, or a key of `SHAPES`.
        size: the size.
        auto: the engine that "auto" takes.
        engines: the engines, by name.
        others: what they are compared with, by name.
        baselines: names in ``others`` or ``engines``, by role: "stock", the layer of ``torch.nn``; "eager", a Python
            loop over its cell; "loop", the engine of this name; "products", the matrix products alone.
        flops: floating-point operations of each pass, where they are known.
        failures: why a contender was refused, by its name.
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
        """All contenders by name."""
        return self.engines | self.others


class _Entry:
    """Admits contenders to a case if they compute the same as the reference, and notes why others are refused."""

    def __init__(self, case: Case, reference: LayerContender, setting: Setting) -> None:
        self.case, self.expected, self.tolerance = case, reference.values(), setting.tolerance
        self.sensitivity = reference.sensitivity()

    def engine(self, name: str, make: Make) -> None:
        """Admits an engine."""
        self._admit(name, make, self.case.engines, same=True)

    def other(self, name: str, make: Make, same: bool) -> None:
        """Admits another contender; it is compared with the reference if it computes the ``same`` function."""
        self._admit(name, make, self.case.others, same)

    def _admit(self, name: str, make: Make, into: dict[str, Contender], same: bool) -> None:
        try:
            contender = make()
            wrong = None
            if same:
                wrong = disagreement(contender.values(), self.expected, self.tolerance, self.sensitivity)
        except Exception as error:  # it is reported, and the other contenders are measured
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
    """One layer: the engines, the counterpart in ``torch.nn``, a loop that a user would write, the matrix products.

    Args:
        name: the cell's name.
        factory: makes the cell.
        size: the size.
        engines: names of engines; None: all that serve the cell.
        setting: the device and the precision.
        only_stock: leaves out the loop and the products.
    """
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
        case.others["loop"] = reference  # as a user would write it
    if "loop" in case.contenders:
        case.baselines["loop"] = "loop"
    products = Products.of(cell, size.T, size.B)
    if products is not None:
        case.baselines["products"] = "products"
        case.others["products"] = products.contender(setting.device, setting.dtype)
        case.flops = {"forward": products.forward_flops, "forward+backward": products.flops}
    return case


def lengths_case(name: str, factory: CellFactory, size: Size, engines: Sequence[str] | None, setting: Setting) -> Case:
    """A layer over rows of T/2 to T steps, against the packed layer of ``torch.nn``."""
    x, stock = setting.data(size), stock_of(name)
    lengths = draw_lengths(size)
    device_lengths = lengths.to(setting.device)

    def masked(backend: str) -> LayerContender:
        layer = Recurrent(_seeded(factory, size), backend)
        return LayerContender(layer, lambda x: layer(x, lengths=device_lengths)[0], x, setting)

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
    """A bidirectional layer or two layers, against those of ``torch.nn``."""
    x, stock, shape = setting.data(size), stock_of(name), SHAPES[kind]

    def ours(backend: str) -> LayerContender:
        torch.manual_seed(SEED)
        encoder = Encoder(factory, size.input_size, size.H, backend=backend, **shape)
        if stock.same:
            encoder.load_state_dict(from_torch(torch_layer()).state_dict())
        return LayerContender(encoder, lambda x: encoder(x)[0], x, setting)

    def torch_layer() -> nn.RNNBase:
        torch.manual_seed(SEED)
        return stock.layer(size.input_size, size.H, batch_first=True, **shape)

    def theirs() -> LayerContender:
        layer = torch_layer()
        return LayerContender(layer, lambda x: layer(x)[0], x, setting)

    cell = _seeded(factory, size)
    case = Case(name, kind, size, _auto(cell, setting))
    entry = _Entry(case, ours("loop"), setting)
    for engine in _chosen(available(cell), case.auto, engines or ("auto",)):
        entry.engine(engine, partial(ours, engine))
    case.baselines["stock"] = stock.name
    entry.other(stock.name, theirs, stock.same)
    return case


def draw_lengths(size: Size) -> Tensor:
    """Lengths ``(B,)``, uniform in T/2..T, the same at every call; on the CPU, as packing requires."""
    generator = torch.Generator().manual_seed(SEED)
    return torch.randint((size.T + 1) // 2, size.T + 1, (size.B,), generator=generator)


def _chosen(available_engines: Sequence[str], auto: str, choice: Sequence[str] | None) -> list[str]:
    """The engines to measure; "auto" is one of them if it is chosen, or if the engine that it takes is not there."""
    if choice is None:
        return [*available_engines, *(["auto"] if auto not in available_engines else [])]
    return [name for name in choice if name == "auto" or name in available_engines]


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
