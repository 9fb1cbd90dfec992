"""``seqlab generate`` and ``seqlab complete``: text from a trained language model."""

import math
import re

import torch

from seqlab.data.formats.text import plain_text
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.nn.models.generation import Sampling, beam_search
from seqlab.nn.models.generation import generate as generate_tokens
from seqlab.run.load import SavedRun

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")


def generate(
    run: SavedRun,
    prompt: str,
    max_new_tokens: int = 200,
    sampling: Sampling = Sampling(),
    num_samples: int = 1,
    seed: int = 0,
) -> list[str]:
    """Continues ``prompt`` with a run's best checkpoint; each text begins with the prompt.

    Raises:
        InputError: for a prompt that is empty or holds characters the vocabulary lacks, or a sampling option out of
            range.
    """
    start = encode_prompt(run.vocabulary, prompt)
    try:
        tokens = generate_tokens(
            run.language_model(),
            start,
            max_new_tokens,
            sampling,
            num_samples=num_samples,
            generator=torch.Generator().manual_seed(seed),
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    return [run.vocabulary.decode([*start, *row]) for row in tokens.tolist()]


def complete(run: SavedRun, text: str, count: int = 10, num_words: int = 1) -> list[tuple[str, float]]:
    """The likeliest continuations of ``text`` to the end of ``num_words`` words, each with its probability.

    A model over characters or subwords may first finish the text's last word. The probability is that of the
    continuation with the boundary after it, which tells that its last word has ended. What would hold an unknown word
    is left out.

    Raises:
        InputError: for a text that is empty or holds characters the vocabulary lacks.
    """
    text = read_prompt(text)
    start = encode_prompt(run.vocabulary, text)
    by_word = run.vocabulary.unit == "word"
    known = run.vocabulary.decode(start)

    def continuation(tokens: tuple[int, ...]) -> str:
        return run.vocabulary.decode([*start, *tokens])[len(known) :]

    def finished(tokens: tuple[int, ...]) -> bool:
        shown = continuation(tokens)
        words = list(_WORD.finditer(shown))
        if by_word or len(words) != num_words:
            return len(words) >= num_words
        return shown[words[-1].end() :] not in ("", "'", "\u2019")  # after an apostrophe the word may go on

    found: dict[str, float] = {}
    longest = 4 * num_words if by_word else 20 * num_words
    likeliest = beam_search(
        run.language_model(), start, finished, count=4 * count, width=max(64, 4 * count), max_new_tokens=longest
    )
    for tokens, log_probability in likeliest:
        if run.vocabulary.unknown_id in tokens:
            continue
        shown = continuation(tokens)
        if by_word and text[-1].isspace():
            shown = shown.lstrip(" ")  # the space that joins words is there already
        if words := list(_WORD.finditer(shown))[:num_words]:
            shown = shown[: words[-1].end()]
        # Summed, for the same words come before a comma and before a space.
        found[shown] = found.get(shown, 0.0) + math.exp(log_probability)
    return sorted(found.items(), key=lambda item: -item[1])[:count]


def read_prompt(prompt: str) -> str:
    """A prompt as a file of it would be read.

    Raises:
        InputError: it has bytes that are not UTF-8.
    """
    if any("\ud800" <= character <= "\udfff" for character in prompt):  # so Python holds a byte that it can't decode
        raise InputError("the prompt has bytes that are not UTF-8; give it in UTF-8")
    return plain_text(prompt)


def encode_prompt(vocabulary: Vocabulary, prompt: str) -> list[int]:
    """The tokens of a prompt that is read as a file of it would be; refuses one without a token and names what the
    vocabulary lacks."""
    prompt = read_prompt(prompt)
    if not vocabulary.pieces(prompt):
        raise InputError("the prompt is empty; give at least one character, such as --prompt 'In the '")
    if unknown := vocabulary.unknown(prompt):
        named = ", ".join(map(repr, unknown))
        raise InputError(
            f"the prompt has {vocabulary.unit}s that the model's vocabulary of {len(vocabulary)} lacks: {named}"
        )
    return [int(token) for token in vocabulary.encode(prompt)]
