"""Taggers: ``forward`` reads whole sentences and chooses their tags, ``step`` reads a word of each row."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from seqlab.export.kinds.kind import Files, Kind
from seqlab.export.kinds.ports import (
    BOTH_DIRECTIONS,
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
from seqlab.nn import Tagger
from seqlab.nn.state import NestedState


def plan(model: Tagger, sizes: Mapping[str, Any]) -> Export:
    """The program ``forward`` of a tagger, and ``step`` if it can choose tags one by one."""
    copied = scanned(model)
    num_words, num_letters = int(sizes["vocab_size"]), sizes.get("num_characters")
    real = real_dtype(model)

    class Forward(Call):
        def forward(self, words: Tensor, lengths: Tensor, letters: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            characters, counts = letters or (None, None)
            emissions = self.model(words, characters, lengths, counts)
            return separate(emissions, self.model.decode(emissions, lengths))

    def sample(lengths: Sizes, generator: torch.Generator) -> Arguments:
        words = random_tokens(num_words, lengths, generator)
        if num_letters is None:
            return words, random_lengths(lengths, generator), ()
        shape = (lengths["batch"], lengths["time"], lengths["letters"])
        characters = torch.randint(num_letters, shape, generator=generator)
        counts = torch.randint(1, lengths["letters"] + 1, shape[:2], generator=generator)
        return words, random_lengths(lengths, generator), (characters, counts)

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
        (token_port("words"), lengths_port("lengths", "time"), letters),
        (emissions, tags),
        sample,
        cases=cases("time", letters=4 if letters else None),
    )
    if model.encoder.bidirectional:
        return Export("tagging", [forward], {"step": BOTH_DIRECTIONS})
    if model.head.crf is not None:
        return Export("tagging", [forward], {"step": "a CRF chooses the tags of a whole sentence at once"})

    def initial(rows: int) -> tuple[NestedState, ...]:
        return model.encoder.initial_state(rows, like=next(model.encoder.parameters()))

    state = State(initial)
    before, after = state.ports(state_names(model.encoder, state))

    class Step(Call):
        def forward(self, word: Tensor, letters: tuple[Tensor, ...], state_: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            seen = self.model.input(word.unsqueeze(1), *(each.unsqueeze(1) for each in letters))
            output, new = self.model.encoder(seen, state.nested(state_))
            return separate(self.model.head(output).squeeze(1), *state.flat(new))

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
        cases("time", letters=4 if letters else None),
    )
    return Export("tagging", [forward, step], initial=state.initial(before))


def use_files(model: Tagger, files: Files) -> None:
    """Puts the emissions of ``forward`` in the place of the model's, which chooses the tags from them."""

    def forward(words: Tensor, characters: Any = None, lengths: Any = None, counts: Any = None) -> Tensor:
        letters = () if characters is None else (characters, counts)
        return files["forward"](words, lengths, letters)[0].to(words.device)

    vars(model).update(forward=forward)


KIND = Kind(Tagger, plan, use_files)
