"""What of a model becomes a file: its programs, with the names, types and axes of what they read and return."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from typing import cast as typed

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from seqlab.errors import InputError
from seqlab.export.layers import scanned
from seqlab.nn import Answerer, Classifier, KneserNey, NextTokenModel, Tagger, Translator
from seqlab.nn.layers.encoder import Encoder
from seqlab.nn.layers.recurrent import Recurrent
from seqlab.nn.models.attention import Memory
from seqlab.nn.state import NestedState

Sizes: TypeAlias = Mapping[str, int]
"""The length of each free axis, by its name."""

Arguments: TypeAlias = tuple[Any, ...]
"""What a program is called with: tensors, and tuples of them for a state or a memory."""


@dataclass(frozen=True)
class Port:
    """An input or output of a program.

    Attributes:
        name: its name in the file.
        dtype: its type.
        shape: its axes; a name is a free length, the same wherever it stands.
        text: what it holds.
    """

    name: str
    dtype: torch.dtype
    shape: tuple[str | int, ...]
    text: str


@dataclass
class Program:
    """A function of tensors that becomes a file.

    Attributes:
        name: "forward", "step" or "encode": the name of its file.
        text: what it does.
        reference: the model's own answer: called with the arguments, it returns a tuple of tensors.
        module: the same over a copy that can be exported.
        inputs: the arguments; a tuple is one argument of several tensors.
        outputs: what it returns.
        sample: random arguments of given sizes.
        state: names of an input and of the output that takes its place at the next call.
        cases: sizes on which the file is compared with the model.
    """

    name: str
    text: str
    reference: nn.Module
    module: nn.Module
    inputs: Sequence[Port | tuple[Port, ...]]
    outputs: Sequence[Port]
    sample: Callable[[Sizes, torch.Generator], Arguments]
    state: Sequence[tuple[str, str]] = ()
    cases: Sequence[Sizes] = ()

    @property
    def flat_inputs(self) -> list[Port]:
        """All inputs, one after the other, as a file has them."""
        return [port for each in self.inputs for port in (each if isinstance(each, tuple) else (each,))]


@dataclass
class Export:
    """All that is exported of a model.

    Attributes:
        task: what kind of model it is.
        programs: its programs.
        left_out: programs that it can't have, each with the reason.
        initial: the state before the first step, one row of each part, by the name of the input.
    """

    task: str
    programs: list[Program]
    left_out: dict[str, str] = field(default_factory=dict)
    initial: dict[str, Tensor] = field(default_factory=dict)


INT: Final = torch.int64
_BOTH_DIRECTIONS: Final = "its encoder is bidirectional, and reads a sequence from its end too"
# One row and one step, one of either, and more: an exporter that has taken a length for a constant is caught by these.
_CASES: Final = ((1, 1), (3, 1), (1, 7), (2, 12), (4, 5))


def plan(model: nn.Module, sizes: Mapping[str, Any]) -> Export:
    """Says what of a model is exported.

    Args:
        model: the model, in evaluation mode.
        sizes: the sizes that its data gave it, such as ``vocab_size``.

    Raises:
        InputError: it is no model that can be exported; the line says why.
    """
    if isinstance(model, KneserNey):
        raise InputError(
            "an n-gram model is a table of counts that is searched, not a network: it can't be exported; "
            "seqlab generate and complete run it"
        )
    if not isinstance(model, tuple(_PLANS)):
        names = ", ".join(kind.__name__ for kind in _PLANS)
        raise InputError(f"a {type(model).__name__} can't be exported: expected one of {names}, or a class of theirs")
    for kind, make in _PLANS.items():
        if isinstance(model, kind):
            return make(model, sizes)
    raise AssertionError("one of the kinds")


class _Call(nn.Module):
    """A model behind one function of flat tensors; which function is the subclass's ``forward``."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model


def _language_model(model: NextTokenModel, sizes: Mapping[str, Any]) -> Export:
    copied = scanned(model)
    state = _State(model.initial_state)
    names = _state_names(getattr(model, "encoder", None), state)
    before, after = state.ports(names)
    vocab_size = int(sizes["vocab_size"])
    real = _real(model)

    class Forward(_Call):
        def forward(self, tokens: Tensor, lengths: Tensor, state_: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            logits, new = self.model(tokens, state.nested(state_), lengths)
            return _apart(logits, *state.flat(new))

    class Step(_Call):
        def forward(self, token: Tensor, state_: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            logits, new = self.model(token.unsqueeze(1), state.nested(state_))
            return _apart(logits.squeeze(1), *state.flat(new))

    def sample(lengths: Sizes, generator: torch.Generator) -> Arguments:
        tokens = _numbers(vocab_size, lengths, generator)
        return tokens, _lengths(lengths, generator), state.sample(model, vocab_size, lengths, generator)

    def sample_step(lengths: Sizes, generator: torch.Generator) -> Arguments:
        tokens, _, values = sample(lengths, generator)
        return tokens[:, 0], values

    pairs = [(one.name, other.name) for one, other in zip(before, after, strict=True)]
    forward = Program(
        "forward",
        "reads whole texts, or pieces of them: the logits of the token after each one, and the new state",
        Forward(model),
        Forward(copied),
        (_tokens("tokens"), _row_lengths("lengths", "time"), before),
        (Port("logits", real, ("batch", "time", vocab_size), "scores of the next token; softmax makes them P"), *after),
        sample,
        pairs,
        _cases("time"),
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
        _cases("time"),
    )
    return Export("language_model", [forward, step], initial=state.initial(before))


def _classifier(model: Classifier, sizes: Mapping[str, Any]) -> Export:
    copied = scanned(model)
    num_classes, real = model.head.output.out_features, _real(model)
    embedding = model.input.embedding
    step_shape = model.input.step_shape

    def inputs(lengths: Sizes, generator: torch.Generator) -> Tensor:
        if embedding is not None:
            return _numbers(embedding.num_embeddings, lengths, generator)
        return torch.randn(lengths["batch"], lengths["time"], *step_shape, generator=generator).to(real)

    def sample(lengths: Sizes, generator: torch.Generator) -> Arguments:
        return inputs(lengths, generator), _lengths(lengths, generator)

    class Forward(_Call):
        def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
            return _apart(self.model(inputs, lengths))

    if embedding is not None:
        read = _tokens("inputs")
    else:
        what = "a vector a step" if len(step_shape) == 1 else "a picture a step"
        read = Port("inputs", real, ("batch", "time", *step_shape), f"{what}; padding on the right")
    logits = Port("logits", real, ("batch", num_classes), "scores of the classes; softmax makes them P")
    forward = Program(
        "forward",
        "reads whole sequences: the logits of their classes",
        Forward(model),
        Forward(copied),
        (read, _row_lengths("lengths", "time")),
        (logits,),
        sample,
        cases=_cases("time"),
    )
    if model.encoder.bidirectional:
        return Export("classification", [forward], {"step": _BOTH_DIRECTIONS})

    def empty(rows: int) -> tuple[Any, Any]:
        like = next(model.encoder.parameters())
        nothing = like.new_zeros(rows, 1, model.encoder.output_size)
        none_read = torch.zeros(rows, dtype=INT)
        return model.encoder.initial_state(rows, like=like), model.head.pooling.part(nothing, none_read)

    state = _State(empty)
    count = len(pytree.tree_leaves(empty(1)[0]))
    names = _state_names(model.encoder, state, count)
    before, after = state.ports(names)

    class Step(_Call):
        def forward(self, input: Tensor, state_: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            recurrent, pooled = state.nested(state_)
            output, recurrent = self.model.encoder(self.model.input(input.unsqueeze(1)), recurrent)
            pooled = self.model.head.pooling.merge(pooled, self.model.head.pooling.part(output))
            return _apart(self.model.head(pooled), *state.flat((recurrent, pooled)))

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
        _cases("time"),
    )
    return Export("classification", [forward, step], initial=state.initial(before))


def _tagger(model: Tagger, sizes: Mapping[str, Any]) -> Export:
    copied = scanned(model)
    num_words, num_letters = int(sizes["vocab_size"]), sizes.get("num_characters")
    real = _real(model)

    class Forward(_Call):
        def forward(self, words: Tensor, lengths: Tensor, letters: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            characters, counts = letters or (None, None)
            emissions = self.model(words, characters, lengths, counts)
            return _apart(emissions, self.model.decode(emissions, lengths))

    def sample(lengths: Sizes, generator: torch.Generator) -> Arguments:
        words = _numbers(num_words, lengths, generator)
        if num_letters is None:
            return words, _lengths(lengths, generator), ()
        shape = (lengths["batch"], lengths["time"], lengths["letters"])
        characters = torch.randint(num_letters, shape, generator=generator)
        counts = torch.randint(1, lengths["letters"] + 1, shape[:2], generator=generator)
        return words, _lengths(lengths, generator), (characters, counts)

    letters: tuple[Port, ...] = ()
    if num_letters is not None:
        axes = ("batch", "time", "letters")
        letters = (
            Port("characters", INT, axes, "numbers of each word's letters, padding on the right"),
            Port("word_lengths", INT, axes[:2], "how many letters each word has"),
        )
    emissions = Port("emissions", real, ("batch", "time", model.head.num_tags), "scores of the tags")
    tags = Port("tags", INT, ("batch", "time"), "the likeliest tags of each row, 0 in the padding")
    forward = Program(
        "forward",
        "reads whole sentences: the scores of each word's tags, and the likeliest tags",
        Forward(model),
        Forward(copied),
        (_tokens("words"), _row_lengths("lengths", "time"), letters),
        (emissions, tags),
        sample,
        cases=_cases("time", letters=4 if letters else None),
    )
    if model.encoder.bidirectional:
        return Export("tagging", [forward], {"step": _BOTH_DIRECTIONS})
    if model.head.crf is not None:
        return Export("tagging", [forward], {"step": "a CRF chooses the tags of a whole sentence at once"})

    def initial(rows: int) -> tuple[NestedState, ...]:
        return model.encoder.initial_state(rows, like=next(model.encoder.parameters()))

    state = _State(initial)
    before, after = state.ports(_state_names(model.encoder, state))

    class Step(_Call):
        def forward(self, word: Tensor, letters: tuple[Tensor, ...], state_: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            seen = self.model.input(word.unsqueeze(1), *(each.unsqueeze(1) for each in letters))
            output, new = self.model.encoder(seen, state.nested(state_))
            return _apart(self.model.head(output).squeeze(1), *state.flat(new))

    def sample_step(lengths: Sizes, generator: torch.Generator) -> Arguments:
        words, _, read = sample(lengths, generator)
        values = state.flat(initial(lengths["batch"]))
        whole = Step(model)
        with torch.no_grad():
            for place in range(lengths["time"] - 1):
                values = whole(words[:, place], tuple(each[:, place] for each in read), values)[1:]
        return words[:, -1], tuple(each[:, -1] for each in read), values

    step = Program(
        "step",
        "reads one word of each row: the scores of its tags, and the new state",
        Step(model),
        Step(copied),
        (
            Port("word", INT, ("batch",), "word numbers"),
            tuple(Port(each.name, each.dtype, (each.shape[0], *each.shape[2:]), each.text) for each in letters),
            before,
        ),
        (Port("emissions", real, ("batch", model.head.num_tags), "scores of the tags"), *after),
        sample_step,
        [(one.name, other.name) for one, other in zip(before, after, strict=True)],
        _cases("time", letters=4 if letters else None),
    )
    return Export("tagging", [forward, step], initial=state.initial(before))


def _translator(model: Translator, sizes: Mapping[str, Any]) -> Export:
    copied = scanned(model)
    source_size, target_size = int(sizes["source_vocab_size"]), int(sizes["target_vocab_size"])
    real, decoder = _real(model), model.decoder
    attention = decoder.attention
    projects = attention is not None and attention.score != "dot"
    state = _State(lambda rows: decoder.start(decoder.recurrent.initial_state(rows, like=next(model.parameters()))))
    names = _state_names(decoder.recurrent, state, len(state.leaves) - int(decoder.input_feeding))
    before, after = state.ports(names)
    memory: tuple[Port, ...] = ()
    if attention is not None:
        axes = ("batch", "time")
        memory = (Port("memory_keys", real, (*axes, attention.key_size), "what attention reads, from encode"),)
        if projects:
            width = attention.key_projection.out_features
            memory += (Port("memory_projected", real, (*axes, width), "the keys as they are compared, from encode"),)
        memory += (Port("memory_valid", torch.bool, axes, "false in the padding, from encode"),)

    def kept(value: Memory | None) -> tuple[Tensor, ...]:
        if value is None:
            return ()
        parts = (value.keys, value.projected) if projects else (value.keys,)
        return (*parts, typed(Tensor, value.valid))

    def memory_of(parts: tuple[Tensor, ...]) -> Memory | None:
        return Memory(parts[0], parts[-2], parts[-1]) if parts else None

    class Encode(_Call):
        def forward(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
            read, first = self.model.encode(source, lengths)
            return _apart(*kept(read), *state.flat(first))

    class Step(_Call):
        def forward(self, token: Tensor, memory: tuple[Tensor, ...], state_: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            logits, new, weights = self.model.step(token, state.nested(state_), memory_of(memory))
            return _apart(logits, *state.flat(new), *(() if weights is None else (weights,)))

    def sample(lengths: Sizes, generator: torch.Generator) -> Arguments:
        return _numbers(source_size, lengths, generator), _lengths(lengths, generator)

    def sample_step(lengths: Sizes, generator: torch.Generator) -> Arguments:
        tokens = _numbers(target_size, lengths, generator)
        with torch.no_grad():
            read, values = model.encode(*sample(lengths, generator))
            for place in range(min(2, lengths["time"] - 1)):
                _, values, _ = model.step(tokens[:, place], values, read)
        return tokens[:, -1], kept(read), tuple(state.flat(values))

    weights = [Port("weights", real, ("batch", "time"), "how much attention each source token gets")]
    states = tuple(Port(each.name, each.dtype, each.shape, "the decoder's first state") for each in before)
    encode = Program(
        "encode",
        "reads whole sources: what the decoder's attention reads, and the decoder's first state",
        Encode(model),
        Encode(copied),
        (_tokens("source"), _row_lengths("lengths", "time")),
        (*memory, *states),
        sample,
        cases=_cases("time"),
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
        _cases("time"),
    )
    why = "a translation is written token by token, by encode and step; the whole forward pass is training's"
    return Export("translation", [encode, step], {"forward": why})


def _answerer(model: Answerer, sizes: Mapping[str, Any]) -> Export:
    copied = scanned(model)
    num_words, num_answers, real = int(sizes["vocab_size"]), int(sizes["num_answers"]), _real(model)

    class Forward(_Call):
        def forward(
            self,
            story: Tensor,
            sentence_lengths: Tensor,
            story_lengths: Tensor,
            question: Tensor,
            question_lengths: Tensor,
        ) -> tuple[Tensor, ...]:
            return _apart(self.model(story, sentence_lengths, story_lengths, question, question_lengths))

    def sample(lengths: Sizes, generator: torch.Generator) -> Arguments:
        rows, sentences, words, asked = (lengths[name] for name in ("batch", "sentences", "words", "question"))

        def upto(most: int, *shape: int) -> Tensor:
            return torch.randint(1, most + 1, shape, generator=generator)

        story = torch.randint(num_words, (rows, sentences, words), generator=generator)
        question = torch.randint(num_words, (rows, asked), generator=generator)
        return story, upto(words, rows, sentences), upto(sentences, rows), question, upto(asked, rows)

    forward = Program(
        "forward",
        "reads stories and questions: the logits of the answers",
        Forward(model),
        Forward(copied),
        (
            Port("story", INT, ("batch", "sentences", "words"), "word numbers by sentence, padding on the right"),
            Port("sentence_lengths", INT, ("batch", "sentences"), "how many words each sentence has"),
            Port("story_lengths", INT, ("batch",), "how many sentences each story has"),
            Port("question", INT, ("batch", "question"), "word numbers, padding on the right"),
            Port("question_lengths", INT, ("batch",), "how many words each question has"),
        ),
        (Port("logits", real, ("batch", num_answers), "scores of the answers; softmax makes them P"),),
        sample,
        cases=[
            {"batch": rows, "sentences": sentences, "words": words, "question": asked}
            for rows, sentences, words, asked in ((1, 1, 1, 1), (3, 1, 5, 2), (1, 6, 1, 4), (2, 4, 7, 5))
        ],
    )
    return Export("answer", [forward], {"step": "a story is read whole, in the light of the question"})


_PLANS: dict[type, Callable[[Any, Mapping[str, Any]], Export]] = {
    NextTokenModel: _language_model,
    Classifier: _classifier,
    Tagger: _tagger,
    Translator: _translator,
    Answerer: _answerer,
}


class _State:
    """A nested state as flat tensors and back.

    Args:
        make: the state before the first step, of a number of rows.
    """

    def __init__(self, make: Callable[[int], Any]) -> None:
        with torch.no_grad():
            self.leaves, self.structure = pytree.tree_flatten(make(1))
            for one, several in zip(self.leaves, pytree.tree_leaves(make(2)), strict=True):
                if not torch.equal(one.expand_as(several), several):
                    raise InputError("the initial state differs between the rows of a batch: it can't be exported")
        self.make = make

    def nested(self, tensors: Sequence[Tensor]) -> Any:
        """The state as the model takes it."""
        return pytree.tree_unflatten(list(tensors), self.structure)

    def flat(self, state: Any) -> tuple[Tensor, ...]:
        """Its tensors, one after the other."""
        return tuple(pytree.tree_leaves(state))

    def ports(self, names: Sequence[str]) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
        """The inputs and the outputs of these names."""
        sides = (("state", "the state before"), ("new", "the state after"))
        one, other = (
            tuple(
                Port(f"{prefix}_{name}", leaf.dtype, ("batch", *leaf.shape[1:]), text)
                for name, leaf in zip(names, self.leaves, strict=True)
            )
            for prefix, text in sides
        )
        return one, other

    def initial(self, ports: Sequence[Port]) -> dict[str, Tensor]:
        """One row of the state before the first step, by the names of the inputs."""
        return {port.name: leaf.detach().clone() for port, leaf in zip(ports, self.leaves, strict=True)}

    def sample(
        self, model: NextTokenModel, vocab_size: int, lengths: Sizes, generator: torch.Generator
    ) -> tuple[Tensor, ...]:
        """A state that the model reaches: values at random may be none, such as a sum that is to be positive."""
        tokens = torch.randint(vocab_size, (lengths["batch"], 3), generator=generator)
        with torch.no_grad():
            return self.flat(model(tokens, self.make(lengths["batch"]))[1])


def _state_names(encoder: object, state: _State, count: int | None = None) -> list[str]:
    """A name for each tensor of a state: ``layer0_h`` where it is an encoder's; the others are numbered."""
    total = len(state.leaves)
    count = total if count is None else count
    names: list[str] = []
    if isinstance(encoder, Encoder) and not encoder.bidirectional:
        for number, layer in enumerate(encoder.layers):
            names += [f"layer{number}_{name}" for name in typed(Recurrent, layer).cell.state_names]
    if len(names) != count or len(set(names)) != count or not all(name.isidentifier() for name in names):
        names = [f"part{number}" for number in range(count)]
    return names + [f"extra{number}" for number in range(total - count)]


def _apart(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Outputs that share memory neither with an input nor with one another, whose names in a file they would take."""
    return tuple(tensor.clone() for tensor in tensors)


def _real(model: nn.Module) -> torch.dtype:
    return next((each.dtype for each in model.parameters() if each.is_floating_point()), torch.float32)


def _tokens(name: str) -> Port:
    return Port(name, INT, ("batch", "time"), "token numbers; padding on the right, of any token")


def _row_lengths(name: str, axis: str) -> Port:
    return Port(name, INT, ("batch",), f"how many steps of each row count, from 0 to {axis}")


def _numbers(count: int, lengths: Sizes, generator: torch.Generator) -> Tensor:
    return torch.randint(count, (lengths["batch"], lengths["time"]), generator=generator)


def _lengths(lengths: Sizes, generator: torch.Generator) -> Tensor:
    """Lengths from 0 to T, with one row of each where there are rows enough."""
    drawn = torch.randint(1, lengths["time"] + 1, (lengths["batch"],), generator=generator)
    drawn[-1] = lengths["time"]
    if lengths["batch"] > 2:
        drawn[0] = 0
    return drawn


def _cases(axis: str, **others: int | None) -> list[dict[str, int]]:
    more = {name: length for name, length in others.items() if length is not None}
    return [{"batch": rows, axis: steps, **more} for rows, steps in _CASES]
