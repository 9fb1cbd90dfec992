"""Models that read rows and answer each row, or each of its steps: what their kinds share.

``forward`` reads whole rows, ``step`` a step of each, where the encoder reads in one direction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from seqlab.errors import InputError
from seqlab.export.check import TOLERANCE, difference
from seqlab.export.kinds.ports import (
    BOTH_DIRECTIONS,
    INT,
    WHOLE_ROWS,
    Call,
    cases,
    lengths_port,
    random_lengths,
    random_tokens,
    real_dtype,
    separate,
    token_port,
)
from seqlab.export.kinds.state import State, state_names
from seqlab.export.layers import scanned
from seqlab.export.programs import Arguments, Export, Port, Program, Sizes
from seqlab.nn import FrameInput

NOT_BY_STEPS: Final = "read step by step, the model gives other answers than for whole sequences"
Sample: TypeAlias = Callable[[Sizes, torch.Generator], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Rows:
    """How a kind of model answers rows.

    Attributes:
        task: the kind's name.
        gives: what an answer is, such as "the logits of the labels".
        answer: the answer of a row, or of a step of it: ``(batch, ...)``.
        finish: ``finish(model, part, *more)``, the answer of a row from what ``model.head.pooling`` has made of its
            steps; None: each step has an answer of its own, ``model.head(output)``.
        carry: ``carry(model, inputs, lengths, state)``, the model's answers and its new state, if ``forward`` takes a
            state so that rows can be read in pieces; None: it reads them whole. A model that has to read rows whole is
            called with None for a state.
        more: what an answer depends on beside the steps, as further inputs of both programs.
        sample_more: random values of these.
        no_step: why there is no ``step``, if the kind knows a reason of its own.
        names: what numbers of the answers stand for, as far as the model knows it.
    """

    task: str
    gives: str
    answer: Port
    finish: Callable[..., Tensor] | None = None
    carry: Callable[[Any, Tensor, Tensor, Any], tuple[Tensor, Any]] | None = None
    more: tuple[Port, ...] = ()
    sample_more: Sample = lambda *_: ()
    no_step: str | None = None
    names: Mapping[str, Any] = field(default_factory=dict)


def plan_rows(model: Any, rows: Rows) -> Export:
    """The program ``forward`` of a model that reads rows, and ``step`` if there can be one."""
    copied = scanned(model)
    why = reads_whole(model) or rows.no_step
    forward = _forward(model, copied, rows, in_pieces=rows.carry is not None and reads_whole(model) is None)
    names = dict(rows.names)
    if why is not None:
        return Export(rows.task, [forward], {"step": why}, names=names)
    step, initial = _step(model, copied, rows)
    if not _reads_on(forward, step, initial, rows):
        begins = initial if forward.state else {}
        return Export(rows.task, [forward], {"step": NOT_BY_STEPS}, begins, names)
    return Export(rows.task, [forward, step], initial=initial, names=names)


def reads_whole(model: Any) -> str | None:
    """Why a model can't read its rows step by step; None: it can."""
    if model.encoder.bidirectional:
        return BOTH_DIRECTIONS
    return WHOLE_ROWS if model.input.reads_whole else None


def carry_by_file(model: Any, file: Callable[..., tuple[Tensor, ...]]) -> Callable[..., tuple[Tensor, Any]]:
    """``carry(inputs, lengths, state)`` by the file ``forward`` of a kind that has ``Rows.carry``."""
    whole = reads_whole(model)
    structure = pytree.tree_structure(_encoder_state(model, 1))

    def carry(inputs: Tensor, lengths: Tensor | None, state: Any) -> tuple[Tensor, Any]:
        lengths = torch.full(inputs.shape[:1], inputs.size(1)) if lengths is None else lengths
        if whole is not None:
            if state is not None:
                raise InputError(f"the files of this model take no state: {whole}")
            return file(inputs, lengths)[0].to(inputs.device), ()
        state = _encoder_state(model, inputs.size(0)) if state is None else state
        outputs = file(inputs, lengths, tuple(pytree.tree_leaves(state)))
        answers, *new = (output.to(inputs.device) for output in outputs)
        return answers, pytree.tree_unflatten(new, structure)

    return carry


def inputs_port(model: Any) -> Port:
    """Rows of what a model's input reads, ``(batch, time, ...)``."""
    if model.input.embedding is not None:
        return token_port("inputs")
    shape = model.input.step_shape
    what = "a vector a step" if len(shape) == 1 else "a picture a step"
    missing = ", NaN where a value is missing" if _has_gaps(model) else ""
    return Port("inputs", real_dtype(model), ("batch", "time", *shape), f"{what}{missing}; padding on the right")


def random_inputs(model: Any, lengths: Sizes, generator: torch.Generator) -> Tensor:
    """Random rows for a model's input: tokens, or numbers in the units of training, some of them missing if they may
    be."""
    embedding = model.input.embedding
    if embedding is not None:
        return random_tokens(embedding.num_embeddings, lengths, generator)
    shape = model.input.step_shape
    values = torch.randn(lengths["batch"], lengths["time"], *shape, generator=generator).to(real_dtype(model))
    standardize = getattr(model.input, "standardize", None)
    if standardize is not None:
        axes = [1] * (len(shape) - 1)  # the first axis of a step has the features, or a picture's channels
        values = values * standardize.std.view(-1, *axes) + standardize.mean.view(-1, *axes)
    return with_gaps(model, values, generator)


def with_gaps(model: Any, values: Tensor, generator: torch.Generator) -> Tensor:
    """Random values with one in five missing, for a model that is told which are."""
    if not _has_gaps(model):
        return values
    return values.masked_fill(torch.rand(values.shape, generator=generator) < 0.2, torch.nan)


def _has_gaps(model: Any) -> bool:
    return isinstance(model.input, FrameInput) and model.input.observed


def _encoder_state(model: Any, count: int) -> Any:
    return model.encoder.initial_state(count, like=next(model.encoder.parameters()))


def _forward(model: Any, copied: Any, rows: Rows, in_pieces: bool) -> Program:
    carry = rows.carry
    answer = rows.answer
    if rows.finish is None:
        answer = Port(answer.name, answer.dtype, ("batch", "time", *answer.shape[1:]), answer.text)

    def sample(lengths: Sizes, generator: torch.Generator) -> Arguments:
        inputs = random_inputs(model, lengths, generator)
        return inputs, random_lengths(lengths, generator), *rows.sample_more(lengths, generator)

    ports = (inputs_port(model), lengths_port("lengths", "time"), *rows.more)
    if carry is None or not in_pieces:

        class Whole(Call):
            def forward(self, inputs: Tensor, lengths: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
                if carry is not None:
                    return separate(carry(self.model, inputs, lengths, None)[0])
                return separate(self.model(inputs, lengths, *more))

        text = f"reads whole sequences: {rows.gives}"
        outputs = (answer,)
        return Program("forward", text, Whole(model), Whole(copied), ports, outputs, sample, cases=cases("time"))

    state = State(lambda count: _encoder_state(model, count))
    before, after = state.ports(state_names(model.encoder, state))

    reads: Callable[..., tuple[Tensor, Any]] = carry

    class Piece(Call):
        def forward(self, inputs: Tensor, lengths: Tensor, state_: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            answers, new = reads(self.model, inputs, lengths, state.nested(state_))
            return separate(answers, *state.flat(new))

    def sample_piece(lengths: Sizes, generator: torch.Generator) -> Arguments:
        inputs = random_inputs(model, {**lengths, "time": 3}, generator)
        with torch.no_grad():  # a state that the model reaches: values at random may be none
            _, reached = model.encoder(model.input(inputs), _encoder_state(model, lengths["batch"]))
        return *sample(lengths, generator), state.flat(reached)

    return Program(
        "forward",
        f"reads whole sequences, or pieces of them: {rows.gives}, and the new state",
        Piece(model),
        Piece(copied),
        (*ports, before),
        (answer, *after),
        sample_piece,
        _pairs(before, after),
        cases("time"),
    )


def _step(model: Any, copied: Any, rows: Rows) -> tuple[Program, dict[str, Tensor]]:
    """The program, and the state before its first call: the encoder's, and what the head has pooled."""
    finish = rows.finish

    def empty(count: int) -> tuple[Any, Any]:
        encoder = _encoder_state(model, count)
        if finish is None:
            return encoder, ()
        nothing = next(model.encoder.parameters()).new_zeros(count, 1, model.encoder.output_size)
        return encoder, model.head.pooling.part(nothing, torch.zeros(count, dtype=INT))

    state = State(empty)
    names = state_names(model.encoder, state, len(pytree.tree_leaves(empty(1)[0])))
    before, after = state.ports(names)

    class Step(Call):
        def forward(self, input: Tensor, *rest: Any) -> tuple[Tensor, ...]:
            *more, state_ = rest
            encoder, pooled = state.nested(state_)
            output, encoder = self.model.encoder(self.model.input(input.unsqueeze(1)), encoder)
            if finish is None:
                answer = self.model.head(output).squeeze(1)
            else:
                pooled = self.model.head.pooling.merge(pooled, self.model.head.pooling.part(output))
                answer = finish(self.model, pooled, *more)
            return separate(answer, *state.flat((encoder, pooled)))

    def sample(lengths: Sizes, generator: torch.Generator) -> Arguments:
        inputs = random_inputs(model, lengths, generator)
        more = rows.sample_more(lengths, generator)
        values = state.flat(empty(lengths["batch"]))
        whole = Step(model)
        with torch.no_grad():
            for place in range(lengths["time"] - 1):
                values = whole(inputs[:, place], *more, values)[1:]
        return inputs[:, -1], *more, values

    read = inputs_port(model)
    of_what = "" if finish is None else " of what was read so far"
    gap = ", NaN where a value is missing" if _has_gaps(model) else ""
    step = Program(
        "step",
        f"reads one step of each row: {rows.gives}{of_what}, and the new state",
        Step(model),
        Step(copied),
        (Port("input", read.dtype, (read.shape[0], *read.shape[2:]), f"one step of each row{gap}"), *rows.more, before),
        (rows.answer, *after),
        sample,
        _pairs(before, after),
        cases("time"),
    )
    return step, state.initial(before)


def _reads_on(forward: Program, step: Program, initial: Mapping[str, Tensor], rows: Rows) -> bool:
    """Whether the model gives step by step what it gives for whole rows: the parts of a user's own may not."""
    inputs, _, *rest = forward.sample({"batch": 2, "time": 5}, torch.Generator().manual_seed(0))
    more = rest[: len(rows.more)]
    state = tuple(value.expand(2, *value.shape[1:]) for value in initial.values())
    begins = [state] if len(rest) > len(more) else []  # forward takes a state
    with torch.no_grad():
        whole: Tensor = forward.reference(inputs, torch.full((2,), inputs.size(1)), *more, *begins)[0]
        answers = []
        for place in range(inputs.size(1)):
            answer, *values = step.reference(inputs[:, place], *more, state)
            state = tuple(values)
            answers.append(answer)
    answer = answers[-1] if rows.finish is not None else torch.stack(answers, 1)
    return answer.shape == whole.shape and difference(answer, whole, rows.answer.units) <= TOLERANCE


def _pairs(before: tuple[Port, ...], after: tuple[Port, ...]) -> list[tuple[str, str]]:
    return [(one.name, other.name) for one, other in zip(before, after, strict=True)]
