"""A second printer of lowered steps: it runs their operations one by one with PyTorch, all rows and lanes at once.

It is a second opinion on the C++: it shares nothing with it but what was lowered. It stands where a
:class:`~seqlab.nn.engine.scan.program.Program` does, so that a whole layer runs on it.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seqlab.nn.engine.scan.expressions import (
    Apply,
    AsNumber,
    Buffer,
    Choose,
    Combine,
    Constant,
    Expression,
    Lanes,
    Load,
    LoadSpan,
    Number,
    Operand,
    Table,
    Truth,
    Variable,
    Zero,
    neutral_element,
)
from seqlab.nn.engine.scan.lower import lower
from seqlab.nn.engine.scan.lowered import (
    Accumulate,
    CopyGradient,
    Define,
    DefineTable,
    Function,
    LoweredCell,
    Prefetch,
    Reduce,
    Statement,
    Store,
    StoreOne,
    StoreSpan,
)
from seqlab.nn.engine.scan.program import Backward, Forward
from seqlab.nn.engine.scan.schedule import Schedule
from seqlab.nn.engine.scan.trace import Trace

FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "rsub": lambda a, b: b - a,
    "_to_copy": lambda a: a,
    "is_true": lambda a: a != 0,
    "scale": lambda a, b: a * b,
    "mul": torch.mul,
}
FOLDS = {"sum": torch.add, "max": torch.maximum, "min": torch.minimum}
ACROSS = {"sum": lambda x: x.sum(1), "max": lambda x: x.amax(1), "min": lambda x: x.amin(1)}


class Rows:
    """The memory of some rows while a function runs on them: buffers ``(rows, size)`` by name and index."""

    def __init__(self, lowered: LoweredCell, count: int, dtype: torch.dtype) -> None:
        self.lowered, self.count, self.dtype = lowered, count, dtype
        self.width = lowered.layout.hidden_size
        self.buffers: dict[tuple[str, int | None], Tensor] = {}
        self.buffers["scratch", None] = torch.full((count, lowered.num_scratch * self.width), torch.nan, dtype=dtype)
        self.variables: dict[Variable, Tensor] = {}
        self.totals: list[Tensor] = []

    def place(self, buffer: Buffer, offset: int) -> tuple[Tensor, int]:
        """The memory that a buffer is part of, and where ``offset`` lies in it."""
        if buffer.name == "gh" and buffer.index is not None:
            return self.buffers["gh", None], buffer.index * self.width + offset
        if buffer.name == "scratch" and buffer.index is not None:
            return self.buffers["scratch", None], buffer.index * self.width + offset
        if buffer.name == "kept" and buffer.index is not None:
            span = self.lowered.spans[buffer.index]
            return self.buffers[span.buffer, None], span.index * self.width + offset
        return self.buffers[buffer.name, buffer.index], offset

    def run(self, function: Function) -> None:
        for statement in (*function.row, *function.loop, *function.last):
            self.do(statement)

    def do(self, statement: Statement) -> None:
        match statement:
            case Define(variable, expression):
                self.variables[variable] = self.evaluate(expression)
            case Reduce(total, fold, body, _):
                self.totals = []
                outer, self.fold = self.totals, fold
                for each in body:
                    self.do(each)
                value = torch.stack([each.expand(self.count, -1) for each in outer]).unbind()
                whole = value[0]
                for each in value[1:]:
                    whole = FOLDS[fold](whole, each)
                self.variables[total] = ACROSS[fold](whole).unsqueeze(1)
            case Accumulate(value, lanes):
                number = self.wide(self.number(value))
                if lanes is not None:
                    number = torch.where(self.of(lanes), number, neutral_element(self.fold))
                self.totals.append(number)
            case Store(buffer, offset, value, end, add):
                memory, begin = self.place(buffer, offset)
                lanes = self.width if end is None else end
                number = self.wide(self.number(value))[:, :lanes]
                if add:  # of every row to one
                    memory[begin : begin + lanes] += number.sum(0)
                else:
                    memory[:, begin : begin + lanes] = number
            case StoreOne(buffer, offset, value, add):
                memory, begin = self.place(buffer, offset)
                number = self.number(value).expand(self.count, -1)[:, 0]
                if add:
                    memory[begin] += number.sum()
                else:
                    memory[:, begin] = number
            case StoreSpan(slot, value):
                self.do(Store(Buffer("scratch", slot), 0, value))
            case CopyGradient(slot, index, count, plus_next):
                given = self.buffers["dstate", index]
                given = given + self.buffers["dnext", index] if plus_next else given
                memory, begin = self.place(Buffer("scratch", slot), 0)
                memory[:, begin : begin + count] = given
            case Prefetch() | DefineTable():
                pass
            case _:
                raise AssertionError(f"no meaning of {statement}")

    def evaluate(self, expression: Expression) -> Tensor:
        match expression:
            case Load(buffer, offset, shared, begin, end):
                return self.load(buffer, offset, shared, begin, end)
            case LoadSpan(slot):
                return self.load(Buffer("scratch", slot), 0, False, None, None)
            case Apply(name, operands, alpha, truth):
                values = [None if each is None else self.of(each) for each in operands]
                if name == "product":
                    result = torch.stack([self.wide(each) for each in values if each is not None]).prod(0)
                elif name == "where":
                    result = torch.where(values[0], *(self.as_number(each) for each in values[1:]))
                elif alpha is not None:
                    result = getattr(torch, name)(*values, alpha=alpha.value)
                else:
                    result = FUNCTIONS.get(name, getattr(torch, name, None))(*values)
                return result != 0 if truth else result
            case Combine(fold, left, right):
                return FOLDS[fold](self.number(left), self.number(right))
            case Choose(mask, yes, no):
                return torch.where(self.of(mask), self.of(yes), self.of(no))
            case Constant("mask", value):
                return torch.tensor([[bool(value.value)]])
            case Constant(_, value):
                return self.number(value)
            case Lanes() | Zero():
                return self.of(expression)
        raise AssertionError(f"no meaning of {expression}")

    def load(self, buffer: Buffer | Table, offset: int, shared: bool, begin: int | None, end: int | None) -> Tensor:
        if isinstance(buffer, Table):
            memory, offset = torch.tensor([[each.value for each in buffer.values]], dtype=self.dtype), offset
        else:
            memory, offset = self.place(buffer, offset)
        if shared:
            return memory[:, offset : offset + 1].clone()
        first, last = (0, self.width) if begin is None or end is None else (begin, end)
        lanes = memory[:, offset + first : offset + last]
        assert lanes.size(1) == last - first, "a load lies inside its buffer"
        return torch.nn.functional.pad(lanes, (first, self.width - last))

    def of(self, operand: Operand | Zero) -> Tensor:
        match operand:
            case Variable():
                return self.variables[operand]
            case Number():
                return torch.tensor([[operand.value]], dtype=self.dtype)
            case Truth(value):
                return torch.tensor([[value]])
            case AsNumber(mask):
                return self.of(mask).to(self.dtype)
            case Lanes(begin, end):
                j = torch.arange(self.width)
                return ((j >= begin) & (j < end)).unsqueeze(0)
            case Zero():
                return torch.zeros(1, 1, dtype=self.dtype)
        raise AssertionError(f"no meaning of {operand}")

    def as_number(self, value: Tensor) -> Tensor:
        return value.to(self.dtype)

    def number(self, operand: Operand | Zero) -> Tensor:
        return self.as_number(self.of(operand))

    def wide(self, value: Tensor) -> Tensor:
        return value.expand(self.count, self.width)


class SecondProgram:
    """A lowered step, run over a schedule as the C++ does, block by block."""

    def __init__(
        self, trace: Trace, hidden_size: int, state_sizes: tuple[int, ...], bias: bool, dtype: torch.dtype
    ) -> None:
        self.lowered = lower(trace, hidden_size, state_sizes, bias, dtype)
        self.layout, self.post, self.dtype = self.lowered.layout, self.lowered.post, dtype
        self.sequences, self.recurrent, self.key = trace.num_sequences, trace.recurrent, str(self.lowered)

    def load(self) -> None:
        pass

    def _blocks(self, schedule: Schedule) -> list[tuple[int, Tensor, Tensor, Tensor]]:
        """For each step and group: the step, its rows, where their previous states stand, and their initial rows."""
        blocks = []
        for t in range(schedule.steps):
            for group in range(schedule.groups):
                k = torch.arange(int(schedule.count[t, group]))
                first, base = int(schedule.first[t, group]), int(schedule.base[group])
                rows = first + k * schedule.stride
                before = schedule.rows + int(schedule.first[t - 1, group]) + k * schedule.stride if t else base + k
                if len(k):
                    blocks.append((t, rows, before, base + k))
        return blocks

    def forward(
        self,
        schedule: Schedule,
        gi: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        state: Sequence[Tensor],
        extras: Sequence[Tensor],
        save: bool,
        resets: tuple[Tensor, Sequence[Tensor]] | None = None,
    ) -> Forward:
        layout = self.layout
        states = [gi.new_full((schedule.rows + len(gi), size), torch.nan) for size in layout.state_sizes]
        for whole, part in zip(states, state, strict=True):
            whole[: schedule.rows] = part
        kept = gi.new_full((len(gi), layout.kept * layout.hidden_size), torch.nan)
        kept_shared = gi.new_full((len(gi), layout.kept_shared), torch.nan)
        for t, rows, before, first in self._blocks(schedule):
            memory = self._memory(len(rows), extras)
            memory.buffers["gi", None] = gi[rows]
            previous = self._previous(states, t, before, first, resets)
            if self.recurrent:
                assert weight is not None
                product = previous[0] @ weight.T
                memory.buffers["gh", None] = product if bias is None else product + bias
            for index, part in enumerate(states):
                memory.buffers["previous", index] = previous[index]
                memory.buffers["next", index] = part[schedule.rows + rows]
            memory.buffers["kept", None], memory.buffers["kept_shared", None] = kept[rows], kept_shared[rows]
            memory.run(self.lowered.step_and_keep if save else self.lowered.step)
            for index, part in enumerate(states):
                part[schedule.rows + rows] = memory.buffers["next", index]
            gi[rows] = memory.buffers["gi", None]
            kept[rows], kept_shared[rows] = memory.buffers["kept", None], memory.buffers["kept_shared", None]
        return Forward(states, kept, kept_shared)

    def backward(
        self,
        schedule: Schedule,
        gi: Tensor,
        weight: Tensor | None,
        extras: Sequence[Tensor],
        saved: Forward,
        dnext: Sequence[Tensor],
        dfinal: Sequence[Tensor],
        resets: tuple[Tensor, Sequence[Tensor]] | None = None,
    ) -> Backward:
        layout, states = self.layout, saved.states
        count, gates = len(states[0]) - schedule.rows, layout.num_gates * layout.hidden_size
        dgi = states[0].new_full((count, gates), torch.nan)
        dgh = dgi if layout.shared_gradient or not self.recurrent else dgi.clone()
        dstate, sums = [part.clone() for part in dfinal], states[0].new_zeros(sum(layout.sums))
        dinitial = [] if resets is None else [torch.zeros_like(part) for part in dstate]
        for t, rows, before, first in reversed(self._blocks(schedule)):
            memory = self._memory(len(rows), extras)
            if layout.gi_needed:
                memory.buffers["gi", None] = gi[rows]
            for index, previous in enumerate(self._previous(states, t, before, first, resets)):
                memory.buffers["previous", index] = previous
                memory.buffers["next", index] = states[index][schedule.rows + rows]
                memory.buffers["dstate", index] = dstate[index][first]
            for index, part in enumerate(dnext):
                memory.buffers["dnext", index] = part[rows]
            kept, shared = saved.kept, saved.kept_shared
            memory.buffers["kept", None], memory.buffers["kept_shared", None] = kept[rows], shared[rows]
            memory.buffers["dgi", None], memory.buffers["dgh", None] = dgi[rows], dgh[rows]
            memory.buffers["sums", None] = sums
            memory.run(self.lowered.adjoint)
            dgi[rows] = memory.buffers["dgi", None]
            if dgh is not dgi:
                dgh[rows] = memory.buffers["dgh", None]
            for index, part in enumerate(dstate):
                part[first] = memory.buffers["dstate", index]
            if self.recurrent:
                assert weight is not None
                dstate[0][first] += dgh[rows] @ weight
            if resets is not None:
                anew = first[resets[0][t, first]]
                for part, total in zip(dstate, dinitial, strict=True):
                    total[anew] += part[anew]
                    part[anew] = 0
        parts = list(torch.split(sums, list(layout.sums)))
        gh_sum = parts.pop(0) if layout.sum_gh else None
        shaped = [part.view(shape) for part, shape in zip(parts, layout.sum_shapes, strict=True)]
        learned = [] if self.post is None else list(self.post(*extras, *shaped))
        return Backward(dgi, dgh, gh_sum, dstate, learned, dinitial)

    def _previous(
        self,
        states: Sequence[Tensor],
        t: int,
        before: Tensor,
        first: Tensor,
        resets: tuple[Tensor, Sequence[Tensor]] | None,
    ) -> list[Tensor]:
        """The states before step t of the rows of a block: where a row begins anew, its initial ones."""
        if resets is None:
            return [part[before] for part in states]
        anew = resets[0][t, first].unsqueeze(1)
        return [torch.where(anew, part[first], old[before]) for part, old in zip(resets[1], states, strict=True)]

    def _memory(self, count: int, extras: Sequence[Tensor]) -> Rows:
        memory = Rows(self.lowered, count, self.dtype)
        for index, extra in enumerate(extras):
            memory.buffers["extra", index] = extra.detach().to(self.dtype).reshape(1, -1)
        return memory
