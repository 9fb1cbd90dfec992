"""Models that write an answer token by token: what their kinds share.

``encode`` reads sources, ``step`` writes a token of each row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from seqlab.export.kinds.kind import Files
from seqlab.export.kinds.ports import INT, Call, cases, random_tokens, real_dtype, separate
from seqlab.export.kinds.state import State, state_names
from seqlab.export.layers import scanned
from seqlab.export.programs import Arguments, Export, Port, Program, Sizes
from seqlab.nn.models.attention import Memory
from seqlab.nn.models.translator import EncoderDecoder


@dataclass(frozen=True)
class Source:
    """What a model reads before it writes.

    Attributes:
        text: its name in the plural, for people.
        ports: the arguments of the model's ``encode``.
        sample: random values of these.
        axis: how many keys attention has: the name of a free axis, whose padding has no weight, or a number.
    """

    text: str
    ports: tuple[Port, ...]
    sample: Callable[[Sizes, torch.Generator], Arguments]
    axis: str | int

    @property
    def padded(self) -> bool:
        """Whether keys may be padding."""
        return isinstance(self.axis, str)


def plan_writer(model: EncoderDecoder, task: str, source: Source, target_size: int, why: str) -> Export:
    """The programs ``encode`` and ``step`` of a model that writes; ``why`` says why it has no ``forward``."""
    copied = scanned(model)
    real, decoder = real_dtype(model), model.decoder
    projects = _projects_keys(model)
    state = State(lambda rows: decoder.start(decoder.recurrent.initial_state(rows, like=next(model.parameters()))))
    names = state_names(decoder.recurrent, state, len(state.leaves) - int(decoder.input_feeding))
    before, after = state.ports(names)
    memory = _memory_ports(model, source)

    class Encode(Call):
        def forward(self, *read: Tensor) -> tuple[Tensor, ...]:
            keys, first = self.model.encode(*read)
            return separate(*_parts(keys, projects), *state.flat(first))

    class Step(Call):
        def forward(self, token: Tensor, memory: tuple[Tensor, ...], state_: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            logits, new, weights = self.model.step(token, state.nested(state_), _memory(memory, source.padded))
            return separate(logits, *state.flat(new), *(() if weights is None else (weights,)))

    def sample_step(lengths: Sizes, generator: torch.Generator) -> Arguments:
        tokens = random_tokens(target_size, lengths, generator)
        with torch.no_grad():
            read, values = model.encode(*source.sample(lengths, generator))
            for place in range(min(2, lengths["time"] - 1)):
                _, values, _ = model.step(tokens[:, place], values, read)
        return tokens[:, -1], _parts(read, projects), tuple(state.flat(values))

    weights = [Port("weights", real, ("batch", source.axis), "how much attention each part of the source gets")]
    states = tuple(Port(each.name, each.dtype, each.shape, "the decoder's first state") for each in before)
    encode = Program(
        "encode",
        f"reads {source.text}: what the decoder's attention reads, and the decoder's first state",
        Encode(model),
        Encode(copied),
        source.ports,
        (*memory, *states),
        source.sample,
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
            *(weights if decoder.attention is not None else ()),
        ),
        sample_step,
        [(one.name, other.name) for one, other in zip(before, after, strict=True)],
        cases("time"),
    )
    return Export(task, [encode, step], {"forward": why})


def write_by_files(model: EncoderDecoder, files: Files, padded: bool) -> None:
    """Puts ``encode`` and ``step`` in the place of the model's, and of its pass over a whole target.

    Args:
        model: the model; it is changed.
        files: the files at work.
        padded: whether keys may be padding; if so, ``encode`` takes the sources' lengths.
    """
    projects = _projects_keys(model)
    count = 0 if model.decoder.attention is None else 1 + projects + padded
    rows = model.decoder.recurrent.initial_state(1, like=next(model.parameters()))
    structure = pytree.tree_structure(model.decoder.start(rows))

    def encode(source: Tensor, lengths: Tensor | None = None) -> tuple[Memory | None, Any]:
        if padded and lengths is None:
            lengths = torch.full(source.shape[:1], source.size(1))
        outputs = files["encode"](source, lengths) if padded else files["encode"](source)
        outputs = tuple(output.to(source.device) for output in outputs)
        return _memory(outputs[:count], padded), pytree.tree_unflatten(outputs[count:], structure)

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


def _memory_ports(model: EncoderDecoder, source: Source) -> tuple[Port, ...]:
    attention = model.decoder.attention
    if attention is None:
        return ()
    real, axes = real_dtype(model), ("batch", source.axis)
    ports = [Port("memory_keys", real, (*axes, attention.key_size), "what attention reads, from encode")]
    if _projects_keys(model):
        width = attention.key_projection.out_features
        ports.append(Port("memory_projected", real, (*axes, width), "the keys as they are compared, from encode"))
    if source.padded:
        ports.append(Port("memory_valid", torch.bool, axes, "false in the padding, from encode"))
    return tuple(ports)


def _projects_keys(model: EncoderDecoder) -> bool:
    attention = model.decoder.attention
    return attention is not None and attention.score != "dot"


def _parts(memory: Memory | None, projects: bool) -> tuple[Tensor, ...]:
    """What attention reads, as flat tensors."""
    if memory is None:
        return ()
    keys = (memory.keys, memory.projected) if projects else (memory.keys,)
    return keys if memory.valid is None else (*keys, memory.valid)


def _memory(parts: Sequence[Tensor], padded: bool) -> Memory | None:
    """The other way round."""
    if not parts:
        return None
    keys = parts[:-1] if padded else parts
    return Memory(keys[0], keys[-1], parts[-1] if padded else None)
