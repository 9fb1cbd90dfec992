"""``seqlab predict``: a trained model's answers to new input."""

import inspect
import logging
import os
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from seqlab.config import build
from seqlab.data.formats.blanks import is_blank
from seqlab.data.formats.tables import without_surrogates
from seqlab.data.formats.text import plain_text, read_lines
from seqlab.data.vocabulary.base import UNKNOWN, Vocabulary
from seqlab.errors import InputError
from seqlab.files import is_file_name
from seqlab.nn import NextTokenModel
from seqlab.run.load import SavedRun
from seqlab.tasks import Prediction

log = logging.getLogger("seqlab")

MOST_CHARACTERS: Final = 1 << 15
"""The most characters of a chunk of inputs, padding included; a longer input is a chunk by itself."""

MOST_INPUTS: Final = 256
"""The most inputs of a chunk."""

_MAX_WARNINGS: Final = 10  # log lines for inputs without a known token; one more line has the number of all
_TABLES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
_NUMBER_IN_ERROR: Final = re.compile(r"^text (\d+)\b")  # how a task's errors name an input


class Input(NamedTuple):
    """A text, and its place in messages: ``text 2`` or ``file:line``."""

    text: str
    place: str


def predict(run: SavedRun, inputs: Sequence[str | os.PathLike[str]], file: Path | None = None) -> list[Prediction]:
    """The answers of a run's best checkpoint to new input, by its task's own ``predict``.

    Inputs of like lengths share a chunk, so that little is padded. A log line names an input without a token that the
    model knows.

    Args:
        run: the run.
        inputs: texts; or files, where the run's data are numbers (``Spec.reads_files``).
        file: a file of further texts, one a line, in the encoding of the run's own data; or one more file.

    Returns:
        An answer for each input, in their order; those of the file last.

    Raises:
        InputError: there is no input, an input is empty, is no text, or names a file where texts are expected, or the
            task answers none.
    """
    task = build.task_class(run.config)
    answer = getattr(task, "predict", None)
    if answer is None:
        is_text = isinstance(run.model(), NextTokenModel)
        what = "continues text: use seqlab generate or complete" if is_text else "has no predict: write that method"
        raise InputError(f"{run.run_dir} trained a {task.__name__}, which {what}")
    _check_types(inputs)
    if run.spec.reads_files:
        return _predict_files(run, answer, inputs, file)
    all_inputs = inputs_of(_texts(inputs), file, run.config["data"].get("encoding") or "utf-8")
    if not all_inputs:
        raise InputError("there is nothing to predict; give a text, such as seqlab predict RUN_DIR 'a text', or --file")
    options = options_of(run, answer)
    model = run.model()

    def ask(texts: list[str]) -> list[Prediction]:
        answers: list[Prediction] = answer(model, run.spec, run.vocabularies, texts, **options)
        return answers

    answers = predict_in_chunks(ask, all_inputs)
    reads_letters = "characters" in run.vocabularies and getattr(run.spec, "num_characters", None) is not None
    pieces_of = getattr(task, "pieces", None) or _pieces
    pieces = [pieces_of(each.text, run.vocabulary) for each in all_inputs]
    _warn_of_unknown(all_inputs, answers, pieces, run.vocabulary, reads_letters)
    return answers


def _check_types(inputs: Sequence[object]) -> None:
    for number, each in enumerate(inputs, start=1):
        if not isinstance(each, (str, os.PathLike)):
            mend = "give each input as an argument of its own, those of a list by run.predict(*items)"
            raise InputError(
                f"input {number}: expected a text or the name of a file, got {type(each).__name__}; {mend}"
            )


def _texts(inputs: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The inputs, none of which names a file: its name would be answered, and not what it holds."""
    texts = []
    for number, each in enumerate(inputs, start=1):
        if isinstance(each, os.PathLike) or is_file_name(each):
            name = os.fspath(each)
            mend = f"to have each of its lines read, give --file {shlex.quote(name)}"
            raise InputError(f"text {number} is {name!r}, the name of a file; {mend}")
        texts.append(each)
    return texts


def _predict_files(
    run: SavedRun, answer: Callable[..., Any], files: Sequence[str | os.PathLike[str]], file: Path | None
) -> list[Prediction]:
    """The answers to what files hold, read as those of training were; ``file`` is one more of them."""
    paths = [Path(each).expanduser() for each in files] + ([] if file is None else [file])
    if not paths:
        raise InputError("there is nothing to predict; give a file like those of training: seqlab predict RUN_DIR FILE")
    for path in paths:
        if not (path.is_file() or (path.is_dir() and run.spec.reads_folders)):
            is_text = not path.exists() and len(path.parts) == 1 and not path.suffix
            mend = "; this model reads files, not text" if is_text else ""
            raise InputError(f"{path} is {'a folder' if path.is_dir() else 'not there'}; give a file{mend}")
    try:
        inputs = [each for path in paths for each in run.spec.read_inputs(path)]
    except InputError as error:
        raise InputError(_without_keys(str(error), run.config["data"].get("encoding") or "utf-8")) from error
    answers: list[Prediction] = answer(run.model(), run.spec, run.vocabularies, inputs, **options_of(run, answer))
    return answers


def options_of(run: SavedRun, function: Callable[..., Any]) -> dict[str, Any]:
    """The keys of a run's task that are arguments of a function of its class, such as ``predict``."""
    parameters = inspect.signature(function).parameters
    return {name: value for name, value in run.config["task"].items() if name in parameters}


def inputs_of(texts: Sequence[str], file: Path | None, encoding: str = "utf-8") -> list[Input]:
    """The texts of a command line, then the lines of a file.

    In a text of the command line, a byte that is no UTF-8 becomes U+FFFD, with a log line.

    Raises:
        InputError: a text is empty, the file cannot be read, or a line of it is empty; names the file and line.
    """
    inputs = []
    for number, text in enumerate(texts, start=1):
        whole, replaced = without_surrogates(text)  # Python's stand-in for a byte that it can't decode
        if replaced:
            log.warning("text %d: characters that are no UTF-8 are read as U+FFFD: %d", number, replaced)
        if whole.strip() and is_blank(whole):
            raise InputError(f"text {number} is empty: there is nothing in it that can be seen; leave it out")
        inputs.append(Input(plain_text(whole), f"text {number}"))
    try:
        lines = [] if file is None else read_lines(file, encoding)
    except InputError as error:
        raise InputError(_without_keys(str(error), encoding)) from error
    if file is not None and file.name.lower().removesuffix(".gz").endswith(_TABLES):
        log.warning("%s: each line is one text as it stands, names and values of columns too", file)
    for number, line in enumerate(lines, start=1):
        if is_blank(line):
            raise InputError(f"{file}:{number}: the text is empty; remove the line")
        inputs.append(Input(line, f"{file}:{number}"))
    return inputs


def _without_keys(message: str, encoding: str) -> str:
    """What is wrong with a file, with a mend that names no key of training's data, which predict does not take.

    Args:
        message: the message, as in training.
        encoding: of the run's own data.

    Example:
        >>> _without_keys("a.fa:2: 'R' is ambiguous (A/G); give data.ambiguous=n to read such codes as N", "utf-8")
        "a.fa:2: 'R' is ambiguous (A/G); files are read as training read its own: change this one"
    """
    if "data.encoding=" in message:
        what = re.split(r"[;:] [^;:]*data\.encoding=", message)[0]
        return f"{what}; the run's data is {encoding}: convert the file to that"
    what, *mend = re.split(r"(?:[;:] give|, or) data\.", message)
    return f"{what}; files are read as training read its own: change this one" if mend else message


def predict_in_chunks(ask: Callable[[list[str]], list[Prediction]], inputs: Sequence[Input]) -> list[Prediction]:
    """The answers of ``ask`` to each input, in chunks of inputs of like lengths.

    Raises:
        InputError: as ``ask`` does, with an input's place instead of its number in the chunk.
    """
    answers: dict[int, Prediction] = {}
    for numbers in chunks([len(each.text) for each in inputs]):
        places = [inputs[number].place for number in numbers]
        try:
            chunk = ask([inputs[number].text for number in numbers])
        except InputError as error:
            match = _NUMBER_IN_ERROR.match(str(error))
            if match is None:
                raise
            raise InputError(places[int(match[1]) - 1] + str(error)[match.end() :]) from error
        answers.update(zip(numbers, chunk, strict=True))
    return [answers[number] for number in range(len(inputs))]


def chunks(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The numbers of the inputs of each chunk, shorter inputs first.

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


def _warn_of_unknown(
    inputs: Sequence[Input],
    answers: Sequence[Prediction],
    pieces: Sequence[Sequence[str]],
    vocabulary: Vocabulary,
    reads_letters: bool,
) -> None:
    """Warns of inputs without a token that the model knows: its answer to all of these is the same."""
    warnings = 0
    for each, answer, tokens in zip(inputs, answers, pieces, strict=True):
        words = [token for token in tokens if any(map(str.isalnum, token))]
        distinct = dict.fromkeys(words or tokens)  # a known full stop does not make an unknown word known
        if any(token in vocabulary.index and token != UNKNOWN for token in distinct):
            continue
        answer.values["note"] = f"no known {vocabulary.unit}"
        warnings += 1
        if warnings <= _MAX_WARNINGS:
            log.warning(
                "%s: the model's vocabulary of %d has none of its %ss: %s; %s",
                each.place,
                len(vocabulary),
                vocabulary.unit,
                ", ".join(map(repr, list(distinct)[:5])) + (", ..." if len(distinct) > 5 else ""),
                "it is read by its letters alone" if reads_letters else "its answer says nothing about it",
            )
    if warnings > _MAX_WARNINGS:
        log.warning("%d inputs in all have no %s that the model knows", warnings, vocabulary.unit)
