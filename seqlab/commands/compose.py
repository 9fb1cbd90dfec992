"""``seqlab generate`` for music: pieces as MIDI files and pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from seqlab.callbacks.piano_rolls import draw_roll
from seqlab.config import build
from seqlab.data.core.batch import SPLITS
from seqlab.data.core.options import check_seed
from seqlab.data.formats.midi import write_midi
from seqlab.data.music.batch import MusicSpec
from seqlab.errors import InputError
from seqlab.nn.models.frame_model import FrameModel, compose
from seqlab.nn.models.generation import evaluation
from seqlab.run.load import SavedRun

PROMPT_FRAMES: Final = 8
"""The frames that are taken of a piece as a prompt."""


def is_music(run: SavedRun) -> bool:
    """Whether a run's model writes music."""
    return isinstance(run.spec, MusicSpec)


def write_pieces(
    run: SavedRun,
    prompt: str | None,
    folder: Path,
    num_frames: int = 200,
    temperature: float = 1.0,
    num_samples: int = 1,
    seed: int = 0,
) -> list[Path]:
    """Writes pieces that the model composes, each as a MIDI file and as a picture of its piano roll.

    Args:
        run: a run of music.
        prompt: a MIDI file, whose first frames each piece begins with; or "train", "validation" or "test", for the
            first frames of that split's pieces, one after the other. None: "test".
        folder: the folder to write to; no file in it is replaced.
        num_frames: the frames to add.
        temperature: below 1, likely notes are likelier still.
        num_samples: how many pieces.
        seed: of the random draws.

    Returns:
        The MIDI files.

    Raises:
        InputError: the prompt cannot be read, a file is there already, or a number is out of range.
    """
    assert isinstance(run.spec, MusicSpec)
    starts = _starts(run, run.spec, prompt or "test", num_samples)
    names = [folder / f"piece-{number}" for number in range(1, num_samples + 1)]
    for file in (name.with_suffix(ending) for name in names for ending in (".mid", ".png")):
        if file.exists():
            raise InputError(f"{file} is there already; give another --output")
    model = run.model()
    assert isinstance(model, FrameModel)
    draws = torch.Generator().manual_seed(check_seed("seed", seed))
    files = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, start in zip(names, starts, strict=True):
        try:
            with evaluation(model):
                (frames,) = compose(model, torch.from_numpy(start), num_frames, temperature, generator=draws)
        except ValueError as error:
            raise InputError(str(error)) from error
        roll = frames.numpy().astype(np.uint8)
        write_midi(roll, name.with_suffix(".mid"), run.spec.steps_per_quarter, run.spec.keys)
        draw_roll(roll, run.spec.keys, len(start)).savefig(name.with_suffix(".png"), dpi=120)
        files.append(name.with_suffix(".mid"))
    return files


def _starts(run: SavedRun, spec: MusicSpec, prompt: str, count: int) -> Sequence[NDArray[np.uint8]]:
    """The first frames of each piece."""
    if prompt in SPLITS:
        data: Any = build.build_data(run.config)
        pieces = data.pieces[prompt]
        return [pieces[number % len(pieces)].roll[:PROMPT_FRAMES] for number in range(count)]
    ((_, roll),) = spec.read_inputs(Path(prompt).expanduser())
    return [roll[:PROMPT_FRAMES]] * count
