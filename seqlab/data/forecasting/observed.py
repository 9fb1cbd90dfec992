"""Observed series that come with statsmodels; all are in the public domain."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from seqlab.data.core.reading import EmbeddedSource
from seqlab.data.formats.grids import Grid
from seqlab.data.formats.series import Series, SeriesFormat
from seqlab.errors import InputError

NAMES: Final = ("co2", "elnino", "sunspots", "nile")


class ObservedSeries(EmbeddedSource):
    """One series of statsmodels.

    ``co2`` is the carbon dioxide over Mauna Loa, in parts per million, the mean of each month; ``elnino`` the sea
    surface temperature of the eastern Pacific by month, in degrees Celsius; ``sunspots`` their mean number by year;
    ``nile`` the river's yearly flow at Aswan, in 10^8 cubic metres.

    Args:
        name: co2, elnino, sunspots or nile.

    Raises:
        InputError: there is no series of that name; on first use: statsmodels is not installed.
    """

    covariates: Sequence[str] = ()
    known: Sequence[str] = ()
    format = SeriesFormat()

    def __init__(self, name: str = "co2") -> None:
        if name not in NAMES:
            raise InputError(f"data.name={name} must be one of {', '.join(NAMES)}")
        self.name = name
        self.targets: Sequence[str] = (name,)

    def __str__(self) -> str:
        return f"the series {self.name} of statsmodels"

    def read(self) -> list[Series]:
        """The one series."""
        try:
            from statsmodels import datasets
        except ImportError as error:
            raise InputError("observed series come with statsmodels: pip install 'seqlab[series]'") from error
        values, grid = getattr(self, f"_{self.name}")(getattr(datasets, self.name).load_pandas().data)
        steps = np.arange(len(values))
        places = [f"{self.name}, step {step + 1}" for step in steps]
        return [Series(self.name, np.asarray(values, dtype=np.float64)[:, None], places, grid.times(steps), grid=grid)]

    @staticmethod
    def _co2(table: Any) -> tuple[Any, Grid]:
        monthly = table["co2"].resample("MS").mean()
        return monthly.to_numpy(), Grid(monthly.index[0].to_datetime64().astype("datetime64[ns]"), 1, months=True)

    @staticmethod
    def _elnino(table: Any) -> tuple[Any, Grid]:
        first = np.datetime64(f"{int(table['YEAR'].iloc[0])}-01-01", "ns")
        return table.drop(columns="YEAR").to_numpy(dtype=np.float64).ravel(), Grid(first, 1, months=True)

    @staticmethod
    def _sunspots(table: Any) -> tuple[Any, Grid]:
        return table["SUNACTIVITY"].to_numpy(), Grid(float(table["YEAR"].iloc[0]))

    @staticmethod
    def _nile(table: Any) -> tuple[Any, Grid]:
        return table["volume"].to_numpy(), Grid(float(table["year"].iloc[0]))
