"""``seqlab states``: what a trained network's layers hold while it reads a text."""

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from seqlab.config import build
from seqlab.data.formats.text import plain_text
from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.files import is_file_name
from seqlab.inside.labels import LABELS, Label
from seqlab.inside.states import States
from seqlab.inside.units import UnitRanking, rank_units
from seqlab.nn import Encoder, Input, NextTokenModel
from seqlab.nn.models.generation import evaluation
from seqlab.nn.recording import LayerCall, record_states
from seqlab.report.output import save_picture
from seqlab.run.load import SavedRun

log = logging.getLogger("seqlab")

_MOST_UNKNOWN: Final = 10  # unknown tokens that a log line names


def states_of(run: SavedRun, text: str, *, model: nn.Module | None = None, gates: bool = True) -> States:
    """The states over time of a run's model while it reads a text.

    Args:
        run: the run.
        text: the text: of a language model a beginning, of another task an input as ``seqlab predict`` takes it.
        model: another model of the run's sizes; None: the run's best checkpoint.
        gates: whether gates are kept too.

    Raises:
        InputError: the text is empty, has tokens that the model can't read, or no recurrent layer reads its tokens.
    """
    text = plain_text(text)
    if model is None and is_file_name(text):
        log.warning("the text is %r, the name of a file: the name is read, and not what the file holds", text)
    model = run.model() if model is None else model
    labels, call = _reading(run, model, text)
    if not labels:
        raise InputError("the text is empty; give at least one token")
    with evaluation(model):
        calls = record_states(model, call, gates=gates)
    layers = _layers_of_text(model, calls)
    if not layers:
        raise InputError(
            f"{run.run_dir} holds a {type(model).__name__}, of which no recurrent layer reads the tokens of a text"
        )
    read = sum(int(each.lengths[0]) for each in next(iter(layers.values())))
    if read < len(labels):
        log.warning("the model reads the first %d of %d tokens", read, len(labels))
    try:
        return States.from_calls(labels[:read], layers)
    except ValueError as error:
        raise InputError(f"{run.run_dir}: its {type(model).__name__} reads no text token by token: {error}") from error


def _reading(run: SavedRun, model: nn.Module, text: str) -> tuple[list[str], Callable[[], object]]:
    """The tokens of a text, and what has the model read them."""
    vocabulary = run.vocabulary
    if isinstance(model, NextTokenModel):
        labels = _labels(vocabulary, text)
        tokens = torch.from_numpy(vocabulary.encode(text, "the text")).unsqueeze(0)
        if unknown := vocabulary.unknown(text):
            shown = ", ".join(map(repr, unknown[:_MOST_UNKNOWN])) + (", ..." if len(unknown) > _MOST_UNKNOWN else "")
            log.warning("%ss that the vocabulary lacks are read as <unk>: %s", vocabulary.unit, shown)
        return labels, lambda: model.features(tokens)
    task = build.task_class(run.config)
    answer = getattr(task, "predict", None)
    if answer is None:
        raise InputError(f"{run.run_dir} trained a {task.__name__}, which reads no text: it has no method predict")
    pieces = getattr(task, "pieces", None)
    labels = _labels(vocabulary, text) if pieces is None else pieces(text, vocabulary)
    names = inspect.signature(answer).parameters
    options = {name: value for name, value in run.config["task"].items() if name in names}
    return labels, lambda: answer(model, run.spec, run.vocabularies, [text], **options)


def _labels(vocabulary: Vocabulary, text: str) -> list[str]:
    """The tokens of a text as a reader knows them: of subwords their text, and not the letters that stand for bytes."""
    if vocabulary.unit != "subword":
        return vocabulary.pieces(text)
    return [vocabulary.decode([token]) for token in vocabulary.encode(text, "the text").tolist()]


def _layers_of_text(model: nn.Module, calls: dict[str, list[LayerCall]]) -> dict[str, list[LayerCall]]:
    """The layers that read the text's tokens: those of ``model.encoder``, or all but those of inputs.

    An input may hold layers too, over the letters of words; a decoder's layers read what it writes.
    """
    encoder = getattr(model, "encoder", None)
    if isinstance(encoder, Encoder):
        own = set(encoder.modules())
        return {name: each for name, each in calls.items() if model.get_submodule(name) in own}
    inputs = {part for module in model.modules() if isinstance(module, Input) for part in module.modules()}
    return {name: each for name, each in calls.items() if model.get_submodule(name) not in inputs}


def find_units(run: SavedRun, text: str, label: str | Label, **options: Any) -> UnitRanking:
    """The units of a run's model that follow a label, beside those of an untrained network.

    Args:
        run: the run.
        text: as in :func:`states_of`.
        label: one of :data:`seqlab.inside.LABELS`, or a function from the tokens to a number for each.
        **options: of :func:`seqlab.inside.rank_units`.

    Raises:
        InputError: as :func:`states_of` and :func:`seqlab.inside.rank_units` do, or there is no such label.
    """
    if isinstance(label, str):
        if label not in LABELS:
            raise InputError(f"label {label!r}: expected {', '.join(LABELS)}, or a function of one's own")
        label = LABELS[label]
    options.setdefault("name", getattr(label, "__name__", "label"))
    gates = options.get("parts") is not None
    states = states_of(run, text, gates=gates)
    labels = label(states.labels)
    ranking = rank_units(states, labels, **options)
    untrained = states_of(run, text, model=untrained_model(run, options.get("seed", 0)), gates=gates)
    return replace(ranking, untrained=rank_units(untrained, labels, **options))


def untrained_model(run: SavedRun, seed: int = 0) -> nn.Module:
    """A model of a run's configuration with the weights that training would begin from under another seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build.build_model(run.config, run.spec).eval()


def draw(run: SavedRun, text: str, output: Path, **options: Any) -> States:
    """Writes a heat map of a text's states into a file.

    Args:
        run: as in :func:`states_of`.
        text: as in :func:`states_of`.
        output: the file; its ending says the format.
        **options: of :meth:`seqlab.inside.States.figure`.

    Raises:
        InputError: as :func:`states_of` and the figure do.
    """
    states = states_of(run, text)
    save_picture("--output", output, states.figure(**options))
    return states


def parse_units(text: str | None) -> Sequence[int] | None:
    """``3,17`` as numbers; None stays None.

    Raises:
        InputError: it is no list of whole numbers.

    Example:
        >>> parse_units("3, 17")
        [3, 17]
    """
    if text is None:
        return None
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise InputError(f"--units {text!r}: expected numbers from 0 with commas between, such as 3,17") from error
