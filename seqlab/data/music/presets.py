"""A function for each file of ``conf/data`` with music: from flat keys to a source and a data module."""

import os
from typing import Any

from seqlab.data.core.options import from_options, published_folder, take
from seqlab.data.formats.paths import Files
from seqlab.data.music.generated import Canon
from seqlab.data.music.module import MusicData
from seqlab.data.music.sources import Chorales, MidiFiles, PianoRolls


def canon_data(**options: Any) -> MusicData:
    """``data=canon``: canons in two voices.

    Args:
        **options: of ``Canon``, ``MusicData`` and ``Windows``.
    """
    return from_options(MusicData, take(Canon, options), **options)


def chorales_data(**options: Any) -> MusicData:
    """``data=chorales``: Bach's chorales, which come with music21.

    Args:
        **options: of ``Chorales``, ``MusicData`` and ``Windows``.
    """
    return from_options(MusicData, take(Chorales, options), **options)


def midi_data(**options: Any) -> MusicData:
    """``data=midi``: the user's own MIDI files.

    Args:
        **options: of ``Files``, ``MidiFiles``, ``Cut``, ``MusicData`` and ``Windows``.

    Raises:
        InputError: no file is given, or an option is wrong.
    """
    files = take(Files, options)
    return from_options(MusicData, take(MidiFiles, options, files), **options)


def rolls_data(root: str | os.PathLike[str] | None = None, name: str = "JSB_Chorales", **options: Any) -> MusicData:
    """``data=piano_rolls``: published piano rolls, ``music/NAME.mat`` under ``root``.

    Args:
        root: the folder of published data.
        name: JSB_Chorales or Nottingham.
        **options: of ``MusicData`` and ``Windows``.

    Raises:
        InputError: ``root`` is not given, or the file is missing.
    """
    file = published_folder(root, "piano_rolls", "music", f"{name}.mat") / f"{name}.mat"
    return from_options(MusicData, PianoRolls(file), **options)
