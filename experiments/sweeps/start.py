"""What a job takes beyond its training: sweeps of ``hello`` with few and with many jobs, one after another and at once.

``python experiments/sweeps/start.py --folder FOLDER``; ``--python`` measures another installation, such as an earlier
commit's. The jobs that one sweep has more than the other give the cost of a job; what is left is the sweep's own: the
command, the imports, the launcher's start.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from shared import environment

LAUNCHERS = {
    "plain": (1, ()),
    "joblib": (2, ("launcher=joblib", "hydra.launcher.n_jobs=2")),
    "ray": (2, ("launcher=ray", "hydra.launcher.ray.init.num_cpus=2")),
}
"""How many jobs run at once, and the overrides for it."""


def sweep(
    python: str, folder: Path, jobs: int, overrides: tuple[str, ...]
) -> tuple[float, float, list[dict[str, Any]]]:
    """The wall time of a sweep of ``jobs`` jobs, the processor's time, and its records."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    seeds = ",".join(str(seed) for seed in range(1, jobs + 1))
    command = [python, "-m", "seqlab.cli", "train", "-m", "experiment=hello", f"seed={seeds}", "runtime.num_threads=1"]
    with open(folder / "output.txt", "w") as output:
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        code = subprocess.run(
            [*command, *overrides], cwd=folder, env=environment(), stdout=output, stderr=output, check=False
        ).returncode
        seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    records = [json.loads(path.read_text()) for path in folder.glob("runs/hello/*/run.json")]
    if code or [record["status"] for record in records] != ["completed"] * jobs:
        sys.exit(f"the sweep in {folder} did not complete; see {folder / 'output.txt'}")
    return seconds, processor, records


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/start"))
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the installation to measure")
    parser.add_argument("--launchers", default=",".join(LAUNCHERS))
    parser.add_argument("--few", type=int, default=2)
    parser.add_argument("--many", type=int, default=22)
    parser.add_argument("--at-most", type=float, default=0.8, help="seconds a job beyond its training")
    args = parser.parse_args()

    failed = 0
    print("| launcher | a job beyond its training | its training, median | its processor time | the sweep | its own |")
    print("|---|--:|--:|--:|--:|--:|")
    for name in args.launchers.split(","):
        at_once, overrides = LAUNCHERS[name]
        walls, processors, trained = [], [], []
        for jobs in (args.few, args.many):
            seconds, processor, records = sweep(args.python, args.folder.resolve() / name / str(jobs), jobs, overrides)
            walls.append(seconds)
            processors.append(processor)
            trained.append([record["train_seconds"] for record in records])
        more = args.many - args.few
        beyond = ((walls[1] - walls[0]) * at_once - (sum(trained[1]) - sum(trained[0]))) / more
        own = walls[1] - (walls[1] - walls[0]) / more * args.many
        median = statistics.median(trained[1])
        each = (processors[1] - processors[0]) / more
        print(
            f"| {name} | {beyond:.2f} s | {median:.2f} s | {each:.2f} s | {walls[1]:.1f} s | {own:.1f} s |", flush=True
        )
        failed += beyond > args.at_most
    print(f"{failed} above {args.at_most} s" if failed else f"all below {args.at_most} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
