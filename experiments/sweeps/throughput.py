"""The twelve jobs one after another, and spread out by other overrides: wall time, and the same table.

``python experiments/sweeps/throughput.py --folder FOLDER launcher=joblib hydra.launcher.n_jobs=2``: what follows the
options goes to the second sweep as it stands.
"""

import argparse
import shutil
import sys
from pathlib import Path

import twelve
from shared import Checks, completed, differences, run, table

BY = "model.cell._target_,model.hidden_size"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/throughput"))
    parser.add_argument("--steps", type=int, default=300, help="training steps of a job")
    parser.add_argument("--at-least", type=float, default=1.6, help="the throughput asked for, of one after another's")
    parser.add_argument("overrides", nargs="+", metavar="OVERRIDE")
    args = parser.parse_args()
    checks = Checks()

    # Tokens and compiled steps are cached by whoever comes first: neither sweep is to pay for them.
    warm = args.folder / "warm"
    twelve.write(warm, steps=3, mistaken=False)
    run(warm, twelve.COMMAND)

    seconds = {}
    for name, overrides in {"one": [], "spread": args.overrides}.items():
        folder = args.folder / name
        shutil.rmtree(folder, ignore_errors=True)  # a time of half a sweep is none
        twelve.write(folder, args.steps, mistaken=False)
        print(f"$ seqlab {' '.join([*twelve.COMMAND, *overrides])}", flush=True)
        code, printed, seconds[name] = run(folder, [*twelve.COMMAND, *overrides])
        print(f"    {seconds[name]:.1f} s", flush=True)
        if not checks.check(code == 0 and len(completed(folder / twelve.SWEEP)) == 12, "twelve complete"):
            print(printed[-2000:])
    one, spread = (args.folder / name / twelve.SWEEP for name in ("one", "spread"))
    gain = seconds["one"] / seconds["spread"]
    checks.check(gain >= args.at_least, f"{gain:.2f} times the throughput; asked for: {args.at_least}")
    found = differences(one, spread)
    print("\n".join(f"    {line}" for line in found[:20]))
    checks.check(not found, "all metrics are equal, number for number")
    checks.check(table(one, BY) == table(spread, BY), "the tables of seqlab report are equal, number for number")
    return checks.end()


if __name__ == "__main__":
    sys.exit(main())
