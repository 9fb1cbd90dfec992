"""Classifiers: ``forward`` reads whole sequences, ``step`` a step of each row."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from seqlab.export.kinds.kind import Kind
from seqlab.export.kinds.ports import (
    BOTH_DIRECTIONS,
    INT,
    Call,
    answer_with_forward,
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
from seqlab.nn import Classifier


def plan(model: Classifier, sizes: Mapping[str, Any]) -> Export:
    """The program ``forward`` of a classifier, and ``step`` if its encoder reads in one direction."""
    copied = scanned(model)
    num_classes, real = model.head.output.out_features, real_dtype(model)
    embedding = model.input.embedding
    step_shape = model.input.step_shape

    def inputs(lengths: Sizes, generator: torch.Generator) -> Tensor:
        if embedding is not None:
            return random_tokens(embedding.num_embeddings, lengths, generator)
        return torch.randn(lengths["batch"], lengths["time"], *step_shape, generator=generator).to(real)

    def sample(lengths: Sizes, generator: torch.Generator) -> Arguments:
        return inputs(lengths, generator), random_lengths(lengths, generator)

    class Forward(Call):
        def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
            return separate(self.model(inputs, lengths))

    if embedding is not None:
        read = token_port("inputs")
    else:
        what = "a vector a step" if len(step_shape) == 1 else "a picture a step"
        read = Port("inputs", real, ("batch", "time", *step_shape), f"{what}; padding on the right")
    logits = Port("logits", real, ("batch", num_classes), "scores of the classes; softmax makes them P")
    forward = Program(
        "forward",
        "reads whole sequences: the logits of their classes",
        Forward(model),
        Forward(copied),
        (read, lengths_port("lengths", "time")),
        (logits,),
        sample,
        cases=cases("time"),
    )
    if model.encoder.bidirectional:
        return Export("classification", [forward], {"step": BOTH_DIRECTIONS})

    def empty(rows: int) -> tuple[Any, Any]:
        like = next(model.encoder.parameters())
        nothing = like.new_zeros(rows, 1, model.encoder.output_size)
        none_read = torch.zeros(rows, dtype=INT)
        return model.encoder.initial_state(rows, like=like), model.head.pooling.part(nothing, none_read)

    state = State(empty)
    count = len(pytree.tree_leaves(empty(1)[0]))
    names = state_names(model.encoder, state, count)
    before, after = state.ports(names)

    class Step(Call):
        def forward(self, input: Tensor, state_: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            recurrent, pooled = state.nested(state_)
            output, recurrent = self.model.encoder(self.model.input(input.unsqueeze(1)), recurrent)
            pooled = self.model.head.pooling.merge(pooled, self.model.head.pooling.part(output))
            return separate(self.model.head(pooled), *state.flat((recurrent, pooled)))

    def sample_step(lengths: Sizes, generator: torch.Generator) -> Arguments:
        values = state.flat(empty(lengths["batch"]))
        whole = Step(model)
        with torch.no_grad():
            for place in range(lengths["time"] - 1):
                values = whole(inputs(lengths, generator)[:, place], values)[1:]
        return inputs(lengths, generator)[:, 0], values

    step = Program(
        "step",
        "reads one step of each row: the logits of the classes of what was read so far, and the new state",
        Step(model),
        Step(copied),
        (Port("input", read.dtype, (read.shape[0], *read.shape[2:]), "one step of each row"), before),
        (logits, *after),
        sample_step,
        [(one.name, other.name) for one, other in zip(before, after, strict=True)],
        cases("time"),
    )
    return Export("classification", [forward, step], initial=state.initial(before))


KIND = Kind(Classifier, plan, answer_with_forward)
