"""A function for each file of ``conf/data`` with sequences that have a number: from flat keys to a data module."""

from typing import Any

from seqlab.data.core.options import from_options, take
from seqlab.data.regression.generated import Adding
from seqlab.data.regression.module import AddingData, RegressionData
from seqlab.data.regression.sources import NumberedSeriesFiles


def numbered_series_data(**options: Any) -> RegressionData:
    """``data=numbered_series``: the user's own series in csv, tsv, parquet or npy, each with a number.

    Args:
        **options: of ``NumberedSeriesFiles``, ``RegressionData``, and of their parts.

    Raises:
        InputError: no file or no target is given, or an option is wrong.
    """
    return from_options(RegressionData, take(NumberedSeriesFiles, options), **options)


def adding_data(**options: Any) -> AddingData:
    """``data=adding``: the adding problem.

    Args:
        **options: of ``AddingData`` and its parts.
    """
    return from_options(AddingData, Adding(), **options)
