"""The forecasting study: recurrent forecasters beside seasonal-naive, drift and linear AR, on made and observed series.

One command trains three seeds of each, and writes the table into README.md. Called again, it goes on where it was
stopped; ``--report`` trains nothing.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from command import seqlab, some_of
from tables import completed, spread, write_table

HERE = Path(__file__).parent
OBSERVED = ("experiment=co2_forecast", "model.normalize=last")
SERIES = {
    "sine": ("experiment=sine_forecast",),
    "threshold": ("experiment=threshold_forecast",),
    "co2": OBSERVED,
    "elnino": (*OBSERVED, "data.name=elnino"),
    "sunspots": (*OBSERVED, "data.name=sunspots", "data.horizon=5", "data.context=33", "data.season=11"),
}
SEEDS = "seed=1,2,3"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/forecasting"))
    parser.add_argument("--output", type=Path, default=HERE / "README.md", help="the file for the table")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("--series", type=some_of(SERIES), default=list(SERIES), metavar="NAME[,NAME]")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="further overrides of every run")
    args = parser.parse_args()
    lines = [
        "| series | n | recurrent MASE | seasonal-naive | drift | linear AR | recurrent MAE | linear AR |",
        "| :-- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for name in args.series:
        overrides = (*SERIES[name], *args.overrides)
        sweep = (*overrides, SEEDS, f"hydra.sweep.dir={args.runs / name}", "logger=none")
        if not args.report and (code := seqlab("train", "-m", *sweep)):
            print("the same command goes on with what is left", file=sys.stderr)
            return code
        lines.append(row(name, args.runs / name, overrides))
    write_table(lines, args.output, HERE / "README.md")
    return 0


def row(name: str, folder: Path, overrides: tuple[str, ...]) -> str:
    metrics = [record["metrics"] for record in completed(folder).values()]
    script = Path(__file__).with_name("baselines.py")
    found = subprocess.run([sys.executable, str(script), *overrides], check=True, capture_output=True, text=True)
    baselines = json.loads(found.stdout.splitlines()[-1])
    mase, mae = ([each[f"test/{key}"] for each in metrics] for key in ("mase", "mae"))
    others = " | ".join(f"{baselines[each]['mase']:.3f}" for each in ("seasonal-naive", "drift", "linear AR"))
    linear = f"{baselines['linear AR']['mae']:.4g} ({baselines['linear AR']['lags']} lags)"
    return f"| {name} | {len(metrics)} | {spread(mase, '.4g')} | {others} | {spread(mae, '.4g')} | {linear} |"


if __name__ == "__main__":
    sys.exit(main())
