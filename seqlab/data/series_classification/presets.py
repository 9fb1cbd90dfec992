"""A function for each file of ``conf/data`` with labelled sequences: from flat keys to a source and a data module."""

from typing import Any

from seqlab.data.core.options import from_options, take
from seqlab.data.formats.paths import Paths
from seqlab.data.series_classification.archive import ArchiveSeries
from seqlab.data.series_classification.digits import DigitPixels, MovingDigits
from seqlab.data.series_classification.generated import Waveforms
from seqlab.data.series_classification.module import SeriesClassData
from seqlab.data.series_classification.sources import ClipFiles, LabelledSeriesFiles


def labelled_series_data(path: Paths | None = None, **options: Any) -> SeriesClassData:
    """``data=labelled_series``: the user's own series in csv, tsv, parquet, npy or ts.

    Args:
        path: a file, a pattern or a list of these, which is cut into three splits.
        **options: of ``LabelledSeriesFiles``, ``SeriesFormat``, ``SeriesClassData`` and its parts.

    Raises:
        InputError: no file is given, or an option is wrong.
    """
    options["path"] = path
    return from_options(SeriesClassData, take(LabelledSeriesFiles, options), **options)


def clips_data(path: Paths | None = None, **options: Any) -> SeriesClassData:
    """``data=clips``: the user's own clips, which a table names.

    Args:
        path: a table, a pattern or a list of these, which is cut into three splits.
        **options: of ``ClipFiles``, ``ClipFormat``, ``SeriesClassData`` and its parts.

    Raises:
        InputError: no file is given, or an option is wrong.
    """
    options["path"] = path
    return from_options(SeriesClassData, take(ClipFiles, options), **options)


def waveforms_data(**options: Any) -> SeriesClassData:
    """``data=waveforms``: the waveforms of Breiman et al. (1984).

    Args:
        **options: of ``Waveforms``, ``SeriesClassData`` and its parts.
    """
    return from_options(SeriesClassData, take(Waveforms, options), **options)


def basic_motions_data(**options: Any) -> SeriesClassData:
    """``data=basic_motions``: four motions by a watch's sensors.

    Args:
        **options: of ``ArchiveSeries``, ``SeriesClassData`` and its parts.
    """
    return from_options(SeriesClassData, take(ArchiveSeries, options, "basic_motions"), **options)


def gunpoint_data(**options: Any) -> SeriesClassData:
    """``data=gunpoint``: two motions by the place of a hand.

    Args:
        **options: of ``ArchiveSeries``, ``SeriesClassData`` and its parts.
    """
    return from_options(SeriesClassData, take(ArchiveSeries, options, "gunpoint"), **options)


def digit_pixels_data(**options: Any) -> SeriesClassData:
    """``data=digit_pixels``: images of digits, pixel by pixel.

    Args:
        **options: of ``DigitPixels``, ``SeriesClassData`` and its parts.
    """
    return from_options(SeriesClassData, take(DigitPixels, options), **options)


def moving_digits_data(**options: Any) -> SeriesClassData:
    """``data=moving_digits``: clips of digits on a ring.

    Args:
        **options: of ``MovingDigits``, ``SeriesClassData`` and its parts.
    """
    return from_options(SeriesClassData, take(MovingDigits, options), **options)
