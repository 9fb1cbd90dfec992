"""Recurrent layers in a form that can be exported: time is one operation, whose length stays free.

An engine's loop over time is Python: exported as it is, it would hold as many steps as the example had. Here a cell's
step is captured once and handed to PyTorch's ``scan`` operation, which ``torch.export`` keeps as one node and the ONNX
exporter writes as a ``Scan``. Every cell is served, for nothing is known of it but its methods.
"""

import contextlib
import copy
import operator
from collections.abc import Iterator
from typing import Any
from typing import cast as typed

import torch
import torch._dynamo.config
import torch.fx.config
from torch import Tensor, fx, nn
from torch._higher_order_ops.scan import scan_op  # there is no public name for it in a graph without Dynamo
from torch.nn.utils import parametrize

from seqlab.errors import InputError
from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.layers.order import flip_valid
from seqlab.nn.layers.recurrent import Recurrent
from seqlab.nn.models.classifier import Classifier
from seqlab.nn.models.crf import CRF
from seqlab.nn.models.tag_head import TagHead
from seqlab.nn.state import State

FREE = torch.export.Dim.DYNAMIC
_ROWS = 3  # of the example with which a step is captured; not 1, which an export would take for a constant


def scanned(model: nn.Module) -> nn.Module:
    """A copy of a model for export: it reads any number of steps, or one.

    Raises:
        InputError: the step of a cell can't be captured, or a cell has forward pre-hooks.
    """
    for layer in model.modules():
        if isinstance(layer, Recurrent) and layer.cell._forward_pre_hooks:
            raise InputError(
                f"{type(layer.cell).__name__} has a forward pre-hook, as pruning and the older weight_norm set one: an "
                "exported step would run without it; make it permanent (torch.nn.utils.prune.remove, "
                "remove_weight_norm), or take torch.nn.utils.parametrizations"
            )
    copied = copy.deepcopy(model).eval().requires_grad_(False)
    for module in copied.modules():
        if isinstance(module, Classifier):
            module.tbptt_steps = None  # windows are for training: the answer is the same without
    for module in list(copied.modules()):
        if parametrize.is_parametrized(module):
            _settle(module)
    made: dict[nn.Module, nn.Module] = {}  # a layer may have several places in a model
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Recurrent):
                if child not in made:
                    made[child] = _Scanned(child)
                setattr(parent, name, made[child])
            elif isinstance(parent, TagHead) and isinstance(child, CRF):
                vars(child)["decode"] = _ScannedViterbi(child)
    return copied


def _settle(module: nn.Module) -> None:
    """Gives a module its parametrized weights as they stand.

    ``remove_parametrizations`` would take them from the module that this is a copy of, whose class it is too.
    """
    values = {name: getattr(module, name).detach() for name in typed(nn.ModuleDict, module.parametrizations)}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value, requires_grad=False))


class _Step(nn.Module):
    """One step of a cell as an engine takes it: a row that has ended keeps its state, and its output is zero."""

    def __init__(self, cell: RecurrentCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, state: State, gi: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        new = tuple(self.cell.step(gi, state))
        new = tuple(torch.where(valid, after, before) for after, before in zip(new, state, strict=True))
        output = self.cell.output(new).masked_fill(~valid, 0.0)
        return tuple(each.clone() for each in (*new, output))  # scan takes no output that shares memory with another


class _Scanned(nn.Module):
    """In the place of a :class:`Recurrent`: its steps are one operation, over however many it is called with."""

    def __init__(self, layer: Recurrent) -> None:
        super().__init__()
        self.cell = layer.cell
        self.reverse = layer.reverse
        self.graph, constants = _capture(self.cell)
        self.names = [f"constant_{number}" for number in range(len(constants))]
        for name, value in zip(self.names, constants, strict=True):
            self.register_buffer(name, value)

    @property
    def output_size(self) -> int:
        return self.cell.output_size

    def initial_state(self, batch_size: int, *, like: Tensor) -> State:
        return self.cell.initial_state(batch_size, like=like)

    def forward(
        self, x: Tensor, state: State | None = None, lengths: Tensor | None = None, is_first: Tensor | None = None
    ) -> tuple[Tensor, State]:
        if is_first is not None:
            raise InputError(
                "is_first: an exported layer begins anew at the beginning of a call alone; call it once for each "
                "segment, with the initial state"
            )
        if state is None:
            state = self.cell.initial_state(x.size(0), like=x)
        # A streaming step has one for good. A free length is no int while it is exported.
        if lengths is None and isinstance(x.size(1), int) and x.size(1) == 1:
            new = tuple(self.cell.step(self.cell.project(x).squeeze(1), state))
            return self.cell.output(new).unsqueeze(1), new
        steps = torch.arange(x.size(1), device=x.device).expand(x.size(0), -1)  # (B, T)
        valid = steps >= 0 if lengths is None else steps < lengths.unsqueeze(1)
        if self.reverse:
            x = flip_valid(x, lengths)
        if lengths is not None:
            x = x.masked_fill(~valid.unsqueeze(2), 0.0)
        gi = self.cell.project(x).transpose(0, 1)  # (T, B, P)
        parts, graph = len(state), self.graph

        def step(*values: Tensor) -> Any:
            return graph(*values[parts + 2 :], *values[: parts + 2])

        constants = tuple(getattr(self, name) for name in self.names)
        *final, output = scan_op(step, list(state), [gi, valid.transpose(0, 1).unsqueeze(2)], constants)
        output = output.transpose(0, 1)  # (B, T, output_size)
        return (flip_valid(output, lengths) if self.reverse else output), tuple(final)


def _capture(cell: RecurrentCell) -> tuple[torch.fx.GraphModule, list[Tensor]]:
    """A cell's step as a graph of plain operations, ``graph(*constants, *state, gi, valid)``, and its constants.

    All tensors that the step reads are among the constants, wherever they come from: parameters, buffers, attributes,
    globals.
    """
    parameter = next((each for each in cell.parameters() if each.is_floating_point()), torch.empty(0))
    x = parameter.new_zeros(_ROWS, 1, cell.input_size)
    state = cell.initial_state(_ROWS, like=x)
    example = (state, cell.project(x).squeeze(1), torch.ones(_ROWS, 1, dtype=torch.bool))
    axes = (tuple({0: FREE} for _ in state), {0: FREE}, {0: FREE})
    try:
        with quick_tracing():
            program = torch.export.export(_Step(cell), example, dynamic_shapes=axes, strict=False)
            if not _is_functional(program.graph):
                program = program.run_decompositions({})  # in twice the time of the capture itself
    except Exception as error:  # torch.export raises what it likes over a step that it can't take
        raise InputError(
            f"the step of {type(cell).__name__} can't be exported: {first_line(error)}; a step has to be tensor "
            "operations alone, without a branch on values, .item() or NumPy, for any number of rows"
        ) from error
    tensors = {**program.state_dict, **program.constants}
    kind = torch.export.graph_signature.InputKind.USER_INPUT
    names = [str(each.target) for each in program.graph_signature.input_specs if each.kind != kind]
    return program.graph_module, [tensors[name].detach() for name in names]


def _is_functional(graph: fx.Graph) -> bool:
    """Whether all operations of a capture are PyTorch's own, and change none of their arguments, as scan requires."""
    for node in graph.nodes:
        if node.op in ("placeholder", "output") or node.target is operator.getitem:
            continue
        target = node.target
        if not isinstance(target, torch._ops.OpOverload) or target._schema.is_mutable or node.is_impure():
            return False
    return True


@contextlib.contextmanager
def quick_tracing() -> Iterator[None]:
    """Spares an export a third of its time: no operation is noted with the lines of code that it comes from, which are
    in no file, and no shapes are kept for a next capture, whose symbols are its own."""
    with torch._dynamo.config.patch(fake_tensor_cache_enabled=False), contextlib.ExitStack() as undo:
        undo.callback(setattr, fx.config, "do_not_emit_stack_traces", fx.config.do_not_emit_stack_traces)
        fx.config.do_not_emit_stack_traces = True
        yield


class _ScannedViterbi:
    """``CRF.decode`` with its two loops over time as scans."""

    def __init__(self, crf: CRF) -> None:
        self.crf = crf

    def __call__(self, emissions: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        emissions, lengths, valid = self.crf._prepare(emissions, lengths)
        transitions, start, end = self.crf._weights()
        own = torch.arange(self.crf.num_tags, device=emissions.device)
        # Before the first step there is one tag with a score, of which nothing is asked: 0 to every tag.
        first = valid & (torch.arange(valid.size(1), device=valid.device) == 0)

        def forward(
            alpha: Tensor, emission: Tensor, keep: Tensor, begins: Tensor, moves: Tensor, start: Tensor, own: Tensor
        ) -> tuple[Tensor, Tensor]:
            best, pointer = (alpha.unsqueeze(2) + moves).max(1)
            alpha = torch.where(begins, start + emission, torch.where(keep, best + emission, alpha))
            return alpha.clone(), torch.where(keep & ~begins, pointer, own).clone()

        def backward(tag: Tensor, pointer: Tensor) -> tuple[Tensor, Tensor]:
            return pointer.gather(1, tag.unsqueeze(1)).squeeze(1).clone(), tag.clone()

        steps = [each.transpose(0, 1) for each in (emissions, valid.unsqueeze(2), first.unsqueeze(2))]
        begun = (start + emissions[:, 0]).clone()  # what a row without steps ends with
        alpha, pointers = scan_op(forward, [begun], steps, (transitions, start, own))
        score, tag = (alpha + end).max(1)
        _, tags = scan_op(backward, [tag], [pointers.flip(0)], ())
        tags = tags.flip(0).transpose(0, 1)
        return tags.masked_fill(~valid, 0), score.masked_fill(lengths == 0, 0.0)


def first_line(error: BaseException) -> str:
    """The first line of an error that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
