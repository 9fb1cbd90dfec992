"""Twelve jobs, of which one raises, one diverges and one is killed: nine complete, three are mended.

``python experiments/sweeps/survive.py --folder FOLDER``; called again, it goes on where it was stopped.
"""

import argparse
import os
import random
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import twelve
from shared import MEASURED, Checks, completed, differences, records, run, start, table

from seqlab.errors import InputError
from seqlab.run.record import RECORD_NAME, read_record

BY = "model.cell._target_,model.hidden_size"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/survive"))
    parser.add_argument("--steps", type=int, default=90, help="training steps of a job")
    parser.add_argument("--seed", type=int, default=1, help="of the moment of the kill")
    args = parser.parse_args()
    disturbed, alone = args.folder / "disturbed", args.folder / "alone"
    checks = Checks()

    mended = args.folder / "mended"  # the first command has ended, and its settings are mended
    if not mended.exists():
        twelve.write(disturbed, args.steps, mistaken=True)
        print("$ seqlab " + " ".join(twelve.COMMAND), flush=True)
        code, printed = sweep_with_a_kill(disturbed, random.Random(args.seed))
        check_the_reports(checks, disturbed, code, printed)
        mended.touch()

    before = {path.name: modified(path) for path in completed_folders(disturbed)}
    twelve.write(disturbed, args.steps, mistaken=False)
    print("$ the same command, a line of the cell and one setting's optimizer mended", flush=True)
    code, printed, _ = run(disturbed, twelve.COMMAND)
    asked = code == 2 and "keep_changed=true" in printed
    checks.check(
        asked or len(before) != 9, "it asks what is to become of the completed runs of the cell that has changed"
    )
    print("$ the same command, keep_changed=true", flush=True)
    code, printed, seconds = run(disturbed, [*twelve.COMMAND, "keep_changed=true"])
    print(summary_of(printed))
    checks.check(code == 0, f"it ends well, after {seconds:.0f} s")
    if len(before) == 9:
        checks.check("3 completed, 9 skipped" in printed, "only three jobs run")
        after = {path.name: modified(path) for path in completed_folders(disturbed)}
        checks.check(all(after[name] == at for name, at in before.items()), "the nine records are untouched")
        began_anew = {status_and_resumes(disturbed, name) for name in (twelve.RAISES, twelve.DIVERGES)}
        checks.check(began_anew == {("completed", 0)}, "those that had failed began anew")
        killed = status_and_resumes(disturbed, twelve.KILLED)
        checks.check(killed == ("completed", 1), "the one that was killed went on from its last checkpoint")

    twelve.write(alone, args.steps, mistaken=False)
    print("$ the same command in another folder, undisturbed", flush=True)
    code, printed, seconds = run(alone, twelve.COMMAND)
    print(summary_of(printed))
    checks.check(code == 0 and len(completed(alone / twelve.SWEEP)) == 12, f"twelve complete, after {seconds:.0f} s")
    compare(checks, disturbed / twelve.SWEEP, alone / twelve.SWEEP)
    return checks.end()


def sweep_with_a_kill(folder: Path, draw: random.Random) -> tuple[int, str]:
    """Runs the sweep, and kills one job's process while it trains; the exit code and what was printed."""
    process = start(folder, twelve.COMMAND)
    checkpoints, seen = draw.randint(2, 6), set()
    while process.poll() is None:
        time.sleep(0.002)
        for run_dir in (folder / twelve.SWEEP).glob(f"*{twelve.KILLED}*"):
            last = run_dir / "checkpoints" / "last.ckpt"
            if last.exists():
                seen.add(last.stat().st_mtime_ns)
            if len(seen) < checkpoints:
                continue
            time.sleep(draw.uniform(0, 0.05))
            pid = read_record(run_dir)["process"]["pid"]
            os.kill(pid, signal.SIGKILL)
            print(f"  killed process {pid} after checkpoint {checkpoints} of {twelve.KILLED}", flush=True)
            return process.wait(), (folder / "output.txt").read_text()
    return process.wait(), (folder / "output.txt").read_text()


def check_the_reports(checks: Checks, folder: Path, code: int, printed: str) -> None:
    print(summary_of(printed))
    checks.check(code == 1, "the command ends with exit code 1")
    checks.check("9 completed, 2 failed, 1 interrupted" in printed, "nine complete, three are reported")
    expected = {
        twelve.RAISES: ("failed", "IndexError: a mistake of the user in the cell"),
        twelve.DIVERGES: ("failed", "training diverged"),
        twelve.KILLED: ("interrupted", "SIGKILL ended the run"),
    }
    for name, (status, error) in expected.items():
        record = record_of(folder, name)
        told = record["status"] == status and error in record["error"] and error in printed
        last = record["error"].splitlines()[-1]
        checks.check(told and bool(record["config"]["model"]), f"{name} is {status}, in its record and shown: {last}")


def compare(checks: Checks, disturbed: Path, alone: Path) -> None:
    found = differences(disturbed, alone)
    print("\n".join(f"    {line}" for line in found[:20]))
    numbers = sum(len(record["metrics"]) for record in completed(alone).values())
    checks.check(not found, f"all {numbers} metrics of the twelve runs are equal, number for number")
    checks.check(table(disturbed, BY) == table(alone, BY), "the tables of seqlab report are equal, number for number")
    print(f"\n| setting | {' | '.join(MEASURED)} |\n|---|{'--:|' * len(MEASURED)}")
    for record in completed(disturbed).values():
        numbers_of = " | ".join(f"{record['metrics'][name]:.6f}" for name in MEASURED)
        print(f"| {record['overrides'][0].partition('=')[2]} | {numbers_of} |")


def completed_folders(folder: Path) -> list[Path]:
    return [path for path, record in records(folder / twelve.SWEEP).items() if record["status"] == "completed"]


def modified(run_dir: Path) -> tuple[int, int]:
    status = (run_dir / RECORD_NAME).stat()
    return status.st_mtime_ns, status.st_ino


def record_of(folder: Path, name: str) -> dict[str, Any]:
    """The record of a setting's run; of several, the completed one, for mending a setting gives it another folder."""
    found = [
        record for record in records(folder / twelve.SWEEP).values() if f"experiment={name}" in record["overrides"]
    ]
    if not found:
        raise InputError(f"{folder}: no run of {name}")
    return next((record for record in found if record["status"] == "completed"), found[0])


def status_and_resumes(folder: Path, name: str) -> tuple[str, int]:
    record = record_of(folder, name)
    return record["status"], record["resumes"]


def summary_of(printed: str) -> str:
    """The end of what the command printed: the counts and what did not complete."""
    counts = [match.start() for match in re.finditer(r"^\d+ (completed|skipped|failed)", printed, re.MULTILINE)]
    lines = printed[counts[-1] :].splitlines() if counts else printed.splitlines()[-5:]
    return "\n".join(f"    {line}" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
