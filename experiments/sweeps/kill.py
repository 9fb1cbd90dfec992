"""A sweep of six jobs, killed as a whole at twenty moments and started again each time, against one left alone.

``python experiments/sweeps/kill.py --folder FOLDER``; called again, it goes on where it was stopped. Ten moments are
drawn from the clock alone, from when the first job has begun to train; ten fall at random into phases that are too
short for the clock to meet.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from shared import MEASURED, Checks, completed, differences, records, run, start, table

from seqlab.run.checkpoints import load_checkpoint
from seqlab.run.record import RECORD_NAME

PHASES = '''\
"""A callback that leaves the phase of its run in a file."""

from pathlib import Path

from seqlab.callbacks import AtTest


class Phases(AtTest):
    phase = None
    file = None

    def enter(self, phase):
        if phase != self.phase:
            self.phase = phase
            self.file.write_text(phase)

    def on_fit_start(self, trainer, pl_module):
        self.file = Path(trainer.default_root_dir, "phase.txt")
        self.enter("training")

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.enter("training")

    def on_validation_start(self, trainer, pl_module):
        self.enter("validation")

    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        self.enter("checkpoint")

    def on_test_start(self, trainer, pl_module):
        self.enter("test")
'''
CALLBACKS = """\
defaults:
  - default
  - _self_

phases:
  _target_: phases.Phases
examples: null
checkpoint:
  every_n_steps: 10
"""
COMMAND = (
    *("train", "-m", "--config-dir", "conf", "name=six", "callbacks=phases", "trainer=cpu", "runtime.num_threads=1"),
    *("data=kjv", "data.batch_size=32", "data.tbptt_steps=64", "data.eval_batch_size=64", "data.eval_steps=64"),
    *("model.num_layers=2", "model.hidden_size=64", "model.embedding_size=32", "scheduler=cosine"),
    *("trainer.limit_val_batches=20", "trainer.limit_test_batches=20", "trainer.gradient_clip_val=1.0"),
    *("model.dropout=0.1,0.2,0.4", "seed=1,2"),
)
SWEEP = Path("runs") / "six"
AIMED = (*["checkpoint"] * 3, *["validation"] * 2, *["test"] * 2, "imports", "the command's start", "between jobs")
SPREAD = {"checkpoint": 0.01, "validation": 0.4, "test": 0.4, "imports": 5.0, "the command's start": 2.0}
BY_CLOCK = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/kill"))
    parser.add_argument("--steps", type=int, default=600, help="training steps of a job")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    args = parser.parse_args()
    killed, alone = args.folder / "killed", args.folder / "alone"
    command = (*COMMAND, f"trainer.max_steps={args.steps}", f"trainer.val_check_interval={max(1, args.steps // 4)}")
    for folder in (killed, alone):
        (folder / "conf" / "callbacks").mkdir(parents=True, exist_ok=True)
        (folder / "phases.py").write_text(PHASES)
        (folder / "conf" / "callbacks" / "phases.yaml").write_text(CALLBACKS)
    checks = Checks()

    moments = draw_moments(random.Random(args.seed))
    landed = kill_often(killed, command, moments)
    print(f"{len(landed)} kills: " + ", ".join(f"{count} in {phase}" for phase, count in Counter(landed).items()))
    checks.check(len(landed) == len(moments), f"all {len(moments)} kills came before the sweep was complete")
    code, _, seconds = run(killed, command)
    print(f"$ the same command, left alone now: {seconds:.0f} s")
    checks.check(code == 0, "it ends well")
    code, _, seconds = run(alone, command)
    print(f"$ the same command in another folder, never disturbed: {seconds:.0f} s")
    checks.check(code == 0 and len(completed(alone / SWEEP)) == 6, "six complete")
    compare(checks, killed / SWEEP, alone / SWEEP)
    return checks.end()


def draw_moments(draw: random.Random) -> list[tuple[str, float]]:
    """The phase that each kill waits for, and the seconds after that."""
    moments: list[tuple[str, float]] = [("training", draw.uniform(0.0, 20.0)) for _ in range(BY_CLOCK)]
    moments += [(phase, draw.uniform(0.0, SPREAD.get(phase, 0.0))) for phase in AIMED]
    draw.shuffle(moments)
    return moments


def kill_often(folder: Path, command: tuple[str, ...], moments: list[tuple[str, float]]) -> list[str]:
    """Starts the sweep and kills it, once a moment; the phases that the kills met, kept in ``kills.jsonl``."""
    kept = folder / "kills.jsonl"
    landed = [json.loads(line)["phase"] for line in kept.read_text().splitlines()] if kept.exists() else []
    for number, (target, seconds) in enumerate(moments[len(landed) :], start=len(landed) + 1):
        for left in (folder / SWEEP).glob("*/phase.txt"):
            left.unlink()
        complete = {path for path, record in records(folder / SWEEP).items() if record["status"] == "completed"}
        left_before = set((folder / SWEEP).rglob(".*.tmp"))
        began = time.monotonic()
        process = start(folder, command)
        while process.poll() is None and phase_of(folder, complete) != target:
            time.sleep(0.001)
        time.sleep(seconds)
        phase = phase_of(folder, complete)
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        life = time.monotonic() - began
        process.wait()
        wait_until_gone(process)
        half_written = [path.name for path in (folder / SWEEP).rglob(".*.tmp") if path not in left_before]
        with open(kept, "a") as file:
            file.write(json.dumps({"phase": phase, "aim": target, "seconds": life, "half": half_written}) + "\n")
        said = f", {len(half_written)} file half-written" if half_written else ""
        print(f"kill {number}: {phase}, {life:.1f} s after the start{said}", flush=True)
        landed.append(phase)
    return landed


def wait_until_gone(process: "subprocess.Popen[str]") -> None:
    """A process that was killed takes a moment to be gone; one that nobody waits for stays as a zombie."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)


def phase_of(folder: Path, complete: set[Path]) -> str:
    """Where the sweep stands: the phase of the run at work, which it tells itself once it trains.

    ``complete`` holds the runs that were complete when this life of the sweep began.
    """
    between = False
    for path in (folder / SWEEP).glob(f"*/{RECORD_NAME}"):
        if path.parent in complete:
            continue
        record: dict[str, Any] = json.loads(path.read_text())
        owner = record["process"]["pid"]
        if record["status"] == "running" and Path(f"/proc/{owner}").exists():
            told = path.parent / "phase.txt"
            phase = told.read_text() if told.exists() else ""
            if phase:
                return phase
            return "imports" if record["process"] == record["attempts"][-1]["process"] else "set-up"
        between = between or record["status"] == "completed"
    return "between jobs" if between else "the command's start"


def compare(checks: Checks, killed: Path, alone: Path) -> None:
    found = differences(killed, alone)
    print("\n".join(f"    {line}" for line in found[:20]))
    one, other = completed(killed), completed(alone)
    numbers = sum(len(record["metrics"]) for record in other.values())
    checks.check(not found, f"all {numbers} metrics of the six runs are equal, bit for bit")
    for name in ("best", "last"):
        pairs = [[weights(runs[key]["run_dir"], name) for runs in (one, other)] for key in sorted(other) if key in one]
        equal = all(a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a) for a, b in pairs)
        checks.check(len(pairs) == 6 and equal, f"all weights of the six {name} checkpoints are equal, bit for bit")
    by = "model.dropout"
    checks.check(table(killed, by) == table(alone, by), "the tables of seqlab report are equal, number for number")
    left = [str(path) for path in killed.rglob(".*.tmp")]
    checks.check(not left, "no half-written file is left")
    resumes = {key: record["resumes"] for key, record in one.items()}
    print(f"resumed {sum(resumes.values())} times in all")
    print(f"\n| dropout, seed | resumed | {' | '.join(MEASURED)} |\n|---|--:|{'--:|' * len(MEASURED)}")
    for key, record in one.items():
        values = " | ".join(f"{record['metrics'][name]:.6f}" for name in MEASURED)
        print(f"| {record['config']['model']['dropout']}, {record['seed']} | {resumes[key]} | {values} |")


def weights(run_dir: Path, name: str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_checkpoint(run_dir / "checkpoints" / f"{name}.ckpt")["state_dict"]
    return found


if __name__ == "__main__":
    sys.exit(main())
