"""``seqlab predict``: a trained model's answers to new input."""

import inspect
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from seqlab.config import build
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.tables import without_surrogates
from seqlab.data.formats.text import plain_text, read_lines
from seqlab.data.vocabulary.base import UNKNOWN, Vocabulary
from seqlab.errors import InputError
from seqlab.run.load import SavedRun
from seqlab.tasks import Prediction

log = logging.getLogger("seqlab")

MOST_CHARACTERS: Final = 1 << 15
"""The most characters that a chunk of inputs holds, padding counted; a longer input is a chunk by itself."""

MOST_INPUTS: Final = 256
"""The most inputs of a chunk."""

_TOLD: Final = 10  # inputs of which each is told that it has no known token; of more their number
_TABLES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
_NUMBERED: Final = re.compile(r"^text (\d+)\b")  # how a task's errors name an input


class Input(NamedTuple):
    """A text that is asked about, and where it stands, for messages: ``text 2`` or ``file:line``."""

    text: str
    place: str


def predict(run: SavedRun, inputs: Sequence[str], file: Path | None = None) -> list[Prediction]:
    """What the best checkpoint of a run answers to each input, by its task's own ``predict``; then to each line of a
    file, read as the run's own data was.

    Inputs of like lengths are asked about together, so that a long one is not what all others are padded to; the
    answers come in the order of the inputs. An input without a token that the model knows is told in a log line.

    Raises:
        InputError: there is no input, it is empty, or the task answers none.
    """
    task = build.task_class(run.config)
    answer = getattr(task, "predict", None)
    if answer is None:
        raise InputError(
            f"{run.run_dir} trained a {task.__name__}, which continues text: use seqlab generate or complete"
        )
    asked = inputs_of(inputs, file, run.config["data"].get("encoding") or "utf-8")
    if not asked:
        raise InputError("there is nothing to predict; give a text, such as seqlab predict RUN_DIR 'a text', or --file")
    known = inspect.signature(answer).parameters  # of the task's options those that its answers depend on
    options = {name: value for name, value in run.config["task"].items() if name in known}
    model = run.model()

    def ask(texts: list[str]) -> list[Prediction]:
        found: list[Prediction] = answer(model, run.spec, run.vocabularies, texts, **options)
        return found

    found = predict_in_chunks(ask, asked)
    letters = "characters" in run.vocabularies and getattr(run.spec, "num_characters", None) is not None
    pieces = getattr(task, "pieces", None) or _pieces
    _tell_unknown(asked, found, [pieces(one.text, run.vocabulary) for one in asked], run.vocabulary, letters)
    return found


def inputs_of(given: Sequence[str], file: Path | None, encoding: str = "utf-8") -> list[Input]:
    """The inputs of a command line and those of a file's lines. A byte that is no UTF-8 in a command line reads as
    U+FFFD, with a log line.

    Raises:
        InputError: the file cannot be read, or a line of it is empty; names file and line.
    """
    found = []
    for number, text in enumerate(given, start=1):
        whole, replaced = without_surrogates(text)  # Python holds such a byte as a lone surrogate
        if replaced:
            log.warning("text %d: characters that are no UTF-8 are read as U+FFFD: %d", number, replaced)
        if whole.strip() and is_blank(whole):
            raise InputError(f"text {number} is empty: there is nothing in it that can be seen")
        found.append(Input(plain_text(whole), f"text {number}"))
    try:
        lines = [] if file is None else read_lines(file, encoding)
    except InputError as error:
        if "data.encoding" in str(error):  # an option of the run's data, which predict keeps
            raise InputError(f"{error}; here it is that of the run's data, {encoding}: convert the file") from error
        raise
    if file is not None and file.name.lower().removesuffix(".gz").endswith(_TABLES):
        log.warning("%s: each line is one text as it stands, names and values of columns too", file)
    for number, line in enumerate(lines, start=1):
        if is_blank(line):
            raise InputError(f"{file}:{number}: the text is empty")
        found.append(Input(line, f"{file}:{number}"))
    return found


def predict_in_chunks(ask: Callable[[list[str]], list[Prediction]], inputs: Sequence[Input]) -> list[Prediction]:
    """What ``ask`` answers to each input, asked about chunks of inputs of like lengths.

    Raises:
        InputError: as ``ask`` does; an input's number in its chunk is replaced by its place.
    """
    answers: dict[int, Prediction] = {}
    for numbers in chunks([len(one.text) for one in inputs]):
        places = [inputs[number].place for number in numbers]
        try:
            found = ask([inputs[number].text for number in numbers])
        except InputError as error:
            numbered = _NUMBERED.match(str(error))
            if numbered is None:
                raise
            raise InputError(places[int(numbered[1]) - 1] + str(error)[numbered.end() :]) from error
        answers.update(zip(numbers, found, strict=True))
    return [answers[number] for number in range(len(inputs))]


def chunks(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The numbers of inputs of these lengths in chunks, shorter ones first.

    Example:
        >>> list(chunks([5, 40_000, 7, 6]))
        [[0, 3, 2], [1]]
    """
    chunk: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: lengths[number]):
        if chunk and (len(chunk) == MOST_INPUTS or (len(chunk) + 1) * lengths[number] > MOST_CHARACTERS):
            yield chunk
            chunk = []
        chunk.append(number)
    if chunk:
        yield chunk


def _pieces(text: str, vocabulary: Vocabulary) -> list[str]:
    return vocabulary.pieces(text)


def _tell_unknown(
    inputs: Sequence[Input],
    answers: Sequence[Prediction],
    pieces: Sequence[Sequence[str]],
    vocabulary: Vocabulary,
    letters: bool,
) -> None:
    """Says of which inputs the model knows no token: its answer to them is the same whatever they are."""
    told = 0
    for one, answer, tokens in zip(inputs, answers, pieces, strict=True):
        words = [token for token in tokens if any(map(str.isalnum, token))]
        distinct = dict.fromkeys(words or tokens)  # a full stop that is known says nothing about unknown words
        if any(token in vocabulary.index and token != UNKNOWN for token in distinct):
            continue
        answer.values["note"] = f"no known {vocabulary.unit}"
        told += 1
        if told <= _TOLD:
            log.warning(
                "%s: the model's vocabulary of %d has none of its %ss: %s; %s",
                one.place,
                len(vocabulary),
                vocabulary.unit,
                ", ".join(map(repr, list(distinct)[:5])) + (", ..." if len(distinct) > 5 else ""),
                "it is read by its letters alone" if letters else "its answer says nothing about it",
            )
    if told > _TOLD:
        log.warning("%d inputs in all have no %s that the model knows", told, vocabulary.unit)
