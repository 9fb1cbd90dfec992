"""Forecasts without a network, of the very windows that a run's test has: seasonal-naive, drift and linear AR.

    python experiments/forecasting/baselines.py experiment=co2_forecast

takes the overrides of ``seqlab train`` and prints the mean absolute error and the MASE of each on the test. The linear
autoregression is fitted to the training windows by ridge regression, one equation for each step ahead; the number of
lags and the penalty are chosen on validation.
"""

import argparse
import json
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqlab.config import build
from seqlab.config.compose import compose_config
from seqlab.data import ForecastData
from seqlab.errors import InputError

LAGS = (1, 2, 4, 8, 16, 32, 64)
PENALTIES = (0.0, 1e-3, 1e-1, 10.0)

Array = NDArray[np.float64]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", metavar="KEY=VALUE", help="of seqlab train")
    args = parser.parse_args()
    try:
        data = build.build_data(compose_config(args.overrides))
        data.prepare_data()
        if not isinstance(data, ForecastData):
            raise InputError("these are baselines of forecasts: give experiment=forecasting, or another of its presets")
        results = measured(data)
    except InputError as error:
        print(f"baselines: {error}", file=sys.stderr)
        return 2
    print(json.dumps(results))
    return 0


def measured(data: ForecastData) -> dict[str, dict[str, Any]]:
    """MAE and MASE on the test of each baseline, and what was chosen for the linear one."""
    if len(data.spec.targets) != 1 or data.spec.known:
        raise InputError(
            "the baselines forecast one target from its own past: give one data.targets=, and no data.known"
        )
    splits = {split: windows_of(data, split) for split in ("train", "validation", "test")}
    past, came, scales = splits["test"]
    horizon = came.shape[1]
    forecasts = {"seasonal-naive": seasonal_naive(past, data.season, horizon), "drift": drift(past, horizon)}
    results: dict[str, dict[str, Any]] = {name: errors(each, came, scales) for name, each in forecasts.items()}
    choices = {}
    for lags in sorted({*(lags for lags in LAGS if lags <= data.cut.context), data.cut.context}):
        for penalty in PENALTIES:
            weights = fitted(*splits["train"][:2], lags, penalty)
            held_out, truth, _ = splits["validation"]
            choices[lags, penalty] = float(np.nanmean(np.abs(linear(held_out, weights, lags) - truth)))
    lags, penalty = min(choices, key=choices.__getitem__)
    weights = fitted(*splits["train"][:2], lags, penalty)
    results["linear AR"] = errors(linear(past, weights, lags), came, scales) | {"lags": lags, "penalty": penalty}
    return results


def windows_of(data: ForecastData, split: str) -> tuple[Array, Array, Array]:
    """The past ``(N, T)``, its gaps filled forward; what came ``(N, H)``; and the scales of MASE ``(N,)``."""
    batch = data.collate(split, list(range(len(data.lengths(split)))))
    past = batch.inputs[..., 0].double().numpy()
    ends = batch.lengths.numpy()
    rows = []
    for row, length in zip(past, ends, strict=True):
        values = row[:length]
        there = np.flatnonzero(~np.isnan(values))
        values = values[there[np.searchsorted(there, np.arange(length), side="right").clip(1) - 1]]
        rows.append(np.concatenate([np.full(past.shape[1] - length, values[0]), values]))
    return np.stack(rows), batch.targets[..., 0].double().numpy(), batch.scales[:, 0].double().numpy()


def seasonal_naive(past: Array, season: int, horizon: int) -> Array:
    """The value of a season before; of several, where the horizon is longer."""
    return past[:, [-season + step % season for step in range(horizon)]]


def drift(past: Array, horizon: int) -> Array:
    """The line through the first and the last value."""
    slope = (past[:, -1] - past[:, 0]) / max(past.shape[1] - 1, 1)
    return past[:, -1:] + slope[:, None] * np.arange(1, horizon + 1)


def fitted(past: Array, came: Array, lags: int, penalty: float) -> Array:
    """The weights ``(lags + 1, H)`` from the last ``lags`` values, relative to the last one, to what came after it."""
    features = _features(past, lags)
    weights = []
    for step in range(came.shape[1]):
        there = ~np.isnan(came[:, step])
        x, y = features[there], came[there, step] - past[there, -1]
        weights.append(np.linalg.lstsq(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y, rcond=None)[0])
    return np.stack(weights, 1)


def linear(past: Array, weights: Array, lags: int) -> Array:
    """The forecasts ``(N, H)``."""
    forecasts: Array = past[:, -1:] + _features(past, lags) @ weights
    return forecasts


def _features(past: Array, lags: int) -> Array:
    steps = past[:, -1:] - past[:, past.shape[1] - lags : -1] if lags > 1 else np.empty((len(past), 0))
    return np.column_stack([steps, past[:, -1], np.ones(len(past))])


def errors(forecasts: Array, came: Array, scales: Array) -> dict[str, Any]:
    error = np.abs(forecasts - came)
    return {"mae": float(np.nanmean(error)), "mase": float(np.nanmean(error / scales[:, None]))}


if __name__ == "__main__":
    sys.exit(main())
