"""A function for each file of ``conf/data`` with series to forecast: from flat keys to a source and a data module."""

from typing import Any

from seqlab.data.core.options import from_options, take
from seqlab.data.forecasting.generated import Sine, Threshold
from seqlab.data.forecasting.module import ForecastData
from seqlab.data.forecasting.observed import ObservedSeries
from seqlab.data.forecasting.sources import SeriesFiles
from seqlab.data.forecasting.windows import WindowCut
from seqlab.data.formats.paths import Files, Paths
from seqlab.data.formats.series import SeriesFormat


def observed_data(**options: Any) -> ForecastData:
    """``data=observed``: a series that comes with statsmodels.

    Args:
        **options: of ``ObservedSeries``, ``WindowCut``, ``ForecastData`` and ``Batching``.
    """
    return _windows_of(take(ObservedSeries, options), options)


def series_data(path: Paths | None = None, **options: Any) -> ForecastData:
    """``data=series``: the user's own series in csv, tsv, parquet or npy.

    Args:
        path: a file, a pattern or a list of these.
        **options: of ``SeriesFiles``, ``SeriesFormat``, ``WindowCut``, ``ForecastData`` and ``Batching``.

    Raises:
        InputError: no file is given, or an option is wrong.
    """
    form = take(SeriesFormat, options)
    names = {name: options.pop(name) for name in ("targets", "covariates", "known") if name in options}
    return _windows_of(SeriesFiles(Files(path), form, **names), options)


def sine_data(**options: Any) -> ForecastData:
    """``data=sine``: a sine with noise and gaps.

    Args:
        **options: of ``Sine``, ``WindowCut``, ``ForecastData`` and ``Batching``.
    """
    return _windows_of(take(Sine, options), options)


def threshold_data(**options: Any) -> ForecastData:
    """``data=threshold``: a threshold autoregression.

    Args:
        **options: of ``Threshold``, ``WindowCut``, ``ForecastData`` and ``Batching``.
    """
    return _windows_of(take(Threshold, options), options)


def _windows_of(source: Any, options: dict[str, Any]) -> ForecastData:
    cut = take(WindowCut, options)
    return from_options(ForecastData, source, cut, **options)
