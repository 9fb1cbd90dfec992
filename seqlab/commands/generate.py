"""``seqlab generate`` and ``seqlab complete``: text from a trained language model."""

import logging
import math
import re
from typing import Final

import torch

from seqlab.data.core.options import check_seed, check_whole_number
from seqlab.data.formats.text import plain_text
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.files import is_file_name
from seqlab.nn.models.generation import Sampling, beam_search
from seqlab.nn.models.generation import generate as generate_tokens
from seqlab.run.load import SavedRun

log = logging.getLogger("seqlab")

_WIDTH: Final = 256  # the fewest unfinished continuations that ``complete`` follows at a time
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

    Args:
        run: a run of a language model.
        prompt: the text to continue.
        max_new_tokens: the most tokens to add.
        sampling: how the next token is drawn; None: from the whole distribution.
        num_samples: the number of texts.
        seed: of the random draws.

    Raises:
        InputError: the prompt is empty or has characters that the vocabulary lacks, or an option is out of range.
    """
    check_whole_number("max_new_tokens", max_new_tokens, 1)
    check_whole_number("num_samples", num_samples, 1)
    check_seed("seed", seed)
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
    """The likeliest continuations of ``text`` by ``num_words`` words, each with its probability.

    A model over characters or subwords may first finish the text's last word. The probability includes the boundary
    after the continuation, which shows that its last word has ended. Continuations with an unknown word are left out.

    Args:
        run: a run of a language model.
        text: the text to continue.
        count: the most continuations.
        num_words: the words of each continuation.

    Raises:
        InputError: the text is empty or has characters that the vocabulary lacks, or a number is below 1.
    """
    check_whole_number("count", count, 1)
    check_whole_number("num_words", num_words, 1)
    text = read_prompt(text)
    start = encode_prompt(run.vocabulary, text)
    by_word = run.vocabulary.unit == "word"
    prefix = run.vocabulary.decode(start)

    def continuation(tokens: tuple[int, ...]) -> str:
        return run.vocabulary.decode([*start, *tokens])[len(prefix) :]

    def is_finished(tokens: tuple[int, ...]) -> bool:
        added = continuation(tokens)
        words = list(_WORD.finditer(added))
        if by_word or len(words) != num_words:
            return len(words) >= num_words
        return added[words[-1].end() :] not in ("", "'", "\u2019")  # after an apostrophe the word may go on

    max_new_tokens = 4 * num_words if by_word else 20 * num_words
    width = max(_WIDTH, 4 * count)
    # All that come to their end are kept, however few are asked for: what follows a word, too, is summed over.
    kept = width * max_new_tokens
    beams = beam_search(
        run.language_model(), start, is_finished, count=kept, width=width, max_new_tokens=max_new_tokens
    )
    probabilities: dict[str, float] = {}
    for tokens, log_probability in beams:
        if run.vocabulary.unknown_id in tokens:
            continue
        added = continuation(tokens)
        if by_word and text[-1].isspace():
            added = added.lstrip(" ")  # the text has the space that joins words already
        if words := list(_WORD.finditer(added))[:num_words]:
            added = added[: words[-1].end()]
        # The same words come before a comma and before a space: their probabilities add up.
        probabilities[added] = probabilities.get(added, 0.0) + math.exp(log_probability)
    return sorted(probabilities.items(), key=lambda item: -item[1])[:count]


def read_prompt(prompt: str) -> str:
    """A prompt, normalised as the text of a file is.

    Raises:
        InputError: it has bytes that are not UTF-8.
    """
    if any("\ud800" <= character <= "\udfff" for character in prompt):  # Python's stand-in for a byte it can't decode
        raise InputError("the prompt has bytes that are not UTF-8; give it in UTF-8")
    return plain_text(prompt)


def encode_prompt(vocabulary: Vocabulary, prompt: str) -> list[int]:
    """The tokens of a prompt, normalised as the text of a file is.

    Raises:
        InputError: the prompt has no token, or characters or words that the vocabulary lacks.
    """
    prompt = read_prompt(prompt)
    if is_file_name(prompt):
        log.warning("the prompt is %r, the name of a file: the name is continued, and not what the file holds", prompt)
    if not vocabulary.pieces(prompt):
        raise InputError("the prompt is empty; give at least one character, such as --prompt 'In the '")
    if unknown := vocabulary.unknown(prompt):
        raise InputError(
            f"the prompt has {vocabulary.unit}s that the model's vocabulary of {len(vocabulary)} lacks: "
            + ", ".join(map(repr, unknown))
        )
    return [int(token) for token in vocabulary.encode(prompt)]
