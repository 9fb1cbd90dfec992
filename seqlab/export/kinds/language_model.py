"""Language models: ``forward`` reads texts or pieces of them, ``step`` a token of each row; both take a state."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from seqlab.export.kinds.kind import Files, Kind
from seqlab.export.kinds.ports import (
    INT,
    Call,
    cases,
    lengths_port,
    random_lengths,
    random_tokens,
    real_dtype,
    refuse_segments,
    separate,
    token_port,
)
from seqlab.export.kinds.state import State, state_names
from seqlab.export.layers import scanned
from seqlab.export.programs import Arguments, Export, Port, Program, Sizes
from seqlab.nn import NextTokenModel


def plan(model: NextTokenModel, sizes: Mapping[str, Any]) -> Export:
    """The programs ``forward`` and ``step`` of a language model."""
    copied = scanned(model)
    state = State(model.initial_state)
    names = state_names(getattr(model, "encoder", None), state)
    before, after = state.ports(names)
    vocab_size = int(sizes["vocab_size"])
    real = real_dtype(model)

    class Forward(Call):
        def forward(self, tokens: Tensor, lengths: Tensor, state_: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            logits, new = self.model(tokens, state.nested(state_), lengths)
            return separate(logits, *state.flat(new))

    class Step(Call):
        def forward(self, token: Tensor, state_: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            logits, new = self.model(token.unsqueeze(1), state.nested(state_))
            return separate(logits.squeeze(1), *state.flat(new))

    def sample(lengths: Sizes, generator: torch.Generator) -> Arguments:
        tokens = random_tokens(vocab_size, lengths, generator)
        return tokens, random_lengths(lengths, generator), reached(lengths, generator)

    def reached(lengths: Sizes, generator: torch.Generator) -> tuple[Tensor, ...]:
        """A state that the model reaches: values at random may be none, such as a sum that is to be positive."""
        tokens = torch.randint(vocab_size, (lengths["batch"], 3), generator=generator)
        with torch.no_grad():
            return state.flat(model(tokens, model.initial_state(lengths["batch"]))[1])

    def sample_step(lengths: Sizes, generator: torch.Generator) -> Arguments:
        tokens, _, values = sample(lengths, generator)
        return tokens[:, 0], values

    pairs = [(one.name, other.name) for one, other in zip(before, after, strict=True)]
    forward = Program(
        "forward",
        "reads whole texts, or pieces of them: the logits of the token after each one, and the new state",
        Forward(model),
        Forward(copied),
        (token_port("tokens"), lengths_port("lengths", "time"), before),
        (Port("logits", real, ("batch", "time", vocab_size), "scores of the next token; softmax makes them P"), *after),
        sample,
        pairs,
        cases("time"),
    )
    step = Program(
        "step",
        "reads one token of each row: the logits of the next one, and the new state",
        Step(model),
        Step(copied),
        (Port("token", INT, ("batch",), "token numbers"), before),
        (Port("logits", real, ("batch", vocab_size), "scores of the next token; softmax makes them P"), *after),
        sample_step,
        pairs,
        cases("time"),
    )
    return Export("language_model", [forward, step], initial=state.initial(before))


def use_files(model: NextTokenModel, files: Files) -> None:
    """Puts the logits of ``forward`` in the place of the model's."""
    structure = pytree.tree_structure(model.initial_state(1))

    def features(
        inputs: Tensor, state: Any = None, lengths: Tensor | None = None, *, is_first: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        refuse_segments(is_first)
        rows, steps = inputs.shape
        state = model.initial_state(rows) if state is None else state
        lengths = torch.full((rows,), steps) if lengths is None else lengths
        outputs = files["forward"](inputs, lengths, tuple(pytree.tree_leaves(state)))
        logits, *new = (output.to(inputs.device) for output in outputs)
        return logits, pytree.tree_unflatten(new, structure)

    vars(model).update(features=features, logits=lambda logits: logits)


KIND = Kind(NextTokenModel, plan, use_files)
