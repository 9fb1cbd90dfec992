"""A function for each file of ``conf/data`` with recordings: from flat keys to a source and a data module."""

import os
from typing import Any

from seqlab.data.core.options import from_options, published_folder, take
from seqlab.data.formats.paths import Files
from seqlab.data.transcription.features import LogMel
from seqlab.data.transcription.module import TranscriptionData
from seqlab.data.transcription.sources import Recordings, SpokenDigits
from seqlab.data.transcription.spoken import SyntheticDigits


def synthetic_digits_data(rate: int = 8000, **options: Any) -> TranscriptionData:
    """``data=synthetic_digits``: strings of digits spoken by a synthesiser.

    Args:
        rate: samples a second.
        **options: of ``SyntheticDigits``, ``LogMel``, ``TranscriptionData`` and its parts.
    """
    options["rate"] = rate
    return _of(take(SyntheticDigits, options), rate, options)


def spoken_digits_data(root: str | os.PathLike[str] | None = None, **options: Any) -> TranscriptionData:
    """``data=spoken_digits``: the Free Spoken Digit Dataset, ``fsdd/fsdd_recordings.tar.gz`` under ``root``.

    Args:
        root: the folder of published data.
        **options: of ``SpokenDigits``, ``LogMel``, ``TranscriptionData`` and its parts.

    Raises:
        InputError: ``root`` is not given, or the archive is missing.
    """
    archive = published_folder(root, "spoken_digits", "fsdd", "fsdd_recordings.tar.gz") / "fsdd_recordings.tar.gz"
    return _of(take(SpokenDigits, options, archive), SpokenDigits.rate, options)


def recordings_data(rate: int = 16000, encoding: str = "utf-8", **options: Any) -> TranscriptionData:
    """``data=recordings``: the user's own wav files, with a table of what is said in them.

    Args:
        rate: samples a second; recordings of another rate are changed to it.
        encoding: of the table.
        **options: of ``Files``, ``Recordings``, ``LogMel``, ``TranscriptionData`` and its parts.

    Raises:
        InputError: no file is given, or an option is wrong.
    """
    files = take(Files, options)
    options |= {"rate": rate, "encoding": encoding}
    return _of(take(Recordings, options, files), rate, options)


def _of(source: Any, rate: int, options: dict[str, Any]) -> TranscriptionData:
    options["rate"] = rate
    return from_options(TranscriptionData, source, take(LogMel, options), **options)
