"""Translators: ``encode`` reads sources, ``step`` writes a token of each row."""

from collections.abc import Mapping, Sequence
from typing import Any
from typing import cast as typed

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
    separate,
    token_port,
)
from seqlab.export.kinds.state import State, state_names
from seqlab.export.layers import scanned
from seqlab.export.programs import Arguments, Export, Port, Program, Sizes
from seqlab.nn import Translator
from seqlab.nn.models.attention import Memory


def plan(model: Translator, sizes: Mapping[str, Any]) -> Export:
    """The programs ``encode`` and ``step`` of a translator."""
    copied = scanned(model)
    source_size, target_size = int(sizes["source_vocab_size"]), int(sizes["target_vocab_size"])
    real, decoder = real_dtype(model), model.decoder
    attention = decoder.attention
    projects = _projects_keys(model)
    state = State(lambda rows: decoder.start(decoder.recurrent.initial_state(rows, like=next(model.parameters()))))
    names = state_names(decoder.recurrent, state, len(state.leaves) - int(decoder.input_feeding))
    before, after = state.ports(names)
    memory: tuple[Port, ...] = ()
    if attention is not None:
        axes = ("batch", "time")
        memory = (Port("memory_keys", real, (*axes, attention.key_size), "what attention reads, from encode"),)
        if projects:
            width = attention.key_projection.out_features
            memory += (Port("memory_projected", real, (*axes, width), "the keys as they are compared, from encode"),)
        memory += (Port("memory_valid", torch.bool, axes, "false in the padding, from encode"),)

    class Encode(Call):
        def forward(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
            read, first = self.model.encode(source, lengths)
            return separate(*_parts(read, projects), *state.flat(first))

    class Step(Call):
        def forward(self, token: Tensor, memory: tuple[Tensor, ...], state_: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            logits, new, weights = self.model.step(token, state.nested(state_), _memory(memory))
            return separate(logits, *state.flat(new), *(() if weights is None else (weights,)))

    def sample(lengths: Sizes, generator: torch.Generator) -> Arguments:
        return random_tokens(source_size, lengths, generator), random_lengths(lengths, generator)

    def sample_step(lengths: Sizes, generator: torch.Generator) -> Arguments:
        tokens = random_tokens(target_size, lengths, generator)
        with torch.no_grad():
            read, values = model.encode(*sample(lengths, generator))
            for place in range(min(2, lengths["time"] - 1)):
                _, values, _ = model.step(tokens[:, place], values, read)
        return tokens[:, -1], _parts(read, projects), tuple(state.flat(values))

    weights = [Port("weights", real, ("batch", "time"), "how much attention each source token gets")]
    states = tuple(Port(each.name, each.dtype, each.shape, "the decoder's first state") for each in before)
    encode = Program(
        "encode",
        "reads whole sources: what the decoder's attention reads, and the decoder's first state",
        Encode(model),
        Encode(copied),
        (token_port("source"), lengths_port("lengths", "time")),
        (*memory, *states),
        sample,
        cases=cases("time"),
    )
    step = Program(
        "step",
        "writes one token of each row: the logits of the token after it, and the new state",
        Step(model),
        Step(copied),
        (Port("token", INT, ("batch",), "the last token of each row; bos at first"), memory, before),
        (
            Port("logits", real, ("batch", target_size), "scores of the next token"),
            *after,
            *(weights if attention is not None else ()),
        ),
        sample_step,
        [(one.name, other.name) for one, other in zip(before, after, strict=True)],
        cases("time"),
    )
    why = "a translation is written token by token, by encode and step; the whole forward pass is training's"
    return Export("translation", [encode, step], {"forward": why})


def use_files(model: Translator, files: Files) -> None:
    """Puts ``encode`` and ``step`` in the place of the model's, and of its pass over a whole target."""
    projects = _projects_keys(model)
    count = 0 if model.decoder.attention is None else 3 if projects else 2
    rows = model.decoder.recurrent.initial_state(1, like=next(model.parameters()))
    structure = pytree.tree_structure(model.decoder.start(rows))

    def encode(source: Tensor, lengths: Tensor | None = None) -> tuple[Memory | None, Any]:
        lengths = torch.full(source.shape[:1], source.size(1)) if lengths is None else lengths
        outputs = [output.to(source.device) for output in files["encode"](source, lengths)]
        return _memory(outputs[:count]), pytree.tree_unflatten(outputs[count:], structure)

    def step(tokens: Tensor, state: Any, memory: Memory | None) -> tuple[Tensor, Any, Tensor | None]:
        read = _parts(memory, projects)
        if memory is not None:
            beams = tokens.size(0) // memory.keys.size(0)  # side by side for each row of keys
            read = tuple(each.repeat_interleave(beams, 0) for each in read)
        outputs = files["step"](tokens, read, tuple(pytree.tree_leaves(state)))
        logits, *rest = (output.to(tokens.device) for output in outputs)
        weights = rest.pop() if memory is not None else None
        return logits, pytree.tree_unflatten(rest, structure), weights

    def features(source: Tensor, lengths: Tensor | None, inputs: Tensor, _: Any = None) -> tuple[Tensor, None]:
        memory, state = encode(source, lengths)
        logits = []
        for place in range(inputs.size(1)):
            scores, state, _ = step(inputs[:, place], state, memory)
            logits.append(scores)
        return torch.stack(logits, 1), None

    vars(model).update(encode=encode, step=step, features=features, logits=lambda logits: logits)


def _projects_keys(model: Translator) -> bool:
    attention = model.decoder.attention
    return attention is not None and attention.score != "dot"


def _parts(memory: Memory | None, projects: bool) -> tuple[Tensor, ...]:
    """What attention reads, as flat tensors."""
    if memory is None:
        return ()
    parts = (memory.keys, memory.projected) if projects else (memory.keys,)
    return (*parts, typed(Tensor, memory.valid))


def _memory(parts: Sequence[Tensor]) -> Memory | None:
    """The other way round."""
    return Memory(parts[0], parts[-2], parts[-1]) if parts else None


KIND = Kind(Translator, plan, use_files)
